//! The user domain, on both stores: every rule, the read model and what it is asked.

#![cfg(feature = "users")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{collections::HashSet, sync::Arc, thread};

use factlog::{
    EventStore, MemoryStore, Position, ReadStream, block_on,
    model::{
        Aggregate, BusinessTime, Consistency, InvalidField, ModelError, Page, QueryBus, Receipt, Repository, Runner,
        SqliteViews,
    },
    testing::given,
    users::{
        CreateUser, DeleteUser, GetUser, GetUsers, UpdateUser, User, UserAction, UserEvent, UserPage, UserProjection,
        UserQueryHandler, UserRefusal, UserRequest, UserRow, UserService,
    },
};
use rusqlite::Connection;
use tempfile::TempDir;

#[path = "support/every_store.rs"]
mod every_store;

use every_store::on_every_store;

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
        let receipt = |version| Receipt { stream: "user-a".into(), version, position: version };
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
        let stream = User::stream("a").unwrap();
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

/// Users, and where to ask about them.
struct Scene {
    users: UserService,
    runner: Runner,
    queries: QueryBus,
    views: SqliteViews,
    _directory: TempDir,
}

impl Scene {
    fn of(creations: &[(&str, &str, &str)]) -> Scene {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let views = SqliteViews::open(directory.path().join("views.sqlite")).unwrap();
        let runner = Runner::new(Arc::clone(&store), Arc::new(views.project(UserProjection).unwrap()));
        let queries = UserQueryHandler::new(views.clone()).into_bus().unwrap();
        let users = UserService::new(store).unwrap();
        let scene = Scene { users, runner, queries, views, _directory: directory };
        for (minute, (id, name, email)) in creations.iter().enumerate() {
            scene.ask(creation(id, minute as u32, name, email));
        }
        scene
    }

    /// Carries out a request and waits until the read model has it.
    fn ask(&self, asked: UserRequest) -> Receipt {
        let receipt = block_on(self.users.handle(asked)).unwrap();
        block_on(self.runner.catch_up()).unwrap();
        receipt
    }

    fn page(&self, query: GetUsers) -> UserPage {
        block_on(self.queries.ask(query)).unwrap()
    }

    fn found(&self, name: Option<&str>, email: Option<&str>) -> Vec<String> {
        let query = GetUsers { name: name.map(Into::into), email: email.map(Into::into), ..GetUsers::default() };
        self.page(query).users.into_iter().map(|user| user.id).collect()
    }
}

#[test]
fn the_view_follows_the_events_of_users_and_of_nothing_else() {
    let scene = Scene::of(&[("a", "Ann", "ann@example.com"), ("b", "Bea", "bea@example.com")]);
    let receipt = scene.ask(request("a", 7, UserAction::Update { name: Some("Ann Lee".into()), email: None }));
    let consistency = Consistency::at_least(Position::new(receipt.position));
    let get = |id: &str| block_on(scene.queries.ask(GetUser { user_id: id.into(), consistency })).unwrap();
    let row = |name: &str, created: &str, updated: &str| UserRow {
        id: "a".into(),
        name: name.into(),
        email: "ann@example.com".into(),
        created_at: created.into(),
        updated_at: updated.into(),
    };
    let (created, updated) = ("2018-08-15T12:00:00.000000Z", "2018-08-15T12:07:00.000000Z");
    assert_eq!(get("a"), Some(row("Ann Lee", created, updated)));
    scene.ask(request("a", 8, UserAction::Delete));
    assert_eq!(get("a"), None);
    assert_eq!(scene.found(None, None), ["b"]);
}

#[test]
fn what_is_asked_before_anything_was_projected_finds_nobody() {
    let scene = Scene::of(&[]);
    block_on(scene.users.handle(creation("a", 0, "Ann", "ann@example.com"))).unwrap();
    let get = GetUser { user_id: "a".into(), consistency: Consistency::AsIs };
    assert_eq!(block_on(scene.queries.ask(get)).unwrap(), None);
    assert!(scene.found(None, None).is_empty());
}

