//! Instance of a schema: a payload as a tree, read within bounds.
//!
//! Values that receivers could read differently are refused: a key that appears twice, and bytes,
//! which are a text with a first U+0000 in JSON (WAMP v2 specification, section "Serializers").

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{MAX_LEVELS, SchemaViolation};

/// Arguments of a message.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) value: Value,
    /// Number of values in the tree.
    pub(super) values: usize,
    /// Length of the JSON.
    pub(super) bytes: usize,
}

/// Reader of one value.
struct Reader<'a> {
    state: &'a mut State,
    /// Levels that the value may have.
    levels: usize,
}

#[derive(Default)]
struct State {
    values: usize,
    /// The reason of an error, which serde's errors cannot carry.
    violation: Option<SchemaViolation>,
}

impl Instance {
    pub(super) fn parse(text: &str) -> Result<Self, SchemaViolation> {
        let mut state = State::default();
        let mut json = serde_json::Deserializer::from_str(text);
        // The list of arguments itself is a level.
        let reader = Reader { state: &mut state, levels: MAX_LEVELS + 1 };
        match reader.deserialize(&mut json) {
            Ok(value) => Ok(Self { value, values: state.values, bytes: text.len() }),
            Err(_) => Err(state.violation.unwrap_or_else(SchemaViolation::unreadable)),
        }
    }
}

impl Reader<'_> {
    fn descend<E: Error>(&mut self) -> Result<usize, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(levels),
            None => Err(self.refuse(SchemaViolation::too_deep())),
        }
    }

    fn refuse<E: Error>(&mut self, violation: SchemaViolation) -> E {
        self.state.violation = Some(violation);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        self.state.values += 1;
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<Value, E> {
        match Number::from_f64(value) {
            Some(number) => Ok(number.into()),
            None => Err(self.refuse(SchemaViolation::unreadable())),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(mut self, text: String) -> Result<Value, E> {
        if text.starts_with('\0') {
            return Err(self.refuse(SchemaViolation::bytes()));
        }
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let levels = self.descend::<A::Error>()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Reader { state: &mut *self.state, levels })? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let levels = self.descend::<A::Error>()?;
        let mut entries = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key.starts_with('\0') {
                return Err(self.refuse(SchemaViolation::bytes()));
            }
            if entries.contains_key(&key) {
                return Err(self.refuse(SchemaViolation::repeated(&key)));
            }
            let value = map.next_value_seed(Reader { state: &mut *self.state, levels })?;
            entries.insert(key, value);
        }
        Ok(entries.into())
    }
}
