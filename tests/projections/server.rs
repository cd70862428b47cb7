//! What only a server can do: be gone, refuse, and be used by others; and what a rebuild does with everything that it keeps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use factlog::{
    Action, MemoryStore, RecordedEvent, block_on,
    model::{
        Consistency, ModelError, OnFailure, PostgresTables, PostgresViews, Projection, RetryPolicy, Runner, Tables,
    },
};

use super::{Place, Scene};
use crate::{
    databases::{Database, Sqlite},
    notes::{Notes, taken},
    postgres::Postgres,
    support::{Factlog, finish},
};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// The numbers that a query finds in its first column.
fn numbers(scene: &Scene, sql: &str) -> Vec<i64> {
    scene.database.rows(sql).into_iter().map(|mut row| row.integer(0).unwrap()).collect()
}

/// How many schemas there are in which somebody builds, or once did.
fn building(scene: &Scene) -> i64 {
    numbers(scene, r"SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'factlog\_building\_%'")[0]
}

/// Asks everything that a query may ask, in the middle of a page.
struct Asking {
    notes: Notes,
    store: Arc<MemoryStore>,
    database: Arc<Place>,
    asked: Arc<AtomicUsize>,
}

impl Projection<PostgresTables> for Asking {
    fn name(&self) -> &'static str {
        "notes"
    }

    fn set_up(&self, tables: &PostgresTables) -> Result<(), ModelError> {
        self.notes.set_up(tables)
    }

    fn handle(&self, tables: &PostgresTables, event: &RecordedEvent) -> Result<(), ModelError> {
        self.notes.handle(tables, event)?;
        // What was gathered is written by now.
        assert_eq!(tables.query("SELECT taken FROM notes", &[])?.len(), 1);
        let views = self.database.reopened();
        block_on(views.wait_until("notes", Consistency::at_least(block_on(views.checkpoint("notes"))?.position)))?;
        assert_eq!(taken(&*self.database), "a:a1");
        let runner = Runner::new(self.store.clone(), self.database.project(self.notes.clone()));
        assert_eq!(block_on(runner.status())?.position.get(), 1);
        assert!(block_on(runner.failed_events(true))?.is_empty());
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn a_query_waits_for_nobody_who_writes() {
    let scene = Scene::of("a1");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    scene.append("a2 a3");
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = Asking {
        notes: scene.notes.clone(),
        store: scene.store.clone(),
        database: scene.database.clone(),
        asked: asked.clone(),
    };
    let projection = block_on(scene.views().project(asking)).unwrap();
    block_on(Runner::new(scene.store.clone(), Arc::new(projection)).catch_up()).unwrap();
    assert_eq!((scene.taken().as_str(), asked.load(Ordering::SeqCst)), ("a:a1,a2,a3", 2));
}

#[test]
fn a_rebuild_keeps_indexes_views_triggers_and_rights_and_leaves_the_tables_of_others_and_no_schema() {
    let scene = Scene::of("a1 a2");
    let runner = scene.runner(OnFailure::Stop);
    block_on(runner.catch_up()).unwrap();
    let role = format!("reader_of_{}", scene.database.name());
    scene.database.execute(&format!(
        "CREATE TABLE mine (x BIGINT); INSERT INTO mine VALUES (7);
         CREATE ROLE {role}; GRANT SELECT ON notes, longest TO {role}; GRANT SELECT ON notes TO PUBLIC"
    ));
    let made = || {
        let sql = "SELECT relkind::text || ' ' || relname || ' ' || coalesce(relacl::text, '') FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'pg\\_toast%' ORDER BY 1";
        scene.database.rows(sql).into_iter().map(|mut row| row.text(0).unwrap()).collect::<Vec<_>>()
    };
    let before = made();
    for _ in 0..2 {
        block_on(runner.rebuild()).unwrap();
        assert_eq!(made(), before);
        assert_eq!(building(&scene), 0);
    }
    assert_eq!(numbers(&scene, "SELECT x FROM mine"), [7]);
    let changes = "SELECT count(*) FROM changes";
    assert_eq!(numbers(&scene, changes), [2], "the trigger fired for the events and not for the move");
    scene.append("a3");
    block_on(runner.catch_up()).unwrap();
    assert_eq!(numbers(&scene, changes), [3]);
    assert_eq!(numbers(&scene, "SELECT length FROM longest"), ["a1,a2,a3,".len() as i64]);
}

#[test]
fn a_rebuild_that_is_given_up_leaves_no_schema_and_one_that_goes_on_is_left_alone() {
    let scene = Scene::of("a1 a2");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    // What a process left that is gone.
    scene.database.execute("CREATE SCHEMA factlog_building_0; CREATE TABLE factlog_building_0.notes (x INTEGER)");
    let going_on = block_on(scene.projection().fresh()).unwrap();
    assert_eq!(building(&scene), 1);
    let given_up = block_on(scene.projection().fresh()).unwrap();
    assert_eq!(building(&scene), 2);
    drop(given_up);
    let begun = Instant::now();
    while building(&scene) > 1 {
        assert!(begun.elapsed() < LONG, "its schema stays");
    }
    block_on(going_on.read_model().prepare()).unwrap();
    assert!(block_on(going_on.swap_in(true)).unwrap());
    assert_eq!((scene.taken().as_str(), scene.position("notes"), building(&scene)), ("", 0, 0));
}

#[test]
fn a_rebuild_waits_for_who_reads_and_keeps_nobody_else_waiting() {
    let scene = Scene::of("a1");
    let runner = scene.runner(OnFailure::Stop);
    block_on(runner.catch_up()).unwrap();
    let report = Report::default();
    let reporting = scene.database.project(report.clone());
    std::thread::scope(|scope| {
        let reporting = scope.spawn(|| block_on(Runner::new(scene.store.clone(), reporting).catch_up()));
        report.wait_for(&report.begun);
        let rebuilding = scope.spawn(|| block_on(runner.rebuild()));
        for _ in 0..300 {
            assert_eq!(taken(&*scene.database), "a:a1");
        }
        assert!(!rebuilding.is_finished(), "the report reads what is gone");
        report.over.store(true, Ordering::SeqCst);
        reporting.join().unwrap().unwrap();
        rebuilding.join().unwrap().unwrap();
    });
    assert_eq!(building(&scene), 0);
}

/// Reads the table of another projection in one long transaction, as a report does.
#[derive(Clone, Default)]
struct Report {
    begun: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Report {
    fn wait_for(&self, flag: &AtomicBool) {
        let begun = Instant::now();
        while !flag.load(Ordering::SeqCst) {
            assert!(begun.elapsed() < LONG, "nobody comes");
            std::thread::yield_now();
        }
    }
}

impl<T: Tables> Projection<T> for Report {
    fn name(&self) -> &'static str {
        "report"
    }

    fn set_up(&self, _: &T) -> Result<(), ModelError> {
        Ok(())
    }

    fn handle(&self, tables: &T, _: &RecordedEvent) -> Result<(), ModelError> {
        tables.query("SELECT taken FROM notes", &[])?;
        self.begun.store(true, Ordering::SeqCst);
        self.wait_for(&self.over);
        Ok(())
    }
}

#[test]
fn an_event_whose_text_no_column_can_hold_fails_by_itself() {
    let scene = Scene::of("a1");
    let stream = factlog::StreamName::new("note-b").unwrap();
    let event = factlog::NewEvent::new(factlog::EventType::new("Noted").unwrap(), "x\0y");
    block_on(factlog::EventStore::append(&*scene.store, &stream, factlog::ExpectedVersion::Any, vec![event])).unwrap();
    scene.append("a2");
    let runner = scene.runner(OnFailure::GoOn);
    block_on(runner.catch_up()).unwrap();
    assert_eq!(scene.taken(), "a:a1,a2");
    let failed = block_on(runner.failed_events(false)).unwrap();
    assert_eq!((failed.len(), &failed[0].data[..]), (1, &b"x\0y"[..]));
    assert!(failed[0].error.contains("22021"), "{failed:?}");
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_the_work_is_gone_on_with_when_it_is_back() {
    let server = Postgres::new();
    let scene = Scene { database: Arc::new(Place::on(&server)), ..Scene::new() };
    for n in 0..400 {
        scene.append(&format!("a{n} b{n} c{n}"));
    }
    let pages = AtomicUsize::new(0);
    let policy = RetryPolicy::default().attempts(600).base_delay(Duration::from_millis(100)).factor(1.0);
    let server = Arc::new(server);
    let killed = server.clone();
    let runner = scene.runner(OnFailure::Stop).page_events(10).retry_policy(policy).on_progress(move |_| {
        if pages.fetch_add(1, Ordering::SeqCst) % 40 == 20 {
            killed.kill();
            killed.start();
        }
    });
    block_on(runner.catch_up()).unwrap();
    let fresh = Sqlite::new();
    block_on(Runner::new(scene.store.clone(), fresh.project(scene.notes.clone())).catch_up()).unwrap();
    assert_eq!(scene.taken(), taken(&fresh));
    // The same in the middle of a rebuild.
    block_on(runner.rebuild()).unwrap();
    assert_eq!(scene.taken(), taken(&fresh));
}

#[test]
fn a_server_that_is_gone_or_refuses_is_an_error_that_says_what_to_do() {
    let address = Place::new().named();
    let (free, (before, database)) =
        (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), address.rsplit_once('/').unwrap());
    let port = free.local_addr().unwrap().port();
    drop(free);
    let user = crate::postgres::USER;
    let refused = |address: &str| match block_on(PostgresViews::connect(address)) {
        Err(error) => (error.to_string(), error.action()),
        Ok(_) => panic!("{address}"),
    };
    for (address, action, said) in [
        (address.replace("open-sesame", "secret"), Action::FixInput, &["password", "PGPASSWORD"]),
        (address.replace(":open-sesame", ""), Action::FixInput, &["password missing", "PGPASSWORD"]),
        (format!("{before}/nowhere"), Action::FixInput, &["\"nowhere\"", "create the database"]),
        (
            format!("postgres://{user}:secret@127.0.0.1:{port}/{database}"),
            Action::Retry,
            &["refused", "see that the server runs"],
        ),
        (format!("{address}?options=-csearch_path%3Dnone"), Action::FixInput, &["no schema", "create one"]),
        ("postgres://ann:secret@host:port/x".to_owned(), Action::FixInput, &["port", ""]),
    ] {
        let (text, found) = refused(&address);
        assert_eq!(found, action, "{text}");
        assert!(said.iter().all(|said| text.contains(said)) && !text.contains("secret"), "{text}");
    }
}

#[test]
fn tables_of_another_program_or_another_version_are_refused_and_left_as_they_are() {
    let others = Place::new();
    others.execute("CREATE TABLE projections (x INTEGER)");
    let error = block_on(PostgresViews::connect(&others.named())).unwrap_err();
    assert!(matches!(error, ModelError::ForeignViews { .. }) && error.to_string().contains("`projections`"), "{error}");
    others.execute("SELECT x FROM projections");
    // Another schema of the same database is free.
    others.execute("CREATE SCHEMA views");
    block_on(PostgresViews::connect(&format!("{}?options=-csearch_path%3Dviews", others.named()))).unwrap();
    others.execute("UPDATE views.read_model SET schema_version = 7");
    let error = block_on(PostgresViews::connect(&format!("{}?options=-csearch_path%3Dviews", others.named())));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("version 7") && error.contains("drop the schema views"), "{error}");
}

