//! Access by the settings, which each generation has a copy of: a message is judged by one set of rules
//! from start to end.

use std::sync::Arc;

use jackfield_config::{Config, Unrouted};
use jackfield_routing::Allow;

use super::Generation;

/// Access to topics, as far as routes do not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteAccess {
    /// The treatment of topics without a route.
    pub(crate) unrouted: Unrouted,
    /// The roles for topics without a route, and for routes that list no roles.
    pub(crate) allow: Allow,
}

impl RouteAccess {
    pub(crate) fn of(config: &Config) -> Self {
        Self { unrouted: config.unrouted, allow: config.allow.clone() }
    }

    /// Returns whether all sessions may use topics without a route.
    pub(crate) fn is_open(&self) -> bool {
        self.unrouted == Unrouted::Broadcast
    }
}

impl Default for RouteAccess {
    fn default() -> Self {
        Self { unrouted: Unrouted::Refuse, allow: Allow::default() }
    }
}

impl Generation {
    /// Replaces the access by the settings.
    pub(crate) fn with_access(self, access: Arc<RouteAccess>) -> Self {
        Self { access, ..self }
    }

    /// Returns the access by the settings.
    pub(crate) fn access(&self) -> &RouteAccess {
        &self.access
    }
}
