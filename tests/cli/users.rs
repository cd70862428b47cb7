//! `factlog users` as a user meets it.

use serde_json::json;

use crate::support::Factlog;

const CREATE: [&str; 7] = ["users", "create", "ann", "--name", "Ann", "--email", "ann@example.com"];

#[test]
fn a_user_lives_from_creation_to_deletion() {
    let factlog = Factlog::new();
    let at = ["--at", "2018-08-15T12:10:18+02:00"];
    let acknowledged = factlog.lines(&[&CREATE[..], &at].concat(), "");
    assert_eq!(acknowledged, [r#"{"stream":"user-ann","version":1,"position":1}"#]);
    let row = json!({
        "id": "ann",
        "name": "Ann",
        "email": "ann@example.com",
        "created_at": "2018-08-15T10:10:18.000000Z",
        "updated_at": "2018-08-15T10:10:18.000000Z",
    });
    assert_eq!(factlog.json(&["users", "show", "ann"], ""), std::slice::from_ref(&row));
    let page = json!({"users": [row], "pagination": {"page": 1, "limit": 10, "total": 1, "totalPages": 1}});
    assert_eq!(factlog.json(&["users", "list", "--name", "an", "--email", "@"], ""), [page]);

    factlog.lines(&["users", "update", "ann", "--email", "lee@example.com"], "");
    let updated = &factlog.json(&["users", "show", "ann"], "")[0];
    assert_eq!((&updated["name"], &updated["email"]), (&json!("Ann"), &json!("lee@example.com")));
    factlog.lines(&["users", "delete", "ann"], "");
    let gone = factlog.run(&["users", "show", "ann"], "");
    assert_eq!((gone.code, gone.lines().len()), (Some(1), 0), "{}", gone.stderr);
    assert_eq!(factlog.lines(&["users", "history", "ann"], ""), factlog.lines(&["read", "user-ann"], ""));
    assert_eq!(factlog.lines(&["users", "history", "ann"], "").len(), 3);
}

#[test]
fn what_is_refused_says_why_and_ends_with_its_exit_code() {
    let factlog = Factlog::new();
    factlog.lines(&CREATE, "");
    factlog.lines(&["users", "delete", "ann"], "");
    for (arguments, code, words) in [
        (&CREATE[..], 3, "current version is 2"),
        (&["users", "update", "ann", "--name", "Bea"], 1, "User is deleted"),
        (&["users", "delete", "ann"], 1, "User is deleted"),
        (&["users", "delete", "bea"], 1, "bea"),
        (&["users", "create", "bea", "--name", "", "--email", "b@c"], 2, "name"),
        (&["users", "create", "bea", "--name", "Bea", "--email", "bea"], 2, "email"),
        (&["users", "update", "bea"], 2, "--name"),
        (&["users", "list", "--page", "0"], 2, "at least 1"),
    ] {
        let run = factlog.run(arguments, "");
        assert_eq!((run.code, run.lines().len()), (Some(code), 0), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn what_needs_a_user_needs_a_store_and_leaves_none_behind() {
    let factlog = Factlog::new();
    for arguments in
        [&["users", "update", "ann", "--name", "Bea"][..], &["users", "delete", "ann"], &["orders", "confirm", "7"]]
    {
        let run = factlog.run(arguments, "");
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("there is no store here"), "{arguments:?}: {}", run.stderr);
        assert!(!factlog.store().exists(), "{arguments:?}");
    }
}
