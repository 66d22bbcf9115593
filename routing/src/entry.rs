//! Entry of a routing file, before it is compiled: a draft of a route, or an import.
//!
//! Both generations of syntax are read into the same structure: `channel` or `pattern`, `handler`
//! or `callback`, text or map. `compile` checks patterns, because an import may still override
//! them. `load` calls this for each file.

mod extensions;
mod fields;

pub(crate) use fields::no_such_variable;

use std::num::NonZeroU16;
use std::sync::Arc;

use jackfield_yaml::diagnosis::MAX_PROBLEMS;
use jackfield_yaml::{Diagnosis, Node, NodeKind, Place, Source, suggest};
use serde_json::{Map, Value};

use crate::allow::Allow;
use crate::channel::{DefaultValue, Written};
use crate::history::History;
use crate::route::{Handler, Places};
use crate::schema::WrittenSchema;
use crate::slow_subscriber::SlowSubscriber;
use crate::timer::Timer;

/// Keys of a route: the predecessors', then our own.
const ROUTE_KEYS: [&str; 13] = [
    "channel",
    "pattern",
    "handler",
    "callback",
    "requirements",
    "defaults",
    "options",
    "allow",
    "timer",
    "lanes",
    "slow_subscriber",
    "history",
    "schema",
];
/// Our own keys alone.
const OUR_KEYS: [&str; 6] = ["allow", "timer", "lanes", "slow_subscriber", "history", "schema"];
/// Keys of an import.
const IMPORT_KEYS: [&str; 6] =
    ["resource", "type", "exclude", "defaults", "requirements", "options"];

pub(crate) enum Entry {
    Route(Box<Draft>),
    Import(Box<Import>),
}

/// Draft of a route.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) channel: Written,
    pub(crate) handler: Handler,
    pub(crate) settings: Settings,
    pub(crate) allow: Allow,
    pub(crate) timer: Option<Timer>,
    pub(crate) lanes: NonZeroU16,
    pub(crate) slow_subscriber: Option<SlowSubscriber>,
    pub(crate) history: Option<History>,
    pub(crate) schema: Option<WrittenSchema>,
    pub(crate) places: Places,
    /// Warnings, discarded if a later file replaces the route.
    pub(crate) warnings: Vec<Diagnosis>,
}

/// Settings of a route that an import can override.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) requirements: Vec<(String, Pattern)>,
    pub(crate) defaults: Vec<(String, DefaultValue)>,
    pub(crate) options: Map<String, Value>,
}

/// A requirement without its anchors, not yet compiled.
#[derive(Clone)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) wildcard: bool,
    /// Place of the whole value.
    pub(crate) place: Place,
    /// Offset of `text` in the file, if the file spells it verbatim.
    pub(crate) text_start: Option<usize>,
    /// Place of the variable's name; `None` if an import sets the requirement, which need not fit
    /// every route.
    pub(crate) of_route: Option<Place>,
}

/// Import: other files to read in place of this entry.
pub(crate) struct Import {
    pub(crate) resource: String,
    pub(crate) resource_place: Place,
    /// The value of `type`.
    pub(crate) format: Option<(String, Place)>,
    pub(crate) exclude: Vec<String>,
    pub(crate) overrides: Settings,
}

impl Settings {
    /// Overrides settings by those of `other`. A name that exists keeps its position.
    pub(crate) fn overridden_by(&mut self, other: &Self) {
        put_all(&mut self.requirements, &other.requirements);
        put_all(&mut self.defaults, &other.defaults);
        for (name, value) in &other.options {
            self.options.insert(name.clone(), value.clone());
        }
    }
}

/// Reads the entries of a document. Warnings of a route are kept in its draft.
pub(crate) fn entries(
    source: &Arc<Source>,
    document: &Node,
    problems: &mut Vec<Diagnosis>,
    warnings: &mut Vec<Diagnosis>,
) -> Vec<Entry> {
    let mut reader = Reader { source, problems, warnings, subject: String::new() };
    match &document.kind {
        // A file may have no routes: all of them may be commented out.
        NodeKind::Null => Vec::new(),
        NodeKind::Map(entries) => {
            let goes_on = |reader: &Reader<'_>| reader.problems.len() <= MAX_PROBLEMS;
            let read = entries
                .iter()
                .map_while(|(name, body)| goes_on(&reader).then(|| reader.entry(name, body)));
            read.flatten().collect()
        }
        NodeKind::List(items) if !items.is_empty() => reader.numbered(document, items),
        NodeKind::Bool(_) | NodeKind::Number(..) | NodeKind::Text(_) | NodeKind::List(_) => {
            let message =
                format!("a routing file is a map of routes, but this is {}", document.describe());
            reader.tell(
                document,
                message,
                "write `route_name:` and, indented below it, `channel` and `handler`",
            );
            Vec::new()
        }
    }
}

