//! Limits of a realm: for each session, for all together, and for one client's share.

use crate::quota::Quota;
use crate::uri_table::MAX_WILDCARDS;

/// Limits per session and per realm. They apply to subscriptions, and separately to registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealmLimits {
    /// Subscriptions of one session, patterns included.
    pub subscriptions: usize,
    /// Prefix and wildcard subscriptions of one session.
    pub patterns: usize,
    /// Subscriptions of all sessions together.
    pub realm_subscriptions: usize,
    /// The share of each total of the realm that one client may use, in per cent.
    pub client_percent: u32,
}

impl RealmLimits {
    /// Returns the quota of subscriptions or of registrations.
    pub(crate) fn quota(&self, what: &'static str) -> Quota {
        let Self { realm_subscriptions: total, client_percent, .. } = *self;
        Quota { what, setting: Some("limits.realm_subscriptions"), total, client_percent }
    }

    /// Returns the quota of different wildcards.
    pub(crate) fn wildcards(&self, what: &'static str) -> Quota {
        let client_percent = self.client_percent;
        Quota { what, setting: None, total: MAX_WILDCARDS, client_percent }
    }
}