#[test]
fn the_command_keeps_its_read_model_in_a_database_and_its_password_in_the_environment() {
    let (factlog, place) = (Factlog::new(), Place::new());
    let address = place.named().replace(":open-sesame", "");
    let run = |arguments: &[&str]| {
        let mut command = factlog.command(arguments);
        let run = finish(command.env("FACTLOG_VIEWS", &address).env("PGPASSWORD", "open-sesame"), b"");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        run.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    run(&["users", "create", "a", "--name", "Ann", "--email", "ann@example.com"]);
    run(&["users", "create", "b", "--name", "Bea", "--email", "bea@example.com"]);
    assert_eq!(run(&["users", "show", "a"])[0]["name"], "Ann");
    assert_eq!(run(&["users", "list", "--name", "BEA"])[0]["pagination"]["total"], 1);
    let lines = run(&["projections", "run", "--once"]);
    assert_eq!(
        (&lines[0]["projection"], &lines[0]["position"], &lines[1]["lag"]),
        (&"orders".into(), &2.into(), &0.into())
    );
    assert_eq!(run(&["projections", "rebuild", "users"])[0]["position"], 2);
    assert_eq!(place.checkpoint("users").position.get(), 2);
    assert!(!factlog.store().join("views.sqlite").exists());
    // A password that is wrong is named as that, and not shown.
    let wrong = factlog.run(&["users", "list", "--views", &place.named().replace("open-sesame", "secret")], "");
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("check the user and the password") && !wrong.stderr.contains("secret"), "{wrong:?}");
}

