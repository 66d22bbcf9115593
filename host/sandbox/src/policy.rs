//! Policy of a plugin: its limits and its grant. Plain data from the host's configuration.

use std::time::Duration;

use crate::outgoing::policy::OutgoingPolicy;

/// Policy of one plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginPolicy {
    /// Its limits.
    pub limits: Limits,
    /// The interfaces it may import.
    pub grant: Grant,
    /// Whether an instance that has grown is replaced by a fresh one between two calls, even if the
    /// plugin does not declare that it is stateless.
    pub recycle: bool,
    /// Its effects with an answer.
    pub outgoing: OutgoingPolicy,
}

/// How the store of a plugin is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StateMode {
    /// In memory: empty after a restart.
    Memory,
    /// Saved before a hook has effects: survives the end of the server's process.
    #[default]
    Written,
    /// Brought to the disk before a hook has effects: survives a power cut.
    Synced,
}

impl StateMode {
    /// The mode as it is written in settings.
    pub fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

/// Limits of a plugin, per instance unless stated otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, over all memories of an instance.
    pub memory: usize,
    /// Wall time of one call, from the moment the lane takes it up.
    pub deadline: Duration,
    /// Output of one call in bytes: its answer and its effects.
    pub output: usize,
    /// Effects of one call.
    pub effects: usize,
    /// Elements of each table of an instance.
    pub table_elements: usize,
    /// Size of the plugin's store in bytes, over all instances.
    pub store: usize,
    /// Log lines, over all instances.
    pub log: LogRate,
    /// CPU time that slow calls may use over all instances, in per cent of one core.
    pub cpu_percent: u32,
    /// The circuit breaker.
    pub breaker: BreakerPolicy,
}

/// Policy of circuit breakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Whether circuits open at all.
    pub enabled: bool,
    /// Faults within `window` that open the circuit of a session on one topic; also the failing
    /// clients that open the circuit of a topic or the handler.
    pub faults: u32,
    /// Period over which faults are counted.
    pub window: Duration,
    /// Failing topics that open the circuit of a session or the handler; also the failing sessions
    /// of a client.
    pub spread: usize,
    /// The first pause; each further one is twice as long.
    pub pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
}

/// Log rate of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRate {
    /// Lines per second.
    pub per_second: u32,
    /// Lines at once after a quiet time.
    pub burst: u32,
}

/// Interfaces that a plugin may import. A plugin that imports another one does not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line of the operator's file")]
pub struct Grant {
    /// Publish events, and list subscribers.
    pub topics: bool,
    /// Send to, unsubscribe and close single sessions.
    pub sessions: bool,
    /// Keep state.
    pub store: bool,
    /// Write to the operator's log.
    pub log: bool,
    /// Send requests of HTTP, to the servers of a list.
    pub http: bool,
    /// Wait for answers of HTTP in `on-subscribe`, from the servers of the same list.
    pub fetch: bool,
    /// Call procedures of a list.
    pub calls: bool,
}

impl Grant {
    /// Everything that can be granted.
    pub const ALL: Self = Self {
        topics: true,
        sessions: true,
        store: true,
        log: true,
        http: true,
        fetch: true,
        calls: true,
    };

    /// Nothing.
    pub const NONE: Self = Self {
        topics: false,
        sessions: false,
        store: false,
        log: false,
        http: false,
        fetch: false,
        calls: false,
    };

    /// Whether the other grant has all of this one.
    pub fn is_within(self, other: Self) -> bool {
        let Self { topics, sessions, store, log, http, fetch, calls } = other;
        (!self.topics || topics)
            && (!self.sessions || sessions)
            && (!self.store || store)
            && (!self.log || log)
            && (!self.http || http)
            && (!self.fetch || fetch)
            && (!self.calls || calls)
    }

    /// The names of what is granted, as in the operator's file.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let Self { topics, sessions, store, log, http, fetch, calls } = self;
        [
            (topics, "topics"),
            (sessions, "sessions"),
            (store, "store"),
            (log, "log"),
            (http, "http"),
            (fetch, "fetch"),
            (calls, "calls"),
        ]
        .into_iter()
        .filter_map(|(is_granted, name)| is_granted.then_some(name))
    }
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
        Self { topics: true, sessions: true, store: true, log: true, ..Self::NONE }
    }
}
