//! Value of a plugin's store as JSON: a text if it is UTF-8, `{"base64": "…"}` if it is not.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value of a store: mostly a text.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StoreValue(pub Vec<u8>);

/// Its form in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Binary { base64: String },
}

impl StoreValue {
    /// Its bytes in Base64.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

impl Serialize for StoreValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Form::Binary { base64: self.base64() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StoreValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into_bytes())),
            Form::Binary { base64 } => STANDARD.decode(base64).map(Self).map_err(D::Error::custom),
        }
    }
}

impl fmt::Debug for StoreValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_byte() {
        for bytes in [&b""[..], b"a\"\n", b"\xff\x00", "é".as_bytes()] {
            let text = serde_json::to_string(&StoreValue(bytes.to_vec())).unwrap();
            assert_eq!(serde_json::from_str::<StoreValue>(&text).unwrap().0, bytes, "{text}");
        }
        serde_json::from_str::<StoreValue>("{\"base64\":\"not\"}").unwrap_err();
    }
}
