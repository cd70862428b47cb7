//! The projection of users into the table `user_view`.
//!
//! ```text
//! user_view: | id (primary key) | name | email | created_at | updated_at |
//! ```
//!
//! Times are RFC 3339 in UTC with six digits of a second, so that their texts sort as the moments do. A deleted user has
//! no row.

use rusqlite::{Connection, named_params};

use super::{aggregate::User, event::UserEvent};
use crate::{
    event::RecordedEvent,
    model::{Aggregate, ModelError, Projection},
};

/// The projection of users into the table `user_view` of an SQLite database.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserProjection;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS user_view (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        email TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS user_view_by_creation ON user_view (created_at DESC, id, name, email, updated_at);
";

impl Projection<Connection> for UserProjection {
    fn name(&self) -> &'static str {
        "users"
    }

    fn set_up(&self, context: &Connection) -> Result<(), ModelError> {
        Ok(context.execute_batch(SCHEMA)?)
    }

    fn handle(&self, context: &Connection, event: &RecordedEvent) -> Result<(), ModelError> {
        let Some((id, user_event)) = User::event_of(event)? else { return Ok(()) };
        let changed = match &user_event {
            UserEvent::Created { name, email, timestamp, .. } => context
                .prepare_cached(
                    "INSERT INTO user_view (id, name, email, created_at, updated_at)
                     VALUES (:id, :name, :email, :at, :at) ON CONFLICT (id) DO NOTHING",
                )?
                .execute(named_params! {":id": id, ":name": name, ":email": email, ":at": timestamp.to_sortable()})?,
            UserEvent::Updated { name, email, timestamp, .. } => context
                .prepare_cached("UPDATE user_view SET name = :name, email = :email, updated_at = :at WHERE id = :id")?
                .execute(named_params! {":id": id, ":name": name, ":email": email, ":at": timestamp.to_sortable()})?,
            UserEvent::Deleted { .. } => {
                context.prepare_cached("DELETE FROM user_view WHERE id = :id")?.execute(named_params! {":id": id})?
            }
        };
        match changed {
            1 => Ok(()),
            _ => Err(ModelError::unreadable(event, format!("it does not follow from what user `{id}` was before"))),
        }
    }
}
