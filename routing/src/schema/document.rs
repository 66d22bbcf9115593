//! Document of a schema: one text, its value, and the place of each part of it.

use std::sync::Arc;

use jackfield_yaml::{Node, NodeKind, Place, Source};
use serde_json::Value;

/// A text with one schema.
pub(super) struct Document {
    pub(super) source: Arc<Source>,
    /// The places of its values; `None` for JSON that is not YAML.
    pub(super) node: Option<Node>,
    pub(super) json: Value,
}

impl Document {
    pub(super) fn inline(source: &Arc<Source>, node: &Node) -> Self {
        Self { source: Arc::clone(source), json: node.to_json(), node: Some(node.clone()) }
    }

    /// Returns the place of a JSON pointer: of a scalar, or else of its key.
    pub(super) fn place(&self, pointer: &str) -> Place {
        let Some(root) = &self.node else { return Place::new(&self.source, 0..1) };
        let (mut node, mut place) = (root, root.place(&self.source));
        for token in pointer.split('/').skip(1).map(unescape) {
            let inner = match &node.kind {
                NodeKind::Map(entries) => {
                    let entry = entries.iter().find(|(key, _)| key.spelling() == token);
                    entry.map(|(key, value)| (Some(key), value))
                }
                NodeKind::List(items) => {
                    let item = token.parse().ok().and_then(|at: usize| items.get(at));
                    item.map(|item| (None, item))
                }
                _ => None,
            };
            let Some((key, value)) = inner else { break };
            let is_scalar = !matches!(value.kind, NodeKind::Map(_) | NodeKind::List(_));
            let shown = key.filter(|_| !is_scalar).unwrap_or(value);
            (node, place) = (value, shown.place(&self.source));
        }
        place
    }

    /// Returns the pointer of the subschema with an `$anchor`.
    pub(super) fn anchor(&self, name: &str) -> Option<String> {
        anchor(&self.json, name, "")
    }

    /// Returns the maximum number of nested lists and maps.
    pub(super) fn nesting(&self) -> usize {
        nesting(&self.json)
    }
}

fn anchor(value: &Value, name: &str, at: &str) -> Option<String> {
    match value {
        Value::Object(object) => {
            if object.get("$anchor").and_then(Value::as_str) == Some(name) {
                return Some(at.to_owned());
            }
            let mut inner = object.iter();
            inner.find_map(|(key, value)| anchor(value, name, &format!("{at}/{}", escape(key))))
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(number, value)| anchor(value, name, &format!("{at}/{number}")))
        }
        _ => None,
    }
}

fn nesting(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(nesting).max().unwrap_or_default(),
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or_default(),
        _ => 0,
    }
}

pub(super) fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}
