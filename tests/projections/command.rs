//! `factlog projections` as a user meets it.

use std::io::{BufRead, BufReader, Write};

use serde_json::{Value, json};

use crate::support::Factlog;

const ADDRESS: &str = r#"{"street":"1 Main St","city":"Seoul","state":"Seoul","zipCode":"01234","country":"KR"}"#;
const ITEM: &str = r#"{"productId":"p","productName":"P","quantity":2,"unitPrice":29.99}"#;

fn create(factlog: &Factlog, id: &str) {
    factlog.lines(&["orders", "create", id, "--user", "u", "--address", ADDRESS, "--item", ITEM], "");
}

/// A payment that nobody can read.
fn break_order(factlog: &Factlog, id: &str) {
    let line = r#"{"type":"PaymentCompletedEvent","data":{"paymentId":7}}"#;
    factlog.lines(&["append", &format!("order-{id}")], format!("{line}\n"));
}

fn projections(factlog: &Factlog, arguments: &[&str]) -> Vec<Value> {
    factlog.json(&[&["projections"], arguments].concat(), "")
}

#[test]
fn an_event_that_cannot_be_read_holds_up_its_own_order_only() {
    let factlog = Factlog::new();
    create(&factlog, "7");
    break_order(&factlog, "7");
    create(&factlog, "8");
    factlog.lines(&["orders", "pay", "8", "--payment", "p"], "");
    let shown = factlog.run(&["orders", "show", "8"], "");
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.lines()[0].contains("\"PAID\"") && shown.stderr.contains("projections failed"), "{shown:?}");
    assert_eq!(factlog.json(&["orders", "show", "7"], "")[0]["status"], "PENDING");

    let failed = &projections(&factlog, &["failed"])[0];
    assert_eq!((&failed["projection"], &failed["position"]), (&json!("orders"), &json!(2)));
    assert_eq!((&failed["stream"], &failed["version"]), (&json!("order-7"), &json!(2)));
    assert_eq!((&failed["event_type"], &failed["attempts"]), (&json!("PaymentCompletedEvent"), &json!(1)));
    assert_eq!(failed["event_data"], json!({"paymentId": 7}));
    assert!(failed["error_message"].as_str().unwrap().contains("event 2 of stream `order-7`"), "{failed}");

    let retried = factlog.run(&["projections", "retry", "orders"], "");
    assert_eq!(retried.code, Some(1), "{retried:?}");
    assert_eq!(projections(&factlog, &["failed", "orders"])[0]["attempts"], 2);
    let id = failed["id"].to_string();
    let resolved = projections(&factlog, &["resolve", "orders", &id]);
    assert_eq!(resolved, [json!({"projection": "orders", "taken": 0, "failed": 0})]);
    assert_eq!(projections(&factlog, &["failed"]), [Value::Null; 0]);
    assert!(projections(&factlog, &["failed", "--all"])[0]["resolved_at"].is_string());
    let shown = factlog.run(&["orders", "show", "7"], "");
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_retry_of_all_takes_what_was_left_parked_behind_an_event_that_is_resolved_by_now() {
    let factlog = Factlog::new();
    create(&factlog, "7");
    break_order(&factlog, "7");
    let cancelled =
        r#"{"type":"OrderCancelledEvent","data":{"orderId":"7","reason":"r","timestamp":"2018-08-15T10:10:18Z"}}"#;
    factlog.lines(&["append", "order-7"], format!("{cancelled}\n"));
    projections(&factlog, &["run", "--once"]);
    let id = projections(&factlog, &["failed"])[0]["id"].to_string();
    // As when the process is killed before it comes to the events behind.
    projections(&factlog, &["pause", "orders"]);
    assert_eq!(projections(&factlog, &["resolve", "orders", &id])[0]["failed"], 1);
    projections(&factlog, &["resume", "orders"]);
    let retried = projections(&factlog, &["retry", "orders"]);
    assert_eq!(retried, [json!({"projection": "orders", "taken": 1, "failed": 0})]);
    assert_eq!(factlog.json(&["orders", "show", "7"], "")[0]["status"], "CANCELLED");
}

#[test]
fn the_list_tells_where_each_projection_stands() {
    let factlog = Factlog::new();
    create(&factlog, "7");
    create(&factlog, "8");
    let line = &projections(&factlog, &["list"])[0];
    assert_eq!((&line["projection"], &line["state"]), (&json!("orders"), &json!("active")));
    assert_eq!((&line["position"], &line["last_position"], &line["lag"]), (&json!(0), &json!(2), &json!(2)));
    let line = &projections(&factlog, &["run", "--once"])[0];
    assert_eq!((&line["position"], &line["lag"], &line["failed"]), (&json!(2), &json!(0), &json!(0)));
    assert!(line["rate"].as_f64().unwrap() > 0.0, "{line}");
    break_order(&factlog, "7");
    let run = factlog.run(&["projections", "run", "--once", "--on-failure", "stop"], "");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("position 3"), "{run:?}");
    let line = &projections(&factlog, &["list"])[0];
    assert_eq!((&line["state"], &line["position"], &line["failed"]), (&json!("stopped"), &json!(2), &json!(1)));
}

