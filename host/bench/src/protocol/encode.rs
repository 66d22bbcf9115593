//! Encoding of messages in each serializer.

use serde::Serialize;

use crate::plan::Serializer;

/// Appends a message.
pub(crate) fn encode(serializer: Serializer, out: &mut Vec<u8>, message: &impl Serialize) {
    // Writing to a vector cannot fail, and messages hold only lists, dictionaries, texts and
    // numbers.
    let _infallible = match serializer {
        Serializer::Json => serde_json::to_writer(out, message).is_ok(),
        Serializer::MessagePack => rmpv::ext::to_value(message)
            .is_ok_and(|value| rmpv::encode::write_value(out, &value).is_ok()),
        Serializer::Cbor => ciborium::into_writer(message, out).is_ok(),
    };
}

/// A dictionary.
pub(crate) struct Dict<'a, V>(pub(crate) &'a [(&'a str, V)]);

impl<V: Serialize> Serialize for Dict<'_, V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Returns the text of a publication, which is ASCII.
pub(crate) fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}
