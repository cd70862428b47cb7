//! An event as one line of JSON, and back again: what `read` and `export` print and `import` takes.
//!
//! ```text
//! {"position":7,"stream":"order-1","version":2,"id":"...","type":"Paid","timestamp":"...","data":{...},"metadata":null}
//! ```
//!
//! Invariants:
//!
//! - all eight fields are always there, in this order;
//! - `data` and `metadata` are the stored text, byte for byte, wherever that is possible;
//! - where it is not, `data_base64` or `metadata_base64` follows with the stored bytes, and it is the one that counts:
//!   for bytes that are no JSON, for JSON with line breaks in it or white space around it (which `data` then shows
//!   without them), and for metadata of the text `null`, which would otherwise read as absent;
//! - printing an event and reading the line gives the same event.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use factlog::{EventType, NewEvent, RecordedEvent, StreamName, Timestamp, Version};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{failure::Failure, output::Output};

#[derive(Serialize)]
struct Printed<'a> {
    position: u64,
    stream: &'a str,
    version: u64,
    id: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    timestamp: String,
    data: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    metadata: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_base64: Option<String>,
}

/// Prints one event as one line.
pub fn print(event: &RecordedEvent, out: &mut Output) -> Result<(), Failure> {
    let (payload, metadata) = (event.payload(), event.metadata());
    let (data, data_base64) = as_json(&payload);
    let (metadata, metadata_base64) = match &metadata[..] {
        b"" => (None, None),
        b"null" => (None, Some(BASE64.encode("null"))),
        metadata => as_json(metadata),
    };
    out.line(&Printed {
        position: event.position().get(),
        stream: event.stream().as_str(),
        version: event.version().get(),
        id: event.id().to_string(),
        event_type: event.event_type().as_str(),
        timestamp: event.timestamp().to_string(),
        data,
        data_base64,
        metadata,
        metadata_base64,
    })
}

/// Bytes as JSON on one line, if they are JSON, and in base64, if that JSON is not exactly these bytes.
fn as_json(bytes: &[u8]) -> (Option<Cow<'_, RawValue>>, Option<String>) {
    let Ok(json) = serde_json::from_slice::<&RawValue>(bytes) else {
        return (None, Some(BASE64.encode(bytes)));
    };
    let text = json.get();
    if text.len() == bytes.len() && !text.contains(['\n', '\r']) {
        return (Some(Cow::Borrowed(json)), None);
    }
    // In JSON a line break can only be white space between tokens: in a string it is escaped.
    let on_one_line = RawValue::from_string(text.replace(['\n', '\r'], " "));
    (on_one_line.ok().map(Cow::Owned), Some(BASE64.encode(bytes)))
}

/// An event of a line of `append`'s input.
pub fn parse_new(line: &[u8]) -> Result<NewEvent, Failure> {
    #[derive(Deserialize)]
    struct Given<'a> {
        #[serde(rename = "type")]
        event_type: String,
        #[serde(borrow)]
        data: &'a RawValue,
        metadata: Option<&'a RawValue>,
        id: Option<String>,
    }
    let given: Given = object(line)?;
    let mut event = NewEvent::new(EventType::new(given.event_type)?, given.data.get().to_owned());
    if let Some(metadata) = given.metadata {
        event = event.with_metadata(metadata.get().to_owned());
    }
    match given.id {
        Some(id) => Ok(event.with_id(parse_id(&id)?)),
        None => Ok(event),
    }
}

/// An event with the place that it had in its stream.
pub struct Imported {
    /// The stream.
    pub stream: StreamName,
    /// Its version there.
    pub version: Version,
    /// The event itself, with its id and time.
    pub event: NewEvent,
}

/// An event of a line that [`print`] printed.
pub fn parse_printed(line: &[u8]) -> Result<Imported, Failure> {
    #[derive(Deserialize)]
    struct Given<'a> {
        stream: String,
        version: u64,
        id: String,
        #[serde(rename = "type")]
        event_type: String,
        timestamp: String,
        #[serde(borrow, default, deserialize_with = "null_is_a_value")]
        data: Option<&'a RawValue>,
        data_base64: Option<String>,
        metadata: Option<&'a RawValue>,
        metadata_base64: Option<String>,
    }
    let given: Given = object(line)?;
    let payload = match (given.data_base64, given.data) {
        (Some(base64), _) => decode("data_base64", &base64)?,
        (None, Some(data)) => data.get().as_bytes().to_vec(),
        (None, None) => return Err(Failure::BadInput("missing field `data`".to_owned())),
    };
    let metadata = match (given.metadata_base64, given.metadata) {
        (Some(base64), _) => decode("metadata_base64", &base64)?,
        (None, Some(metadata)) => metadata.get().as_bytes().to_vec(),
        (None, None) => Vec::new(),
    };
    let event = NewEvent::new(EventType::new(given.event_type)?, payload)
        .with_id(parse_id(&given.id)?)
        .with_metadata(metadata)
        .with_timestamp(given.timestamp.parse::<Timestamp>()?);
    Ok(Imported { stream: StreamName::new(given.stream)?, version: Version::new(given.version), event })
}

/// Reads one JSON object. A list would be read as the values of the fields, which nobody means.
fn object<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Failure> {
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::BadInput("not a JSON object".to_owned()));
    }
    // The place that the parser names is one in this line, whose number the caller knows.
    serde_json::from_slice(line)
        .map_err(|error| Failure::BadInput(error.to_string().replace(" at line 1 column ", " at column ")))
}

