//! What was sent and answered, kept outside of the store: what must be there, what may be, and what must not.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use factlog::{Appended, EventId, EventType, NewEvent, RecordedEvent, StreamName};
use uuid::Uuid;

/// How a crash came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process ended: what it had written is there.
    Kill,
    /// The machine ended: what was not synced is there or not.
    PowerCut,
}

/// An append.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Each stream, and the payloads of its events.
    pub parts: Vec<(String, Vec<Vec<u8>>)>,
    sent: u64,
    /// What was heard, and when; what opening the store again told is the last.
    answers: Vec<(u64, Answer)>,
    /// From here on it must survive a power cut, ...
    durable: Option<u64>,
}

/// What was heard of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Acknowledged(Vec<Appended>),
    /// Nothing was stored.
    Nothing,
    /// It may be there or not.
    Unknown,
}

/// What the log may hold of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    Must,
    May,
    MustNot,
}

/// Something that was saved under a name: a cursor's position, a stream's snapshot at a version.
#[derive(Clone, Debug)]
struct Saved {
    value: u64,
    begun: u64,
    /// When it was over, and whether it succeeded.
    over: Option<(u64, bool)>,
}

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    mark: u64,
    pub appends: Vec<Sent>,
    saved: BTreeMap<String, Vec<Saved>>,
    /// Appends are acknowledged before they are durable.
    pub relaxed: bool,
    by_id: HashMap<EventId, (usize, usize, usize)>,
}

/// The id of an event, from its place in the ledger.
fn id(append: usize, part: usize, index: usize) -> EventId {
    Uuid::from_u128((append as u128 + 1) << 64 | (part as u128) << 32 | index as u128 | 7 << 76 | 2 << 62).into()
}

impl Ledger {
    pub fn mark(&self) -> u64 {
        self.mark
    }

    fn tick(&mut self) -> u64 {
        self.mark += 1;
        self.mark
    }

    /// Notes an append that is about to be sent, and gives the events to send.
    pub fn send(&mut self, parts: Vec<(String, Vec<usize>)>) -> (usize, Vec<(StreamName, Vec<NewEvent>)>) {
        let (append, sent) = (self.appends.len(), self.tick());
        let mut events = Vec::new();
        let mut noted = Vec::new();
        for (part, (stream, sizes)) in parts.into_iter().enumerate() {
            // Some of the bytes are zero, as those of a disk are, and the last ones most of all.
            let payload = |index: usize, size: usize| -> Vec<u8> {
                let byte = |at: usize| ((append * 31 + part * 7 + index * 3 + at) % 251) as u8;
                (0..size).map(|at| if at % 5 == 4 || at + 2 > size { 0 } else { byte(at) }).collect()
            };
            let payloads: Vec<_> = sizes.iter().enumerate().map(|(index, size)| payload(index, *size)).collect();
            let event = |(index, payload): (usize, &Vec<u8>)| {
                self.by_id.insert(id(append, part, index), (append, part, index));
                NewEvent::new(EventType::new("Happened").unwrap(), payload.clone()).with_id(id(append, part, index))
            };
            events.push((StreamName::new(stream.clone()).unwrap(), payloads.iter().enumerate().map(event).collect()));
            noted.push((stream, payloads));
        }
        self.appends.push(Sent { parts: noted, sent, answers: Vec::new(), durable: None });
        (append, events)
    }

    pub fn answer(&mut self, append: usize, answer: Answer) {
        let mark = self.tick();
        if !self.relaxed && matches!(answer, Answer::Acknowledged(_)) {
            self.appends[append].durable = Some(mark);
        }
        self.appends[append].answers.push((mark, answer));
    }

    /// Everything that was acknowledged is durable now.
    pub fn synced(&mut self) {
        let mark = self.tick();
        for sent in &mut self.appends {
            if sent.is_acknowledged() {
                sent.durable.get_or_insert(mark);
            }
        }
    }

    pub fn begin_save(&mut self, name: &str, value: u64) {
        let begun = self.tick();
        self.saved.entry(name.to_owned()).or_default().push(Saved { value, begun, over: None });
    }

    pub fn end_save(&mut self, name: &str, succeeded: bool) {
        let mark = self.tick();
        if let Some(saved) = self.saved.get_mut(name).and_then(|saves| saves.last_mut()) {
            saved.over = Some((mark, succeeded));
        }
    }

