//! Options of payload passthru mode, read from a message together with its other options.

use super::DecodeError;
use super::reader::{MessageReader, OptionValue};
use crate::passthru::{KEYS, MAX_VALUE_BYTES, Passthru, SHORT_TEXT};
use crate::payload::Payload;
use crate::value::{Dict, Value};

/// The attributes of a message, as far as they are read. Null and empty texts count as absent: some
/// clients write all options that they know.
#[derive(Default)]
pub(super) struct PassthruOptions {
    values: [Option<String>; 4],
}

impl PassthruOptions {
    /// Reads an option of the mode; skips an unknown option.
    pub(super) fn read(&mut self, option: OptionValue<'_, '_>) -> Result<(), DecodeError> {
        if is_transparency(option.key) {
            return option.transparency();
        }
        match KEYS.into_iter().zip(&mut self.values).find(|(key, _)| *key == option.key) {
            Some((_, value)) => {
                *value = option.short_text(MAX_VALUE_BYTES)?;
                Ok(())
            }
            None => option.ignore(),
        }
    }

    /// Reads the attributes of `ERROR.Details`.
    pub(super) fn of_details(details: &Dict) -> Result<Self, DecodeError> {
        let mut options = Self::default();
        let is_used = |value: &Value| !matches!(value, Value::Null) && value.as_text() != Some("");
        for (key, value) in details.iter().filter(|(_, value)| is_used(value)) {
            let place = || format!("ERROR.Details.{key}");
            if is_transparency(key) {
                return Err(DecodeError::Transparency { place: place() });
            }
            let slot = KEYS.into_iter().zip(&mut options.values).find(|(name, _)| *name == key);
            let Some((_, slot)) = slot else { continue };
            let text = value.as_text();
            let Some(short) = text.filter(|text| text.len() <= MAX_VALUE_BYTES) else {
                let found = text.map_or_else(
                    || "another type".to_owned(),
                    |text| format!("one of {} bytes", text.len()),
                );
                return Err(DecodeError::WrongOption {
                    place: place(),
                    expected: SHORT_TEXT,
                    found,
                });
            };
            *slot = Some(short.to_owned());
        }
        Ok(options)
    }

    /// Reads the payload, and checks that it is packed as the attributes say.
    pub(super) fn attach(
        self,
        head: &mut MessageReader<'_>,
        element: &'static str,
    ) -> Result<Payload, DecodeError> {
        let payload = head.payload()?;
        if self.values.iter().all(Option::is_none) {
            return Ok(payload);
        }
        let scheme = self.values.first().cloned().flatten();
        let passthru = Passthru::new(self.values).ok_or_else(|| DecodeError::WrongOption {
            place: format!("{}.{element}.ppt_scheme", head.message),
            expected: "\"wamp\", \"mqtt\" or a name that begins with \"x_\"",
            found: scheme.map_or_else(|| "nothing".to_owned(), |scheme| format!("{scheme:?}")),
        })?;
        let place = || format!("{}.Arguments", head.message);
        payload.packed(passthru).ok_or_else(|| DecodeError::Unpacked { place: place() })
    }
}

/// Returns whether the key is an option of payload transparency, the form of Autobahn's clients. A
/// payload forwarded without it would have another meaning.
fn is_transparency(key: &str) -> bool {
    matches!(key, "enc_algo" | "enc_key" | "enc_serializer")
}
