//! Tree of values, each with its origin: a file, a variable or a flag. It knows no keys;
//! [`crate::de`] deserializes it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Number;

use crate::document::document;
use crate::node::{Node, NodeKind};

/// Origin of a value or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A byte range of the file.
    File(Range<usize>),
    /// A variable or flag of this name.
    Set(Arc<str>),
}

/// Value with its origin.
#[derive(Clone, Debug)]
pub struct Value {
    /// The origin.
    pub origin: Origin,
    /// The kind and content.
    pub kind: Kind,
}

/// Kind and content of a [`Value`].
#[derive(Clone, Debug)]
pub enum Kind {
    /// Empty, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number and its spelling.
    Number(Number, String),
    /// Any other scalar.
    Text(String),
    /// The text of a variable or flag. It is text where text is expected, and YAML where a number,
    /// a list or a map is. A secret is therefore taken literally, whatever characters it contains.
    Typed(String),
    /// The elements of a list.
    List(Vec<Value>),
    /// The keys of a map with their values, each key once.
    Map(Vec<Entry>),
}

/// Key of a map, and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// The origin of the key.
    pub origin: Origin,
    /// The value.
    pub value: Value,
}

/// Step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key of a map.
    Key(String),
    /// An index of a list, counted from 0.
    Element(usize),
}

/// Steps from the root to a value. Shown as keys separated by dots, without indexes of lists: the
/// place shows the element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Value {
    /// Converts a file's document.
    pub fn of_file(node: Node) -> Self {
        Self::of_yaml(node, &mut Origin::File)
    }

    /// Parses the text of a variable or flag as YAML; `None` if it is invalid.
    pub(crate) fn of_typed(name: &Arc<str>, text: &str) -> Option<Self> {
        let (node, problems) = document("", text);
        let node = node.filter(|_| problems.is_empty())?;
        Some(Self::of_yaml(node, &mut |_| Origin::Set(Arc::clone(name))))
    }

    /// Creates a map without keys.
    pub const fn empty_map(origin: Origin) -> Self {
        Self { origin, kind: Kind::Map(Vec::new()) }
    }

    fn of_yaml(node: Node, origin: &mut impl FnMut(Range<usize>) -> Origin) -> Self {
        let Node { kind, range, .. } = node;
        let kind = match kind {
            NodeKind::Null => Kind::Null,
            NodeKind::Bool(value) => Kind::Bool(value),
            NodeKind::Number(number, spelling) => Kind::Number(number, spelling),
            NodeKind::Text(text) => Kind::Text(text),
            NodeKind::List(items) => {
                Kind::List(items.into_iter().map(|item| Self::of_yaml(item, origin)).collect())
            }
            NodeKind::Map(entries) => {
                let entry = |(key, value): (Node, Node)| Entry {
                    key: key.spelling(),
                    origin: origin(key.range),
                    value: Self::of_yaml(value, origin),
                };
                Kind::Map(entries.into_iter().map(entry).collect())
            }
        };
        Self { origin: origin(range), kind }
    }

    /// Sets the value at `keys` to the text of a variable or flag, and replaces values on the way
    /// that are not maps. With `merges`, a map keeps its keys that are not in the text.
    pub fn set(&mut self, keys: &[String], name: &Arc<str>, text: &str, merges: bool) {
        let typed = Self { origin: Origin::Set(Arc::clone(name)), kind: Kind::Typed(text.into()) };
        let Some((key, rest)) = keys.split_first() else {
            let map = Self::of_typed(name, text).filter(|_| merges);
            match map {
                Some(map) if matches!(map.kind, Kind::Map(_)) => self.merge(map),
                _ => *self = typed,
            }
            return;
        };
        if !matches!(self.kind, Kind::Map(_)) {
            *self = Self::empty_map(typed.origin.clone());
        }
        if let Kind::Map(entries) = &mut self.kind {
            let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
                let (key, origin) = (key.clone(), typed.origin.clone());
                let value = Self { origin: origin.clone(), kind: Kind::Null };
                entries.push(Entry { key, origin, value });
                entries.len() - 1
            });
            if let Some(entry) = entries.get_mut(at) {
                entry.value.set(rest, name, text, merges);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        match (&mut self.kind, other.kind) {
            (Kind::Map(own), Kind::Map(others)) => {
                for other in others {
                    match own.iter_mut().find(|entry| entry.key == other.key) {
                        Some(entry) => entry.value.merge(other.value),
                        None => own.push(other),
                    }
                }
            }
            (_, kind) => *self = Self { origin: other.origin, kind },
        }
    }

    /// Returns the value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Returns the value at these keys, separated by dots. The key of a list's element is its
    /// index.
    pub fn at(&self, keys: &str) -> Option<&Self> {
        keys.split('.').try_fold(self, |node, key| match &node.kind {
            Kind::Map(_) => node.get(key),
            Kind::List(items) => items.get(key.parse::<usize>().ok()?),
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::Typed(_) => None,
        })
    }

    /// Parses lists and maps in the text of variables and flags, so that values inside can be
    /// found.
    #[must_use]
    pub fn spread(self) -> Self {
        let Self { origin, kind } = self;
        let kind = match (kind, &origin) {
            (Kind::Typed(text), Origin::Set(name)) => match Self::of_typed(name, &text) {
                Some(Self { kind: kind @ (Kind::List(_) | Kind::Map(_)), .. }) => kind,
                _ => Kind::Typed(text),
            },
            (Kind::Map(entries), _) => {
                let spread = |entry: Entry| Entry { value: entry.value.spread(), ..entry };
                Kind::Map(entries.into_iter().map(spread).collect())
            }
            (kind, _) => kind,
        };
        Self { origin, kind }
    }

    /// Returns the number of elements or keys.
    pub const fn count(&self) -> usize {
        match &self.kind {
            Kind::List(items) => items.len(),
            Kind::Map(entries) => entries.len(),
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::Typed(_) => 0,
        }
    }

    /// Removes a value, or the innermost existing one on its path. Returns false if that is the
    /// root, which stays.
    pub fn prune(&mut self, path: &[Step]) -> bool {
        let Some((step, rest)) = path.split_first() else { return false };
        match (&mut self.kind, step) {
            (Kind::Map(entries), Step::Key(key)) => {
                let Some(at) = entries.iter().position(|entry| entry.key == *key) else {
                    return false;
                };
                let deeper = entries.get_mut(at).is_some_and(|entry| entry.value.prune(rest));
                if !deeper {
                    entries.remove(at);
                }
                true
            }
            (Kind::List(items), Step::Element(at)) if *at < items.len() => {
                let deeper = items.get_mut(*at).is_some_and(|item| item.prune(rest));
                if !deeper {
                    items.remove(*at);
                }
                true
            }
            _ => false,
        }
    }

    /// Describes the kind for a message, without the value.
    pub const fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(..) => "a number",
            Kind::Text(_) | Kind::Typed(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

impl Path {
    /// Returns whether this path leads through `other`, and further.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) && self != other
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Element(_) => None,
        });
        f.write_str(&keys.collect::<Vec<_>>().join("."))
    }
}
