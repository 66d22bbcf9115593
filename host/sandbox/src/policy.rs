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
    /// CPU time that slow calls may use over all instances, in per cent of one core.
    pub cpu_percent: u32,
    /// When a handler that keeps failing is not called.
    pub breaker: BreakerPolicy,
}

/// When calls of a handler are refused because they keep failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Whether calls are ever refused.
    pub enabled: bool,
    /// Faults within `window` after which a session's calls about one topic are refused; likewise
    /// clients whose calls have to fail before a topic or the handler is refused to all.
    pub faults: u32,
    /// How long faults are counted together.
    pub window: Duration,
    /// Topics on which a session's calls, or the handler's, have to fail before they are refused on
    /// all topics; likewise sessions of a client.
    pub spread: usize,
    /// The first pause; each next one is twice as long.
    pub pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
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
            cpu_percent: 100,
            breaker: BreakerPolicy::default(),
        }
    }
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            faults: 5,
            window: Duration::from_secs(10),
            spread: 3,
            pause: Duration::from_secs(1),
            max_pause: Duration::from_mins(1),
        }
    }
}

impl Default for Grant {
    fn default() -> Self {
        Self { topics: true, sessions: true, store: true, log: true }
    }
}
