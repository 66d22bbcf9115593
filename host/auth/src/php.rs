//! PHP lists in JSON: `json_encode` writes a list with a removed element as an object,
//! `{"0": "ROLE_A", "2": "ROLE_B"}`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Elements of an array, or values of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhpList<T>(pub Vec<T>);

impl<T> Default for PhpList<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PhpList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = PhpList<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<PhpList<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(PhpList(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<PhpList<T>, A::Error> {
        let mut list = Vec::new();
        while let Some((IgnoredAny, value)) = entries.next_entry()? {
            list.push(value);
        }
        Ok(PhpList(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_and_objects() {
        let check = |json: &str, expect: Option<&[u64]>| {
            let list = serde_json::from_str::<PhpList<u64>>(json).ok();
            assert_eq!(list.as_ref().map(|list| list.0.as_slice()), expect, "{json}");
        };
        check("[]", Some(&[]));
        check("{}", Some(&[]));
        check("[3, 1]", Some(&[3, 1]));
        check(r#"{"2": 3, "x": 1}"#, Some(&[3, 1]));
        check(r#"{"2": "3"}"#, None);
        check("3", None);
        check("null", None);
        check("\"3\"", None);
    }
}
