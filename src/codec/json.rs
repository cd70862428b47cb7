//! JSON: larger, read by people and by other languages, and forgiving when a type gains a field.

use serde::{Serialize, de::DeserializeOwned};

use super::{Codec, CodecError, CodecId};

/// Values as JSON. Fields that a type has gained since need `#[serde(default)]`, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonCodec;

impl Codec for JsonCodec {
    fn id(&self) -> CodecId {
        CodecId::JSON
    }

    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(|error| CodecError::encode(self.id(), error))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| CodecError::decode(self.id(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_anything_else_is_an_error() {
        let bytes = JsonCodec.encode(&(7, "seven")).unwrap();
        assert_eq!(bytes, br#"[7,"seven"]"#);
        assert_eq!(JsonCodec.decode::<(u8, String)>(&bytes), Ok((7, "seven".to_owned())));
        let error = JsonCodec.decode::<u8>(b"1 2").unwrap_err();
        assert_eq!((error.codec, error.operation), (CodecId::JSON, "decode"));
        assert!(error.to_string().starts_with("cannot decode with the codec json: trailing characters"));
    }
}