#[test]
fn the_published_orders_make_the_same_rows_in_both_databases() {
    let Ok(directory) = std::env::var("OLIST_DIR") else {
        eprintln!("skipped: OLIST_DIR does not say where the tables are");
        return;
    };
    let (factlog, here, there) = (Factlog::new(), Sqlite::new(), Place::new());
    factlog.json(&["orders", "import", &directory], "");
    let line = |command: &[&str], views: &str| {
        factlog.json(&[&["projections", "--views", views], command].concat(), "").remove(0)
    };
    let run = ["run", "orders", "--once"];
    assert_eq!(line(&run, &here.named())["lag"], 0);
    let begun = Instant::now();
    let caught_up = line(&run, &there.named());
    println!("{} events caught up with in {:?}", caught_up["position"], begun.elapsed());
    let expected = here.order_contents();
    assert!(there.order_contents() == expected, "the rows differ");
    let begun = Instant::now();
    line(&["rebuild", "orders"], &there.named());
    println!("built anew in {:?}", begun.elapsed());
    assert!(there.order_contents() == expected, "the rows differ after a rebuild");
    let page = |views: &str| {
        factlog
            .json(&["orders", "list", "--status", "DELIVERED", "--page", "7", "--limit", "100", "--views", views], "")
    };
    assert_eq!(page(&here.named()), page(&there.named()));
}
