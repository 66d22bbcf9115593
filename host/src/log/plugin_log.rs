//! Plugin log: rings with the last log lines and the last faults of each plugin, for the operator.
//!
//! It is a layer behind the filter and the rate limit of the log, so that it holds lines that the log
//! has, and a flood costs no more here than there. Faults have a ring of their own: a plugin that logs
//! much does not hide its faults. Read by the control channel.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::{PLUGIN, format};

/// The maximum number of plugins; of more, the one without new lines for the longest time is left out.
const MAX_PLUGINS: usize = 100;
/// The maximum number of log lines of a plugin, and of all their bytes.
const MAX_LINES: Bounds = Bounds { entries: 200, bytes: 128 << 10 };
/// The maximum number of faults of a plugin, and of all their bytes.
const MAX_FAULTS: Bounds = Bounds { entries: 50, bytes: 64 << 10 };
/// The names of the events of faults.
const FAULT_EVENTS: [&str; 2] = ["handler.failed", "plugin.failed"];

/// The last log lines and faults of the plugins. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct PluginLog(Arc<Mutex<Rings>>);

/// A log line of a plugin, or the line of one of its faults. Texts are cut.
#[derive(Clone, Debug)]
pub(crate) struct PluginLine {
    /// The number of the line among those of all plugins since the start; the first one is 1.
    pub(crate) number: u64,
    pub(crate) at: SystemTime,
    pub(crate) level: Level,
    /// The message, and the values of the line.
    pub(crate) fields: Map<String, Value>,
}

#[derive(Default)]
struct Rings {
    lines: u64,
    plugins: BTreeMap<String, PluginRings>,
}

#[derive(Default)]
struct PluginRings {
    lines: Ring,
    faults: Ring,
    /// The number of the last line.
    last: u64,
}

/// Entries up to a number and a size, the newest last.
#[derive(Default)]
struct Ring {
    entries: VecDeque<(PluginLine, usize)>,
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Bounds {
    entries: usize,
    bytes: usize,
}

impl PluginLog {
    /// Returns up to `limit` of the last log lines of a plugin behind the one with this number, the
    /// oldest first.
    pub(crate) fn lines(&self, plugin: &str, after: u64, limit: usize) -> Vec<PluginLine> {
        self.of(plugin, |rings| rings.lines.behind(after, limit))
    }

    /// Returns up to `limit` of the last faults of a plugin, the oldest first.
    pub(crate) fn faults(&self, plugin: &str, limit: usize) -> Vec<PluginLine> {
        self.of(plugin, |rings| rings.faults.behind(0, limit))
    }

    /// Returns the number of the last line of all plugins; 0 without one.
    pub(crate) fn last(&self) -> u64 {
        self.lock().lines
    }

    fn of(
        &self,
        plugin: &str,
        read: impl FnOnce(&PluginRings) -> Vec<PluginLine>,
    ) -> Vec<PluginLine> {
        self.lock().plugins.get(plugin).map(read).unwrap_or_default()
    }

