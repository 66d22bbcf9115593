//! Errors of subscriptions.

use crate::quota::QuotaError;

/// A session cannot subscribe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The session has left.
    #[error("the session has left the realm")]
    Gone,
    /// The session has the maximum number of subscriptions, given here.
    #[error("maximum subscriptions of the session reached (limits.subscriptions = {0})")]
    TooMany(usize),
    /// The session has the maximum number of pattern subscriptions, given here.
    #[error("maximum pattern subscriptions of the session reached (limits.patterns = {0})")]
    TooManyPatterns(usize),
    /// The limit of the realm's subscriptions, topics or wildcards, or the client's share of it, is
    /// reached.
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

/// The session has no such subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has no such subscription")]
pub struct UnsubscribeError;