/// Reader of nodes: converts them to values and reports problems.
struct Reader<'a> {
    source: &'a Arc<Source>,
    problems: &'a mut Vec<Diagnosis>,
    warnings: &'a mut Vec<Diagnosis>,
    /// The current entry, for messages: "route `x`".
    subject: String,
}

impl Reader<'_> {
    /// Reads the routes of a list, which PHP numbers from 0.
    fn numbered(&mut self, document: &Node, items: &[Node]) -> Vec<Entry> {
        let message = "this is a list, whose routes are named `0`, `1`, and so on";
        self.warn(
            document,
            message,
            "give each route a name: the list of another file would replace those of this one",
        );
        let entries = items.iter().enumerate().filter_map(|(number, body)| {
            let kind = NodeKind::Number(number.into(), number.to_string());
            let key = Node { kind, range: body.range.clone(), verbatim: None };
            self.entry(&key, body)
        });
        entries.collect()
    }

    fn entry(&mut self, key: &Node, body: &Node) -> Option<Entry> {
        let Some(name) = key.name().filter(|name| !name.is_empty()) else {
            let message = format!("a route's name is text, but this is {}", key.describe());
            self.tell(key, message, "write a name such as `acme.chat`, in quotes");
            return None;
        };
        self.subject = format!("route `{name}`");
        let entries = match &body.kind {
            NodeKind::Map(entries) => entries,
            NodeKind::Null => {
                let message = format!("{} has no body", self.subject);
                self.tell(
                    key,
                    message,
                    "add `channel` and `handler` below it, indented, or delete the line",
                );
                return None;
            }
            NodeKind::Bool(_) | NodeKind::Number(..) | NodeKind::Text(_) | NodeKind::List(_) => {
                let message = format!("{} is a map, but this is {}", self.subject, body.describe());
                self.tell(body, message, "add `channel` and `handler` below the name, indented");
                return None;
            }
        };
        let (before, warned) = (self.problems.len(), self.warnings.len());
        let entry = if set(entries, "resource").is_some() {
            self.subject = format!("import `{name}`");
            self.import(entries).map(|import| Entry::Import(Box::new(import)))
        } else {
            let draft = self.route(&name, key, entries);
            let warnings = self.warnings.split_off(warned.min(self.warnings.len()));
            draft.map(|draft| Entry::Route(Box::new(Draft { warnings, ..draft })))
        };
        // An entry with a problem is dropped, so that it causes no further ones.
        entry.filter(|_| self.problems.len() == before)
    }

    fn route(&mut self, name: &str, key: &Node, entries: &[(Node, Node)]) -> Option<Draft> {
        let help = "add `resource` to import files, or delete this key";
        if let Some((key, _)) = set(entries, "type") {
            let message = format!("`type` of {} has no `resource` to belong to", self.subject);
            self.tell(key, message, help);
        }
        if let Some((key, _)) = set(entries, "exclude") {
            let message = format!(
                "`exclude` of {} is ignored: it has no `resource` to belong to",
                self.subject
            );
            self.warn(key, message, help);
        }
        self.unknown_keys(entries, &ROUTE_KEYS, &["resource", "type", "exclude"]);
        let channel = self.one_of(entries, key, "channel", "pattern");
        let callback = self.one_of(entries, key, "handler", "callback");
        let settings = self.settings(entries, true);
        let allow = get(entries, "allow");
        let timer = get(entries, "timer");
        let lanes = get(entries, "lanes");
        let allowed = allow.map(|(_, value)| self.allow(value)).unwrap_or_default();
        let period = timer.and_then(|(_, value)| self.timer(value));
        let slow = get(entries, "slow_subscriber");
        let slow_subscriber = slow.and_then(|(_, value)| self.slow_subscriber(value));
        let history = get(entries, "history").and_then(|(_, value)| self.history(value));
        let schema = get(entries, "schema").map(|(_, node)| {
            let (source, node) = (Arc::clone(self.source), node.clone());
            WrittenSchema { source, node }
        });
        let lane_count = lanes.map_or(NonZeroU16::MIN, |(_, value)| self.lanes(value));
        let channel = channel.and_then(|(_, node)| Some((self.channel(node)?, node)));
        let callback = callback.and_then(|(_, node)| self.handler(node));
        let (channel, node) = channel?;
        let (handler, callback_place, args_place) = callback?;
        let place = |entry: Option<&(Node, Node)>| entry.map(|(_, node)| node.place(self.source));
        let places = Places {
            name: key.place(self.source),
            channel: node.place(self.source),
            callback: callback_place,
            args: args_place,
            allow: place(allow),
            timer: place(timer),
            lanes: place(lanes),
        };
        let settings = self.with_inline(&channel, node, settings);
        Some(Draft {
            name: name.to_owned(),
            channel,
            handler,
            settings,
            allow: allowed,
            timer: period,
            lanes: lane_count,
            slow_subscriber,
            history,
            schema,
            places,
            warnings: Vec::new(),
        })
    }

    fn import(&mut self, entries: &[(Node, Node)]) -> Option<Import> {
        let help = "choose between an import and a route definition";
        for key in ["channel", "pattern"].into_iter().chain(OUR_KEYS) {
            if let Some((key, _)) = set(entries, key) {
                let message =
                    format!("{} has both `resource` and `{}`", self.subject, key.spelling());
                self.tell(key, message, help);
            }
        }
        for key in ["handler", "callback"] {
            if let Some((key, _)) = set(entries, key) {
                let message = format!(
                    "`{}` of {} is ignored: the imported routes have their own",
                    key.spelling(),
                    self.subject
                );
                self.warn(key, message, help);
            }
        }
        self.unknown_keys(entries, &IMPORT_KEYS, &ROUTE_KEYS);
        let overrides = self.settings(entries, false);
        let format = set(entries, "type");
        let format = format.and_then(|(_, node)| {
            Some((self.text(node, "`type`")?.to_owned(), node.place(self.source)))
        });
        let exclude = set(entries, "exclude").map(|(_, node)| self.texts(node, "`exclude`"));
        let (_, node) = get(entries, "resource")?;
        let resource = self.text(node, "`resource`")?.to_owned();
        Some(Import {
            resource,
            resource_place: node.place(self.source),
            format,
            exclude: exclude.unwrap_or_default(),
            overrides,
        })
    }

    /// Returns the value under one of two names of the same key. Exactly one must be present.
    fn one_of<'n>(
        &mut self,
        entries: &'n [(Node, Node)],
        owner: &Node,
        name: &str,
        other: &str,
    ) -> Option<&'n (Node, Node)> {
        match (set(entries, name), set(entries, other)) {
            (Some(found), None) | (None, Some(found)) => Some(found),
            (Some(_), Some((second, _))) => {
                let message = format!("{} has both `{name}` and `{other}`", self.subject);
                self.tell(second, message, "the two mean the same: keep one");
                None
            }
            (None, None) => {
                // Null: the caller reports the wrong kind of value.
                if let Some(nothing) = get(entries, name).or_else(|| get(entries, other)) {
                    return Some(nothing);
                }
                // A misspelt key is reported by itself.
                let means = |(key, _): &(Node, Node)| {
                    let meant = suggest::nearest(&key.spelling(), ROUTE_KEYS);
                    meant.is_some_and(|meant| meant == name || meant == other)
                };
                if entries.iter().any(means) {
                    return None;
                }
                let message = format!("{} has no `{name}`", self.subject);
                let help = match name {
                    "channel" => "add the pattern of its topics: `channel: 'acme/chat/{room}'`",
                    _ => "add the name that a plugin offers: `handler: { callback: 'acme.chat' }`",
                };
                self.tell(owner, message, help);
                None
            }
        }
    }

    fn unknown_keys(&mut self, entries: &[(Node, Node)], allowed: &[&str], reported: &[&str]) {
        for (key, _) in entries {
            let name = key.spelling();
            if !allowed.contains(&name.as_str()) && !reported.contains(&name.as_str()) {
                let message = format!("unknown key `{name}` in {}", self.subject);
                self.tell(key, message, suggest::advice(&name, allowed));
            }
        }
    }

    /// Warns about keys that the predecessors ignore.
    fn ignored_keys<'n>(
        &mut self,
        entries: impl IntoIterator<Item = &'n (Node, Node)>,
        of: &str,
        allowed: &[&str],
    ) {
        for (key, _) in entries {
            let name = key.spelling();
            if !allowed.contains(&name.as_str()) {
                let message =
                    format!("unknown key `{name}` in {of} of {} is ignored", self.subject);
                self.warn(key, message, suggest::advice(&name, allowed));
            }
        }
    }

    fn warn(&mut self, node: &Node, message: impl Into<String>, help: impl Into<String>) {
        self.warnings.push(node.place(self.source).problem(message).with_help(help));
    }

    fn tell(&mut self, node: &Node, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(node.place(self.source).problem(message).with_help(help));
    }
}

fn get<'n>(entries: &'n [(Node, Node)], name: &str) -> Option<&'n (Node, Node)> {
    entries.iter().find(|(key, _)| key.text() == Some(name))
}

/// Returns the entry if it has a value. Null counts as missing, as in the predecessors, which check
/// `isset()`.
fn set<'n>(entries: &'n [(Node, Node)], name: &str) -> Option<&'n (Node, Node)> {
    get(entries, name).filter(|(_, value)| !matches!(value.kind, NodeKind::Null))
}

/// Overrides values of the same name, and appends the others.
fn put_all<T: Clone>(under: &mut Vec<(String, T)>, over: &[(String, T)]) {
    for (name, value) in over {
        match under.iter_mut().find(|(existing, _)| existing == name) {
            Some((_, existing)) => *existing = value.clone(),
            None => under.push((name.clone(), value.clone())),
        }
    }
}