    fn add(&self, is_fault: bool, level: Level, mut fields: Map<String, Value>) {
        let Some(Value::String(plugin)) = fields.remove("plugin") else { return };
        let bytes = fields.iter().map(|(name, value)| name.len() + bytes(value)).sum();
        let at = SystemTime::now();
        let mut rings = self.lock();
        rings.lines += 1;
        let number = rings.lines;
        if !rings.plugins.contains_key(&plugin) && rings.plugins.len() >= MAX_PLUGINS {
            let oldest = rings.plugins.iter().min_by_key(|(_, it)| it.last);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                rings.plugins.remove(&oldest);
            }
        }
        let of_plugin = rings.plugins.entry(plugin).or_default();
        of_plugin.last = number;
        let line = PluginLine { number, at, level, fields };
        if is_fault {
            of_plugin.faults.add(line, bytes, MAX_FAULTS);
        } else {
            of_plugin.lines.add(line, bytes, MAX_LINES);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        // A panic under the lock leaves at most one line out.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn add(&mut self, line: PluginLine, bytes: usize, bounds: Bounds) {
        self.bytes += bytes;
        self.entries.push_back((line, bytes));
        while self.entries.len() > bounds.entries
            || (self.bytes > bounds.bytes && self.entries.len() > 1)
        {
            let Some((_, bytes)) = self.entries.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    fn behind(&self, after: u64, limit: usize) -> Vec<PluginLine> {
        let new = self.entries.iter().filter(|(line, _)| line.number > after);
        let skipped = new.clone().count().saturating_sub(limit);
        new.skip(skipped).map(|(line, _)| line.clone()).collect()
    }
}

/// The size of a value; those of a line are texts and numbers.
fn bytes(value: &Value) -> usize {
    value.as_str().map_or(size_of::<Value>(), str::len)
}

fn is_fault(metadata: &Metadata<'_>) -> bool {
    FAULT_EVENTS.contains(&metadata.name())
}

impl<S: Subscriber> Layer<S> for PluginLog {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let is_fault = is_fault(metadata);
        if is_fault || metadata.target() == PLUGIN {
            self.add(is_fault, *metadata.level(), format::fields(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn logged(log: impl FnOnce()) -> PluginLog {
        let kept = PluginLog::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept.clone()), log);
        kept
    }

    fn messages(lines: &[PluginLine]) -> Vec<&str> {
        lines.iter().filter_map(|line| line.fields["message"].as_str()).collect()
    }

    #[test]
    fn keeps_lines_and_faults_of_each_plugin_apart() {
        let log = logged(|| {
            tracing::info!(target: PLUGIN, plugin = "a", handler = "h", "one");
            tracing::error!(name: "handler.failed", plugin = "a", backtrace = "f at g", "trap");
            tracing::info!(target: PLUGIN, plugin = "b", "two");
            tracing::info!("of the server");
            tracing::warn!(target: PLUGIN, plugin = "a", "three");
        });
        let lines = log.lines("a", 0, 10);
        assert_eq!(messages(&lines), ["one", "three"]);
        assert_eq!((lines[0].number, lines[1].level), (1, Level::WARN));
        assert_eq!(messages(&log.lines("a", 1, 10)), ["three"]);
        assert_eq!(messages(&log.lines("a", 0, 1)), ["three"], "the last ones");
        let faults = log.faults("a", 10);
        assert_eq!(messages(&faults), ["trap"]);
        assert_eq!(faults[0].fields["backtrace"], "f at g");
        assert!(log.faults("b", 10).is_empty() && log.lines("c", 0, 10).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let long = "x".repeat(4 << 10);
        let kept = logged(|| {
            for number in 0..1_000 {
                tracing::info!(target: PLUGIN, plugin = "a", number, "{long}");
                tracing::error!(name: "handler.failed", plugin = "a", number, "{long}");
            }
        });
        let size = |lines: &[PluginLine]| -> usize {
            lines.iter().map(|it| bytes(&it.fields["message"])).sum()
        };
        let total = size(&kept.lines("a", 0, 1_000));
        assert!(total <= MAX_LINES.bytes && total > MAX_LINES.bytes / 2, "{total}");
        let faults = kept.faults("a", 1_000);
        assert!(size(&faults) <= MAX_FAULTS.bytes);
        assert_eq!(faults.last().unwrap().fields["number"], 999);
        let kept = logged(|| {
            for number in 0..1_000 {
                tracing::info!(target: PLUGIN, plugin = format!("p{number}"), "x");
                tracing::info!(target: PLUGIN, plugin = "active", "x");
            }
            (0..1_000).for_each(|_| tracing::info!(target: PLUGIN, plugin = "short", "x"));
        });
        assert_eq!(kept.lock().plugins.len(), MAX_PLUGINS);
        assert!(kept.lines("p0", 0, 1).is_empty(), "the oldest is left out");
        assert_eq!(kept.lines("active", 0, 1_000).len(), MAX_LINES.entries);
        assert_eq!(kept.lines("short", 0, 1_000).len(), MAX_LINES.entries);
    }
}
