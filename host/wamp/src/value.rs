//! Decoded values: dictionaries of details that are read as a whole (HELLO, WELCOME, CHALLENGE …).
//! Arguments of messages stay bytes, see [`crate::payload`].

use bytes::Bytes;

/// A value of any codec.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null, or JavaScript's "undefined".
    Null,
    /// A boolean.
    Bool(bool),
    /// A negative integer. Others are [`Value::UInt`], so that equal numbers are equal values.
    Int(i64),
    /// A non-negative integer.
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes; in JSON a text of `\0` and Base64 (WAMP v2 specification, section "Serializers").
    Binary(Bytes),
    /// A list.
    List(Vec<Value>),
    /// A dictionary.
    Map(Dict),
}

impl Value {
    /// Returns the text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::UInt(_)
            | Self::Float(_)
            | Self::Binary(_)
            | Self::List(_)
            | Self::Map(_) => None,
        }
    }

    /// Returns the list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// Returns the elements of a list, or the values of a dictionary: PHP writes a list with a
    /// removed element as a dictionary.
    pub fn elements(&self) -> impl Iterator<Item = &Value> {
        let list = self.as_list().unwrap_or_default();
        let values = self.as_map().map(|map| map.iter().map(|(_, value)| value));
        list.iter().chain(values.into_iter().flatten())
    }

    /// Returns the dictionary, if it is one.
    pub fn as_map(&self) -> Option<&Dict> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::UInt(number)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Int(number), Self::UInt)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Dict> for Value {
    fn from(dict: Dict) -> Self {
        Self::Map(dict)
    }
}

/// A dictionary in the order of its entries. Of entries with the same key the last one is valid.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Dict(Vec<(String, Value)>);

impl Dict {
    /// Creates an empty dictionary.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the value of a key. Null counts as absent: clients write it for options that they do
    /// not use.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let (_, value) = self.0.iter().rev().find(|(name, _)| name == key)?;
        if *value == Value::Null { None } else { Some(value) }
    }

    /// Sets the value of a key, in place if it exists.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().rev().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// Returns the entries in order, nulls included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Returns the number of entries, nulls included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends an entry without a search for its key, so that decoding stays linear.
    pub(crate) fn push(&mut self, key: String, value: Value) {
        self.0.push((key, value));
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}
