//! Differences between two outcomes of one hook call, printed as a diff.
//!
//! Compared is what a client or the store could see: events as JSON values, so that spaces and the
//! order of members do not count; lists of sessions as sets; faults by their kind. Effects are
//! aligned, so that one more effect is one difference.

use std::borrow::Cow;
use std::fmt;

use jackfield_text::Untrusted;
use serde::Serialize;
use serde_json::{Map, Value};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::call_record::{CallOutcome, HookAnswer, StoreWrite};
use crate::effect::Effect;
use crate::outgoing::call::OutgoingCall;
use crate::outgoing::request::OutgoingRequest;

/// A difference, named by its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The place: `answer`, `effect 2`, `store key …`.
    pub place: String,
    /// What there is in the old outcome only.
    pub old: Option<String>,
    /// What there is in the new one only.
    pub new: Option<String>,
}

/// The differences between two outcomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    shown: Vec<Difference>,
    more: usize,
}

/// The maximum number of differences of a call that are kept.
pub const MAX_DIFFERENCES: usize = 20;
/// The maximum size of one side of a difference, in bytes.
const MAX_SIDE_BYTES: usize = 400;
/// Equal text that is kept before the first difference, in bytes.
const CONTEXT_BYTES: usize = 40;
/// The maximum size of a key in a place, in bytes.
const MAX_KEY_BYTES: usize = 200;
/// Members whose value is the text of JSON.
const JSON_TEXTS: &[&str] = &["args", "kwargs"];
/// Members of an effect that follow from its call, or from the process.
const NOT_COMPARED: &[&str] = &["kind", "number", "reply_to"];
/// Members whose value is a set of sessions.
const SETS: &[&str] = &["exclude", "eligible"];

impl Differences {
    /// Compares two outcomes.
    pub fn between(old: &CallOutcome, new: &CallOutcome) -> Self {
        let mut found = Self::default();
        if !is_same_answer(&old.answer, &new.answer) {
            found.push("answer", Some(line(&old.answer)), Some(line(&new.answer)));
        }
        found.compare_effects(&lines(&old.effects), &lines(&new.effects));
        found.compare_writes(old, new);
        found
    }

    /// Whether the outcomes are the same.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// The first differences.
    pub fn iter(&self) -> impl Iterator<Item = &Difference> {
        self.shown.iter()
    }

    /// The number of further ones.
    pub fn more(&self) -> usize {
        self.more
    }

    fn compare_effects(&mut self, old: &[String], new: &[String]) {
        for op in capture_diff_slices(Algorithm::Myers, old, new) {
            let (from, to) = match op {
                DiffOp::Equal { .. } => continue,
                other => (other.old_range(), other.new_range()),
            };
            for step in 0..from.len().max(to.len()) {
                let at = |lines: &[String], range: &std::ops::Range<usize>| {
                    range.clone().nth(step).and_then(|at| lines.get(at)).cloned()
                };
                // The number in the version that has it: both count from 1.
                let number = if step < from.len() { from.start } else { to.start } + step + 1;
                self.push(&format!("effect {number}"), at(old, &from), at(new, &to));
            }
        }
    }

    fn compare_writes(&mut self, old: &CallOutcome, new: &CallOutcome) {
        let (mut old, mut new) = (old.writes.iter().peekable(), new.writes.iter().peekable());
        loop {
            let (left, right) = match (old.peek(), new.peek()) {
                (None, None) => return,
                (Some(_), None) => (old.next(), None),
                (None, Some(_)) => (None, new.next()),
                (Some(a), Some(b)) => match a.key.cmp(&b.key) {
                    std::cmp::Ordering::Less => (old.next(), None),
                    std::cmp::Ordering::Greater => (None, new.next()),
                    std::cmp::Ordering::Equal => (old.next(), new.next()),
                },
            };
            if left == right {
                continue;
            }
            let Some(write) = left.or(right) else { return };
            let place = format!("store key {}", Untrusted::new(&write.key).at_most(MAX_KEY_BYTES));
            self.push(&place, left.map(written), right.map(written));
        }
    }

