//! A sample domain: users who are created, updated and deleted.
//!
//! It is the smaller of the two, and written in the most direct way: each command is a type of its own, and the
//! [`Repository`](crate::model::Repository) of [`User`]s is the handler of all three. [`UserService`] takes requests,
//! [`UserProjection`] folds the events into the table `user_view`, and [`UserQueryHandler`] answers from there.
//!
//! Invariants:
//!
//! - the stream of a user is `user-<user id>`;
//! - a user has a name and an e-mail address, neither of them empty, for as long as it exists;
//! - a deleted user stays deleted: nothing can be asked of it any more, and its id is not given again.

mod aggregate;
mod command;
mod event;
mod projection;
mod query;
mod request;
mod service;

pub use aggregate::{User, UserRefusal};
pub use command::{CreateUser, DeleteUser, UpdateUser};
pub use event::UserEvent;
pub use projection::UserProjection;
pub use query::{GetUser, GetUsers, UserPage, UserQueryHandler, UserRow};
pub use request::{UserAction, UserRequest};
pub use service::UserService;
