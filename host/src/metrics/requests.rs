//! Counters of the requests of a realm: refusals, and the times of publications.

use std::time::Duration;

use jackfield_metrics::{Durations, Grid, Histogram, Sharded, label};

label! {
    /// The kind of a request that can be refused.
    pub(crate) RequestKind {
        Publish = "publish",
        Subscribe = "subscribe",
        Unsubscribe = "unsubscribe",
        Call = "call",
        Register = "register",
        Unregister = "unregister",
    }
}

label! {
    /// The reason of a refusal.
    pub(crate) RefusalReason {
        NoRoute = "no_route",
        NotAuthorized = "not_authorized",
        /// The authorizer of the rule gave no decision.
        AuthorizerFailed = "authorizer_failed",
        InvalidUri = "invalid_uri",
        /// The handler refused.
        Handler = "handler",
        /// The handler failed.
        HandlerFailed = "handler_failed",
        /// The handler's circuit breaker is open.
        HandlerOnHold = "handler_on_hold",
        HandlerBusy = "handler_busy",
        HandlerDisabled = "handler_disabled",
        StoreFailed = "store_failed",
        /// The durable history of the topic cannot be saved.
        HistoryFailed = "history_failed",
        /// The node that runs the handler does not answer.
        HomeUnreachable = "home_unreachable",
        NoSuchProcedure = "no_such_procedure",
        /// The arguments cannot be used, or do not satisfy the schema of the route.
        InvalidArgument = "invalid_argument",
        /// A limit of the session is reached.
        SessionLimit = "session_limit",
        /// A total of the realm is reached.
        RealmLimit = "realm_limit",
        /// The client's share of a total is used up.
        ClientShare = "client_share",
        /// Another limit is reached.
        Unavailable = "unavailable",
        /// The session is above its rates.
        Rate = "rate",
        Timeout = "timeout",
        Canceled = "canceled",
        TooLarge = "too_large",
        Other = "other",
    }
}

/// Refusals by kind and reason.
type Refusals = Grid<RequestKind, RefusalReason, { RequestKind::COUNT * RefusalReason::COUNT }>;

/// Counters of the requests of one realm.
#[derive(Debug, Default)]
pub(crate) struct RequestMetrics {
    refusals: Refusals,
    publish_times: Sharded<Histogram>,
}

impl RequestMetrics {
    /// Counts a refusal.
    pub(crate) fn refused(&self, kind: RequestKind, reason: RefusalReason) {
        self.refusals.add(kind, reason, 1);
    }

    /// Counts the time of a publication.
    pub(crate) fn published(&self, took: Duration) {
        self.publish_times.record(took);
    }

    /// The number of refusals by kind and reason.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (RequestKind, RefusalReason, u64)> {
        self.refusals.sums()
    }

    /// The times of publications.
    pub(crate) fn publish_times(&self) -> Durations {
        self.publish_times.durations()
    }
}
