//! Attributes of payload passthru mode: how the clients have packed the payload, which the router
//! does not open. WAMP v2 specification, section "Payload Passthru Mode".

/// The attributes of a packed payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passthru {
    values: [Option<String>; 4],
}

/// The names of the attributes; the first is required.
pub(crate) const KEYS: [&str; 4] = ["ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid"];

/// Longest value of an attribute in bytes.
pub(crate) const MAX_VALUE_BYTES: usize = 255;
/// The values, in errors.
pub(crate) const SHORT_TEXT: &str = "a string of at most 255 bytes";

/// Predefined schemes, and the prefix of all others.
const SCHEMES: [&str; 2] = ["wamp", "mqtt"];
const OWN_SCHEME: &str = "x_";

impl Passthru {
    /// Creates the attributes in the order of [`KEYS`]. `None` without a valid scheme.
    pub(crate) fn new(values: [Option<String>; 4]) -> Option<Self> {
        let scheme = values.first()?.as_deref()?;
        let is_own = scheme.len() > OWN_SCHEME.len() && scheme.starts_with(OWN_SCHEME);
        (is_own || SCHEMES.contains(&scheme)).then_some(Self { values })
    }

    /// Returns the attributes that are given, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &str)> {
        KEYS.into_iter().zip(&self.values).filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }
}