fn null_is_a_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn parse_id(text: &str) -> Result<Uuid, Failure> {
    Uuid::parse_str(text).map_err(|error| Failure::BadInput(format!("`{text}` is no UUID: {error}")))
}

fn decode(field: &str, base64: &str) -> Result<Vec<u8>, Failure> {
    BASE64.decode(base64).map_err(|error| Failure::BadInput(format!("field `{field}` is no base64: {error}")))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use factlog::{Position, Recorded};
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Anything at all, and pieces of JSON that are more often right than that.
    fn stored_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "{", "}", "[", "]", "\"a\"", ":", ",", "1.0", "-0", "1e9", "null", "true", " ", "\n", "\r", "\t",
            "\"\\n\"", "\"é\"",
        ]);
        let whole = prop::sample::select(vec![
            "{}",
            "[1,\n2]",
            "null",
            " 1",
            "\"x\"\r\n",
            "{\"a\" : 1.50}",
            "nul",
            "\u{feff}1",
        ]);
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes()),
            whole.prop_map(|text| text.as_bytes().to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn printing_an_event_and_reading_the_line_gives_the_same_event(
            (stream, event_type) in ("[^\\pC$]\\PC{0,20}", "\\PC{1,20}"),
            (payload, metadata) in (stored_bytes(), stored_bytes()),
            (version, position, id) in (1u64.., 1u64.., any::<u128>()),
            micros in -377_705_023_201_000_000i64..=253_402_207_200_000_000,
        ) {
            let (stream, event_type) = (StreamName::new(stream).unwrap(), EventType::new(event_type).unwrap());
            let recorded = Recorded {
                position: Position::new(position),
                version: Version::new(version),
                id: Uuid::from_u128(id).into(),
                timestamp: Timestamp::from_micros(micros),
            };
            let sink = Sink::default();
            let mut out = Output::to(sink.clone());
            print(&RecordedEvent::new(recorded, &stream, &event_type, &metadata, &payload), &mut out).unwrap();
            out.flush().unwrap();
            let line = sink.0.lock().unwrap().clone();
            prop_assert_eq!(line.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count(), 1);
            let read = parse_printed(&line).unwrap();
            prop_assert_eq!((read.stream, read.version), (stream, recorded.version));
            let event = NewEvent::new(event_type, payload).with_metadata(metadata).with_id(recorded.id);
            prop_assert_eq!(read.event, event.with_timestamp(recorded.timestamp));
        }
    }

    #[test]
    fn json_is_shown_as_it_came_and_base64_stands_beside_it_where_that_cannot_be() {
        let shown = |bytes: &[u8]| {
            let (json, base64) = as_json(bytes);
            (json.map(|json| json.get().to_owned()), base64.map(|text| BASE64.decode(text).unwrap()))
        };
        for exact in ["null", "1.50", "12345678901234567890.000", r#"{"b": 1,  "a":"\u00e9"}"#, "[1e400]"] {
            assert_eq!(shown(exact.as_bytes()), (Some(exact.to_owned()), None));
        }
        for (stored, json) in [("{\r\n  \"a\": 1\n}", "{    \"a\": 1 }"), (" [1]\n", "[1]")] {
            assert_eq!(shown(stored.as_bytes()), (Some(json.to_owned()), Some(stored.as_bytes().to_vec())));
        }
        for binary in [&b""[..], b"\xff\xfe", b"\"\xff\"", b"{", b"1 2", b"\"a\nb\"", b"NaN"] {
            assert_eq!(shown(binary), (None, Some(binary.to_vec())), "{binary:?}");
        }
    }

    #[test]
    fn json_nested_deeper_than_a_stack_would_bear_is_json() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(matches!(as_json(deep.as_bytes()), (Some(Cow::Borrowed(_)), None)));
        let line = format!(r#"{{"type":"T","data":{deep},"unknown":{deep}}}"#);
        assert_eq!(parse_new(line.as_bytes()).unwrap().payload, deep.as_bytes());
    }

    #[test]
    fn a_new_event_keeps_its_data_as_written_and_null_metadata_is_none() {
        let event = parse_new(br#" {"type":"T", "data" : {"b": 1.50 , "a":null} , "metadata":null, "x":[]} "#).unwrap();
        assert_eq!(event.payload, r#"{"b": 1.50 , "a":null}"#);
        assert_eq!((event.metadata.len(), event.timestamp), (0, None));
        assert_eq!(parse_new(br#"{"type":"T","data":null}"#).unwrap().payload, "null");
    }

    #[test]
    fn a_line_that_is_no_event_is_refused_with_the_reason() {
        let refused = |line: &str| match parse_new(line.as_bytes()) {
            Err(Failure::BadInput(reason)) => reason,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(refused(r#"["T", 1, null, null]"#), "not a JSON object");
        assert_eq!(refused(r#"{"type":"T"}"#), "missing field `data` at column 12");
        assert_eq!(refused(r#"{"data":1}"#), "missing field `type` at column 10");
        assert_eq!(refused(r#"{"type":"","data":1}"#), "the event type is empty");
        assert!(refused(r#"{"type":"T","data":1} x"#).starts_with("trailing characters"));
        assert!(refused(r#"{"type":"T","data":1,"data":2}"#).starts_with("duplicate field `data`"));
        assert!(refused(r#"{"type":"T","data":1,"id":"7"}"#).starts_with("`7` is no UUID"));
    }
}
