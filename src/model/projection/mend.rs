//! What the owner of a projection does about failed events.

use super::{Checkpoint, FailedEvent, FailedId, OnFailure, Runner, Taken, runner::Halt};
use crate::{
    event::{RecordedEvent, StreamName},
    event_store::ReadAll,
    model::ModelError,
};

impl Runner {
    /// The events that have taken no effect, in order of position; those that were resolved only if asked for.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn failed_events(&self, resolved_too: bool) -> Result<Vec<FailedEvent>, ModelError> {
        self.read_model.prepare().await?;
        self.read_model.failed_events(resolved_too).await
    }

    /// Takes the events that wait in the stream of a row, from the first on, in order. Returns how many took effect. A
    /// projection that stopped at the event goes on up to it.
    ///
    /// # Errors
    ///
    /// [`ModelError::NoFailedEvent`] when there is no such row; [`ModelError::EventFailed`] when an event fails again,
    /// with those before it taken; what the store and the database return.
    pub async fn retry(&self, id: FailedId) -> Result<u64, ModelError> {
        self.read_model.prepare().await?;
        let failed = self.read_model.failed_event(id).await?;
        self.retry_stream(&failed.stream).await
    }

    async fn retry_stream(&self, stream: &StreamName) -> Result<u64, ModelError> {
        let mut taken = 0;
        let mut previous = None;
        loop {
            let state = self.read_model.prepare().await?;
            let Some(waiting) = self.read_model.first_waiting(stream).await? else {
                return Ok(taken);
            };
            if previous.replace(waiting.id) == Some(waiting.id) {
                // Paused, or in the hands of another process.
                return Ok(taken);
            }
            if waiting.position > state.checkpoint.position {
                // The projection stopped here: this is its next event.
                match self.clone().on_failure(OnFailure::Stop).advance(waiting.position).await? {
                    Halt::End(_) => taken += 1,
                    Halt::Paused => return Ok(taken),
                }
                continue;
            }
            let event = self.event_of(&waiting).await?;
            match self.read_model.take_waiting(waiting.id, &event).await? {
                Taken::UpTo(_) => taken += 1,
                Taken::Paused => return Ok(taken),
                Taken::Failed { error, .. } => {
                    let (name, position) = (waiting.projection, waiting.position);
                    return Err(ModelError::EventFailed { name, position, source: Box::new(error) });
                }
            }
        }
    }

    /// Declares that the event of a row is not to take effect, and takes those that wait behind it in its stream. Returns
    /// how many took effect.
    ///
    /// # Errors
    ///
    /// As for [`Runner::retry`]; the event stays resolved.
    pub async fn resolve(&self, id: FailedId) -> Result<u64, ModelError> {
        self.read_model.prepare().await?;
        let resolved = self.read_model.resolve(id).await?;
        self.retry_stream(&resolved.stream).await
    }

    /// The event of a row, as the store has it.
    async fn event_of(&self, waiting: &FailedEvent) -> Result<RecordedEvent, ModelError> {
        let expected = Checkpoint { position: waiting.position, event: Some(waiting.event) };
        self.check_belongs(expected).await?;
        let read = ReadAll::after(waiting.position.previous()).limit(1);
        let mut found = self.store.read_all(read).await?;
        found.pop().ok_or(ModelError::NoFailedEvent { id: waiting.id })
    }
}
