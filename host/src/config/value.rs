//! Settings as a tree in which every value knows where it was written: in the file, or in which
//! variable or flag. Nothing here knows which settings there are; [`super::reader`] reads the tree.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use jackfield_routing::{YamlKind, YamlNode, yaml_document};
use serde_json::Number;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// These bytes of the file.
    File(Range<usize>),
    /// A variable or flag of this name.
    Set(Arc<str>),
}

/// A value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// With its spelling.
    Number(Number, String),
    Text(String),
    /// What was typed into a variable or flag: text where text belongs, and YAML where a number, a
    /// list or a map does. So a secret is what it is, whatever characters are in it.
    Typed(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map, and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) value: Node,
}

/// One step from a value to one that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Element(usize),
}

/// The way from the root to a value. Shown as keys with dots between them; which element of a list
/// it is, its place tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Step>);

impl Node {
    /// A file's settings.
    pub(super) fn of_file(node: YamlNode) -> Self {
        Self::of_yaml(node, &mut Origin::File)
    }

    /// The value that was typed, for where no text belongs; `None` if it is not YAML.
    pub(super) fn of_typed(name: &Arc<str>, text: &str) -> Option<Self> {
        let (node, problems) = yaml_document("", text);
        let node = node.filter(|_| problems.is_empty())?;
        Some(Self::of_yaml(node, &mut |_| Origin::Set(Arc::clone(name))))
    }

    pub(super) const fn empty_map(origin: Origin) -> Self {
        Self { origin, kind: Kind::Map(Vec::new()) }
    }

    fn of_yaml(node: YamlNode, origin: &mut impl FnMut(Range<usize>) -> Origin) -> Self {
        let YamlNode { kind, range, .. } = node;
        let kind = match kind {
            YamlKind::Null => Kind::Null,
            YamlKind::Bool(value) => Kind::Bool(value),
            YamlKind::Number(number, spelling) => Kind::Number(number, spelling),
            YamlKind::Text(text) => Kind::Text(text),
            YamlKind::List(items) => {
                Kind::List(items.into_iter().map(|item| Self::of_yaml(item, origin)).collect())
            }
            YamlKind::Map(entries) => {
                let entry = |(key, value): (YamlNode, YamlNode)| Entry {
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
    pub(super) fn set(&mut self, keys: &[String], name: &Arc<str>, text: &str, merges: bool) {
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

    /// The value below these keys; a step through a list is its element's number.
    pub(super) fn at(&self, keys: &str) -> Option<&Self> {
        keys.split('.').try_fold(self, |node, key| match &node.kind {
            Kind::Map(entries) => {
                entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
            }
            Kind::List(items) => items.get(key.parse::<usize>().ok()?),
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::Typed(_) => None,
        })
    }

    /// The same with lists and maps that were typed as YAML, for who looks for a place in it.
    pub(super) fn spread(self) -> Self {
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
    pub(super) const fn len(&self) -> usize {
        match &self.kind {
            Kind::List(items) => items.len(),
            Kind::Map(entries) => entries.len(),
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::Typed(_) => 0,
        }
    }

    /// Takes a value out; false if it is the root, which cannot be.
    pub(super) fn prune(&mut self, path: &[Step]) -> bool {
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
    pub(super) const fn what(&self) -> &'static str {
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
    pub(super) fn is_below(&self, other: &Self) -> bool {
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
