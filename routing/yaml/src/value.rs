//! A tree in which every value knows where it was written: in a file, or in a variable or flag.
//! Nothing here knows which keys there are; [`crate::de`] reads the tree.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Number;

use crate::document::document;
use crate::node::{Node, NodeKind};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// These bytes of the file.
    File(Range<usize>),
    /// A variable or flag of this name.
    Set(Arc<str>),
}

/// A value.
#[derive(Clone, Debug)]
pub struct Value {
    /// Where it was written.
    pub origin: Origin,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Value`] is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// With its spelling.
    Number(Number, String),
    /// Anything else that is one value.
    Text(String),
    /// What was typed into a variable or flag: text where text belongs, and YAML where a number, a
    /// list or a map does. So a secret is what it is, whatever characters are in it.
    Typed(String),
    /// Its elements.
    List(Vec<Value>),
    /// Its keys, each once, with their values.
    Map(Vec<Entry>),
}

/// A key of a map, and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its spelling.
    pub key: String,
    /// Where the key was written.
    pub origin: Origin,
    /// The value.
    pub value: Value,
}

/// One step from a value to one that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Element(usize),
}

/// The way from the root to a value. Shown as keys with dots between them; which element of a list
/// it is, its place tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Value {
    /// A file's document.
    pub fn of_file(node: Node) -> Self {
        Self::of_yaml(node, &mut Origin::File)
    }

    /// The value that was typed, for where no text belongs; `None` if it is not YAML.
    pub(crate) fn of_typed(name: &Arc<str>, text: &str) -> Option<Self> {
        let (node, problems) = document("", text);
        let node = node.filter(|_| problems.is_empty())?;
        Some(Self::of_yaml(node, &mut |_| Origin::Set(Arc::clone(name))))
    }

    /// A map without keys.
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

    /// Puts what was typed where the keys lead to, in the place of whatever is in its way. Where it
    /// is a map and `merges`, the keys that it does not have keep what they are.
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

    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value below these keys; a step through a list is its element's number.
    pub fn at(&self, keys: &str) -> Option<&Self> {
        keys.split('.').try_fold(self, |node, key| match &node.kind {
            Kind::Map(_) => node.get(key),
            Kind::List(items) => items.get(key.parse::<usize>().ok()?),
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::Typed(_) => None,
        })
    }

    /// The same with lists and maps that were typed as YAML, to find a place in it.
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

    /// How many values are in it.
    pub const fn count(&self) -> usize {
        match &self.kind {
            Kind::List(items) => items.len(),
            Kind::Map(entries) => entries.len(),
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::Typed(_) => 0,
        }
    }

    /// Takes a value out; false if it is the root, which cannot be.
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

    /// What it is, in words for a message, and without the value.
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
    /// Whether it leads through where the other does.
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
