//! The user domain, on both stores: every rule, the read model and what it is asked.

#![cfg(feature = "users")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]
#![allow(clippy::duplicate_mod, reason = "the same tests are made for each database")]

use std::sync::Arc;

use factlog::{
    EventStore, MemoryStore, Position, ReadStream, block_on,
    model::{Aggregate, BusinessTime, InvalidField, ModelError, Receipt, Repository},
    testing::given,
    users::{CreateUser, DeleteUser, UpdateUser, User, UserAction, UserEvent, UserRefusal, UserRequest, UserService},
};

#[path = "../support/databases.rs"]
mod databases;
#[path = "../support/every_store.rs"]
mod every_store;
#[cfg(feature = "postgres")]
mod in_postgres;
mod in_sqlite;

use every_store::on_every_store;
#[cfg(feature = "postgres")]
use every_store::postgres;

fn at(minute: u32) -> BusinessTime {
    format!("2018-08-15T12:{minute:02}:00Z").parse().unwrap()
}

fn create() -> CreateUser {
    CreateUser { user_id: "1".into(), name: "Ann".into(), email: "ann@example.com".into(), at: at(0) }
}

fn update(name: Option<&str>, email: Option<&str>) -> UpdateUser {
    UpdateUser { user_id: "1".into(), name: name.map(Into::into), email: email.map(Into::into), at: at(1) }
}

fn delete() -> DeleteUser {
    DeleteUser { user_id: "1".into(), at: at(2) }
}

fn created() -> UserEvent {
    UserEvent::Created { user_id: "1".into(), name: "Ann".into(), email: "ann@example.com".into(), timestamp: at(0) }
}

fn updated(name: &str, email: &str) -> UserEvent {
    UserEvent::Updated { user_id: "1".into(), name: name.into(), email: email.into(), timestamp: at(1) }
}

fn deleted() -> UserEvent {
    UserEvent::Deleted { user_id: "1".into(), timestamp: at(2) }
}

#[test]
fn a_user_is_created_updated_and_deleted() {
    let user = given::<User>([]).when(&create()).then([created()]);
    assert_eq!((user.state().name(), user.state().email()), (Some("Ann"), Some("ann@example.com")));
    let both = update(Some("Ann Lee"), Some("lee@example.com"));
    let user = user.when(&both).then([updated("Ann Lee", "lee@example.com")]);
    assert_eq!((user.state().name(), user.state().email()), (Some("Ann Lee"), Some("lee@example.com")));
    let user = user.when(&delete()).then([deleted()]);
    assert!(user.state().is_deleted());
}

#[test]
fn an_update_keeps_what_it_does_not_name() {
    given::<User>([created()]).when(&update(Some("Bea"), None)).then([updated("Bea", "ann@example.com")]);
    given::<User>([created()]).when(&update(None, Some("b@c"))).then([updated("Ann", "b@c")]);
}

#[test]
fn a_user_is_created_once() {
    given::<User>([created()]).when(&create()).then_refused(UserRefusal::AlreadyExists);
    assert_eq!(UserRefusal::AlreadyExists.to_string(), "User already exists");
}

#[test]
fn a_user_who_does_not_exist_is_neither_updated_nor_deleted() {
    given::<User>([]).when(&update(Some("Bea"), None)).then_refused(UserRefusal::DoesNotExist);
    given::<User>([]).when(&delete()).then_refused(UserRefusal::DoesNotExist);
    assert_eq!(UserRefusal::DoesNotExist.to_string(), "User does not exist");
}

#[test]
fn nothing_can_be_asked_of_a_deleted_user() {
    given::<User>([created(), deleted()]).when(&create()).then_refused(UserRefusal::Deleted);
    given::<User>([created(), deleted()]).when(&update(Some("Bea"), None)).then_refused(UserRefusal::Deleted);
    given::<User>([created(), deleted()]).when(&delete()).then_refused(UserRefusal::Deleted);
}

fn request(id: &str, minute: u32, action: UserAction) -> UserRequest {
    UserRequest { user_id: id.into(), at: Some(at(minute)), action }
}

fn creation(id: &str, minute: u32, name: &str, email: &str) -> UserRequest {
    request(id, minute, UserAction::Create { name: name.into(), email: email.into() })
}

#[test]
fn a_request_is_carried_out_or_refused_for_a_reason_of_its_kind() {
    on_every_store(|store| {
        let users = UserService::new(Arc::clone(&store)).unwrap();
        let ask = |asked: UserRequest| block_on(users.handle(asked));
        let stream = User::stream("a").unwrap();
        let receipt = |version| {
            let stored = block_on(store.read_stream(ReadStream::new(&stream))).unwrap();
            Receipt { stream: "user-a".into(), version, position: stored[version as usize - 1].position().get() }
        };
        let rename = |name: &str| request("a", 1, UserAction::Update { name: Some(name.into()), email: None });
        assert!(matches!(ask(rename("Bea")), Err(ModelError::AggregateNotFound { id }) if id == "a"));
        assert_eq!(ask(creation("a", 0, "Ann", "ann@example.com")).unwrap(), receipt(1));
        assert!(matches!(ask(creation("a", 0, "Ann", "ann@example.com")), Err(ModelError::Concurrency(_))));
        assert_eq!(ask(rename("Ann Lee")).unwrap(), receipt(2));
        assert_eq!(ask(request("a", 2, UserAction::Delete)).unwrap(), receipt(3));
        for asked in [rename("Bea"), request("a", 3, UserAction::Delete)] {
            let refused = ask(asked).unwrap_err();
            assert_eq!(refused.refusal::<UserRefusal>(), Some(&UserRefusal::Deleted), "{refused}");
        }
        assert!(matches!(ask(creation("a", 4, "Ann", "ann@example.com")), Err(ModelError::Concurrency(_))));
        let events = block_on(store.read_stream(ReadStream::new(&stream))).unwrap();
        let types: Vec<_> = events.iter().map(|event| event.event_type_str().to_owned()).collect();
        assert_eq!(types, ["UserCreatedEvent", "UserUpdatedEvent", "UserDeletedEvent"]);
        assert!(block_on(Repository::<User>::new(store).load("a")).unwrap().state().is_deleted());
    });
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_stored() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let users = UserService::new(Arc::clone(&store)).unwrap();
    let refused = |asked: UserRequest| match block_on(users.handle(asked)) {
        Err(ModelError::InvalidField(InvalidField { field, .. })) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(creation("a", 0, "", "ann@example.com")), "name");
    for email in ["", "ann", "@example.com", "ann@", "ann lee@example.com", "ann@example.com\n"] {
        assert_eq!(refused(creation("a", 0, "Ann", email)), "email", "{email}");
    }
    assert_eq!(refused(request("a", 0, UserAction::Update { name: None, email: None })), "name");
    assert_eq!(refused(request("a", 0, UserAction::Update { name: Some(" ".into()), email: None })), "name");
    assert_eq!(block_on(store.last_position()).unwrap(), Position::START);
}