#[test]
fn a_page_and_its_total_are_of_one_state_also_while_others_write() {
    let scene = Scene::of(&[]);
    let (users, runner, queries) = (&scene.users, &scene.runner, &scene.queries);
    let everybody = || GetUsers { page: Page::new(1, 1000).unwrap(), ..GetUsers::default() };
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for minute in 0..40 {
                block_on(users.handle(creation(&minute.to_string(), minute, "Ann", "ann@example.com"))).unwrap();
                block_on(runner.catch_up()).unwrap();
            }
        });
        let mut seen = HashSet::new();
        while !writing.is_finished() || seen.is_empty() {
            let page = block_on(queries.ask(everybody())).unwrap();
            assert_eq!(page.users.len() as u64, page.pagination.total);
            seen.insert(page.pagination.total);
        }
    });
    assert_eq!(scene.page(everybody()).pagination.total, 40);
}

#[test]
fn users_are_found_by_parts_of_name_and_address_in_which_percent_and_underscore_are_letters() {
    let scene = Scene::of(&[
        ("1", "Ann_Lee", "ann@example.com"),
        ("2", "AnnXLee", "ann.lee@example.org"),
        ("3", "100% Bea", "bea%x@example.com"),
        ("4", r"Back\slash", "b@example.com"),
    ]);
    assert_eq!(scene.found(None, None), ["4", "3", "2", "1"], "the newest first");
    assert_eq!(scene.found(Some("ann"), None), ["2", "1"], "capitals or not");
    assert_eq!(scene.found(Some("_"), None), ["1"]);
    assert_eq!(scene.found(Some("%"), None), ["3"]);
    assert_eq!(scene.found(Some(r"\"), None), ["4"]);
    assert_eq!(scene.found(None, Some("%")), ["3"]);
    assert_eq!(scene.found(Some("n"), Some(".org")), ["2"]);
    assert!(scene.found(Some("Lee%"), None).is_empty());
}

#[test]
fn a_page_comes_with_the_total_of_what_was_asked_for() {
    let people = ["a", "b", "c", "d", "e"].map(|id| (id, "Ann", "ann@example.com"));
    let scene = Scene::of(&people);
    scene.ask(creation("z", 9, "Zoe", "zoe@example.com"));
    let query = |page| GetUsers { name: Some("Ann".into()), page: Page::new(page, 2).unwrap(), ..GetUsers::default() };
    let ids = |page: &UserPage| page.users.iter().map(|user| user.id.clone()).collect::<Vec<_>>();
    let first = scene.page(query(1));
    assert_eq!(ids(&first), ["e", "d"]);
    let pagination = first.pagination;
    assert_eq!((pagination.page, pagination.limit, pagination.total, pagination.total_pages), (1, 2, 5, 3));
    assert_eq!(ids(&scene.page(query(3))), ["a"]);
    assert!(ids(&scene.page(query(4))).is_empty());
}

#[test]
fn looking_for_users_walks_along_an_index_and_sorts_nothing() {
    let scene = Scene::of(&[("a", "Ann", "ann@example.com")]);
    let plan = |connection: &Connection, sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect()
    };
    let reading = scene.views.read().unwrap();
    let list = r"SELECT id, name, email, created_at, updated_at FROM user_view
        WHERE name LIKE '%a%' ESCAPE '\' AND email LIKE '%' ESCAPE '\' ORDER BY created_at DESC, id LIMIT 10 OFFSET 0";
    assert_eq!(plan(&reading, list), ["SCAN user_view USING COVERING INDEX user_view_by_creation"]);
    let one = plan(&reading, "SELECT * FROM user_view WHERE id = 'a'");
    assert!(one.len() == 1 && one[0].starts_with("SEARCH user_view USING INDEX"), "{one:?}");
}

#[test]
fn an_event_that_does_not_follow_is_a_failed_event_and_not_swallowed() {
    let scene = Scene::of(&[("a", "Ann", "ann@example.com")]);
    scene.views.read().unwrap();
    // Somebody has deleted the row behind the projection's back.
    Connection::open(scene.views.path()).unwrap().execute("DELETE FROM user_view", []).unwrap();
    block_on(scene.users.handle(request("a", 1, UserAction::Delete))).unwrap();
    let stopped = block_on(scene.runner.catch_up()).unwrap_err().to_string();
    assert!(stopped.contains("user `a`"), "{stopped}");
    let failed = block_on(scene.runner.failed_events(false)).unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].position, Position::new(2));
}
