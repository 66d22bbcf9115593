//! What an operator allows one plugin: its limits and its grant. Plain data, made by the host from
//! its configuration and read by everything here.

use std::time::Duration;

/// What one plugin may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginPolicy {
    /// How much of everything.
    pub limits: Limits,
    /// Which of the host's interfaces.
    pub grant: Grant,
}

/// How much a plugin may use, in each of its instances unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, over all memories of an instance.
    pub memory: usize,
    /// Wall time of one call, from the moment the lane takes it up.
    pub deadline: Duration,
    /// Bytes that one call may hand to the host: its answer and its effects.
    pub output: usize,
    /// Effects of one call.
    pub effects: usize,
    /// Elements of each table of an instance.
    pub table_elements: usize,
    /// Bytes that the plugin's store may hold, over all instances.
    pub store: usize,
    /// Log lines, over all instances.
    pub log: LogRate,
}

/// How fast a plugin may write to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRate {
    /// Lines a second in the long run.
    pub per_second: u32,
    /// Lines that may come at once after a quiet time.
    pub burst: u32,
}

/// Which interfaces of the contract a plugin may import. A plugin that imports another one does
/// not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line of the operator's file")]
pub struct Grant {
    /// Publish events, and see who is subscribed.
    pub topics: bool,
    /// Send to, unsubscribe and close single sessions.
    pub sessions: bool,
    /// Keep state.
    pub store: bool,
    /// Write to the operator's log.
    pub log: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            deadline: Duration::from_millis(250),
            output: 1 << 20,
            effects: 1_000,
            table_elements: 100_000,
            store: 64 << 20,
            log: LogRate { per_second: 100, burst: 1_000 },
        }
    }
}

impl Default for Grant {
    fn default() -> Self {
        Self { topics: true, sessions: true, store: true, log: true }
    }
}
