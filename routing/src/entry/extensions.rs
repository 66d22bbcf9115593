//! Readers of the keys that the predecessors don't have: `allow`, `timer`, `lanes`,
//! `slow_subscriber`, `history`.

use std::num::NonZeroU16;
use std::time::Duration;

use jackfield_yaml::{ByteSize, Node, NodeKind, suggest};

use super::{Reader, get};
use crate::allow::{Action, Allow};
use crate::history::History;
use crate::slow_subscriber::SlowSubscriber;
use crate::timer::{Timer, TimerFrom};

/// Minimum interval of a timer: shorter than any use needs, and long enough that a timer costs next
/// to nothing.
const MIN_TIMER: Duration = Duration::from_millis(10);

/// Maximum number of events of a topic's history: a look at all of them is short.
const MAX_HISTORY_EVENTS: usize = 100_000;
/// Minimum memory of a topic's history: a few small events.
const MIN_HISTORY_BYTES: usize = 4 << 10;

impl Reader<'_> {
    pub(super) fn allow(&mut self, node: &Node) -> Allow {
        let mut allow = Allow::default();
        let NodeKind::Map(entries) = &node.kind else {
            let message =
                format!("`allow` of {} is a map, but this is {}", self.subject, node.describe());
            self.tell(node, message, "write `allow: { subscribe: [member], publish: [backend] }`");
            return allow;
        };
        for (key, value) in entries {
            let name = key.spelling();
            let Some(action) = Action::ALL.into_iter().find(|action| action.key() == name) else {
                let message = format!("unknown action `{name}` in `allow` of {}", self.subject);
                self.tell(key, message, suggest::advice(&name, &Action::ALL.map(Action::key)));
                continue;
            };
            // Null is ambiguous: all roles, which is unsafe, or none.
            if matches!(value.kind, NodeKind::Null) {
                let message = format!("`{name}` of `allow` names no roles");
                self.tell(
                    key,
                    message,
                    "write `[]` to allow no role, or remove the line to allow all",
                );
                continue;
            }
            let roles = self.texts(value, "a role");
            if roles.iter().any(String::is_empty) {
                self.tell(value, "a role is empty", "write its name, or `[]` to allow no role");
            }
            allow.set(action, roles);
        }
        allow
    }

    pub(super) fn timer(&mut self, node: &Node) -> Option<Timer> {
        let entries = match &node.kind {
            NodeKind::Null => return None,
            NodeKind::Map(entries) => entries,
            NodeKind::Bool(_) | NodeKind::Number(..) | NodeKind::Text(_) | NodeKind::List(_) => {
                let every = Some(self.duration(node, "`timer`")?);
                return Some(Timer { every, ..Timer::default() });
            }
        };
        self.unknown_keys(entries, &["every", "from"], &[]);
        let every =
            get(entries, "every").filter(|(_, value)| !matches!(value.kind, NodeKind::Null));
        let every = match every {
            Some((_, value)) => Some(self.duration(value, "`every`")?),
            None => None,
        };
        let from = match get(entries, "from") {
            Some((_, value)) => self.timer_from(value)?,
            None => TimerFrom::default(),
        };
        Some(Timer { every, from })
    }

    fn timer_from(&mut self, node: &Node) -> Option<TimerFrom> {
        let text = self.text(node, "`from`")?;
        let from = TimerFrom::ALL.into_iter().find(|from| from.key() == text);
        if from.is_none() {
            let message = format!("`from` of `timer` is `subscribe` or `start`, not `{text}`");
            self.tell(node, message, suggest::advice(text, &TimerFrom::ALL.map(TimerFrom::key)));
        }
        from
    }

    fn duration(&mut self, node: &Node, subject: &str) -> Option<Duration> {
        let duration = match &node.kind {
            NodeKind::Text(text) | NodeKind::Number(_, text) => text.parse().ok(),
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::List(_) | NodeKind::Map(_) => None,
        };
        let duration = duration.map(jackfield_yaml::Duration::get).filter(|it| *it >= MIN_TIMER);
        if duration.is_none() {
            let message = format!(
                "{subject} is a length of time from 10 ms to a year, but this is {}",
                node.describe()
            );
            self.tell(node, message, "write `50s`, `500ms`, `2m`, `1h`, or a number of seconds");
        }
        duration
    }

    pub(super) fn slow_subscriber(&mut self, node: &Node) -> Option<SlowSubscriber> {
        let text = self.text(node, "`slow_subscriber`")?;
        let policy = SlowSubscriber::ALL.into_iter().find(|policy| policy.key() == text);
        if policy.is_none() {
            let message =
                format!("`slow_subscriber` is `disconnect`, `drop` or `latest`, not `{text}`");
            let keys = SlowSubscriber::ALL.map(SlowSubscriber::key);
            self.tell(node, message, suggest::advice(text, &keys));
        }
        policy
    }

    pub(super) fn history(&mut self, node: &Node) -> Option<History> {
        let entries = match &node.kind {
            NodeKind::Null => return None,
            NodeKind::Map(entries) => entries,
            NodeKind::Bool(_) | NodeKind::Number(..) | NodeKind::Text(_) | NodeKind::List(_) => {
                let message = format!(
                    "`history` of {} is a map, but this is {}",
                    self.subject,
                    node.describe()
                );
                self.tell(node, message, "write `history: { events: 100, age: 10m }`");
                return None;
            }
        };
        self.unknown_keys(entries, &History::KEYS, &[]);
        let mut history = History::default();
        let set = |name| get(entries, name).map(|(_, value)| value);
        if let Some(node) = set("events") {
            history.events = self.history_events(node, "`events` of `history`", &[])?;
        }
        if let Some(node) = set("age") {
            history.age = self.duration(node, "`age` of `history`")?;
        }
        if let Some(node) = set("bytes") {
            history.bytes = self.history_bytes(node)?;
        }
        if let Some(node) = set("on_subscribe") {
            let names = [("none", 0), ("last", 1)];
            let count = self.history_events(node, "`on_subscribe` of `history`", &names)?;
            if count > history.events {
                let message = format!(
                    "a new subscriber would get {count} events, but `events` of `history` is {}",
                    history.events
                );
                self.tell(node, message, "raise `events`, or lower `on_subscribe`");
                return None;
            }
            history.on_subscribe = count;
        }
        if let Some(node) = set("durable") {
            history.durable = self.history_durable(node)?;
        }
        Some(history)
    }

    fn history_durable(&mut self, node: &Node) -> Option<bool> {
        if let NodeKind::Bool(durable) = node.kind {
            return Some(durable);
        }
        let message =
            format!("`durable` of `history` is `true` or `false`, but this is {}", node.describe());
        self.tell(node, message, "write `true` to keep the events over a crash of the server");
        None
    }

    /// Reads a number of events, or one of the names.
    fn history_events(
        &mut self,
        node: &Node,
        subject: &str,
        names: &[(&str, usize)],
    ) -> Option<usize> {
        let value_of = |text: &str| names.iter().find(|(name, _)| *name == text).map(|it| it.1);
        let count = match &node.kind {
            NodeKind::Number(number, _) => number
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=MAX_HISTORY_EVENTS).contains(number)),
            NodeKind::Text(text) => value_of(text),
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::List(_) | NodeKind::Map(_) => None,
        };
        if count.is_none() {
            let or_name = if names.is_empty() { "" } else { "`none`, `last` or " };
            let message = format!(
                "{subject} is {or_name}a whole number from 1 to {MAX_HISTORY_EVENTS}, but this is {}",
                node.describe()
            );
            let help =
                if names.is_empty() { "100 is the default" } else { "`none` is the default" };
            self.tell(node, message, help);
        }
        count
    }

    fn history_bytes(&mut self, node: &Node) -> Option<usize> {
        let bytes = match &node.kind {
            NodeKind::Text(text) | NodeKind::Number(_, text) => ByteSize::parse(text),
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::List(_) | NodeKind::Map(_) => None,
        };
        let bytes = bytes.map(|ByteSize(bytes)| bytes).filter(|it| *it >= MIN_HISTORY_BYTES);
        if bytes.is_none() {
            let message = format!(
                "`bytes` of `history` is a size of at least 4 KiB, but this is {}",
                node.describe()
            );
            self.tell(node, message, "write `64 KiB`, `1 MiB`, or a number of bytes");
        }
        bytes
    }

    pub(super) fn lanes(&mut self, node: &Node) -> NonZeroU16 {
        let lanes = match &node.kind {
            NodeKind::Number(number, _) => number
                .as_u64()
                .and_then(|number| u16::try_from(number).ok())
                .and_then(NonZeroU16::new),
            NodeKind::Null
            | NodeKind::Bool(_)
            | NodeKind::Text(_)
            | NodeKind::List(_)
            | NodeKind::Map(_) => None,
        };
        lanes.unwrap_or_else(|| {
            let message = format!(
                "`lanes` is a whole number from 1 to {}, but this is {}",
                u16::MAX,
                node.describe()
            );
            self.tell(
                node,
                message,
                "each lane is one more instance of the plugin; 1 is the default",
            );
            NonZeroU16::MIN
        })
    }
}
