//! Typed events: between an enum of the domain and what a store holds.
//!
//! ```text
//!   stored                                            read
//!   type `UserRegistered`, version 1  --upcaster-->   `UserCreated`, version 2  --upcaster-->  version 3  -->  the enum
//! ```
//!
//! What is written is always the newest version. Its number stands in the event's metadata as `schemaVersion`; an event
//! without one is of version 1.
//!
//! Invariants:
//!
//! - stored events are never changed: an old one is made a new one each time that it is read;
//! - an event of a version that this program does not know is an error, and never read as another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, Value};

use super::{error::ModelError, variants::variants};
use crate::event::{InvalidInput, NewEvent, RecordedEvent};

/// The events of a domain: an enum whose variants each are one event type, with the data as the variant's content.
///
/// The name that serde gives a variant is the event's type in the store, and the variant's content is the payload, as
/// JSON. So serde's default form of an enum must stay: no `tag`, no `untagged`.
///
/// ```
/// use factlog::model::DomainEvent;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// enum CounterEvent {
///     #[serde(rename = "CountedEvent")]
///     Counted { by: u64 },
/// }
///
/// impl DomainEvent for CounterEvent {}
///
/// let event = CounterEvent::Counted { by: 2 }.to_new_event()?;
/// assert_eq!(event.event_type, "CountedEvent");
/// assert_eq!(event.payload, r#"{"by":2}"#);
/// assert_eq!(CounterEvent::types(), ["CountedEvent"]);
/// # Ok::<(), factlog::model::ModelError>(())
/// ```
///
/// When the data of a type has to change in a way that serde cannot bridge, or a type gets another name, the enum gets the
/// new form and [`DomainEvent::UPCASTERS`] the way from the old one.
pub trait DomainEvent: Serialize + DeserializeOwned + Send + Sync {
    /// How events of older versions become newer ones. Each leads one version on; together they are a chain.
    const UPCASTERS: &'static [Upcaster] = &[];

    /// The type of each variant, as serde names it.
    fn types() -> &'static [&'static str] {
        variants::<Self>()
    }

    /// The version in which events of a type are written: 1, until an upcaster leads to a higher one.
    fn schema_version(event_type: &str) -> u32 {
        let leading_here = Self::UPCASTERS.iter().filter(|upcaster| upcaster.to == event_type);
        leading_here.map(|upcaster| upcaster.version + 1).max().unwrap_or(1)
    }

    /// This event as the store takes it, under a new id.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON, or not in serde's default form of an enum.
    fn to_new_event(&self) -> Result<NewEvent, ModelError> {
        let not_json = |reason: String| InvalidInput::Json { what: "event", reason };
        let tagged = serde_json::to_string(self).map_err(|error| not_json(error.to_string()))?;
        let (event_type, data) = split(&tagged).map_err(|error| not_json(error.to_string()))?;
        if !Self::types().contains(&event_type.as_str()) {
            let reason = format!("`{event_type}` is none of the types {:?}", Self::types());
            return Err(not_json(reason).into());
        }
        let version = Self::schema_version(&event_type);
        let event = NewEvent::json(event_type, &data)?;
        if version == 1 { Ok(event) } else { Ok(event.with_json_metadata(&Schema { schema_version: version })?) }
    }

    /// The event that the store holds; `None` when it is of none of [`DomainEvent::types`], nor was ever.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableEvent`] when its payload does not fit its type, or it is of a version of its type that this
    /// program does not know.
    fn from_recorded(event: &RecordedEvent) -> Result<Option<Self>, ModelError> {
        let event_type = event.event_type();
        let was_known = Self::UPCASTERS.iter().any(|upcaster| upcaster.from == event_type.as_str());
        if !was_known && !Self::types().contains(&event_type.as_str()) {
            return Ok(None);
        }
        let unreadable = |reason: String| ModelError::unreadable(event, reason);
        let version = schema_version_of(event)?;
        if let Some(first) = upcaster(Self::UPCASTERS, event_type.as_str(), version) {
            let payload = event.json().map_err(|error| unreadable(error.to_string()))?;
            let (newest, version, payload) = upcast(Self::UPCASTERS, first, payload).map_err(unreadable)?;
            let payload = serde_json::to_vec(&payload).map_err(|error| unreadable(error.to_string()))?;
            return read(event, newest, version, &payload);
        }
        read(event, event_type.as_str(), version, &event.payload())
    }
}

