//! Users as an application offers them: requests in, receipts out.

use std::sync::Arc;

use super::{
    aggregate::User,
    command::{CreateUser, DeleteUser, UpdateUser},
    request::{UserAction, UserRequest},
};
use crate::{
    event_store::EventStore,
    model::{BusinessTime, CommandBus, Logging, Metadata, ModelError, Receipt, Repository, Retry, Validation},
};

/// Carries out what is asked of users, through a [`CommandBus`] that logs, refuses what cannot be meant, and tries again when
/// the store is unavailable for a while.
///
/// ```
/// use std::sync::Arc;
/// use factlog::{MemoryStore, block_on, users::{UserRequest, UserService}};
///
/// let users = UserService::new(Arc::new(MemoryStore::new()))?;
/// let create: UserRequest =
///     serde_json::from_str(r#"{"userId": "ann", "action": {"create": {"name": "Ann", "email": "ann@example.com"}}}"#)?;
/// let receipt = block_on(users.handle(create))?;
/// assert_eq!((receipt.stream.as_str(), receipt.version), ("user-ann", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UserService {
    commands: CommandBus,
}

impl UserService {
    /// The users in this store.
    ///
    /// # Errors
    ///
    /// None that an application sees: each command has one handler.
    pub fn new(store: Arc<dyn EventStore>) -> Result<UserService, ModelError> {
        let users = Repository::<User>::new(store);
        let commands = CommandBus::new()
            .with(Logging)
            .with(Validation)
            .with(Retry::default())
            .register::<CreateUser, _>(users.clone())?
            .register::<UpdateUser, _>(users.clone())?
            .register::<DeleteUser, _>(users)?;
        Ok(UserService { commands })
    }

    /// The bus, for commands that are commands already.
    pub fn commands(&self) -> &CommandBus {
        &self.commands
    }

    /// Carries out a request; what it did is durable when the receipt is there.
    ///
    /// # Errors
    ///
    /// [`ModelError::InvalidField`] for a request that cannot be meant; [`ModelError::Refused`] with a
    /// [`super::UserRefusal`]; [`ModelError::AggregateNotFound`] for an update or deletion of a user who was never created;
    /// [`ModelError::Concurrency`] for the creation of one who was, deleted or not; or the store's error.
    pub async fn handle(&self, request: UserRequest) -> Result<Receipt, ModelError> {
        self.handle_with(request, Metadata::begin()).await
    }

    /// The same, with the metadata of whoever asks.
    ///
    /// # Errors
    ///
    /// As for [`UserService::handle`].
    pub async fn handle_with(&self, request: UserRequest, metadata: Metadata) -> Result<Receipt, ModelError> {
        let UserRequest { user_id, at, action } = request;
        let at = at.unwrap_or_else(BusinessTime::now);
        let committed = match action {
            UserAction::Create { name, email } => {
                self.commands.dispatch_with(CreateUser { user_id, name, email, at }, metadata).await?
            }
            UserAction::Update { name, email } => {
                self.commands.dispatch_with(UpdateUser { user_id, name, email, at }, metadata).await?
            }
            UserAction::Delete => self.commands.dispatch_with(DeleteUser { user_id, at }, metadata).await?,
        };
        Ok(committed.into())
    }
}
