//! Questions about users, answered from the table `user_view`.
//!
//! Users come newest first, by the time of their creation, and by their id where that is the same. A page and the total
//! beside it are of one state of the table.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::Serialize;

use super::UserProjection;
use crate::model::{
    Consistency, Logging, ModelError, Page, Pagination, Projection, Query, QueryBus, QueryHandler, SqliteViews,
    containing,
};

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

/// Answers questions about users from a file that [`UserProjection`] is projected into. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UserQueryHandler {
    views: SqliteViews,
}

impl UserQueryHandler {
    /// Queries on this file.
    pub fn new(views: SqliteViews) -> UserQueryHandler {
        UserQueryHandler { views }
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
        self.views.wait_until(UserProjection.name(), query.consistency).await?;
        let sql = "SELECT id, name, email, created_at, updated_at FROM user_view WHERE id = ?1";
        Ok(self.views.read()?.prepare_cached(sql)?.query_row([&query.user_id], user_row).optional()?)
    }
}

/// A text matches everything that it is in, and so the pattern of an empty text matches all.
const FOUND: &str = r"FROM user_view WHERE name LIKE :name ESCAPE '\' AND email LIKE :email ESCAPE '\'";

impl QueryHandler<GetUsers> for UserQueryHandler {
    async fn handle(&self, query: &GetUsers) -> Result<UserPage, ModelError> {
        self.views.wait_until(UserProjection.name(), query.consistency).await?;
        page(&*self.views.read()?, query)
    }
}

fn page(connection: &Connection, query: &GetUsers) -> Result<UserPage, ModelError> {
    let transaction = connection.unchecked_transaction()?;
    let pattern = |text: &Option<String>| containing(text.as_deref().unwrap_or_default());
    let (name, email) = (pattern(&query.name), pattern(&query.email));
    let total: i64 = transaction
        .prepare_cached(&format!("SELECT count(*) {FOUND}"))?
        .query_row(named_params! {":name": name, ":email": email}, |row| row.get(0))?;
    let sql = format!(
        "SELECT id, name, email, created_at, updated_at {FOUND} ORDER BY created_at DESC, id LIMIT :limit OFFSET :offset"
    );
    let users = transaction
        .prepare_cached(&sql)?
        .query_map(
            named_params! {":name": name, ":email": email, ":limit": query.page.limit(), ":offset": query.page.offset()},
            user_row,
        )?
        .collect::<Result<_, _>>()?;
    Ok(UserPage { users, pagination: query.page.of(u64::try_from(total).unwrap_or_default()) })
}

fn user_row(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        id: row.get(0)?,
        name: row.get(1)?,
        email: row.get(2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
    })
}
