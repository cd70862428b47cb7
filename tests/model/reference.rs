//! The model: a plain list of what was appended, and the plainest answers to every question about it.

use factlog::{ExpectedVersion, limits};

use super::operations::{AllRead, Batch, Operation, Part, Spec, StreamRead, category_of, stream_name};

/// An event as the model keeps it. Its position is its place in the log.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    pub stream: usize,
    pub version: u64,
    /// Counts every event that anyone tried to append: the event's id, and the seed of its content.
    pub number: u64,
    pub spec: Spec,
}

/// What an append must answer: the first version, the last, and the last position; or the version that it clashed with.
pub type Answer = Result<(u64, u64, u64), u64>;

/// An append that was accepted.
#[derive(Clone, Debug)]
pub struct Past {
    pub stream: usize,
    pub expected: ExpectedVersion,
    pub batch: Vec<(usize, Spec)>,
    /// The numbers given out before it.
    pub numbers: u64,
    pub answer: (u64, u64, u64),
}

/// Everything that a store should know.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub log: Vec<Fact>,
    /// The numbers given out so far, those of refused appends too.
    pub numbers: u64,
    /// The length of the log before the last operation, ...
    pub before: usize,
    /// ... the numbers given out before it, ...
    pub numbers_before: u64,
    /// ... and what its appends must answer.
    pub answers: Vec<Answer>,
    pub past: Vec<Past>,
    /// The append that the last operation made once more.
    pub repeated: Option<Past>,
}

impl Model {
    pub fn version(&self, stream: usize) -> u64 {
        self.version_until(stream, self.log.len())
    }

    fn version_until(&self, stream: usize, until: usize) -> u64 {
        self.log[..until].iter().filter(|fact| fact.stream == stream).count() as u64
    }

    /// Does what an operation does to the log.
    pub fn apply(mut self, operation: &Operation) -> Model {
        (self.before, self.numbers_before) = (self.log.len(), self.numbers);
        self.answers.clear();
        self.repeated = None;
        match operation {
            Operation::Append { stream, expected, batch, .. } => {
                let (stream, expected, batch) = (*stream, *expected, batch.clone());
                self.append(stream, expected, &batch);
                if let [Ok(answer)] = self.answers[..] {
                    self.past.push(Past { stream, expected, batch, numbers: self.numbers_before, answer });
                }
            }
            Operation::AppendStreams(parts) => self.append_streams(parts),
            Operation::Repeat(which) if !self.past.is_empty() => {
                let past = &self.past[which.index(self.past.len())];
                self.repeated = self.recognises(past).then(|| past.clone());
            }
            Operation::Spread { first, count, spec, .. } => {
                for stream in *first..first + count {
                    self.append(stream, ExpectedVersion::Any, &[(1, *spec)]);
                }
            }
            Operation::ReadWhileAppending { appends, .. } => {
                for (stream, batch) in appends {
                    self.append(*stream, ExpectedVersion::Any, batch);
                }
            }
            _ => {}
        }
        self
    }

    /// Whether an append must be recognised when it is made once more.
    fn recognises(&self, past: &Past) -> bool {
        let any = matches!(past.expected, ExpectedVersion::Any | ExpectedVersion::StreamExists);
        let (_, version, _) = past.answer;
        !any || version + limits::RECENT_EVENTS as u64 > self.version(past.stream)
    }

    /// All or none.
    fn append_streams(&mut self, parts: &[Part]) {
        let before = (self.log.len(), self.answers.len());
        for (stream, expected, batch) in parts {
            self.append(*stream, *expected, batch);
        }
        if let Some(refused) = self.answers[before.1..].iter().copied().find(Result::is_err) {
            self.log.truncate(before.0);
            self.answers.truncate(before.1);
            self.answers.push(refused);
        }
    }

    fn append(&mut self, stream: usize, expected: ExpectedVersion, batch: &Batch) {
        let actual = self.version(stream);
        let accepted = match expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => actual == 0,
            ExpectedVersion::StreamExists => actual > 0,
            ExpectedVersion::Exact(version) => version.get() == actual,
        };
        let mut version = actual;
        for (index, spec) in batch.iter().flat_map(|(count, spec)| (0..*count).map(move |index| (index, spec))) {
            self.numbers += 1;
            if accepted {
                version += 1;
                self.log.push(Fact { stream, version, number: self.numbers, spec: spec.nth(index) });
            }
        }
        let position = self.log.len() as u64;
        self.answers.push(if accepted { Ok((actual + 1, version, position)) } else { Err(actual) });
    }

    /// The positions and events of a stream that a read must give, when the log had `until` events.
    pub fn read_stream(&self, read: &StreamRead, until: usize) -> Vec<(u64, Fact)> {
        let wanted = |fact: &Fact| fact.stream == read.stream && (read.from..=read.to).contains(&fact.version);
        self.choose(until, read.backwards, read.limit, |_, fact| wanted(fact))
    }

    /// The positions and events of the log that a read must give, when it had `until` events.
    pub fn read_all(&self, read: &AllRead, until: usize) -> Vec<(u64, Fact)> {
        self.choose(until, read.backwards, read.limit, |position, fact| {
            position > read.after
                && position < read.before
                && (read.types.is_empty() || read.types.contains(&fact.spec.event_type))
                && read.category.is_none_or(|category| category == category_of(&stream_name(fact.stream)))
                && read.since.is_none_or(|since| fact.spec.time.is_none_or(|time| time >= since))
        })
    }

    fn choose(
        &self,
        until: usize,
        backwards: bool,
        limit: usize,
        wanted: impl Fn(u64, &Fact) -> bool,
    ) -> Vec<(u64, Fact)> {
        let all = (1..).zip(self.log[..until].iter().copied());
        let mut all: Vec<_> = all.filter(|(position, fact)| wanted(*position, fact)).collect();
        if backwards {
            all.reverse();
        }
        all.truncate(limit);
        all
    }

    /// The streams and their versions, in order of first event, when the log had `until` events.
    pub fn streams(&self, until: usize) -> Vec<(String, u64)> {
        let mut streams: Vec<(usize, u64)> = Vec::new();
        for fact in &self.log[..until] {
            match streams.iter_mut().find(|(stream, _)| *stream == fact.stream) {
                Some((_, version)) => *version += 1,
                None => streams.push((fact.stream, 1)),
            }
        }
        streams.into_iter().map(|(stream, version)| (stream_name(stream), version)).collect()
    }
}
