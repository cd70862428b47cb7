//! Given events, when a command, then events or a refusal.

use std::fmt::Debug;

use super::difference::{difference, pretty};
use crate::{
    event::{EventId, Recorded, RecordedEvent, Timestamp},
    model::{Aggregate, AggregateCommand, DomainEvent},
    version::{Position, Version},
};

/// An aggregate to which these events have happened. Each goes through its stored form on the way, so that what could not
/// be read back is found here.
///
/// ```
/// # use factlog::model::{Aggregate, AggregateCommand, DomainEvent};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # enum DoorEvent { Opened, Closed { by: String } }
/// # impl DomainEvent for DoorEvent {}
/// # #[derive(Default)]
/// # struct Door { open: bool }
/// # impl Aggregate for Door {
/// #     type Event = DoorEvent;
/// #     const CATEGORY: &'static str = "door";
/// #     fn apply(&mut self, event: &DoorEvent) { self.open = matches!(event, DoorEvent::Opened) }
/// # }
/// # #[derive(Debug, PartialEq, thiserror::Error)]
/// # #[error("The door is closed")]
/// # struct IsClosed;
/// # struct Close { by: String }
/// # impl AggregateCommand for Close {
/// #     type Aggregate = Door;
/// #     type Refusal = IsClosed;
/// #     fn aggregate_id(&self) -> &str { "1" }
/// #     fn decide(&self, door: &Door) -> Result<Vec<DoorEvent>, IsClosed> {
/// #         if door.open { Ok(vec![DoorEvent::Closed { by: self.by.clone() }]) } else { Err(IsClosed) }
/// #     }
/// # }
/// use factlog::testing::given;
///
/// let close = Close { by: "Ann".into() };
/// given::<Door>([DoorEvent::Opened]).when(&close).then([DoorEvent::Closed { by: "Ann".into() }]);
/// given::<Door>([]).when(&close).then_refused(IsClosed);
/// ```
#[track_caller]
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let mut state = A::default();
    for event in events {
        state.apply(&as_stored(&event));
    }
    Given { state }
}

/// An aggregate in the state of a test.
#[derive(Debug)]
pub struct Given<A> {
    state: A,
}

impl<A: Aggregate> Given<A> {
    /// Decides a command.
    pub fn when<C: AggregateCommand<Aggregate = A>>(self, command: &C) -> Decided<C> {
        let decided = command.decide(&self.state);
        Decided { state: self.state, decided }
    }

    /// The state, for what events alone do not show.
    pub fn state(&self) -> &A {
        &self.state
    }
}

/// What a command has led to.
pub struct Decided<C: AggregateCommand> {
    state: C::Aggregate,
    decided: Result<Vec<<C::Aggregate as Aggregate>::Event>, C::Refusal>,
}

impl<C: AggregateCommand> Decided<C> {
    /// It has led to exactly these events.
    ///
    /// # Panics
    ///
    /// When it has not; the message shows the difference.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = <C::Aggregate as Aggregate>::Event>) -> Given<C::Aggregate> {
        let expected: Vec<_> = events.into_iter().collect();
        let decided = match self.decided {
            Ok(decided) => decided,
            Err(refusal) => panic!("refused: {refusal}\nbut expected were the events\n{}", pretty(&expected)),
        };
        let (expected, found) = (pretty(&expected), pretty(&decided));
        assert!(
            expected == found,
            "other events than expected (-) were decided (+):\n{}",
            difference(&expected, &found)
        );
        let mut state = self.state;
        decided.iter().for_each(|event| state.apply(&as_stored(event)));
        Given { state }
    }

    /// It was refused for exactly this.
    ///
    /// # Panics
    ///
    /// When it was not; the message shows what it was.
    #[track_caller]
    pub fn then_refused(self, expected: C::Refusal) -> Given<C::Aggregate>
    where
        C::Refusal: PartialEq + Debug,
    {
        match self.decided {
            Err(refusal) => assert_eq!(refusal, expected, "refused for another reason"),
            Ok(decided) => {
                panic!("expected was the refusal: {expected}\nbut decided were the events\n{}", pretty(&decided))
            }
        }
        Given { state: self.state }
    }
}

