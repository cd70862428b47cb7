//! `import` and `export`.

use factlog::limits;
use serde_json::json;

use crate::{
    KEYS, keys,
    support::{Factlog, event},
};

/// A store with every kind of payload and metadata, written through the library.
fn store_of_all_kinds(place: &std::path::Path) {
    use factlog::{EventType, ExpectedVersion, NewEvent, Store, StreamName, Timestamp};
    let store = Store::open(place).unwrap();
    let payloads: [&[u8]; 8] =
        [b"{\"a\": 1.0}", b"{\n  \"a\": [1,\r\n2]\n}\n", b"\xff\x00", b"", b"null", b" 1 ", b"1e400", b"\"\\ud800\""];
    let metadatas: [&[u8]; 5] = [b"", b"null", b"{\"by\":\"me\"}", b"\xfe", b"[\n]"];
    let mut time = -1_000_000;
    for (at, payload) in payloads.iter().enumerate() {
        for metadata in metadatas {
            time += 999_999;
            let stream = StreamName::new(format!("주문-{}", at % 3)).unwrap();
            let event = NewEvent::new(EventType::new("Kind \"é\"").unwrap(), payload.to_vec())
                .with_metadata(metadata.to_vec())
                .with_timestamp(Timestamp::from_micros(time));
            store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
        }
    }
    store.close().unwrap();
}

#[test]
fn an_export_imported_into_an_empty_store_gives_the_same_events() {
    let (from, to) = (Factlog::new(), Factlog::new());
    store_of_all_kinds(&from.store());
    let file = from.file("export.jsonl");
    let file = file.to_str().unwrap();
    assert_eq!(from.run(&["export", file], "").stdout, b"");
    let exported = std::fs::read(file).unwrap();
    assert_eq!(from.run(&["export"], "").stdout, exported);
    assert_eq!(from.run(&["read"], "").stdout, exported);
    assert_eq!(from.run(&["export", "/dev/stdout"], "").stdout, exported);

    let imported = to.run(&["import", file], "");
    assert_eq!((imported.code, imported.stderr.as_str()), (Some(0), "imported 40 events\n"));
    let events = |factlog: &Factlog| -> Vec<factlog::RecordedEvent> {
        let store = factlog::Store::open(factlog.store()).unwrap();
        store.read_all(factlog::ReadAll::after(factlog::Position::START)).map(Result::unwrap).collect()
    };
    assert_eq!(events(&from), events(&to));
    assert_eq!(events(&from).len(), 40);
    let third = Factlog::new();
    assert_eq!(third.run(&["import"], &exported).code, Some(0));
    assert_eq!(third.run(&["export", "-"], "").stdout, exported);
}

