//! Policy of a plugin's effects with an answer. Plain data from the host's configuration.

use std::time::Duration;

use super::call::AllowedProcedures;
use super::origin::AllowedOrigin;

/// The effects with an answer that a plugin may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutgoingPolicy {
    /// Requests of HTTP.
    pub http: HttpPolicy,
    /// Calls of procedures.
    pub calls: CallPolicy,
    /// Results of `on-call` that come later.
    pub later: LaterPolicy,
}

/// Requests of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPolicy {
    /// The servers; none is granted if it is empty.
    pub allow: Vec<AllowedOrigin>,
    /// Whether names may lead to addresses of private networks and of the machine itself.
    pub private: bool,
    /// Whether `on-subscribe` may wait for answers.
    pub blocking: bool,
    /// Most requests of the plugin that wait for their answers.
    pub in_flight: usize,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// The largest body of an answer, in bytes.
    pub response: usize,
}

/// Calls of procedures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPolicy {
    /// The procedures; none is granted if it is empty.
    pub allow: Vec<AllowedProcedures>,
    /// Most calls of the plugin that wait for their results.
    pub in_flight: usize,
    /// The longest wait for a result.
    pub timeout: Duration,
}

/// Results of `on-call` that come later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaterPolicy {
    /// Most deferred calls of the plugin.
    pub in_flight: usize,
    /// The longest time for which a caller waits.
    pub timeout: Duration,
}

impl Default for HttpPolicy {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            private: false,
            blocking: false,
            in_flight: 16,
            timeout: Duration::from_secs(10),
            response: 1 << 20,
        }
    }
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self { allow: Vec::new(), in_flight: 64, timeout: Duration::from_secs(10) }
    }
}

impl Default for LaterPolicy {
    fn default() -> Self {
        Self { in_flight: 1_000, timeout: Duration::from_secs(30) }
    }
}
