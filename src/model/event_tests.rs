use super::*;
use crate::event::{EventId, Recorded, StreamName, Timestamp};
use crate::version::{Position, Version};
use serde_json::json;

fn recorded(event_type: &str, metadata: &str, payload: &str) -> RecordedEvent {
    let recorded = Recorded {
        position: Position::FIRST,
        version: Version::FIRST,
        id: EventId::generate(),
        timestamp: Timestamp::from_micros(0),
    };
    let (stream, event_type) = (StreamName::new("user-1").unwrap(), event_type.parse().unwrap());
    RecordedEvent::new(recorded, &stream, &event_type, metadata.as_bytes(), payload.as_bytes())
}

/// Once `Registered {name}`, then `Created {name}`, then `Created {first, last}`, and now with an e-mail address.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum UserEvent {
    Created { first: String, last: String, email: String },
    Deleted,
    Renamed(String),
}

fn split_name(data: Value) -> Result<Value, String> {
    let name = data["name"].as_str().ok_or("no name")?;
    let (first, last) = name.split_once(' ').unwrap_or((name, ""));
    Ok(json!({"first": first, "last": last}))
}

fn add_email(mut data: Value) -> Result<Value, String> {
    data["email"] = "".into();
    Ok(data)
}

impl DomainEvent for UserEvent {
    const UPCASTERS: &'static [Upcaster] = &[
        Upcaster::rename("Registered", 1, "Created"),
        Upcaster::new("Created", 2, split_name),
        Upcaster::new("Created", 3, add_email),
        Upcaster::new("Named", 1, |data| Ok(data["name"].clone())).renamed("Renamed"),
    ];
}

fn created(email: &str) -> UserEvent {
    UserEvent::Created { first: "Ann".into(), last: "Lee".into(), email: email.into() }
}

fn read(event_type: &str, metadata: &str, payload: &str) -> Result<Option<UserEvent>, ModelError> {
    UserEvent::from_recorded(&recorded(event_type, metadata, payload))
}

#[test]
fn events_of_every_older_version_and_name_are_read_as_the_newest() {
    let v1 = read("Registered", "", r#"{"name":"Ann Lee"}"#);
    let v2 = read("Created", r#"{"schemaVersion":2}"#, r#"{"name":"Ann Lee"}"#);
    let v3 = read("Created", r#"{"by":"me","schemaVersion":3}"#, r#"{"first":"Ann","last":"Lee"}"#);
    let v4 = read("Created", r#"{"schemaVersion":4}"#, r#"{"first":"Ann","last":"Lee","email":"a@b"}"#);
    for (old, email) in [(v1, ""), (v2, ""), (v3, ""), (v4, "a@b")] {
        assert_eq!(old.unwrap(), Some(created(email)));
    }
    assert_eq!(read("Named", "", r#"{"name":"Bo"}"#).unwrap(), Some(UserEvent::Renamed("Bo".into())));
}

#[test]
fn what_is_written_names_its_version_and_is_read_back() {
    for (event, event_type, metadata, payload) in [
        (created("a@b"), "Created", r#"{"schemaVersion":4}"#, r#"{"first":"Ann","last":"Lee","email":"a@b"}"#),
        (UserEvent::Renamed("Bo".into()), "Renamed", r#"{"schemaVersion":2}"#, r#""Bo""#),
        (UserEvent::Deleted, "Deleted", "", "null"),
    ] {
        let new_event = event.to_new_event().unwrap();
        assert_eq!(new_event.event_type, event_type);
        assert_eq!((&new_event.metadata[..], &new_event.payload[..]), (metadata.as_bytes(), payload.as_bytes()));
        assert_eq!(read(event_type, metadata, payload).unwrap(), Some(event));
    }
}

#[test]
fn a_version_that_nothing_leads_from_is_an_error_that_names_both() {
    for (metadata, found) in [(r#"{"schemaVersion":5}"#, 5), (r#"{"schemaVersion":0}"#, 0), ("", 1)] {
        let error = read("Created", metadata, r#"{"first":"Ann","last":"Lee","email":""}"#).unwrap_err().to_string();
        let wanted = format!("it is of version {found} of `Created`, and version 4 was expected");
        assert!(error.contains(&wanted) && error.contains("event 1 of stream `user-1`"), "{error}");
    }
    // Nor is one of an older name passed over as if that name had never been known.
    let error = read("Registered", r#"{"schemaVersion":2}"#, r#"{"name":"Ann Lee"}"#).unwrap_err().to_string();
    assert!(error.contains("it is of version 2 of `Registered`, which nothing leads on from"), "{error}");
    assert!(read("Created", r#"{"schemaVersion":"2"}"#, "{}").unwrap_err().to_string().contains("metadata"));
}

#[test]
fn an_upcaster_that_cannot_read_the_old_data_is_an_error_that_names_the_step() {
    let error = read("Registered", "", "{}").unwrap_err().to_string();
    assert!(error.contains("from version 2 of `Created` on: no name"), "{error}");
    assert!(read("Registered", "", "no JSON").is_err());
}

#[test]
fn a_type_that_was_never_known_is_none_and_no_error() {
    for metadata in ["", "no JSON", "{", r#"{"schemaVersion":9}"#] {
        assert_eq!(read("Lost", metadata, "no JSON").unwrap(), None);
    }
}

#[test]
fn an_enum_in_another_form_than_serdes_default_is_refused_when_it_is_written() {
    #[derive(Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Done { n: u8 },
    }
    impl DomainEvent for Tagged {}
    assert_eq!(Tagged::types(), [""; 0]);
    assert!(Tagged::Done { n: 1 }.to_new_event().is_err());
}
