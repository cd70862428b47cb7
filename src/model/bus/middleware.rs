//! What every command or query of a bus goes through.

use std::{fmt, sync::Arc};

use crate::{
    error::Action,
    event_store::BoxFuture,
    model::{
        error::ModelError,
        metadata::Metadata,
        retry::RetryPolicy,
        timer::{Sleep, Timer},
    },
};

/// Stands between a bus and its handlers. It may look at what goes by, refuse it, or have it done more than once.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use factlog::{BoxFuture, model::{Call, Middleware, ModelError, Next}};
///
/// #[derive(Default)]
/// struct Counting(AtomicU64);
///
/// impl Middleware for Counting {
///     fn handle<'a>(&'a self, call: &'a Call<'a>, next: Next<'a>) -> BoxFuture<'a, Result<(), ModelError>> {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         next.run()
///     }
/// }
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Lets a command or query pass by running what comes next. The answer itself goes past it: it sees whether there is one.
    ///
    /// # Errors
    ///
    /// What comes next returns, or a reason to refuse.
    fn handle<'a>(&'a self, call: &'a Call<'a>, next: Next<'a>) -> BoxFuture<'a, Result<(), ModelError>>;
}

/// A command or query on its way, as far as middleware can see.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) metadata: &'a Metadata,
    pub(super) validate: &'a (dyn Fn() -> Result<(), ModelError> + Send + Sync),
}

impl<'a> Call<'a> {
    /// `command` or `query`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The name of its type.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The metadata of a command; a query has none.
    pub fn metadata(&self) -> &'a Metadata {
        self.metadata
    }

    /// Has it check itself.
    ///
    /// # Errors
    ///
    /// [`ModelError::InvalidField`].
    pub fn validate(&self) -> Result<(), ModelError> {
        (self.validate)()
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { kind, name, metadata, .. } = self;
        f.debug_struct("Call").field("kind", kind).field("name", name).field("metadata", metadata).finish()
    }
}

/// Calls a handler.
type Run<'a> = dyn Fn() -> BoxFuture<'a, Result<(), ModelError>> + Send + Sync + 'a;

/// What comes behind a middleware: others, and then the handler.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    middleware: &'a [Box<dyn Middleware>],
    call: &'a Call<'a>,
    handler: &'a Run<'a>,
}

impl<'a> Next<'a> {
    pub(super) fn new(middleware: &'a [Box<dyn Middleware>], call: &'a Call<'a>, handler: &'a Run<'a>) -> Next<'a> {
        Next { middleware, call, handler }
    }

    /// Goes on. Each call does it again.
    ///
    /// # Errors
    ///
    /// What the other middleware and the handler return.
    pub fn run(&self) -> BoxFuture<'a, Result<(), ModelError>> {
        let Next { middleware, call, handler } = *self;
        match middleware.split_first() {
            Some((first, rest)) => first.handle(call, Next { middleware: rest, call, handler }),
            None => handler(),
        }
    }
}

/// Refuses what cannot be meant, before anything is done: see [`super::super::Command::validate`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Validation;

impl Middleware for Validation {
    fn handle<'a>(&'a self, call: &'a Call<'a>, next: Next<'a>) -> BoxFuture<'a, Result<(), ModelError>> {
        match call.validate() {
            Ok(()) => next.run(),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

/// Tries again what failed for a reason that may pass and has stored nothing, such as a store that is unavailable:
/// errors whose [`ModelError::action`] is [`Action::Retry`]. A conflict is not among them: a [`super::super::Repository`]
/// decides again by itself.
pub struct Retry {
    policy: RetryPolicy,
    sleep: Arc<dyn Sleep>,
}

impl Retry {
    /// By this policy, waiting by the [`Timer`].
    pub fn new(policy: RetryPolicy) -> Retry {
        Retry { policy, sleep: Arc::new(Timer) }
    }

    /// Waits by this instead.
    pub fn sleep(mut self, sleep: Arc<dyn Sleep>) -> Retry {
        self.sleep = sleep;
        self
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry::new(RetryPolicy::default())
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Retry").field(&self.policy).finish()
    }
}

impl Middleware for Retry {
    fn handle<'a>(&'a self, _: &'a Call<'a>, next: Next<'a>) -> BoxFuture<'a, Result<(), ModelError>> {
        let may_pass = |error: &ModelError| error.action() == Action::Retry;
        Box::pin(self.policy.run(&*self.sleep, may_pass, move || next.run()))
    }
}
