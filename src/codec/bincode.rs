//! bincode in its first layout: small and fast, for types that are versioned by hand. The one place that names the crate.
//!
//! ```text
//!   integers: little-endian, of their full width     a bool or the tag of an option: one byte
//!   length of a text, list or map: 8 bytes           the variant of an enum: 4 bytes
//!   fields one behind the other, without names
//! ```
//!
//! The layout is plain enough to be written by others: a test below holds it against wincode, so that there is a way to
//! go on should the crate be given up.

use bincode::{
    config,
    serde::{decode_from_slice, encode_to_vec},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Codec, CodecError, CodecId};

/// Values in bincode's first layout. It has no field names: a type that changes needs a new state version.
///
/// Types that must be asked what they are (`serde_json::Value`, untagged and internally tagged enums, flattened structs)
/// cannot be read back; [`super::JsonCodec`] can read those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BincodeCodec;

impl Codec for BincodeCodec {
    fn id(&self) -> CodecId {
        CodecId::BINCODE
    }

    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        encode_to_vec(value, config::legacy()).map_err(|error| CodecError::encode(self.id(), error))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        // A text takes room for all of its length before its bytes are looked for, so the length must be bounded by what
        // is there. The bound is a constant to bincode: the smallest that is enough for so many bytes.
        match bytes.len() {
            ..=0x400 => within::<T, 0x400>(bytes),
            0x401..=0x4000 => within::<T, 0x4000>(bytes),
            0x4001..=0x4_0000 => within::<T, 0x4_0000>(bytes),
            0x4_0001..=0x40_0000 => within::<T, 0x40_0000>(bytes),
            0x40_0001..=0x400_0000 => within::<T, 0x400_0000>(bytes),
            len => Err(CodecError::decode(self.id(), format!("{len} bytes are more than it reads"))),
        }
    }
}

/// The largest state that a snapshot may have can be read back.
const _: () = assert!(crate::limits::SNAPSHOT_BYTES <= 0x400_0000);

fn within<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    let error = |error: &dyn std::fmt::Display| CodecError::decode(CodecId::BINCODE, error);
    let (value, read) =
        decode_from_slice(bytes, config::legacy().with_limit::<LIMIT>()).map_err(|fault| error(&fault))?;
    if read == bytes.len() {
        return Ok(value);
    }
    Err(error(&format_args!("{} bytes are left over behind {read}", bytes.len() - read)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use wincode::{SchemaRead, SchemaWrite};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
    enum Status {
        Open,
        Paid { cents: u64 },
        Sent(String, u32),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
    struct Order {
        id: String,
        customer: Option<u32>,
        status: Vec<Status>,
        weight: f64,
        flags: (bool, i8, u16),
        totals: BTreeMap<String, i64>,
    }

    fn order() -> Order {
        Order {
            id: "order-17".to_owned(),
            customer: Some(9),
            status: vec![Status::Open, Status::Paid { cents: 5998 }, Status::Sent("Olinda".to_owned(), 3)],
            weight: 1.5,
            flags: (true, -2, 0x0304),
            totals: [("a".to_owned(), 1), ("b".to_owned(), -1)].into(),
        }
    }

    #[test]
    fn the_bytes_of_a_value_are_fixed() {
        let bytes = BincodeCodec.encode(&(1u32, "ab", Some(Status::Paid { cents: 7 }))).unwrap();
        let expected =
            [&[1, 0, 0, 0][..], &[2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b'], &[1, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn another_crate_writes_and_reads_the_same_bytes() {
        let bytes = BincodeCodec.encode(&order()).unwrap();
        assert_eq!(wincode::serialize(&order()).unwrap(), bytes);
        assert_eq!(wincode::deserialize::<Order>(&bytes).unwrap(), order());
        assert_eq!(BincodeCodec.decode::<Order>(&bytes), Ok(order()));
    }

    #[test]
    fn bytes_that_are_cut_or_left_over_are_an_error() {
        let bytes = BincodeCodec.encode(&order()).unwrap();
        for at in 0..bytes.len() {
            assert!(BincodeCodec.decode::<Order>(&bytes[..at]).is_err(), "cut at {at}");
        }
        let more = [&bytes[..], &[0]].concat();
        let error = BincodeCodec.decode::<Order>(&more).unwrap_err();
        assert!(error.reason.starts_with("1 bytes are left over"), "{error}");
    }

    #[test]
    fn a_length_that_the_bytes_cannot_have_is_refused_before_room_is_made_for_it() {
        for len in [1u64 << 20, 1 << 40, u64::MAX] {
            let bytes = [&len.to_le_bytes()[..], b"abc"].concat();
            let error = BincodeCodec.decode::<String>(&bytes).unwrap_err();
            assert!(error.reason.contains("LimitExceeded"), "{error}");
            assert!(BincodeCodec.decode::<Vec<u64>>(&bytes).is_err());
            assert!(BincodeCodec.decode::<BTreeMap<String, u64>>(&bytes).is_err());
        }
    }

    #[test]
    fn values_of_every_size_come_back() {
        for size in [0, 1000, 1016, 1017, 0x4000, 0x4_0001, 0x40_0001] {
            let text = "x".repeat(size);
            assert_eq!(BincodeCodec.decode::<String>(&BincodeCodec.encode(&text).unwrap()), Ok(text));
        }
        assert!(BincodeCodec.decode::<String>(&vec![0; 0x400_0001]).is_err());
    }
}