#[test]
fn bytes_that_are_no_json_are_shown_in_base64_and_every_event_is_one_line() {
    let factlog = Factlog::new();
    store_of_all_kinds(&factlog.store());
    let lines = factlog.lines(&["read"], "");
    assert_eq!(lines.len(), 40);
    let fields =
        |line: &String| -> Vec<String> { keys(line).into_iter().filter(|key| !key.ends_with("_base64")).collect() };
    assert!(lines.iter().all(|line| fields(line) == KEYS));
    assert!(lines[0].ends_with(r#""data":{"a": 1.0},"metadata":null}"#), "{}", lines[0]);
    assert!(lines[10].ends_with(r#""data":null,"data_base64":"/wA=","metadata":null}"#), "{}", lines[10]);
}

#[test]
fn an_import_stops_at_the_line_that_does_not_follow_or_is_bad_and_keeps_what_came_before() {
    let from = Factlog::new();
    for stream in ["a", "b", "a"] {
        from.lines(&["append", stream], event(1).repeat(3));
    }
    let lines: Vec<String> = from.lines(&["read"], "").into_iter().map(|line| line + "\n").collect();
    let import = |lines: &[String]| {
        let to = Factlog::new();
        let run = to.run(&["import"], lines.concat());
        let stored = if to.store().exists() { to.lines(&["read"], "").len() } else { 0 };
        (run.code.unwrap(), stored, run.stderr)
    };
    assert!(matches!(import(&lines), (0, 9, _)));
    assert!(matches!(import(&[]), (0, 0, _)));

    let without = |index: usize| [&lines[..index], &lines[index + 1..]].concat();
    for (missing, kept) in [(0, 0), (1, 1), (3, 3), (4, 4), (6, 6)] {
        let (code, stored, stderr) = import(&without(missing));
        assert_eq!((code, stored), (3, kept), "{stderr}");
        assert!(stderr.contains(&format!("line {}: ", missing + 1)), "{stderr}");
    }
    let twice = [&lines[..2], &lines[1..]].concat();
    assert!(matches!(import(&twice), (3, 2, _)));
    let zero = lines[0].replace(r#""version":1"#, r#""version":0"#);
    assert!(matches!(import(&[zero]), (3, 0, _)));

    let replace = |from: &str, to: &str| lines[4].replace(from, to);
    let huge = format!("\"data\":\"{}\"", "x".repeat(limits::EVENT_BYTES));
    let bad_lines = [
        replace("\"data\":1", &huge),
        replace("\"version\":2", "\"version\":\"2\""),
        "nonsense\n".to_owned(),
        replace("\"id\":\"", "\"id\":\"x"),
        replace("\"timestamp\":\"", "\"timestamp\":\"x"),
        replace("\"data\":1", "\"date\":1"),
        replace("\"data\":1", "\"data\":null,\"data_base64\":\"?\""),
        replace("\"stream\":\"b\"", "\"stream\":\"$b\""),
        replace("\"version\":2", "\"version\":-2"),
        lines[4][..20].to_owned(),
    ];
    for bad in bad_lines {
        let (code, stored, stderr) = import(&[&lines[..4], &[bad], &lines[5..]].concat());
        assert_eq!((code, stored), (2, 4), "{stderr}");
        assert!(stderr.contains("line 5: "), "{stderr}");
    }
    assert_eq!(from.run(&["import", "/nonexistent/file"], "").code, Some(2));
    assert_eq!(from.run(&["import", "/"], "").code, Some(2));
}

#[test]
fn an_import_into_a_store_with_events_goes_on_where_its_streams_end() {
    let (from, to) = (Factlog::new(), Factlog::new());
    from.lines(&["append", "a"], event(1).repeat(4));
    to.lines(&["append", "other"], event(1));
    let lines = from.run(&["read", "a"], "").stdout;
    let second_half = from.run(&["read", "a", "--from", "3"], "").stdout;
    assert_eq!(to.run(&["import"], &second_half).code, Some(3));
    assert_eq!(to.run(&["import"], &lines[..lines.len() - second_half.len()]).code, Some(0));
    assert_eq!(to.run(&["import"], &second_half).code, Some(0));
    assert_eq!(to.json(&["streams"], "")[1], json!({"stream": "a", "version": 4}));
    assert_eq!(to.run(&["import"], &lines).code, Some(3));
}

/// Lines of so many events in streams that take turns as chance would have it.
fn mixed(events: usize) -> Vec<String> {
    let mut versions = [0; 41];
    let mut chance = 7_u64;
    let mut line = |at: usize| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let stream = (chance >> 33) as usize % versions.len();
        versions[stream] += 1;
        format!(
            "{{\"position\":{},\"stream\":\"s-{stream}\",\"version\":{},\"id\":\"00000000-0000-7000-8000-{at:012}\",\
             \"type\":\"T\",\"timestamp\":\"2020-01-01T00:00:00.000000Z\",\"data\":{at},\"metadata\":null}}\n",
            at + 1,
            versions[stream]
        )
    };
    (0..events).map(&mut line).collect()
}

#[test]
fn lines_of_streams_that_take_turns_keep_their_order_and_the_first_bad_one_is_named() {
    // More than are on their way at a time.
    let lines = mixed(5000);
    let import = |lines: &[String]| {
        let to = Factlog::new();
        let run = to.run(&["import"], lines.concat());
        (run.code.unwrap(), run.stderr, to.run(&["export"], "").stdout)
    };
    let (code, _, exported) = import(&lines);
    assert_eq!((code, exported), (0, lines.concat().into_bytes()));

    for at in [1, 40, 1999, 2000, 2001, 4999] {
        let mut without = lines.clone();
        let missing = without.remove(at - 1);
        let stream = missing.split('"').nth(5).unwrap();
        let next = (at - 1..without.len()).find(|&at| without[at].contains(&format!("\"stream\":\"{stream}\"")));
        let mut twice = lines.clone();
        twice.insert(at, lines[at - 1].clone());
        let mut bad = lines.clone();
        bad[at] = "no event\n".to_owned();
        let mut both = bad.clone();
        both.insert(at, lines[at - 1].clone());
        // (lines, the code, how many come before the one that it stops at)
        let cases = [(without, 3, next), (twice, 3, Some(at)), (bad, 2, Some(at)), (both, 3, Some(at))];
        for (lines, expected, stops_at) in cases {
            let Some(stops_at) = stops_at else { continue };
            let (code, stderr, exported) = import(&lines);
            assert_eq!(code, expected, "{stderr}");
            assert!(stderr.contains(&format!("line {}: ", stops_at + 1)), "{stderr}");
            assert!(stderr.contains(&format!("imported {stops_at} event")), "{stderr}");
            // The positions are as in the lines, up to a line that was taken out.
            let ids = |text: &[u8]| -> Vec<String> {
                let id = |line: &str| line.split('"').nth(11).unwrap().to_owned();
                std::str::from_utf8(text).unwrap().lines().map(id).collect()
            };
            assert_eq!(ids(&exported), ids(lines[..stops_at].concat().as_bytes()));
        }
    }
}

#[test]
fn importing_the_same_lines_again_is_refused_at_the_first_of_them() {
    let to = Factlog::new();
    let lines = mixed(100);
    assert_eq!(to.run(&["import"], lines.concat()).code, Some(0));
    let exported = to.run(&["export"], "").stdout;
    // All of them; those of one stream, as one append; and those together with one that would follow.
    let of_one: Vec<String> = lines.iter().filter(|line| line.contains("\"s-7\"")).cloned().collect();
    let count = of_one.len();
    let follows = of_one[count - 1].replace(&format!("\"version\":{count}"), &format!("\"version\":{}", count + 1));
    for again in [lines, of_one.clone(), [of_one, vec![follows]].concat()] {
        let run = to.run(&["import"], again.concat());
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        assert!(run.stderr.contains("line 1: Expected version 0, but current version is "), "{}", run.stderr);
        assert_eq!(to.run(&["export"], "").stdout, exported);
    }
}