/// The event as it comes back from a store.
#[track_caller]
fn as_stored<E: DomainEvent>(event: &E) -> E {
    let stored = event.to_new_event().unwrap_or_else(|error| panic!("cannot be stored: {error}\n{}", pretty(event)));
    let recorded = Recorded {
        position: Position::FIRST,
        version: Version::FIRST,
        id: EventId::generate(),
        timestamp: Timestamp::now(),
    };
    let stream = "given".parse().expect("a name");
    let stored = RecordedEvent::new(recorded, &stream, &stored.event_type, &stored.metadata, &stored.payload);
    match E::from_recorded(&stored) {
        Ok(Some(read)) => {
            let (written, again) = (pretty(event), pretty(&read));
            assert!(written == again, "what was stored (-) is read back as (+):\n{}", difference(&written, &again));
            read
        }
        Ok(None) => panic!("the type `{}` is stored, and not known when it is read", stored.event_type()),
        Err(error) => panic!("{error}\n{}", pretty(event)),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{UnwindSafe, catch_unwind};

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    enum CountEvent {
        Counted {
            by: u64,
            note: String,
        },
        /// Forgets what it held when it is read.
        Forgot(#[serde(skip_deserializing)] u64),
    }

    impl DomainEvent for CountEvent {}

    #[derive(Default)]
    struct Count(u64);

    impl Aggregate for Count {
        type Event = CountEvent;

        const CATEGORY: &'static str = "count";

        fn apply(&mut self, event: &CountEvent) {
            if let CountEvent::Counted { by, .. } = event {
                self.0 += by;
            }
        }
    }

    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("Count is at {0}")]
    struct TooMuch(u64);

    struct Add(u64);

    impl AggregateCommand for Add {
        type Aggregate = Count;
        type Refusal = TooMuch;

        fn aggregate_id(&self) -> &str {
            "1"
        }

        fn decide(&self, count: &Count) -> Result<Vec<CountEvent>, TooMuch> {
            if count.0 + self.0 > 10 { Err(TooMuch(count.0)) } else { Ok(vec![counted(self.0)]) }
        }
    }

    fn counted(by: u64) -> CountEvent {
        CountEvent::Counted { by, note: "n".into() }
    }

    fn message(test: impl FnOnce() + UnwindSafe) -> String {
        let panicked = catch_unwind(test).unwrap_err();
        panicked.downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn what_a_command_leads_to_becomes_what_is_given() {
        let at_nine = given::<Count>([counted(4)]).when(&Add(5)).then([counted(5)]);
        assert_eq!(at_nine.state().0, 9);
        at_nine.when(&Add(2)).then_refused(TooMuch(9)).when(&Add(1)).then([counted(1)]);
    }

    #[test]
    fn other_events_than_expected_are_shown_line_by_line() {
        let shown = message(|| _ = given::<Count>([]).when(&Add(5)).then([counted(6)]));
        assert!(shown.contains("\n-       \"by\": 6,\n+       \"by\": 5,\n        \"note\": \"n\""), "{shown}");
    }

    #[test]
    fn a_refusal_in_place_of_events_and_the_other_way_round_show_both() {
        let shown = message(|| _ = given::<Count>([counted(9)]).when(&Add(5)).then([counted(5)]));
        assert!(shown.contains("refused: Count is at 9") && shown.contains("\"by\": 5"), "{shown}");
        let shown = message(|| _ = given::<Count>([]).when(&Add(5)).then_refused(TooMuch(0)));
        assert!(shown.contains("the refusal: Count is at 0") && shown.contains("\"by\": 5"), "{shown}");
        let shown = message(|| _ = given::<Count>([counted(9)]).when(&Add(5)).then_refused(TooMuch(0)));
        assert!(shown.contains("TooMuch(9)") && shown.contains("TooMuch(0)"), "{shown}");
    }

    #[test]
    fn an_event_that_is_not_read_back_as_it_was_is_found() {
        let shown = message(|| _ = given::<Count>([CountEvent::Forgot(7)]));
        assert!(shown.contains("-   \"Forgot\": 7") || shown.contains("Forgot"), "{shown}");
    }
}