    fn push(&mut self, place: &str, old: Option<String>, new: Option<String>) {
        if self.shown.len() >= MAX_DIFFERENCES {
            self.more += 1;
            return;
        }
        let from = match (&old, &new) {
            (Some(old), Some(new)) => common_start(old, new).saturating_sub(CONTEXT_BYTES),
            _ => 0,
        };
        let side = |text: Option<String>| text.map(|text| excerpt(&text, from));
        self.shown.push(Difference { place: place.to_owned(), old: side(old), new: side(new) });
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.place)?;
        for (sign, side) in [('-', &self.old), ('+', &self.new)] {
            if let Some(text) = side {
                writeln!(f, "  {sign} {text}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.iter().try_for_each(|difference| difference.fmt(f))?;
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "({more} more differences of this call)"),
        }
    }
}

/// Faults of one kind are the same: their texts have places in the code.
fn is_same_answer(old: &HookAnswer, new: &HookAnswer) -> bool {
    match (old, new) {
        (HookAnswer::Fault(old), HookAnswer::Fault(new)) => old.fault == new.fault,
        _ => line(old) == line(new),
    }
}

fn written(write: &StoreWrite) -> String {
    let Some(value) = &write.value else { return "deleted".to_owned() };
    let text = match str::from_utf8(&value.0) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("bytes {}", value.0.escape_ascii()),
    };
    match write.ttl_ms {
        Some(ttl) => format!("{text} (for {ttl} ms)"),
        None => text,
    }
}

/// A request or a call in one line, without the context that only the plugin itself sees. Two that
/// reach others as the same have the same line. None for other effects.
pub(crate) fn outgoing_line(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Request(request) => Some(line(&Effect::Request(Box::new(OutgoingRequest {
            context: Vec::new(),
            ..(**request).clone()
        })))),
        Effect::Call(call) => Some(line(&Effect::Call(Box::new(OutgoingCall {
            context: Vec::new(),
            ..(**call).clone()
        })))),
        Effect::Publish { .. }
        | Effect::Send { .. }
        | Effect::Unsubscribe { .. }
        | Effect::Close { .. }
        | Effect::Complete(_) => None,
    }
}

fn lines(effects: &[impl Serialize]) -> Vec<String> {
    effects.iter().map(line).collect()
}

/// An answer or effect in one line: its kind, then each member. Two are the same if their lines are.
fn line(item: &impl Serialize) -> String {
    // A type of ours, with names for keys.
    let Ok(Value::Object(members)) = serde_json::to_value(item) else { return String::new() };
    let kind = members.get("kind");
    let mut line = kind.and_then(Value::as_str).unwrap_or_default().to_owned();
    write_members(&mut line, &members);
    line
}

fn write_members(line: &mut String, members: &Map<String, Value>) {
    for (name, value) in members {
        match value {
            Value::Null => {}
            _ if NOT_COMPARED.contains(&name.as_str()) => {}
            Value::Array(list) if list.is_empty() && name == "exclude" => {}
            Value::Object(inner) if name == "event" => write_members(line, inner),
            value => {
                let text = shown(name, value);
                line.push(' ');
                line.push_str(name);
                line.push('=');
                line.push_str(&text);
            }
        }
    }
}

fn shown<'v>(name: &str, value: &'v Value) -> Cow<'v, str> {
    match value {
        Value::String(text) if JSON_TEXTS.contains(&name) => match serde_json::from_str(text) {
            Ok(value) => sorted(value).to_string().into(),
            Err(_) => text.into(),
        },
        Value::Array(ids) if SETS.contains(&name) => {
            let mut ids: Vec<u64> = ids.iter().filter_map(Value::as_u64).collect();
            ids.sort_unstable();
            ids.dedup();
            format!("{ids:?}").into()
        }
        other => other.to_string().into(),
    }
}

/// The value with the members of objects in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(members.into_iter().collect())
        }
        other => other,
    }
}

/// The number of equal bytes at the start.
fn common_start(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// The text from about this byte, escaped and bounded. Short texts are whole.
fn excerpt(text: &str, from: usize) -> String {
    let from = if text.len() <= MAX_SIDE_BYTES { 0 } else { text.floor_char_boundary(from) };
    let rest = Untrusted::new(text.get(from..).unwrap_or_default()).at_most(MAX_SIDE_BYTES);
    if from == 0 { rest.to_string() } else { format!("({from} equal bytes) …{rest}") }
}

#[cfg(test)]
mod tests;
