//! A user of the application, and the hash of the user's password, which is never printed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::named_entries::SecretText;

/// User of the application.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The application's id of the user: a number or another text; not empty.
    pub id: String,
    /// The user's name in tickets.
    pub username: String,
    /// The hash of the password as the application stores it. Without one, all tickets are refused.
    pub password: Option<PasswordHash>,
    /// The user's roles in the application.
    pub roles: Vec<String>,
    /// The user's organization, if there is one.
    pub organization: Option<String>,
    /// Whether the user may log in.
    pub enabled: bool,
    /// Further claims about the user.
    pub claims: Map<String, Value>,
}

/// Password hash. It is sufficient to make tickets, so it is never printed, and its memory is
/// cleared on drop. Never empty.
#[derive(Clone)]
pub struct PasswordHash(Zeroizing<String>);

impl PasswordHash {
    /// Creates a hash; `None` if the text is empty: a user without a password.
    pub fn new(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        (!text.is_empty()).then_some(Self(text))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for PasswordHash {}

/// Password hash as sources write it: text. Errors do not quote other values.
#[derive(Default)]
pub(crate) struct WrittenHash(pub(crate) Option<PasswordHash>);

impl<'de> Deserialize<'de> for WrittenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text =
            SecretText::read(deserializer, "a password hash has to be text: write it in quotes")?;
        Ok(Self(text.and_then(|text| PasswordHash::new(text.to_string()))))
    }
}

/// Identifier as sources write it: a number or text.
pub(crate) struct WrittenId(pub(crate) String);

impl<'de> Deserialize<'de> for WrittenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = WrittenId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or a text that is not empty")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<WrittenId, E> {
        Ok(WrittenId(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<WrittenId, E> {
        Ok(WrittenId(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<WrittenId, E> {
        if value.is_empty() {
            return Err(E::invalid_value(serde::de::Unexpected::Str(value), &self));
        }
        Ok(WrittenId(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_a_password_hash() {
        let user = User {
            id: "1".to_owned(),
            username: "admin".to_owned(),
            password: PasswordHash::new("$2y$13$abcdef".to_owned()),
            roles: Vec::new(),
            organization: None,
            enabled: true,
            claims: Map::new(),
        };
        let printed = format!("{user:?} {user:#?}");
        assert!(!printed.contains("abcdef"), "{printed}");
    }

    #[test]
    fn errors_do_not_repeat_values_that_are_no_hash() {
        let check = |json: &str| {
            let error = serde_json::from_str::<WrittenHash>(json).err().unwrap().to_string();
            assert!(!error.contains("4711"), "{error}");
        };
        check("4711");
        check("-4711");
        check("4711.5");
        check("[\"4711\"]");
        check("{\"4711\": \"4711\"}");
        assert!(serde_json::from_str::<WrittenHash>("null").unwrap().0.is_none());
        assert!(serde_json::from_str::<WrittenHash>("\"\"").unwrap().0.is_none());
    }
}
