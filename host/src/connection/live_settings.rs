//! Settings of connections that change while they are open: each connection follows with its next
//! message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jackfield_config::{Config, Keepalive, Limits};

use super::Connection;

/// Settings of one connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    pub(crate) limits: Limits,
    pub(crate) keepalive: Keepalive,
    /// The maximum time from connecting to the end of the handshake.
    pub(crate) handshake_timeout: Duration,
    /// Counts the changes, so that a connection notices one by a comparison.
    number: u64,
}

/// The settings of all connections now.
pub(crate) struct LiveSettings {
    current: ArcSwap<ConnectionSettings>,
    /// The number of `current`: reading it costs less than `current`.
    number: AtomicU64,
}

impl LiveSettings {
    pub(crate) fn new(config: &Config) -> Self {
        let settings = ConnectionSettings::of(config, 0);
        Self { current: ArcSwap::from_pointee(settings), number: AtomicU64::new(0) }
    }

    /// Replaces the settings. One task does.
    pub(crate) fn set(&self, config: &Config) {
        let number = self.number.load(Ordering::Relaxed) + 1;
        self.current.store(Arc::new(ConnectionSettings::of(config, number)));
        // A connection that sees the number sees the settings.
        self.number.store(number, Ordering::Release);
    }

    pub(crate) fn current(&self) -> Arc<ConnectionSettings> {
        self.current.load_full()
    }
}

impl ConnectionSettings {
    fn of(config: &Config, number: u64) -> Self {
        let Config { limits, keepalive, handshake_timeout, .. } = *config;
        Self { limits, keepalive, handshake_timeout, number }
    }
}

impl Connection {
    /// Takes over changed settings before a message is handled.
    pub(super) fn follow_settings(&mut self) {
        if self.context.settings.number.load(Ordering::Acquire) != self.settings.number {
            self.take_over_settings();
        }
    }

    #[cold]
    fn take_over_settings(&mut self) {
        let settings = self.context.settings.current();
        let ConnectionSettings { limits, keepalive, .. } = &*settings;
        self.reader.set_max_message_bytes(limits.message_bytes);
        self.dialogue.set_max_depth(limits.depth);
        self.wire.outbox().set_bounds(limits.outbox);
        self.rate.follow(&self.settings.limits, limits);
        if self.settings.keepalive != *keepalive {
            self.wire.probe_when_silent_for(keepalive.interval, keepalive.timeout);
            self.keepalive.set_times(keepalive.interval, keepalive.timeout);
        }
        self.settings = settings;
    }
}
