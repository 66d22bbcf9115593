//! Limits of a realm: for each session, for all together, and for one client's share.

use crate::quota::Quota;
use crate::subscriptions::TopicQuotas;
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
    /// Topics and patterns with subscribers.
    pub topics: usize,
    /// The share of each total of the realm that one client may use, in per cent.
    pub client_percent: u32,
}

impl RealmLimits {
    /// Returns the quota of subscriptions or of registrations.
    pub(crate) fn quota(&self, what: &'static str) -> Quota {
        let Self { realm_subscriptions: total, client_percent, .. } = *self;
        Quota { what, setting: Some("limits.realm_subscriptions"), total, client_percent }
    }

    /// Returns the quotas of different topics and of different wildcards.
    pub(crate) fn topics(&self) -> TopicQuotas {
        let Self { topics: total, client_percent, .. } = *self;
        let (what, setting) = ("topics of the realm", Some("limits.realm_topics"));
        TopicQuotas {
            topics: Quota { what, setting, total, client_percent },
            wildcards: self.wildcards("wildcards of the realm"),
        }
    }

    /// Returns the quota of different wildcards.
    pub(crate) fn wildcards(&self, what: &'static str) -> Quota {
        let client_percent = self.client_percent;
        Quota { what, setting: None, total: MAX_WILDCARDS, client_percent }
    }
}
