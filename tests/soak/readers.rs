//! Readers: every way to read, checked against what is known and against each other. The other process reads with them as well.

use std::collections::{HashMap, HashSet};

use factlog::{Position, ReadAll, ReadStream, RecordedEvent, Store, Version};

use crate::{
    batch::{Batch, CATEGORIES, Mark, Rng, TYPES, event_type, stream_name},
    ledger::{Counts, Done, Ledger},
};

/// What a read was given out.
pub type Page = Vec<(RecordedEvent, Mark)>;

/// How far back a read of the log begins at most.
const BACK: u64 = 1500;

pub struct Reader<'a> {
    pub store: &'a Store,
    pub ledger: &'a Ledger,
    pub counts: &'a Counts,
}

impl Reader<'_> {
    /// One read of some kind.
    pub fn step(&self, rng: &mut Rng) {
        match rng.below(5) {
            0 => self.log(rng),
            1 => self.narrowed(rng),
            2 => self.stream(rng),
            3 => self.known(rng),
            _ => self.streams_of_one_append(rng),
        }
        self.counts.add(Done::Reads, 1);
    }

    fn page(&self, events: impl Iterator<Item = factlog::Result<RecordedEvent>>) -> Page {
        let page: Page = events
            .map(|event| {
                let event = event.unwrap();
                let mark = self.ledger.observe(&event);
                (event, mark)
            })
            .collect();
        self.counts.add(Done::EventsRead, page.len() as u64);
        page
    }

    /// The log from some place to its end.
    fn log(&self, rng: &mut Rng) {
        let floor = self.ledger.acknowledged();
        let after = Position::new(floor.get().saturating_sub(rng.below(BACK)));
        let read = ReadAll::after(after);
        let page = self.page(self.store.read_all(read.clone()));
        let ceiling = self.store.last_position();
        let mut next = after.next();
        for (event, _) in &page {
            assert_eq!(event.position(), next, "a hole, or a position twice");
            next = next.next();
        }
        assert!(next > floor, "acknowledged up to {floor}, and read up to {next}");
        assert!(next <= ceiling.next(), "read up to {next}, and visible is {ceiling}");
        self.ledger.seen(next.previous());
        whole(&page, &read);
    }

    fn some_narrowing(&self, rng: &mut Rng, mut read: ReadAll) -> ReadAll {
        if rng.one_in(2) {
            read = read.category(CATEGORIES[rng.below(3) as usize]);
        }
        for _ in 0..rng.below(3) {
            read = read.event_type(event_type(rng.below(TYPES)));
        }
        if rng.one_in(4)
            && let Some((_, entry)) = self.ledger.any(rng)
        {
            read = read.stream(stream_name(entry.stream));
        }
        read
    }

    /// The same narrowed, forwards to the end; and a part of the log narrowed in every way, against a scan of it.
    fn narrowed(&self, rng: &mut Rng) {
        let floor = self.ledger.acknowledged();
        let after = Position::new(floor.get().saturating_sub(rng.below(BACK)));
        let read = self.some_narrowing(rng, ReadAll::after(after));
        let page = self.page(self.store.read_all(read.clone()));
        assert!(page.is_sorted_by(|(one, _), (other, _)| one.position() < other.position()));
        assert!(page.iter().all(|(event, _)| read.wants(event)));
        whole(&page, &read);

        let mut read = read.before(floor.next());
        let time = self.ledger.any(rng).and_then(|(_, entry)| entry.time);
        if let Some(time) = time.filter(|_| rng.one_in(2)) {
            read = read.since(time);
        }
        if rng.one_in(2) {
            read = read.backwards();
        }
        let found = self.page(self.store.read_all(read.clone()));
        let scan = ReadAll::after(after).before(read.before);
        let mut wanted = self.page(self.store.read_all(scan));
        assert_eq!(wanted.len() as u64, floor.get() - after.get());
        wanted.retain(|(event, _)| read.wants(event));
        if read.backwards {
            wanted.reverse();
        }
        let positions = |page: &Page| page.iter().map(|(event, _)| event.position()).collect::<Vec<_>>();
        assert_eq!(positions(&found), positions(&wanted), "{read:?}");
    }

    /// A stream's newest events, in both directions.
    fn stream(&self, rng: &mut Rng) {
        let Some((_, entry)) = self.ledger.any(rng) else { return };
        let name = stream_name(entry.stream);
        let floor = self.store.stream_version(&name).unwrap();
        assert!(floor.get() >= entry.version);
        let from = Version::new(floor.get().saturating_sub(rng.below(300)).max(1));
        let page = self.page(self.store.read_stream(ReadStream::new(&name).from(from)));
        let mut next = from;
        for (event, _) in &page {
            assert_eq!(event.version(), next, "a hole in a stream");
            next = next.next();
        }
        assert!(next > floor);
        if let Some((event, _)) = page.first() {
            whole(&page, &ReadAll::after(event.position().previous()).stream(name.clone()));
        }
        let back = ReadStream::new(&name).from(from).to(next.previous()).backwards();
        let mut back = self.page(self.store.read_stream(back));
        back.reverse();
        assert!(page.iter().map(|(event, _)| event).eq(back.iter().map(|(event, _)| event)));
    }

    /// Something that was acknowledged, by its stream and by its position.
    fn known(&self, rng: &mut Rng) {
        for _ in 0..20 {
            let Some((position, entry)) = self.ledger.any(rng) else { return };
            let version = Version::new(entry.version);
            let read = ReadStream::new(&stream_name(entry.stream)).from(version).limit(1);
            let page = self.page(self.store.read_stream(read));
            assert_eq!((page.len(), page[0].0.position()), (1, position));
            let page = self.page(self.store.read_all(ReadAll::after(position.previous()).limit(1)));
            assert_eq!((page.len(), page[0].0.position(), page[0].0.version()), (1, position, version));
        }
    }

    /// Whoever has seen one stream of an append sees the others as well.
    fn streams_of_one_append(&self, rng: &mut Rng) {
        let stream = rng.below(3) as u32;
        let page = self.page(self.store.read_stream(ReadStream::new(&stream_name(stream)).backwards().limit(30)));
        let several = page.iter().find(|(_, mark)| mark.batch.parts.len() > 1);
        let Some((event, mark)) = several else { return };
        let first = event.position().get() - u64::from(mark.index);
        for (other, count) in &mark.batch.parts {
            let read =
                ReadAll::after(Position::new(first - 1)).before(Position::new(first + u64::from(mark.batch.len())));
            let page = self.page(self.store.read_all(read.stream(stream_name(*other))));
            assert_eq!(page.len(), usize::from(*count), "a part of append {} is missing", mark.batch.number);
            let version = page[page.len() - 1].0.version();
            assert!(self.store.stream_version(&stream_name(*other)).unwrap() >= version);
        }
    }
}

