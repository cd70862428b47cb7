use std::{
    future::ready,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::*;
use crate::{
    error::Error,
    event_store::{BoxFuture, block_on},
    model::{
        command::{Command, CommandHandler, InvalidField, Query, QueryHandler},
        error::ModelError,
        metadata::Metadata,
        retry::RetryPolicy,
        timer::Sleep,
    },
};

type Seen = Arc<Mutex<Vec<String>>>;

struct Add(u32);

impl Command for Add {
    type Output = u32;

    fn validate(&self) -> Result<(), InvalidField> {
        if self.0 > 0 { Ok(()) } else { Err(InvalidField::new("amount", "must be at least 1")) }
    }
}

struct Rename(#[allow(dead_code, reason = "nobody is to see it")] &'static str);

impl Command for Rename {
    type Output = String;
}

/// Handles both kinds of commands; the first attempts fail.
#[derive(Clone, Default)]
struct Handler {
    seen: Seen,
    failing: Arc<AtomicU32>,
}

impl CommandHandler<Add> for Handler {
    async fn handle(&self, command: &Add, metadata: &Metadata) -> Result<u32, ModelError> {
        self.seen.lock().push(format!("add for {}", metadata.correlation_id.as_deref().unwrap_or("nobody")));
        match self.failing.load(Ordering::Relaxed) {
            0 => Ok(command.0 + 1),
            left => {
                self.failing.store(left - 1, Ordering::Relaxed);
                Err(unavailable())
            }
        }
    }
}

impl CommandHandler<Rename> for Handler {
    async fn handle(&self, _: &Rename, _: &Metadata) -> Result<String, ModelError> {
        self.seen.lock().push("rename".to_owned());
        Err(ModelError::refused(io::Error::other("taken")))
    }
}

fn unavailable() -> ModelError {
    let source = Arc::new(io::Error::other("gone for a while"));
    Error::Io { operation: "reach", path: PathBuf::from("the store"), source }.into()
}

/// Notes who goes by.
struct Noting(&'static str, Seen);

impl Middleware for Noting {
    fn handle<'a>(&'a self, call: &'a Call<'a>, next: Next<'a>) -> BoxFuture<'a, Result<(), ModelError>> {
        Box::pin(async move {
            let Noting(name, seen) = self;
            seen.lock().push(format!("{name} before {}", call.kind()));
            let handled = next.run().await;
            seen.lock().push(format!("{name} after {}", if handled.is_ok() { "success" } else { "failure" }));
            handled
        })
    }
}

#[derive(Default)]
struct NotedSleep(Mutex<Vec<Duration>>);

impl Sleep for NotedSleep {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.0.lock().push(time);
        Box::pin(ready(()))
    }
}

fn bus(handler: &Handler) -> CommandBus {
    CommandBus::new().register::<Add, _>(handler.clone()).unwrap().register::<Rename, _>(handler.clone()).unwrap()
}

#[test]
fn each_command_reaches_the_handler_of_its_type_and_answers_in_its_own_type() {
    let handler = Handler::default();
    let bus = bus(&handler);
    let added: u32 = block_on(bus.dispatch(Add(2))).unwrap();
    assert_eq!(added, 3);
    let renamed: Result<String, ModelError> = block_on(bus.dispatch(Rename("taken")));
    assert_eq!(renamed.unwrap_err().to_string(), "taken");
}

#[test]
fn a_command_or_query_that_nobody_handles_is_an_error_that_names_its_type() {
    struct Unknown;
    impl Command for Unknown {
        type Output = ();
    }
    impl Query for Unknown {
        type Output = ();
    }
    let error = block_on(bus(&Handler::default()).dispatch(Unknown)).unwrap_err().to_string();
    assert!(error.starts_with("No handler found for command: ") && error.ends_with("::Unknown"), "{error}");
    let error = block_on(QueryBus::new().with(Logging).ask(Unknown)).unwrap_err().to_string();
    assert!(error.starts_with("No handler found for query: ") && error.ends_with("::Unknown"), "{error}");
}

#[test]
fn a_second_handler_for_a_type_is_refused() {
    let handler = Handler::default();
    let error = bus(&handler).register::<Add, _>(handler).unwrap_err();
    assert!(matches!(error, ModelError::DuplicateHandler { kind: "command", name } if name.ends_with("::Add")));
}

#[test]
fn middleware_runs_in_the_order_given_around_the_handler() {
    let handler = Handler::default();
    let seen = Arc::clone(&handler.seen);
    let bus = bus(&handler).with(Noting("first", Arc::clone(&seen))).with(Noting("second", Arc::clone(&seen)));
    block_on(bus.dispatch_with(Add(1), Metadata::correlated("me"))).unwrap();
    let order =
        ["first before command", "second before command", "add for me", "second after success", "first after success"];
    assert_eq!(*seen.lock(), order);
    seen.lock().clear();
    block_on(bus.dispatch(Rename("taken"))).unwrap_err();
    assert_eq!(*seen.lock().last().unwrap(), "first after failure");
}

#[test]
fn a_command_that_nothing_led_to_begins_a_correlation_of_its_own() {
    let handler = Handler::default();
    let bus = bus(&handler);
    block_on(async { (bus.dispatch(Add(1)).await.unwrap(), bus.dispatch(Add(1)).await.unwrap()) });
    let seen = handler.seen.lock();
    assert!(seen[0] != seen[1] && !seen[0].ends_with("nobody"), "{seen:?}");
}

#[test]
fn what_cannot_be_meant_never_reaches_its_handler() {
    let handler = Handler::default();
    let bus = bus(&handler).with(Validation);
    let error = block_on(bus.dispatch(Add(0))).unwrap_err();
    assert_eq!(error.to_string(), "amount: must be at least 1");
    assert!(!error.is_retryable() && handler.seen.lock().is_empty());
    assert_eq!(block_on(bus.dispatch(Add(1))).unwrap(), 2);
}

#[test]
fn a_store_that_is_unavailable_is_tried_again_after_waits_and_a_refusal_is_not() {
    for (failures, attempts) in [(0, 1), (2, 3), (3, 3)] {
        let (handler, sleep) = (Handler::default(), Arc::new(NotedSleep::default()));
        handler.failing.store(failures, Ordering::Relaxed);
        let policy = RetryPolicy::default().without_jitter();
        let bus = bus(&handler).with(Retry::new(policy).sleep(Arc::clone(&sleep) as Arc<dyn Sleep>));
        assert_eq!(block_on(bus.dispatch(Add(1))).is_ok(), failures < 3);
        assert_eq!(handler.seen.lock().len(), attempts);
        let waits: Vec<_> = [1, 2].map(Duration::from_secs).into_iter().take(attempts - 1).collect();
        assert_eq!(*sleep.0.lock(), waits);

        block_on(bus.dispatch(Rename("taken"))).unwrap_err();
        assert_eq!((handler.seen.lock().len(), sleep.0.lock().len()), (attempts + 1, attempts - 1));
    }
}

#[test]
fn middleware_that_says_well_done_and_did_nothing_is_found_out() {
    struct Lazy;
    impl Middleware for Lazy {
        fn handle<'a>(&'a self, _: &'a Call<'a>, _: Next<'a>) -> BoxFuture<'a, Result<(), ModelError>> {
            Box::pin(ready(Ok(())))
        }
    }
    let error = block_on(bus(&Handler::default()).with(Lazy).dispatch(Add(1))).unwrap_err();
    assert!(matches!(error, ModelError::NoHandler { .. }));
}

#[test]
fn a_query_is_answered_in_its_own_type() {
    struct Length(&'static str);
    impl Query for Length {
        type Output = usize;
    }
    struct Lengths;
    impl QueryHandler<Length> for Lengths {
        async fn handle(&self, query: &Length) -> Result<usize, ModelError> {
            Ok(query.0.len())
        }
    }
    let seen = Seen::default();
    let bus = QueryBus::new().with(Noting("it", Arc::clone(&seen))).register::<Length, _>(Lengths).unwrap();
    assert_eq!(block_on(bus.ask(Length("four"))).unwrap(), 4);
    assert_eq!(*seen.lock(), ["it before query", "it after success"]);
    assert!(bus.register::<Length, _>(Lengths).is_err());
}

/// Keeps what is told.
#[derive(Clone, Default)]
struct Told(Seen);

impl tracing::Subscriber for Told {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut line = Line(format!("span {}", span.metadata().name()));
        span.record(&mut line);
        self.0.lock().push(line.0);
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {
        self.0.lock().push("enter".to_owned());
    }

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() != "micros" {
            self.0.push_str(&format!(" {field}={value:?}"));
        }
    }
}

#[test]
fn the_log_tells_of_each_command_its_type_correlation_and_end_but_not_what_it_holds() {
    let told = Told::default();
    let bus = bus(&Handler::default()).with(Logging);
    tracing::subscriber::with_default(told.clone(), || {
        block_on(bus.dispatch_with(Add(1), Metadata::correlated("c-1"))).unwrap();
        block_on(bus.dispatch_with(Rename("secret"), Metadata::correlated("c-2"))).unwrap_err();
    });
    let told = told.0.lock();
    let lines: Vec<_> = told.iter().filter(|line| *line != "enter").collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("span handle kind=\"command\"") && lines[0].contains("Add"), "{lines:?}");
    assert!(lines[0].contains("correlation_id=\"c-1\""), "{lines:?}");
    assert_eq!(lines[1], "INFO message=done");
    assert!(lines[2].contains("Rename") && lines[2].contains("c-2"), "{lines:?}");
    assert_eq!(lines[3], "WARN message=failed error=taken");
    assert!(!lines.iter().any(|line| line.contains("secret")), "{lines:?}");
}
