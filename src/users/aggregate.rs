//! The user aggregate: its state and every rule about it.
//!
//! ```text
//!   (create) -> exists --update--> exists
//!                 |
//!                 `----delete----> deleted, for ever
//! ```

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::event::UserEvent;
use crate::model::{Aggregate, Snapshots};

/// A rule that forbids a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum UserRefusal {
    /// Created twice.
    #[error("User already exists")]
    AlreadyExists,
    /// Updated or deleted before it was created.
    #[error("User does not exist")]
    DoesNotExist,
    /// Anything asked of a user that was deleted.
    #[error("User is deleted")]
    Deleted,
}

/// A user. Its default is the user that was not created yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    name: Option<String>,
    email: Option<String>,
    deleted: bool,
}

impl User {
    /// The name; that of the last day for a deleted user.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The e-mail address; that of the last day for a deleted user.
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// Whether the user is gone.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Name and address of a user who exists.
    ///
    /// # Errors
    ///
    /// [`UserRefusal::DoesNotExist`] or [`UserRefusal::Deleted`].
    pub(super) fn existing(&self) -> Result<(&str, &str), UserRefusal> {
        match (&self.name, &self.email) {
            _ if self.deleted => Err(UserRefusal::Deleted),
            (Some(name), Some(email)) => Ok((name, email)),
            _ => Err(UserRefusal::DoesNotExist),
        }
    }
}

impl Aggregate for User {
    type Event = UserEvent;

    const CATEGORY: &'static str = "user";

    fn snapshots() -> Option<Snapshots<User>> {
        Some(Snapshots::of_version(1))
    }

    fn apply(&mut self, event: &UserEvent) {
        match event {
            UserEvent::Created { name, email, .. } | UserEvent::Updated { name, email, .. } => {
                self.name = Some(name.clone());
                self.email = Some(email.clone());
            }
            UserEvent::Deleted { .. } => self.deleted = true,
        }
    }
}
