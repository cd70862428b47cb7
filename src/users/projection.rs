//! The projection of users into the table `user_view`.
//!
//! ```text
//! user_view: | id (primary key) | name | email | created_at | updated_at |
//! ```
//!
//! Times are RFC 3339 in UTC with six digits of a second, so that their texts sort as the moments do. A deleted user has
//! no row.

use super::{aggregate::User, event::UserEvent};
use crate::{
    event::RecordedEvent,
    model::{Aggregate, Dialect, ModelError, Projection, Tables},
};

/// The projection of users into the table `user_view`, of whichever database.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserProjection;

impl UserProjection {
    /// The name under which its place in the log is kept.
    pub const NAME: &'static str = "users";
}

/// The type of the columns is filled in.
macro_rules! schema {
    ($text:literal) => {
        concat!(
            "CREATE TABLE IF NOT EXISTS user_view (
                id ",
            $text,
            " PRIMARY KEY,
                name ",
            $text,
            " NOT NULL,
                email ",
            $text,
            " NOT NULL,
                created_at ",
            $text,
            " NOT NULL,
                updated_at ",
            $text,
            " NOT NULL
            );"
        )
    };
}

impl<T: Tables> Projection<T> for UserProjection {
    fn name(&self) -> &'static str {
        UserProjection::NAME
    }

    fn set_up(&self, tables: &T) -> Result<(), ModelError> {
        match tables.dialect() {
            Dialect::Sqlite => {
                tables.define(schema!("TEXT"))?;
                tables.define(
                    "CREATE INDEX IF NOT EXISTS user_view_by_creation
                        ON user_view (created_at DESC, id, name, email, updated_at)",
                )
            }
            Dialect::Postgres => {
                // Texts are compared byte by byte, as SQLite does.
                tables.define(schema!("TEXT COLLATE \"C\""))?;
                // An entry of its indexes is limited to a third of a page, and names are not.
                tables.define("CREATE INDEX IF NOT EXISTS user_view_by_creation ON user_view (created_at DESC, id)")
            }
        }
    }

    fn handle(&self, tables: &T, event: &RecordedEvent) -> Result<(), ModelError> {
        let Some((id, user_event)) = User::event_of(event)? else { return Ok(()) };
        let otherwise =
            || Err(ModelError::unreadable(event, format!("it does not follow from what user `{id}` was before")));
        match &user_event {
            UserEvent::Created { name, email, timestamp, .. } => {
                let values = [id.into(), name.into(), email.into(), timestamp.to_sortable().into()];
                tables.change(
                    "INSERT INTO user_view (id, name, email, created_at, updated_at)
                     VALUES ($1, $2, $3, $4, $4) ON CONFLICT (id) DO NOTHING",
                    &values,
                    otherwise,
                )
            }
            UserEvent::Updated { name, email, timestamp, .. } => {
                let values = [id.into(), name.into(), email.into(), timestamp.to_sortable().into()];
                let sql = "UPDATE user_view SET name = $2, email = $3, updated_at = $4 WHERE id = $1";
                tables.change(sql, &values, otherwise)
            }
            UserEvent::Deleted { .. } => tables.change("DELETE FROM user_view WHERE id = $1", &[id.into()], otherwise),
        }
    }
}
