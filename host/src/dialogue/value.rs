//! Values of scripts and of messages: JSON, and in scripts also `_`, `$name` and `...`.

use std::fmt;

/// A value. Received messages have plain JSON only.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// A number as it is written, so that none is rounded.
    Number(String),
    Text(String),
    /// A list; `open` if `...` at its end stands for any further elements.
    List {
        items: Vec<Value>,
        open: bool,
    },
    /// A dictionary; `open` if `...` at its end stands for any further entries.
    Map {
        entries: Vec<(String, Value)>,
        open: bool,
    },
    /// `_`: any value.
    Any,
    /// `$name`: any value at its first use, afterwards the same value.
    Variable(String),
}

impl Value {
    pub(super) fn number(number: u64) -> Self {
        Self::Number(number.to_string())
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List { items, open: false }
    }

    pub(super) fn map(entries: Vec<(String, Self)>) -> Self {
        Self::Map { entries, open: false }
    }

    /// Returns the elements of a list; none for other values.
    pub(super) fn items(&self) -> &[Self] {
        if let Self::List { items, .. } = self { items } else { &[] }
    }

    /// Returns the entries of a dictionary; none for other values.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Self::Map { entries, .. } = self { entries } else { &[] }
    }

    /// Returns the value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Returns the number, if it is an unsigned integer, as ids are.
    pub(super) fn as_id(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.parse().ok() } else { None }
    }

    /// Calls `visit` with the name of each variable, in order.
    pub(super) fn each_variable<'v>(&'v self, visit: &mut dyn FnMut(&'v str)) {
        match self {
            Self::Variable(name) => visit(name),
            Self::List { items, .. } => {
                for item in items {
                    item.each_variable(visit);
                }
            }
            Self::Map { entries, .. } => {
                for (_, value) in entries {
                    value.each_variable(visit);
                }
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Any => {}
        }
    }
}

/// Writes it as in a script, on one line, with control characters escaped.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List { items, open } => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    separate(f, at)?;
                    item.fmt(f)?;
                }
                if *open {
                    separate(f, items.len())?;
                    f.write_str("...")?;
                }
                f.write_str("]")
            }
            Self::Map { entries, open } => {
                f.write_str("{")?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    separate(f, at)?;
                    write!(f, "{}: {value}", quoted(key))?;
                }
                if *open {
                    separate(f, entries.len())?;
                    f.write_str("...")?;
                }
                f.write_str("}")
            }
            Self::Any => f.write_str("_"),
            Self::Variable(name) => write!(f, "${name}"),
        }
    }
}

fn separate(f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result {
    if at == 0 { Ok(()) } else { f.write_str(", ") }
}

/// Returns a text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    jackfield_text::json(&json).into_owned()
}
