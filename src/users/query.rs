//! Questions about users, answered from the table `user_view`.
//!
//! Users come newest first, by the time of their creation, and by their id where that is the same. A page and the total
//! beside it are of one state of the table.

use std::sync::Arc;

use serde::Serialize;

use super::UserProjection;
use crate::model::{
    Consistency, Dialect, Logging, ModelError, Page, Pagination, Query, QueryBus, QueryHandler, Row, Select, Views,
    containing,
};

const COLUMNS: &str = "id, name, email, created_at, updated_at";

/// A row of `user_view`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the columns are described in the projection")]
pub struct UserRow {
    pub id: String,
    pub name: String,
    pub email: String,
    pub created_at: String,
    pub updated_at: String,
}

/// One page of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserPage {
    /// Its users.
    pub users: Vec<UserRow>,
    /// Its place in the whole answer.
    pub pagination: Pagination,
}

/// Asks for one user; the answer is `None` when there is none with this id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetUser {
    /// The user's id.
    pub user_id: String,
    /// How recent the answer must be.
    pub consistency: Consistency,
}

/// Asks for the users whose name and address have these texts in them, in small letters or capitals. `%` and `_` are letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetUsers {
    /// In the name; any name when left out.
    pub name: Option<String>,
    /// In the address; any address when left out.
    pub email: Option<String>,
    /// Which part of the answer.
    pub page: Page,
    /// How recent the answer must be.
    pub consistency: Consistency,
}

impl Query for GetUser {
    type Output = Option<UserRow>;
}

impl Query for GetUsers {
    type Output = UserPage;
}

/// Answers questions about users from a database that [`UserProjection`] is projected into. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UserQueryHandler {
    views: Arc<dyn Views>,
}

impl UserQueryHandler {
    /// Queries on this database.
    pub fn new(views: impl Views + 'static) -> UserQueryHandler {
        UserQueryHandler { views: Arc::new(views) }
    }

    /// A bus that leads each of these queries here, and logs it.
    ///
    /// # Errors
    ///
    /// None that an application sees: each query has one handler.
    pub fn into_bus(self) -> Result<QueryBus, ModelError> {
        QueryBus::new().with(Logging).register::<GetUser, _>(self.clone())?.register::<GetUsers, _>(self)
    }
}

impl QueryHandler<GetUser> for UserQueryHandler {
    async fn handle(&self, query: &GetUser) -> Result<Option<UserRow>, ModelError> {
        self.views.wait_until(UserProjection::NAME, query.consistency).await?;
        let sql = format!("SELECT {COLUMNS} FROM user_view WHERE id = $1");
        let found = self.views.select(&[Select { sql: &sql, values: &[(&query.user_id).into()] }]).await?;
        found.into_iter().flatten().next().map(user_row).transpose()
    }
}

impl QueryHandler<GetUsers> for UserQueryHandler {
    async fn handle(&self, query: &GetUsers) -> Result<UserPage, ModelError> {
        self.views.wait_until(UserProjection::NAME, query.consistency).await?;
        let pattern = |text: &Option<String>| containing(text.as_deref().unwrap_or_default()).into();
        // With each, the letters A to Z are found as small ones, too, and no others.
        let like = match self.views.dialect() {
            Dialect::Sqlite => "LIKE",
            Dialect::Postgres => "ILIKE",
        };
        // A text matches everything that it is in, and so the pattern of an empty text matches all.
        let from = format!(r"FROM user_view WHERE name {like} $1 ESCAPE '\' AND email {like} $2 ESCAPE '\'");
        let values = [pattern(&query.name), pattern(&query.email)];
        let (rows, pagination) = self.views.page([COLUMNS, &from, "created_at DESC, id"], &values, query.page).await?;
        Ok(UserPage { users: rows.into_iter().map(user_row).collect::<Result<_, _>>()?, pagination })
    }
}

/// Reads a row of [`COLUMNS`].
fn user_row(mut row: Row) -> Result<UserRow, ModelError> {
    Ok(UserRow {
        id: row.text(0)?,
        name: row.text(1)?,
        email: row.text(2)?,
        created_at: row.text(3)?,
        updated_at: row.text(4)?,
    })
}
