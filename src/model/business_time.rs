//! The time at which something happened, as the command that brought it says.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::event::{InvalidInput, Timestamp};

/// A moment named by a command and kept in an event's data. It says nothing about when the event was recorded, and no
/// rule depends on its order.
///
/// Its text form is RFC 3339 in UTC, between the years 0 and 9999: `2018-08-15T10:10:18Z`, with six more digits only
/// when there is a fraction of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusinessTime(Timestamp);

impl BusinessTime {
    /// The present moment by the system's clock.
    pub fn now() -> BusinessTime {
        BusinessTime(Timestamp::now())
    }

    /// The moment as the store counts it.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }

    /// The same moment always with its six digits of a second, so that the texts sort as the moments do.
    pub fn to_sortable(self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for BusinessTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match text.strip_suffix(".000000Z") {
            Some(seconds) => write!(f, "{seconds}Z"),
            None => f.write_str(&text),
        }
    }
}

impl FromStr for BusinessTime {
    type Err = InvalidInput;

    /// Parses an RFC 3339 time; digits finer than a microsecond are cut off.
    fn from_str(text: &str) -> Result<BusinessTime, InvalidInput> {
        let timestamp: Timestamp = text.parse()?;
        // Years before 0 have a sign and no place in RFC 3339; they would sort after all others.
        if timestamp.to_string().starts_with('-') {
            return Err(InvalidInput::Time { text: text.to_owned() });
        }
        Ok(BusinessTime(timestamp))
    }
}

impl Serialize for BusinessTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BusinessTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_written_without_a_fraction() {
        let written = |text: &str| text.parse::<BusinessTime>().unwrap().to_string();
        assert_eq!(written("2018-08-15T10:10:18Z"), "2018-08-15T10:10:18Z");
        assert_eq!(written("2018-08-15T12:10:18.000+02:00"), "2018-08-15T10:10:18Z");
        assert_eq!(written("2018-08-15T10:10:18.5Z"), "2018-08-15T10:10:18.500000Z");
    }

    #[test]
    fn sortable_texts_sort_by_the_instant_whatever_was_typed() {
        let sortable = |text: &str| text.parse::<BusinessTime>().unwrap().to_sortable();
        assert!(sortable("2018-08-15T10:10:18Z") < sortable("2018-08-15T10:10:18.000001Z"));
        assert!(sortable("2018-08-15T23:00:00+09:00") < sortable("2018-08-15T15:00:00Z"));
    }

    #[test]
    fn what_is_no_time_of_rfc_3339_is_refused() {
        for text in ["", "yesterday", "2018-08-15", "2018-08-15T10:10:18", "-000001-01-01T00:00:00Z"] {
            assert!(text.parse::<BusinessTime>().is_err(), "{text}");
        }
    }
}
