//! Node: one value of a YAML document, with its place.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Number, Value};

use crate::diagnosis::{Place, Source};

/// Value of a document.
#[derive(Debug, Clone)]
pub struct Node {
    /// The kind and content.
    pub kind: NodeKind,
    /// The byte range of a scalar or alias; of a list or map, only its beginning.
    pub range: Range<usize>,
    /// The offset of a scalar's value, if the file spells it without escapes or folding.
    pub verbatim: Option<usize>,
}

/// Kind and content of a [`Node`].
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Empty, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number and its spelling.
    Number(Number, String),
    /// Any other scalar.
    Text(String),
    /// The elements of a list.
    List(Vec<Node>),
    /// The keys of a map with their values, in file order, each key once. Keys are scalars.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Returns the place of the node.
    pub fn place(&self, source: &Arc<Source>) -> Place {
        Place::new(source, self.range.clone())
    }

    /// Returns the place of a part of the scalar's value, or of the whole scalar if the part's is
    /// unknown.
    pub fn place_within(&self, source: &Arc<Source>, part: Range<usize>) -> Place {
        match self.verbatim {
            Some(start) => Place::new(source, start + part.start..start + part.end),
            None => self.place(source),
        }
    }

    /// Returns the text, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Text(text) => Some(text),
            NodeKind::Null
            | NodeKind::Bool(_)
            | NodeKind::Number(..)
            | NodeKind::List(_)
            | NodeKind::Map(_) => None,
        }
    }

    /// Returns the node as a key of a PHP array: text, or a whole number.
    pub fn name(&self) -> Option<String> {
        match &self.kind {
            NodeKind::Text(text) => Some(text.clone()),
            NodeKind::Number(number, _) if !number.is_f64() => Some(number.to_string()),
            NodeKind::Null
            | NodeKind::Bool(_)
            | NodeKind::Number(..)
            | NodeKind::List(_)
            | NodeKind::Map(_) => None,
        }
    }

    /// Describes the node for a message.
    pub fn describe(&self) -> String {
        match &self.kind {
            NodeKind::Null => "nothing".to_owned(),
            NodeKind::Bool(value) => format!("the boolean `{value}`"),
            NodeKind::Number(_, spelling) => format!("the number `{spelling}`"),
            NodeKind::Text(text) => format!("the text `{text}`"),
            NodeKind::List(_) => "a list".to_owned(),
            NodeKind::Map(_) => "a map".to_owned(),
        }
    }

    /// Converts the node to JSON. Keys become text.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Number(number, _) => Value::Number(number.clone()),
            NodeKind::Text(text) => Value::String(text.clone()),
            NodeKind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            NodeKind::Map(entries) => Value::Object(
                entries.iter().map(|(key, value)| (key.spelling(), value.to_json())).collect(),
            ),
        }
    }

    /// Returns a scalar's text; empty for lists and maps.
    pub fn spelling(&self) -> String {
        match &self.kind {
            NodeKind::Null => "null".to_owned(),
            NodeKind::Bool(value) => value.to_string(),
            NodeKind::Number(_, spelling) => spelling.clone(),
            NodeKind::Text(text) => text.clone(),
            NodeKind::List(_) | NodeKind::Map(_) => String::new(),
        }
    }
}
