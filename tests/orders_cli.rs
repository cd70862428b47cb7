//! `factlog orders` and `factlog demo` as a user meets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod support;

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde_json::{Value, json};
use support::Factlog;

const ADDRESS: &str = r#"{"street":"1 Main St","city":"Seoul","state":"Seoul","zipCode":"01234","country":"KR"}"#;
const ITEM: &str = r#"{"productId":"p","productName":"P","quantity":2,"unitPrice":29.99}"#;
const OTHER: &str = r#"{"productId":"q","productName":"Q","quantity":1,"unitPrice":0.02}"#;

fn create<'a>(id: &'a str, items: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["orders", "create", id, "--user", "u", "--address", ADDRESS];
    items.iter().for_each(|item| arguments.extend(["--item", item]));
    arguments
}

/// Runs a command that must fail, and gives its exit code and what it said.
fn failing(factlog: &Factlog, arguments: &[&str]) -> (i32, String) {
    let run = factlog.run(arguments, "");
    assert_eq!(run.lines(), [""; 0], "{arguments:?}");
    (run.code.unwrap(), run.stderr)
}

#[test]
fn an_order_lives_from_its_creation_to_its_delivery() {
    let factlog = Factlog::new();
    let at = ["--at", "2018-08-15T12:10:18+02:00"];
    let acknowledged = factlog.lines(&[&create("7", &[ITEM, OTHER])[..], &at].concat(), "");
    assert_eq!(acknowledged, [r#"{"stream":"order-7","version":1,"position":1}"#]);
    let commands: [&[&str]; 6] = [
        &["add-item", "7", "--item", OTHER],
        &["remove-item", "7", "--product", "q"],
        &["confirm", "7"],
        &["pay", "7", "--payment", "pay-1"],
        &["ship", "7", "--tracking", "track-1"],
        &["deliver", "7"],
    ];
    for (command, version) in commands.into_iter().zip(2..) {
        let acknowledged = factlog.json(&[&["orders"], command, &at].concat(), "");
        assert_eq!(acknowledged, [json!({"stream": "order-7", "version": version, "position": version})]);
    }

    let row = &factlog.json(&["orders", "show", "7"], "")[0];
    assert_eq!((&row["status"], &row["total_amount"]), (&json!("DELIVERED"), &json!(59.98)));
    assert_eq!(row["shipping_address"], serde_json::from_str::<Value>(ADDRESS).unwrap());
    assert_eq!(row["created_at"], "2018-08-15T10:10:18.000000Z");
    assert_eq!(row["items"].as_array().unwrap().len(), 1);
    let columns: Vec<&String> = row.as_object().unwrap().keys().collect();
    assert_eq!(columns.len(), 12, "{columns:?}");

    let history = factlog.lines(&["orders", "history", "7"], "");
    assert_eq!(history, factlog.lines(&["read", "order-7"], ""));
    assert!(factlog.lines(&["orders", "history", "8"], "").is_empty(), "a stream that does not exist has no lines");
    assert!(
        history[0].contains(r#""totalAmount":60,"#) && history[0].contains(r#""timestamp":"2018-08-15T10:10:18Z""#)
    );
    let page = &factlog.json(&["orders", "list", "--user", "u", "--status", "delivered"], "")[0];
    assert_eq!(page["orders"], json!([row]));
    assert_eq!(page["pagination"], json!({"page": 1, "limit": 10, "total": 1, "totalPages": 1}));
}

#[test]
fn a_refusal_ends_with_its_message_and_exit_code() {
    let factlog = Factlog::new();
    factlog.lines(&create("7", &[ITEM]), "");
    factlog.lines(&["orders", "cancel", "7", "--reason", "r"], "");
    for (arguments, code, message) in [
        (create("7", &[ITEM]), 3, "Expected version 0, but current version is 2"),
        (create("8", &[]), 1, "Order must have at least one item"),
        (create("", &[ITEM]), 2, "empty"),
        (create("8", &["{}"]), 2, "productId"),
        (create("8", &[&ITEM.replace("29.99", "29.999")]), 2, "29.999"),
        (create("8", &[&ITEM.replace("29.99", "-1")]), 1, "Unit price must not be negative"),
        (create("8", &[&ITEM.replace(":2,", ":0,")]), 1, "Quantity must be at least 1"),
        (vec!["orders", "pay", "7", "--payment", "p"], 1, "Payment can only be completed for pending orders"),
        (vec!["orders", "pay", "8", "--payment", "p"], 1, "Aggregate not found: 8"),
        (vec!["orders", "show", "8"], 1, "Aggregate not found: 8"),
        (vec!["orders", "confirm", "7", "--at", "yesterday"], 2, "yesterday"),
        (vec!["orders", "list"], 2, "--user"),
        (vec!["orders", "list", "--status", "LOST"], 2, "LOST"),
        (vec!["orders", "list", "--user", "u", "--page", "0"], 2, "page is 0"),
        (vec!["orders", "list", "--user", "u", "--limit", "-1"], 2, "limit is -1"),
    ] {
        let (found, said) = failing(&factlog, &arguments);
        assert!(found == code && said.contains(message), "{arguments:?}: {found}, {said}");
    }
}

#[test]
fn a_question_creates_no_store_and_the_views_lie_where_they_are_wanted() {
    let factlog = Factlog::new();
    assert_eq!(failing(&factlog, &["orders", "list", "--user", "u"]).0, 2);
    assert!(!factlog.store().exists());
    factlog.lines(&create("7", &[ITEM]), "");
    let views = factlog.file("views");
    factlog.lines(&["orders", "list", "--user", "u", "--views", views.to_str().unwrap()], "");
    assert!(views.exists() && !factlog.store().join("views.sqlite").exists());
    factlog.lines(&["orders", "list", "--user", "u"], "");
    assert!(factlog.store().join("views.sqlite").exists());
    assert_eq!(factlog.json(&["stats"], "")[0]["events"], 1);
}

#[test]
fn a_views_file_that_is_none_of_this_store_is_bad_input() {
    let (factlog, other) = (Factlog::new(), Factlog::new());
    factlog.lines(&create("7", &[ITEM]), "");
    other.lines(&create("7", &[ITEM]), "");
    let views = factlog.file("views");
    let list = ["orders", "list", "--user", "u", "--views", views.to_str().unwrap()];
    factlog.lines(&list, "");
    let (code, said) = failing(&other, &list);
    assert!(code == 2 && said.contains("another store"), "{code}, {said}");
    fs::File::create(&views).unwrap().write_all(&[b'x'; 5000]).unwrap();
    let (code, said) = failing(&factlog, &list);
    assert!(code == 2 && said.contains("no SQLite database"), "{code}, {said}");
}

#[test]
fn the_demo_shows_orders_in_every_status_and_leaves_a_store_that_is_whole() {
    let factlog = Factlog::new();
    let temporary = factlog.file("tmp");
    fs::create_dir(&temporary).unwrap();
    let output = factlog.command(&["demo"]).env("TMPDIR", &temporary).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<Value> =
        output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert!(lines[..6].iter().all(|line| line["orders"].as_u64().unwrap() > 0), "{lines:?}");
    assert_eq!(lines[6]["orders"].as_array().unwrap().len(), 2);
    assert_eq!(lines[7]["type"], "OrderCreatedEvent");
    let place = fs::read_dir(&temporary).unwrap().next().unwrap().unwrap().path();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(place.to_str().unwrap()), "{said}");
    assert!(support::command(&place, &["verify"]).output().unwrap().status.success());
}

/// The lines of a table of the data set, without its heading; none of the values in it that are used here is quoted.
fn table(directory: &str, file: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(PathBuf::from(directory).join(file)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Works out in SQL, from the tables alone, what the view must hold, and compares every row and every sum. Returns how many
/// orders are delivered.
fn compare_with_tables(directory: &str, views: &Path) -> i64 {
    let sql = Connection::open_in_memory().unwrap();
    sql.execute_batch(
        "CREATE TABLE orders (order_id, customer_id, status, purchased, approved, shipped, delivered);
         CREATE TABLE items (order_id, price);
         CREATE TABLE customers (customer_id, unique_id);",
    )
    .unwrap();
    for (file, columns, insert) in [
        (
            "olist_orders_dataset.csv",
            &[0, 1, 2, 3, 4, 5, 6][..],
            "INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        ),
        ("olist_order_items_dataset.csv", &[0, 5], "INSERT INTO items VALUES (?1, ?2)"),
        ("olist_customers_dataset.csv", &[0, 1], "INSERT INTO customers VALUES (?1, ?2)"),
    ] {
        let transaction = sql.unchecked_transaction().unwrap();
        let mut statement = transaction.prepare(insert).unwrap();
        for line in table(directory, file) {
            statement.execute(rusqlite::params_from_iter(columns.iter().map(|column| &line[*column]))).unwrap();
        }
        drop(statement);
        transaction.commit().unwrap();
    }
    sql.execute("ATTACH ?1 AS views", [views.to_str().unwrap()]).unwrap();
    sql.execute_batch(
        "CREATE TABLE expected AS
         SELECT order_id, unique_id AS user_id, cents AS total_amount, how_many AS items,
            replace(purchased, ' ', 'T') || '.000000Z' AS created_at,
            CASE WHEN approved <> '' THEN order_id || '-1' END AS payment_id,
            CASE WHEN approved <> '' AND shipped <> '' THEN order_id END AS tracking_number,
            CASE WHEN status IN ('canceled', 'unavailable') AND (approved = '' OR shipped = '') THEN 'CANCELLED'
                WHEN approved = '' THEN 'PENDING'
                WHEN shipped = '' THEN 'PAID'
                WHEN delivered = '' THEN 'SHIPPED'
                ELSE 'DELIVERED' END AS status
         FROM orders JOIN customers USING (customer_id)
            JOIN (SELECT order_id, sum(CAST(round(price * 100) AS INTEGER)) AS cents, count(*) AS how_many
                FROM items GROUP BY order_id) USING (order_id);
         CREATE TEMP VIEW found AS
         SELECT order_id, user_id, total_amount, json_array_length(items) AS items, created_at, payment_id,
            tracking_number, status
         FROM views.order_view;",
    )
    .unwrap();
    let read = |query: &str| sql.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    let columns = "order_id, user_id, total_amount, items, created_at, payment_id, tracking_number, status";
    for (one, other) in [("expected", "found"), ("found", "expected")] {
        let apart = format!("SELECT count(*) FROM (SELECT {columns} FROM {one} EXCEPT SELECT {columns} FROM {other})");
        assert_eq!(read(&apart), 0, "rows of {one} that are not in {other}");
    }
    for sums in [
        "SELECT status, count(*), sum(total_amount) FROM {} GROUP BY status",
        "SELECT user_id, count(*), sum(total_amount) FROM {} GROUP BY user_id",
        "SELECT substr(created_at, 1, 7), count(*), sum(total_amount) FROM {} GROUP BY 1",
    ] {
        let (expected, found) = (sums.replace("{}", "expected"), sums.replace("{}", "found"));
        assert_eq!(read(&format!("SELECT count(*) FROM ({expected} EXCEPT {found})")), 0, "{sums}");
        assert_eq!(read(&format!("SELECT count(*) FROM ({found} EXCEPT {expected})")), 0, "{sums}");
    }
    assert!(read("SELECT count(*) FROM found") > 0);
    assert_eq!(read("SELECT count(*) FROM views.failed_events"), 0);
    read("SELECT count(*) FROM found WHERE status = 'DELIVERED'")
}

/// Each stream with its lines, positions apart: orders that are imported side by side lie in any order in the log.
fn streams(factlog: &Factlog) -> BTreeMap<String, Vec<Value>> {
    let mut streams: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for mut line in factlog.json(&["read"], "") {
        line.as_object_mut().unwrap().remove("position");
        streams.entry(line["stream"].as_str().unwrap().to_owned()).or_default().push(line);
    }
    streams
}

#[test]
fn the_published_orders_are_imported_whole_however_often_the_import_was_killed() {
    let Ok(directory) = env::var("OLIST_DIR") else {
        eprintln!("skipped: OLIST_DIR does not say where the tables are");
        return;
    };
    let import = ["orders", "import", &directory];
    let (whole, killed) = (Factlog::new(), Factlog::new());
    let summary = whole.json(&import, "").remove(0);

    let orders = table(&directory, "olist_orders_dataset.csv");
    let items = table(&directory, "olist_order_items_dataset.csv");
    let with_items: std::collections::HashSet<_> = items.iter().map(|item| &item[0]).collect();
    assert_eq!(summary["orders"], orders.len());
    assert_eq!(summary["created"], with_items.len());
    assert_eq!(summary["refused"]["Order must have at least one item"], orders.len() - with_items.len());
    assert_eq!(summary["events"], whole.json(&["stats"], "")[0]["events"]);

    let page = &whole.json(&["orders", "list", "--status", "DELIVERED", "--limit", "1"], "")[0];
    let views = whole.store().join("views.sqlite");
    let delivered = compare_with_tables(&directory, &views);
    assert_eq!(page["pagination"]["total"], delivered);
    // Built anew, it is the same.
    whole.json(&["projections", "rebuild", "orders"], "");
    assert_eq!(compare_with_tables(&directory, &views), delivered);

    let target = summary["events"].as_u64().unwrap();
    for _ in 0..3 {
        let mut child = killed.spawn(&import);
        // Killed in the middle of its work: when the log has grown by a segment or two.
        let segments = || fs::read_dir(killed.store().join("log")).map_or(0, |files| files.count());
        let before = segments();
        while segments() <= before + 1 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let before = killed.json(&["stats"], "")[0]["events"].as_u64().unwrap();
    let last = killed.json(&import, "").remove(0);
    assert!(before < target, "the import was never killed");
    assert_eq!(last["events"].as_u64().unwrap(), target - before);
    assert_eq!(last["refused"], summary["refused"]);
    assert_eq!(streams(&killed), streams(&whole));
}

#[test]
fn a_creation_that_cannot_be_leaves_no_store_behind() {
    let bad = r#"{"productId":"p","productName":"P","quantity":0,"unitPrice":29.99}"#;
    let large = format!("\"{}\"", "x".repeat(17 << 20));
    for (arguments, input) in [
        (create("7", &[]), String::new()),
        (create("7", &[bad]), String::new()),
        (vec!["users", "create", "ann", "--name", " ", "--email", "a@b"], String::new()),
        (vec!["users", "create", "ann", "--name", "Ann", "--email", "nowhere"], String::new()),
        (vec!["append", "s"], format!(r#"{{"type":"T","data":{large}}}"#)),
        (vec!["append", "s", "--each"], format!(r#"{{"type":"T","data":{large}}}"#)),
    ] {
        let factlog = Factlog::new();
        let run = factlog.run(&arguments, &input);
        assert!(matches!(run.code, Some(1 | 2)), "{arguments:?}: {run:?}");
        assert!(!factlog.store().exists(), "{arguments:?} left a store: {run:?}");
    }
}

#[test]
fn a_snapshot_that_is_passed_over_is_told_on_standard_error() {
    let factlog = Factlog::new();
    factlog.lines(&create("7", &[ITEM]), "");
    for _ in 0..99 {
        factlog.lines(&["orders", "add-item", "7", "--item", OTHER], "");
    }
    let mut directories = vec![factlog.store().join("snapshots")];
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => directories.push(path),
                false => fs::write(path, "nothing").unwrap(),
            }
        }
    }
    let run = factlog.run(&["orders", "confirm", "7"], "");
    assert_eq!((run.code, run.lines().len()), (Some(0), 1), "{run:?}");
    assert!(run.stderr.contains("factlog: warning: skipped a snapshot"), "{run:?}");
    // What is refused is told once.
    let refused = factlog.run(&["orders", "confirm", "7"], "");
    assert_eq!(refused.stderr.lines().filter(|line| !line.contains("warning")).count(), 1, "{refused:?}");
}