    /// The names under which something was saved.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.saved.keys()
    }

    /// What may be found under a name at a mark; 0 for nothing.
    pub fn may_be_saved(&self, name: &str, mark: u64) -> Vec<u64> {
        let saves = self.saved.get(name).map_or(&[][..], |saves| saves);
        let succeeded = |saved: &Saved| matches!(saved.over, Some((over, true)) if over <= mark);
        let last = saves.iter().rposition(succeeded);
        let mut values = vec![last.map_or(0, |last| saves[last].value)];
        let later = &saves[last.map_or(0, |last| last + 1)..];
        values.extend(later.iter().filter(|saved| saved.begun <= mark).map(|saved| saved.value));
        values
    }

    pub fn fate(&self, append: usize, mark: u64, crash: Crash) -> Fate {
        let sent = &self.appends[append];
        match sent.heard(mark) {
            _ if sent.sent > mark => Fate::MustNot,
            Some(Answer::Nothing) => Fate::MustNot,
            _ if sent.durable.is_some_and(|durable| durable <= mark) => Fate::Must,
            Some(Answer::Acknowledged(_)) if crash == Crash::Kill => Fate::Must,
            _ => Fate::May,
        }
    }

    /// The places that an append was told to have.
    pub fn places(&self, append: usize, mark: u64) -> Option<&[Appended]> {
        match self.appends[append].heard(mark) {
            Some(Answer::Acknowledged(places)) => Some(places),
            _ => None,
        }
    }

    /// Which append an event belongs to, if it is as it was sent.
    pub fn find(&self, event: &RecordedEvent) -> Result<(usize, usize, usize), String> {
        let Some(&(append, part, index)) = self.by_id.get(&event.id()) else {
            return Err(format!("nobody sent the event at position {}", event.position()));
        };
        let (stream, payloads) = &self.appends[append].parts[part];
        if event.stream().as_str() != stream || event.payload() != payloads[index][..] {
            return Err(format!(
                "the event at position {} is not as it was sent: append {append}, part {part}, event {index}",
                event.position()
            ));
        }
        Ok((append, part, index))
    }

    /// After opening, everybody sees what became of the appends whose outcome was unknown.
    pub fn resolve(&mut self, there: &BTreeMap<usize, Vec<Appended>>) {
        let mark = self.tick();
        for (append, sent) in self.appends.iter_mut().enumerate() {
            match there.get(&append) {
                Some(places) => {
                    sent.answers.push((mark, Answer::Acknowledged(places.clone())));
                    // Opening has synced what it shows.
                    sent.durable.get_or_insert(mark);
                }
                None => sent.answers.push((mark, Answer::Nothing)),
            }
        }
    }

    /// A crash at this mark: nobody has heard what came later.
    pub fn forget_behind(&mut self, mark: u64) {
        for sent in &mut self.appends {
            sent.answers.retain(|(heard, _)| *heard <= mark);
            sent.durable = sent.durable.filter(|durable| *durable <= mark);
        }
        for saves in self.saved.values_mut() {
            saves.retain(|saved| saved.begun <= mark);
            for saved in saves {
                saved.over = saved.over.filter(|(over, _)| *over <= mark);
            }
        }
    }

    /// Two marks with the same one expect the same.
    pub fn expectation(&self, mark: u64, crash: Crash) -> u64 {
        let mut hasher = DefaultHasher::new();
        for append in 0..self.appends.len() {
            self.fate(append, mark, crash).hash(&mut hasher);
            self.appends[append].parts.iter().for_each(|(stream, payloads)| (stream, payloads.len()).hash(&mut hasher));
        }
        for name in self.saved.keys() {
            (name, self.may_be_saved(name, mark)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// How many appends were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.appends.iter().filter(|sent| sent.is_acknowledged()).count() as u64
    }
}

impl Sent {
    fn is_acknowledged(&self) -> bool {
        matches!(self.answers.last(), Some((_, Answer::Acknowledged(_))))
    }

    /// What was known at a mark.
    fn heard(&self, mark: u64) -> Option<&Answer> {
        self.answers.iter().rev().find(|(heard, _)| *heard <= mark).map(|(_, answer)| answer)
    }
}
