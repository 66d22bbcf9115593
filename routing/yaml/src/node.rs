//! One value of a YAML document, with its place.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Number, Value};

use crate::diagnosis::{Place, Source};

/// A value of the document.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// The bytes of a scalar or alias; for a list or map only where it begins.
    pub range: Range<usize>,
    /// Where the value of a scalar begins, if the file spells it without escapes or folding.
    pub verbatim: Option<usize>,
}

/// What a [`Node`] is.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// With its spelling.
    Number(Number, String),
    /// Anything else that is one value.
    Text(String),
    /// Its elements.
    List(Vec<Node>),
    /// Keys, in their order and each once, and their values. Keys are no lists and no maps.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Where it is.
    pub fn place(&self, source: &Arc<Source>) -> Place {
        Place::new(source, self.range.clone())
    }

    /// Where a part of the scalar's value stands in the file; the whole scalar if that is unknown.
    pub fn place_within(&self, source: &Arc<Source>, part: Range<usize>) -> Place {
        match self.verbatim {
            Some(start) => Place::new(source, start + part.start..start + part.end),
            None => self.place(source),
        }
    }

    /// Its text, if it is one.
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

    /// The node as a key of a PHP array: text, or a whole number.
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

    /// What the node is, in words for a message.
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

    /// The node as JSON. Keys become text.
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

    /// A scalar's text; empty for anything else.
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
