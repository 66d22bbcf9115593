//! Event of a plugin, validated: two JSON texts of the right type.
//!
//! It is validated once, here: well-formed, nested no deeper than serde_json's default limit, with
//! numbers in range and without lone surrogates.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::contract::types;

/// The payload of a publication, a call or a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginEvent {
    args: String,
    kwargs: String,
}

impl PluginEvent {
    /// An event of the host, whose texts are a JSON array and a JSON object.
    pub fn of_host(args: String, kwargs: String) -> Self {
        Self { args, kwargs }
    }

    /// The text of a JSON array.
    pub fn args(&self) -> &str {
        &self.args
    }

    /// The text of a JSON object.
    pub fn kwargs(&self) -> &str {
        &self.kwargs
    }

    /// The two texts.
    pub fn into_parts(self) -> (String, String) {
        (self.args, self.kwargs)
    }

    /// Validates an event of a guest.
    pub(crate) fn parse(event: types::Event) -> Result<Self, String> {
        let types::Event { args, kwargs } = event;
        Self::from_texts(args, kwargs)
    }

    /// Validates the texts of an event.
    pub fn from_texts(args: String, kwargs: String) -> Result<Self, String> {
        serde_json::from_str::<Array>(&args)
            .map_err(|e| format!("args is not the text of a JSON array: {e}"))?;
        serde_json::from_str::<Object>(&kwargs)
            .map_err(|e| format!("kwargs is not the text of a JSON object: {e}"))?;
        Ok(Self { args, kwargs })
    }

    /// Size towards the output limit, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.args.len() + self.kwargs.len()
    }
}

impl<'de> Deserialize<'de> for PluginEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Texts {
            args: String,
            kwargs: String,
        }
        let Texts { args, kwargs } = Texts::deserialize(deserializer)?;
        Self::from_texts(args, kwargs).map_err(D::Error::custom)
    }
}

impl From<PluginEvent> for types::Event {
    fn from(event: PluginEvent) -> Self {
        let PluginEvent { args, kwargs } = event;
        Self { args, kwargs }
    }
}

struct Array;
struct Object;
/// Any JSON value, validated and discarded.
struct ValidJson;

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ValidJsonVisitor).map(|ValidJson| Self)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ValidJsonVisitor).map(|ValidJson| Self)
    }
}

impl<'de> Deserialize<'de> for ValidJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValidJsonVisitor)
    }
}

struct ValidJsonVisitor;

impl<'de> Visitor<'de> for ValidJsonVisitor {
    type Value = ValidJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of args or an object of kwargs")
    }

    fn visit_unit<E: Error>(self) -> Result<ValidJson, E> {
        Ok(ValidJson)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<ValidJson, E> {
        Ok(ValidJson)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<ValidJson, E> {
        Ok(ValidJson)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<ValidJson, E> {
        Ok(ValidJson)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<ValidJson, E> {
        Ok(ValidJson)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<ValidJson, E> {
        Ok(ValidJson)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ValidJson, A::Error> {
        while seq.next_element::<ValidJson>()?.is_some() {}
        Ok(ValidJson)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ValidJson, A::Error> {
        while map.next_entry::<ValidJson, ValidJson>()?.is_some() {}
        Ok(ValidJson)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &str, kwargs: &str, expected: Result<(), &str>) {
        let event = types::Event { args: args.to_owned(), kwargs: kwargs.to_owned() };
        let found = PluginEvent::parse(event).map(|_| ());
        match (&found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(text), Err(part)) if text.contains(part) => {}
            _ => panic!("{args} and {kwargs} gave {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn accepts_json_lists_and_objects_only() {
        check("[]", "{}", Ok(()));
        check(r#"[1, -2.5e3, "a\u00e9\ud83d\ude00", null, true, [], {"a": {}}]"#, " {} ", Ok(()));
        check(r#"["\u0000AQID"]"#, r#"{"a": "\u0000AQID"}"#, Ok(()));
        check("", "{}", Err("args is not"));
        check("{}", "{}", Err("args is not"));
        check("1", "{}", Err("args is not"));
        check("null", "{}", Err("args is not"));
        check("[", "{}", Err("args is not"));
        check("[1,]", "{}", Err("args is not"));
        check("[1] 2", "{}", Err("args is not"));
        check("[nan]", "{}", Err("args is not"));
        check("[]", "", Err("kwargs is not"));
        check("[]", "[]", Err("kwargs is not"));
        check("[]", "{a: 1}", Err("kwargs is not"));
    }

    #[test]
    fn rejects_json_that_strict_parsers_reject() {
        check(r#"["\ud800 a"]"#, "{}", Err("hex escape"));
        check("[1e999]", "{}", Err("number out of range"));
        check(&format!("{}{}", "[".repeat(1000), "]".repeat(1000)), "{}", Err("recursion"));
    }
}
