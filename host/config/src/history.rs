//! The setting `history`: the memory of the recent events of all topics, and the size of a replay.

use std::num::NonZeroUsize;

use jackfield_broker::ReplayLimits;
use jackfield_yaml::ByteSize;
use serde::Deserialize;

use super::merge::{set_bytes, set_count};

/// Limits of the recent events that routes keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// The memory of all topics of all realms in bytes.
    pub memory_bytes: usize,
    /// The limits of what one subscriber gets at once.
    pub replay: ReplayLimits,
    /// What durable histories survive.
    pub durable: DurableMode,
}

/// What a publication to a topic with a durable history waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurableMode {
    /// The memory of the operating system: histories survive a crash of the server.
    #[default]
    Written,
    /// The disk: they survive a power cut.
    Synced,
}

impl DurableMode {
    /// Returns the value of the setting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            replay: ReplayLimits::default(),
            durable: DurableMode::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHistory {
    memory: Option<ByteSize>,
    replay: RawReplay,
    durable: Option<DurableMode>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawReplay {
    events: Option<NonZeroUsize>,
    bytes: Option<ByteSize>,
}

impl RawHistory {
    pub(super) fn apply(self, limits: &mut HistoryLimits) {
        set_bytes(&mut limits.memory_bytes, self.memory);
        set_count(&mut limits.replay.events, self.replay.events);
        set_bytes(&mut limits.replay.bytes, self.replay.bytes);
        limits.durable = self.durable.unwrap_or(limits.durable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn reads_limits() {
        let read = |text: &str| Settings::of(text, &[]).result().map(|config| config.history);
        let all = read(
            "history: { memory: 1 GiB, replay: { events: 10, bytes: 64 KiB }, durable: synced }",
        );
        let replay = ReplayLimits { events: 10, bytes: 64 << 10 };
        let durable = DurableMode::Synced;
        assert_eq!(all.unwrap(), HistoryLimits { memory_bytes: 1 << 30, replay, durable });
        assert_eq!(read("history: {}").unwrap(), HistoryLimits::default());
        assert!(read("history: { replay: { events: 0 } }").is_err());
        assert!(read("history: { durable: true }").is_err());
    }
}
