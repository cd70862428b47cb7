//! The read model of users, and what it is asked.

use std::{collections::HashSet, sync::Arc, thread};

use factlog::{
    EventStore, MemoryStore, Position, block_on,
    model::{Consistency, Page, QueryBus, Receipt, Runner},
    users::{
        GetUser, GetUsers, UserAction, UserPage, UserProjection, UserQueryHandler, UserRequest, UserRow, UserService,
    },
};

use super::Place;
use crate::{creation, databases::Database, request};

/// Users, and where to ask about them.
pub struct Scene {
    users: UserService,
    runner: Runner,
    queries: QueryBus,
    pub database: Place,
}

impl Scene {
    pub fn of(creations: &[(&str, &str, &str)]) -> Scene {
        let (store, database): (Arc<dyn EventStore>, _) = (Arc::new(MemoryStore::new()), Place::new());
        let runner = Runner::new(Arc::clone(&store), database.project(UserProjection));
        let queries = UserQueryHandler::new(database.views()).into_bus().unwrap();
        let users = UserService::new(store).unwrap();
        let scene = Scene { users, runner, queries, database };
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
fn an_event_that_does_not_follow_is_a_failed_event_and_not_swallowed() {
    let scene = Scene::of(&[("a", "Ann", "ann@example.com")]);
    // Somebody has deleted the row behind the projection's back.
    scene.database.execute("DELETE FROM user_view");
    block_on(scene.users.handle(request("a", 1, UserAction::Delete))).unwrap();
    let stopped = block_on(scene.runner.catch_up()).unwrap_err().to_string();
    assert!(stopped.contains("user `a`"), "{stopped}");
    let failed = block_on(scene.runner.failed_events(false)).unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].position, Position::new(2));
}
