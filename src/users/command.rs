//! What can be asked of a user.

use super::{
    aggregate::{User, UserRefusal},
    event::UserEvent,
};
use crate::model::{AggregateCommand, BusinessTime, InvalidField};

/// Create a user who does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateUser {
    /// The user's id.
    pub user_id: String,
    /// What the user is called.
    pub name: String,
    /// Where mail reaches the user.
    pub email: String,
    /// The time that the event will carry.
    pub at: BusinessTime,
}

/// Give an existing user another name, another address, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateUser {
    /// The user's id.
    pub user_id: String,
    /// The new name; as it was when left out.
    pub name: Option<String>,
    /// The new address; as it was when left out.
    pub email: Option<String>,
    /// The time that the event will carry.
    pub at: BusinessTime,
}

/// Delete an existing user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteUser {
    /// The user's id.
    pub user_id: String,
    /// The time that the event will carry.
    pub at: BusinessTime,
}

impl AggregateCommand for CreateUser {
    type Aggregate = User;
    type Refusal = UserRefusal;

    fn aggregate_id(&self) -> &str {
        &self.user_id
    }

    fn creates(&self) -> bool {
        true
    }

    fn decide(&self, user: &User) -> Result<Vec<UserEvent>, UserRefusal> {
        match user.existing() {
            Err(UserRefusal::DoesNotExist) => {
                let CreateUser { user_id, name, email, at: timestamp } = self.clone();
                Ok(vec![UserEvent::Created { user_id, name, email, timestamp }])
            }
            Err(refusal) => Err(refusal),
            Ok(_) => Err(UserRefusal::AlreadyExists),
        }
    }

    fn validate(&self) -> Result<(), InvalidField> {
        check_name(&self.name)?;
        check_email(&self.email)
    }
}

impl AggregateCommand for UpdateUser {
    type Aggregate = User;
    type Refusal = UserRefusal;

    fn aggregate_id(&self) -> &str {
        &self.user_id
    }

    fn decide(&self, user: &User) -> Result<Vec<UserEvent>, UserRefusal> {
        let (name, email) = user.existing()?;
        let name = self.name.as_deref().unwrap_or(name).to_owned();
        let email = self.email.as_deref().unwrap_or(email).to_owned();
        Ok(vec![UserEvent::Updated { user_id: self.user_id.clone(), name, email, timestamp: self.at }])
    }

    fn validate(&self) -> Result<(), InvalidField> {
        if self.name.is_none() && self.email.is_none() {
            return Err(InvalidField::new("name", "give a name, an email, or both"));
        }
        self.name.as_deref().map_or(Ok(()), check_name)?;
        self.email.as_deref().map_or(Ok(()), check_email)
    }
}

impl AggregateCommand for DeleteUser {
    type Aggregate = User;
    type Refusal = UserRefusal;

    fn aggregate_id(&self) -> &str {
        &self.user_id
    }

    fn decide(&self, user: &User) -> Result<Vec<UserEvent>, UserRefusal> {
        user.existing()?;
        Ok(vec![UserEvent::Deleted { user_id: self.user_id.clone(), timestamp: self.at }])
    }
}

fn check_name(name: &str) -> Result<(), InvalidField> {
    if name.trim().is_empty() { Err(InvalidField::new("name", "must not be empty")) } else { Ok(()) }
}

/// Whether mail arrives only sending it can tell; this refuses what certainly is no address.
fn check_email(email: &str) -> Result<(), InvalidField> {
    let parts = email.rsplit_once('@');
    let is_address = parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if is_address && !email.contains(char::is_whitespace) {
        Ok(())
    } else {
        Err(InvalidField::new("email", format!("`{email}` is no e-mail address")))
    }
}