#[test]
fn a_paused_projection_answers_with_what_it_has_until_it_is_resumed() {
    let factlog = Factlog::new();
    create(&factlog, "7");
    assert_eq!(projections(&factlog, &["run", "--once"])[0]["position"], 1);
    assert_eq!(projections(&factlog, &["pause", "orders"])[0]["state"], "paused");
    create(&factlog, "8");
    let list = factlog.run(&["orders", "list", "--user", "u"], "");
    assert!(
        list.lines()[0].contains("\"total\":1") && list.stderr.contains("paused at position 1, 1 behind"),
        "{list:?}"
    );
    assert_eq!(projections(&factlog, &["resume", "orders"])[0]["state"], "active");
    let list = factlog.json(&["orders", "list", "--user", "u"], "");
    assert_eq!(list[0]["pagination"]["total"], 2);
}

#[test]
fn a_query_reads_what_is_there_or_waits_for_the_process_that_projects() {
    let factlog = Factlog::new();
    create(&factlog, "7");
    projections(&factlog, &["run", "--once"]);
    create(&factlog, "8");
    let total = |arguments: &[&str]| {
        let list = [&["orders", "list", "--user", "u"], arguments].concat();
        factlog.json(&list, "")[0]["pagination"]["total"].clone()
    };
    assert_eq!(total(&["--as-is"]), 1);
    let late = factlog.run(&["orders", "show", "8", "--at-least", "2", "--within", "0"], "");
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.stderr.contains("at position 1 and not yet at 2"), "{late:?}");
    let mut running = factlog.spawn(&["projections", "run"]);
    assert_eq!(total(&["--at-least", "2", "--within", "60"]), 2);
    create(&factlog, "9");
    assert_eq!(total(&["--at-least", "3", "--within", "60"]), 3);
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn a_rebuild_makes_the_same_view_and_another_store_s_view_is_replaced() {
    let (factlog, other) = (Factlog::new(), Factlog::new());
    create(&factlog, "7");
    create(&other, "8");
    projections(&factlog, &["run", "--once"]);
    let views = factlog.store().join("views.sqlite");
    let line = &other.json(&["projections", "--views", views.to_str().unwrap(), "rebuild", "orders"], "")[0];
    assert_eq!((&line["position"], &line["lag"]), (&json!(1), &json!(0)));
    let row = other.json(&["orders", "show", "8", "--views", views.to_str().unwrap()], "");
    assert_eq!(row[0]["status"], "PENDING");
    projections(&factlog, &["rebuild", "orders"]);
    assert_eq!(factlog.json(&["orders", "show", "7"], "")[0]["order_id"], "7");
}

#[test]
fn what_does_not_exist_is_named_with_what_does() {
    let factlog = Factlog::new();
    create(&factlog, "7");
    let run = factlog.run(&["projections", "rebuild", "nothing"], "");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("there is no projection `nothing`, only orders, users"), "{run:?}");
    let run = factlog.run(&["projections", "retry", "orders", "7"], "");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("no failed event 7 waits"), "{run:?}");
    let empty = Factlog::new();
    assert_eq!(empty.run(&["projections", "list"], "").code, Some(2));
    assert!(!empty.store().exists());
}

#[test]
fn a_projecting_process_goes_on_beside_the_one_that_writes() {
    let factlog = Factlog::new();
    create(&factlog, "7");
    let mut running = factlog.spawn(&["projections", "run", "orders"]);
    let mut writing = factlog.spawn(&["append", "s", "--each"]);
    let mut input = writing.stdin.take().unwrap();
    let mut output = BufReader::new(writing.stdout.take().unwrap());
    for n in 2..10 {
        input.write_all(crate::support::event(n).as_bytes()).unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let acknowledged: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(acknowledged["position"], n);
        factlog.json(&["orders", "show", "7", "--at-least", &n.to_string(), "--within", "60"], "");
    }
    drop(input);
    assert!(writing.wait().unwrap().success());
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn answers_of_another_store_s_view_are_refused_however_they_are_asked_for() {
    let (factlog, other) = (Factlog::new(), Factlog::new());
    create(&factlog, "7");
    create(&other, "8");
    projections(&factlog, &["run", "--once"]);
    let views = factlog.store().join("views.sqlite");
    let views = views.to_str().unwrap();
    for arguments in [
        &["orders", "list", "--user", "u", "--as-is", "--views", views][..],
        &["orders", "show", "7", "--as-is", "--views", views],
        &["orders", "show", "7", "--at-least", "1", "--views", views],
        &["projections", "list", "--views", views],
    ] {
        let run = other.run(arguments, "");
        assert_eq!((run.code, run.stdout.len()), (Some(2), 0), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains("was built from another store"), "{arguments:?}: {run:?}");
    }
}

#[test]
fn a_read_model_that_cannot_be_opened_is_named_with_what_to_do() {
    let factlog = Factlog::new();
    create(&factlog, "7");
    let views = factlog.store().join("views.sqlite");
    std::fs::create_dir(&views).unwrap();
    for arguments in [&["orders", "show", "7"][..], &["projections", "list"]] {
        let run = factlog.run(arguments, "");
        assert_eq!((run.code, run.stdout.len()), (Some(1), 0), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(views.to_str().unwrap()) && run.stderr.contains("--views"), "{run:?}");
    }
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_command_without_postgresql_says_so() {
    let factlog = Factlog::new();
    create(&factlog, "7");
    let run = factlog.run(&["projections", "--views", "postgres://host/database", "list"], "");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("--features postgres"), "{run:?}");
}