/// Of each append that lies behind the beginning of the read everything is there that was asked for, or nothing.
pub fn whole(page: &Page, read: &ReadAll) {
    let mut appends: HashMap<u64, (&Batch, u64, HashSet<u16>)> = HashMap::new();
    for (event, mark) in page {
        let first = event.position().get() - u64::from(mark.index);
        let (_, _, seen) = appends.entry(mark.batch.number).or_insert((&mark.batch, first, HashSet::new()));
        assert!(seen.insert(mark.index), "twice: {event:?}");
    }
    for (batch, first, seen) in appends.values().filter(|(_, first, _)| *first > read.after.get()) {
        let wanted = |index: &u16| {
            let stream = stream_name(batch.stream_of(*index));
            let of_type = read.types.is_empty() || read.types.contains(&batch.type_of(*index));
            let of_category = read.category.as_deref().is_none_or(|category| stream.category() == category);
            of_type && of_category && read.stream.as_ref().is_none_or(|wanted| *wanted == stream)
        };
        let wanted: HashSet<u16> = (0..batch.len()).filter(wanted).collect();
        assert_eq!(*seen, wanted, "a part of append {} at {first}, in {read:?}", batch.number);
    }
}

/// The whole log, each event against everything that is known.
pub fn everything(store: &Store, ledger: &Ledger) -> Page {
    let counts = Counts::default();
    let reader = Reader { store, ledger, counts: &counts };
    let read = ReadAll::after(Position::START);
    let page = reader.page(store.read_all(read.clone()));
    let last = store.last_position();
    assert_eq!(page.len() as u64, last.get());
    assert!(last >= ledger.acknowledged(), "{last} is left of {}", ledger.acknowledged());
    assert!(page.iter().zip(1..).all(|((event, _), position)| event.position() == Position::new(position)));
    assert_eq!(ledger.events(), last.get(), "somebody has seen what is not there");
    let mut versions: HashMap<u32, u64> = HashMap::new();
    for (event, mark) in &page {
        let version = versions.entry(mark.stream()).or_default();
        *version += 1;
        assert_eq!(event.version().get(), *version);
    }
    let ids: HashSet<_> = page.iter().map(|(event, _)| event.id()).collect();
    assert_eq!(ids.len(), page.len(), "an id is there twice");
    whole(&page, &read);
    for (stream, version) in store.streams().map(Result::unwrap) {
        let number: u32 = stream.as_str().rsplit('-').next().unwrap().parse().unwrap();
        assert_eq!(versions.remove(&number), Some(version.get()));
    }
    assert!(versions.is_empty());
    page
}
