//! The times of events.

use std::{fmt, str::FromStr};

use super::InvalidInput;

/// A moment in UTC, to the microsecond. Its text form is RFC 3339: `2018-08-15T10:10:18.000000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many microseconds after 1970-01-01T00:00:00Z, or before it when negative.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whether it lies in the years that RFC 3339 texts are read and written for, -9999 to 9999.
    pub(crate) fn has_text_form(self) -> bool {
        jiff::Timestamp::from_microsecond(self.0).is_ok()
    }

    /// The present moment by the system's clock.
    pub fn now() -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_microsecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidInput;

    /// Parses an RFC 3339 time; digits finer than a microsecond are cut off.
    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let invalid = || InvalidInput::Time { text: text.to_owned() };
        let time: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
        Ok(Timestamp(time.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_microseconds_and_read_back_the_same() {
        let time: Timestamp = "2018-08-15T10:10:18Z".parse().unwrap();
        assert_eq!(time.to_string(), "2018-08-15T10:10:18.000000Z");
        assert_eq!(
            "2018-08-15T12:10:18.123456789+02:00".parse::<Timestamp>().unwrap().to_string(),
            "2018-08-15T10:10:18.123456Z"
        );
        assert_eq!(
            "0001-02-03T04:05:06.000007Z".parse::<Timestamp>().unwrap().to_string(),
            "0001-02-03T04:05:06.000007Z"
        );
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert!("2018-08-15T10:10:18".parse::<Timestamp>().is_err());
    }
}