/// Makes an event of one version of a type one of the next version, or of another type.
///
/// ```
/// use factlog::model::{DomainEvent, Upcaster};
/// use serde_json::{Value, json};
///
/// /// Was `UserRegistered` with one `name` once, and then had two.
/// #[derive(serde::Serialize, serde::Deserialize)]
/// enum UserEvent {
///     UserCreated { first: String, last: String },
/// }
///
/// fn split_name(mut data: Value) -> Result<Value, String> {
///     let name = data["name"].as_str().ok_or("no name")?;
///     let (first, last) = name.split_once(' ').unwrap_or((name, ""));
///     Ok(json!({"first": first, "last": last}))
/// }
///
/// impl DomainEvent for UserEvent {
///     const UPCASTERS: &'static [Upcaster] = &[
///         Upcaster::rename("UserRegistered", 1, "UserCreated"),
///         Upcaster::new("UserCreated", 2, split_name),
///     ];
/// }
///
/// assert_eq!(UserEvent::schema_version("UserCreated"), 3);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Upcaster {
    from: &'static str,
    version: u32,
    to: &'static str,
    upcast: fn(Value) -> Result<Value, String>,
}

impl Upcaster {
    /// From a version of a type to the next one. The function is given the old payload and returns the new one, or why it
    /// cannot.
    pub const fn new(event_type: &'static str, version: u32, upcast: fn(Value) -> Result<Value, String>) -> Upcaster {
        Upcaster { from: event_type, version, to: event_type, upcast }
    }

    /// From a version of a type to the next version under another name, with the same data.
    pub const fn rename(event_type: &'static str, version: u32, to: &'static str) -> Upcaster {
        Upcaster { from: event_type, version, to, upcast: Ok }
    }

    /// The same, but its events get another name as well.
    pub const fn renamed(mut self, to: &'static str) -> Upcaster {
        self.to = to;
        self
    }
}

#[derive(Serialize, Deserialize)]
struct Schema {
    #[serde(rename = "schemaVersion", default = "one")]
    schema_version: u32,
}

fn one() -> u32 {
    1
}

/// Takes the name of the variant and its content out of the JSON of an enum.
fn split(tagged: &str) -> serde_json::Result<(String, Box<RawValue>)> {
    if tagged.starts_with('"') {
        return Ok((serde_json::from_str(tagged)?, RawValue::NULL.to_owned()));
    }
    let parts: BTreeMap<String, Box<RawValue>> = serde_json::from_str(tagged)?;
    let part = parts.into_iter().next();
    part.ok_or_else(|| serde::de::Error::custom(format_args!("`{tagged}` has no event type")))
}

/// The version that the metadata names. Metadata that is no JSON object names none.
fn schema_version_of(event: &RecordedEvent) -> Result<u32, ModelError> {
    let metadata = event.metadata();
    if metadata.first() != Some(&b'{') {
        return Ok(1);
    }
    let schema: Schema = serde_json::from_slice(&metadata)
        .map_err(|error| ModelError::unreadable(event, format!("its metadata: {error}")))?;
    Ok(schema.schema_version)
}

fn upcaster<'a>(upcasters: &'a [Upcaster], event_type: &str, version: u32) -> Option<&'a Upcaster> {
    upcasters.iter().find(|upcaster| upcaster.from == event_type && upcaster.version == version)
}

/// Goes along the chain to its end. It has one, since each step leads to a higher version.
fn upcast(upcasters: &[Upcaster], first: &Upcaster, mut payload: Value) -> Result<(&'static str, u32, Value), String> {
    let mut step = first;
    loop {
        let Upcaster { from, version, to, upcast } = *step;
        payload = upcast(payload).map_err(|reason| format!("from version {version} of `{from}` on: {reason}"))?;
        match upcaster(upcasters, to, version + 1) {
            Some(next) => step = next,
            None => return Ok((to, version + 1, payload)),
        }
    }
}

/// Reads a payload of the newest version of a type that is known, or was.
fn read<E: DomainEvent>(
    event: &RecordedEvent,
    event_type: &str,
    version: u32,
    payload: &[u8],
) -> Result<Option<E>, ModelError> {
    if !E::types().contains(&event_type) {
        let reason = format!("it is of version {version} of `{event_type}`, which nothing leads on from");
        return Err(ModelError::unreadable(event, reason));
    }
    let known = E::schema_version(event_type);
    if version != known {
        let reason = format!("it is of version {version} of `{event_type}`, and version {known} was expected");
        return Err(ModelError::unreadable(event, reason));
    }
    let mut tagged = Vec::with_capacity(payload.len() + event_type.len() + 5);
    tagged.extend_from_slice(b"{\"");
    tagged.extend_from_slice(event_type.as_bytes());
    tagged.extend_from_slice(b"\":");
    tagged.extend_from_slice(payload);
    tagged.push(b'}');
    serde_json::from_slice(&tagged).map(Some).map_err(|error| ModelError::unreadable(event, error.to_string()))
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
