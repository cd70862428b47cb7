//! What an application writes of a projection.

use crate::{event::RecordedEvent, model::ModelError};

/// A fold of the log into a context `C`, such as the tables of a database.
///
/// It is handed every event of the store, in order, and takes what concerns it. It reads and writes tables of its own,
/// through the context alone: whoever runs it stores its place in the log together with that, so that each event takes
/// effect exactly once, and builds the same tables elsewhere to replace them.
pub trait Projection<C: ?Sized>: Send + Sync {
    /// The name under which its place in the log is kept. Two projections into one context have two names.
    fn name(&self) -> &'static str;

    /// Prepares an empty or already prepared context, for example its tables and indexes.
    ///
    /// # Errors
    ///
    /// When the context cannot be written.
    fn set_up(&self, context: &C) -> Result<(), ModelError>;

    /// Takes one event. None is handed over again once it has taken effect.
    ///
    /// # Errors
    ///
    /// When the event cannot be read, does not follow from those before it, or the context cannot be written. Nothing that it
    /// wrote for this event is kept then.
    fn handle(&self, context: &C, event: &RecordedEvent) -> Result<(), ModelError>;
}

impl<C: ?Sized, P: Projection<C> + ?Sized> Projection<C> for &P {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn set_up(&self, context: &C) -> Result<(), ModelError> {
        (**self).set_up(context)
    }

    fn handle(&self, context: &C, event: &RecordedEvent) -> Result<(), ModelError> {
        (**self).handle(context, event)
    }
}
