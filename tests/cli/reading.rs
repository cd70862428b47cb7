//! `read`: what it selects.

use serde_json::Value;

use crate::support::{Factlog, event};

#[test]
fn reading_selects_by_stream_version_position_and_number() {
    let factlog = Factlog::new();
    for (stream, count) in [("a", 3), ("b", 2), ("a", 2)] {
        factlog.lines(&["append", stream], event(0).repeat(count));
    }
    let places = |arguments: &[&str]| -> Vec<(u64, String, u64)> {
        let place = |e: &Value| {
            (e["position"].as_u64().unwrap(), e["stream"].as_str().unwrap().to_owned(), e["version"].as_u64().unwrap())
        };
        factlog.json(&[&["read"], arguments].concat(), "").iter().map(place).collect()
    };
    let positions = |arguments: &[&str]| places(arguments).into_iter().map(|p| p.0).collect::<Vec<_>>();
    assert_eq!(positions(&[]), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(positions(&["--after", "5"]), [6, 7]);
    assert_eq!(positions(&["--after", "2", "--limit", "3"]), [3, 4, 5]);
    assert_eq!(positions(&["--limit", "0"]), [0; 0]);
    assert_eq!(positions(&["--after", "7"]), [0; 0]);
    assert_eq!(positions(&["--after", "18446744073709551615"]), [0; 0]);
    let of = |position, stream: &str, version| (position, stream.to_owned(), version);
    assert_eq!(places(&["a", "--from", "3", "--limit", "2"]), [of(3, "a", 3), of(6, "a", 4)]);
    assert_eq!(places(&["a", "--after", "3", "--limit", "1"]), [of(6, "a", 4)]);
    assert_eq!(places(&["b", "--from", "0"]), [of(4, "b", 1), of(5, "b", 2)]);
    assert_eq!(places(&["b", "--from", "3"]), []);
    assert_eq!(places(&["nobody"]), []);
    for nonsense in [&["--from", "1"][..], &["a", "--from", "x"], &["--limit", "-1"], &["$all"], &["--sideways"]] {
        assert_eq!(factlog.run(&[&["read"], nonsense].concat(), "").code, Some(2), "{nonsense:?}");
    }
}

/// An event as a test expects it; the position is its place in the list.
struct Told {
    stream: &'static str,
    version: u64,
    event_type: &'static str,
    second: u64,
}

/// Events of some streams, categories and types, whose times go back now and then.
fn log() -> Vec<Told> {
    let streams = ["order-1", "user-1", "order-2", "order", "orderly-1", "order-1-b"];
    let types = ["Opened", "Changed", "Closed"];
    let mut told: Vec<Told> = Vec::new();
    for at in 0..300 {
        let stream = streams[at * at % 7 % streams.len()];
        let version = 1 + told.iter().filter(|event| event.stream == stream).count() as u64;
        let second = (at as u64 / 3) + if at % 10 == 0 { 20 } else { 0 };
        told.push(Told { stream, version, event_type: types[at % 3], second });
    }
    told
}

fn time(second: u64) -> String {
    format!("2020-01-01T00:{:02}:{:02}Z", second / 60, second % 60)
}

/// The store that holds [`log`].
fn store_of(log: &[Told]) -> Factlog {
    let line = |(at, told): (usize, &Told)| {
        format!(
            "{{\"stream\":\"{}\",\"version\":{},\"id\":\"00000000-0000-7000-8000-{at:012}\",\"type\":\"{}\",\
             \"timestamp\":\"{}\",\"data\":{at}}}\n",
            told.stream,
            told.version,
            told.event_type,
            time(told.second)
        )
    };
    let factlog = Factlog::new();
    assert_eq!(factlog.run(&["import"], log.iter().enumerate().map(line).collect::<String>()).code, Some(0));
    factlog
}

#[test]
fn reading_selects_by_category_type_and_time_in_both_directions() {
    let log = log();
    let factlog = store_of(&log);
    let of_stream = ["", "order-1", "order", "nobody"].map(|stream| (stream, ""));
    let of_category = ["order", "user", "nobody"].map(|category| ("", category));
    for (at, (stream, category)) in of_stream.into_iter().chain(of_category).enumerate() {
        let since = time(60);
        for choice in 0..64 {
            let has = |bit: usize| choice & (1 << bit) != 0;
            let types: &[&str] = [&[][..], &["Changed"], &["Closed", "Opened"], &["Never"]][choice & 3];
            let (old, after, from, limit) = (!has(2), 50 * usize::from(has(3)), 5 * u64::from(has(4)), 7 + at);
            let mut arguments: Vec<String> = vec!["read".to_owned()];
            let mut add = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
            if !stream.is_empty() {
                add(&[stream, "--from", &from.to_string()]);
            }
            if !category.is_empty() {
                add(&["--category", category]);
            }
            types.iter().for_each(|event_type| add(&["--type", event_type]));
            if !old {
                add(&["--since", &since]);
            }
            add(&["--after", &after.to_string(), "--limit", &limit.to_string()]);
            if has(5) {
                add(&["--backwards"]);
            }
            let wanted = |(at, told): &(usize, &Told)| {
                (stream.is_empty() || told.stream == stream && told.version >= from)
                    && (category.is_empty() || told.stream.split('-').next() == Some(category))
                    && (types.is_empty() || types.contains(&told.event_type))
                    && (old || told.second >= 60)
                    && at + 1 > after
            };
            let mut expected: Vec<u64> = log.iter().enumerate().filter(wanted).map(|(at, _)| at as u64 + 1).collect();
            if has(5) {
                expected.reverse();
            }
            expected.truncate(limit);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let read: Vec<u64> =
                factlog.json(&arguments, "").iter().map(|event| event["position"].as_u64().unwrap()).collect();
            assert_eq!(read, expected, "{arguments:?}");
        }
    }
}

#[test]
fn a_choice_that_makes_no_sense_is_bad_usage() {
    let factlog = Factlog::new();
    factlog.lines(&["append", "order-1"], event(1));
    for nonsense in [
        &["order-1", "--category", "order"][..],
        &["--category", "order-1"],
        &["--category", "$all"],
        &["--category", "a\nb"],
        &["--type", ""],
        &["--since", "yesterday"],
        &["--since", "2020-01-01"],
        &["--category", "order", "--from", "1"],
        &["--follow", "--backwards"],
        &["--follow", "--limit", "x"],
    ] {
        let run = factlog.run(&[&["read"], nonsense].concat(), "");
        assert_eq!((run.code, run.stdout.len()), (Some(2), 0), "{nonsense:?}: {run:?}");
    }
    // A stream without a category's name before the `-` is of the category of no name.
    factlog.lines(&["append", "--", "-1"], event(1));
    assert_eq!(factlog.lines(&["read", "--category", ""], "").len(), 1);
}
