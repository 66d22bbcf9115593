//! Refusals of requests: an error URI for programs, and a sentence for people.

mod http_status;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jackfield_broker::{CallError, Session};
use jackfield_routing::{Action, Route};
use jackfield_sandbox::{CallSite, CircuitScope, Fault, FaultKind};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::error_uri;
use jackfield_wamp::id::SubscriptionId;
use jackfield_wamp::payload::PayloadError;
use jackfield_wamp::protocol::{ErrorTo, Reply};
use tracing::{debug, error, warn};

use super::{Dispatch, durable::HISTORY_FAILED, uris};
use crate::metrics::{RefusalReason, RequestKind};

mod of_broker;

use of_broker::reached;

/// No route matches the topic.
pub(crate) const NO_ROUTE: &str = "jackfield.error.no_route";
/// The topic has no history.
pub(crate) const NO_HISTORY: &str = "jackfield.error.no_history";
/// The topic's handler failed; nothing was delivered.
pub(crate) const HANDLER_FAILED: &str = "jackfield.error.handler_failed";
/// The topic's handler failed too often, and its circuit breaker is open.
pub(crate) const HANDLER_ON_HOLD: &str = "jackfield.error.handler_on_hold";
/// The session sends faster than its rates allow. The rate limits of plugins have the same URI.
pub(crate) const RATE_EXCEEDED: &str = "jackfield.error.rate_limit_exceeded";

/// The operator has disabled the topic's handler.
pub(crate) const HANDLER_DISABLED: &str = "jackfield.error.handler_disabled";

/// The topic's handler waited too long for CPU time, beside other slow handlers.
pub(crate) const HANDLER_BUSY: &str = "jackfield.error.handler_busy";

/// The store of the topic's handler cannot be saved; the request has no effect.
pub(crate) const STORE_FAILED: &str = "jackfield.error.store_failed";

/// The node that runs the topic's handler does not answer.
pub(crate) const HOME_UNREACHABLE: &str = "jackfield.error.home_unreachable";

/// The reason why a request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    uri: Cow<'static, str>,
    message: String,
    /// Whether the sandbox has logged the error already.
    logged: bool,
    /// The limit that is reached, if the URI does not tell.
    limit: Option<RefusalReason>,
}

impl Dispatch {
    /// Counts and logs the refusal of a request about a topic or procedure.
    pub(super) fn refused(&self, kind: RequestKind, refusal: &Refusal, from: &Session, uri: &str) {
        self.metrics.refused(kind, refusal.reason());
        refusal.log(kind.label(), from, uris::shown(uri));
    }
}

impl Refusal {
    pub(super) fn new(uri: &'static str, message: String) -> Self {
        Self { uri: uri.into(), message, logged: false, limit: None }
    }

    /// Refuses a request at a limit.
    pub(super) fn at_limit(limit: RefusalReason, message: String) -> Self {
        Self { limit: Some(limit), ..Self::new(error_uri::UNAVAILABLE, message) }
    }

    /// Returns the sentence for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Returns the error URI.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Returns the error URI and the sentence.
    pub(crate) fn into_parts(self) -> (Cow<'static, str>, String) {
        (self.uri, self.message)
    }

    pub(super) fn no_route(topic: &str) -> Self {
        Self::new(NO_ROUTE, format!("no route matches the topic `{topic}`"))
    }

    /// Refuses a request to a handler whose plugin the operator has disabled.
    pub(super) fn disabled(handler: &str) -> Self {
        let message = format!("the handler `{handler}` is disabled; try again later");
        Self::new(HANDLER_DISABLED, message)
    }

    /// Refuses a procedure that no route matches.
    pub(super) fn no_procedure(procedure: &str) -> Self {
        let message = format!("there is no procedure `{procedure}`");
        Self::new(error_uri::NO_SUCH_PROCEDURE, message)
    }

    /// Refuses a procedure whose handler answers no calls, and that no client has registered. For
    /// version 1, the sentence is one that existing pages may know.
    pub(super) fn not_callable(dialect: Dialect, route: &str) -> Self {
        let message = match dialect {
            Dialect::V1 => {
                format!("A RPC handler for the \"{route}\" route has not been registered.")
            }
            Dialect::V2(_) => {
                format!("neither the handler of the route `{route}` nor a client answers this call")
            }
        };
        Self::new(error_uri::NO_SUCH_PROCEDURE, message)
    }

    /// Refuses a publication that the other nodes of the cluster would not get.
    pub(super) fn alone() -> Self {
        let message = "the other nodes of the cluster cannot be reached (cluster.when_alone)";
        Self::new(error_uri::UNAVAILABLE, message.to_owned())
    }

    /// Refuses a request of a session above its rates.
    pub(super) fn too_fast() -> Self {
        let message = "this session sends too fast (limits.message_rate, limits.byte_rate)";
        Self::new(RATE_EXCEEDED, message.to_owned())
    }

    /// Refuses a call that cannot be sent to a callee.
    pub(super) fn unavailable(error: CallError) -> Self {
        let limit = match error {
            CallError::Quota(error) => reached(error),
            _ => RefusalReason::SessionLimit,
        };
        Self::at_limit(limit, error.to_string())
    }

    /// Refuses a call whose callees are all busy.
    pub(super) fn busy_callees(limit: u32) -> Self {
        let message = CallError::Concurrency(limit).to_string();
        let refusal = Self::at_limit(RefusalReason::Unavailable, message);
        Self { uri: error_uri::MAX_CONCURRENCY_REACHED.into(), ..refusal }
    }

    /// Ends a call that its caller has cancelled.
    pub(super) fn canceled() -> Self {
        Self::new(error_uri::CANCELED, "the call was cancelled".to_owned())
    }

    /// Ends a call whose `timeout` is over.
    pub(super) fn timed_out(milliseconds: u64) -> Self {
        let message = format!("the call took longer than its timeout of {milliseconds} ms");
        Self::new(error_uri::TIMEOUT, message)
    }

    /// Ends a call whose deferred result has not come in time.
    pub(super) fn overdue(limit: Duration) -> Self {
        let message = format!("the handler gave no result within {} ms", limit.as_millis());
        Self::new(error_uri::TIMEOUT, message)
    }

    /// Refuses to let one more call of a session wait for a later result.
    pub(super) fn too_many_deferred(limit: usize) -> Self {
        let message = format!("{limit} calls of the session wait for later results");
        Self::at_limit(RefusalReason::SessionLimit, message)
    }

    /// Refuses a call of a plugin, because there is no id for its session.
    pub(super) fn no_session() -> Self {
        Self::new(error_uri::UNAVAILABLE, "the system has no randomness to give".to_owned())
    }

    /// Refuses to register a procedure that a handler answers.
    pub(super) fn handlers_own(route: &str) -> Self {
        let message = format!("calls are answered by the handler of the route `{route}`");
        Self::new(error_uri::PROCEDURE_ALREADY_EXISTS, message)
    }

    /// Refuses a call of a handler with arguments in several messages.
    pub(super) fn no_parts(route: &str) -> Self {
        let message = format!(
            "send the arguments at once: the handler of the route `{route}` takes no CALL with `progress`"
        );
        Self::new(error_uri::FEATURE_NOT_SUPPORTED, message)
    }

    /// Refuses a payload that the clients have packed: a handler sees arguments, and no `ppt_` options.
    pub(super) fn no_passthru(route: &str) -> Self {
        let message = format!(
            "the handler of the route `{route}` reads arguments: send them without `ppt_scheme`"
        );
        Self::new(error_uri::FEATURE_NOT_SUPPORTED, message)
    }

    /// Refuses a call that its callee does not support.
    pub(super) fn unsupported(error: CallError) -> Self {
        Self::new(error_uri::FEATURE_NOT_SUPPORTED, error.to_string())
    }

    pub(super) fn invalid_uri(message: String) -> Self {
        Self::new(error_uri::INVALID_URI, message)
    }

    /// The topic has no history.
    pub(super) fn no_history(topic: &str) -> Self {
        let message =
            format!("the topic `{}` has no history; its route needs `history`", uris::shown(topic));
        Self::new(NO_HISTORY, message)
    }

    /// The topic of a subscription has no history, or it is a pattern.
    pub(super) fn history_unavailable(uri: &str) -> Self {
        let message = format!("`{uri}` has no history: it is a pattern, or its route keeps none");
        Self::new(error_uri::HISTORY_UNAVAILABLE, message)
    }

    /// The session is no subscriber.
    pub(super) fn no_subscription(subscription: SubscriptionId) -> Self {
        let message = format!("this session has no subscription {}", subscription.get());
        Self::new(error_uri::NO_SUCH_SUBSCRIPTION, message)
    }

    /// The handler decides who may subscribe, and it is asked about subscriptions alone.
    pub(super) fn only_for_subscribers(route: &str) -> Self {
        let message = format!(
            "the handler of the route `{route}` decides about subscribers: only they may read the history"
        );
        Self::new(error_uri::NOT_AUTHORIZED, message)
    }

    /// Arguments of a procedure of the server that it cannot use.
    pub(super) fn invalid_argument(message: String) -> Self {
        Self::new(error_uri::INVALID_ARGUMENT, message)
    }

    /// Refuses an action that the route, or else the settings, allow to other roles only.
    pub(super) fn not_allowed(action: Action, route: Option<&Route>) -> Self {
        let key = action.key();
        let message = match route {
            Some(Route { name, allow, .. }) if allow.roles(action).is_some() => {
                format!("the route `{name}` does not allow your roles to {key}")
            }
            Some(Route { name, .. }) => format!(
                "the configuration (`allow`) does not allow your roles to {key} by the route `{name}`"
            ),
            None => format!("your roles may not {key} here"),
        };
        Self::new(error_uri::NOT_AUTHORIZED, message)
    }

    /// Refuses a procedure or topic of the meta API.
    pub(super) fn no_meta(uri: &str) -> Self {
        let message = format!("no rule lets your roles use `{uri}` (`rules` of the settings)");
        Self::new(error_uri::NOT_AUTHORIZED, message)
    }

    /// Refuses a call with parts or with a packed payload.
    pub(super) fn plain_alone(procedure: &str) -> Self {
        let message = format!("`{procedure}` takes no CALL with `progress` or `ppt_scheme`");
        Self::new(error_uri::FEATURE_NOT_SUPPORTED, message)
    }

    pub(super) fn bad_event(error: &PayloadError) -> Self {
        Self::new(HANDLER_FAILED, format!("the handler's event cannot be sent: {error}"))
    }

    /// Refuses a request whose handler failed. The client gets no details: they are in the
    /// operator's log.
    pub(super) fn fault(handler: &str, fault: &Fault) -> Self {
        let refusal = match fault.kind {
            FaultKind::CircuitOpen { scope, .. } => {
                // The opening of the circuit was logged as a warning; there may be many refusals.
                debug!("{fault}");
                let failing = match scope {
                    CircuitScope::Client => "your requests to the handler",
                    CircuitScope::Topic => "requests about this topic to the handler",
                    CircuitScope::Handler => "requests to the handler",
                };
                let message = format!("{failing} `{handler}` failed repeatedly; try again later");
                Self::new(HANDLER_ON_HOLD, message)
            }
            FaultKind::Busy(_) => {
                warn!(name: "handler.busy", plugin = fault.plugin, kind = fault.kind.label(), "{fault}");
                let message = format!("the handler `{handler}` is busy; try again later");
                Self::new(HANDLER_BUSY, message)
            }
            FaultKind::StoreFailed(_) => {
                // The failure was logged as an error; there may be many refusals.
                debug!("{fault}");
                let message = format!(
                    "the state of the handler `{handler}` cannot be saved; try again later"
                );
                Self::new(STORE_FAILED, message)
            }
            _ => {
                log_fault(fault);
                Self::new(HANDLER_FAILED, format!("the handler `{handler}` failed"))
            }
        };
        Self { logged: true, ..refusal }
    }

    pub(super) fn reply<'a>(&'a self, to: ErrorTo<'a>) -> Reply<'a> {
        Reply::Error { to, uri: &self.uri, message: &self.message }
    }

    /// The reason, for metrics.
    fn reason(&self) -> RefusalReason {
        if let Some(limit) = self.limit {
            return limit;
        }
        let uri = match &self.uri {
            // Plugins alone choose URIs.
            Cow::Owned(_) => return RefusalReason::Handler,
            Cow::Borrowed(uri) => *uri,
        };
        match uri {
            NO_ROUTE => RefusalReason::NoRoute,
            HANDLER_FAILED => RefusalReason::HandlerFailed,
            HANDLER_ON_HOLD => RefusalReason::HandlerOnHold,
            HANDLER_BUSY => RefusalReason::HandlerBusy,
            HANDLER_DISABLED => RefusalReason::HandlerDisabled,
            STORE_FAILED => RefusalReason::StoreFailed,
            HISTORY_FAILED => RefusalReason::HistoryFailed,
            HOME_UNREACHABLE => RefusalReason::HomeUnreachable,
            RATE_EXCEEDED => RefusalReason::Rate,
            error_uri::NOT_AUTHORIZED => RefusalReason::NotAuthorized,
            error_uri::AUTHORIZATION_FAILED => RefusalReason::AuthorizerFailed,
            error_uri::INVALID_URI => RefusalReason::InvalidUri,
            error_uri::INVALID_ARGUMENT => RefusalReason::InvalidArgument,
            error_uri::NO_SUCH_PROCEDURE => RefusalReason::NoSuchProcedure,
            error_uri::UNAVAILABLE => RefusalReason::Unavailable,
            error_uri::TIMEOUT => RefusalReason::Timeout,
            error_uri::CANCELED => RefusalReason::Canceled,
            error_uri::PAYLOAD_SIZE_EXCEEDED => RefusalReason::TooLarge,
            _ => RefusalReason::Other,
        }
    }

    /// Logs the refusal, the session and the topic.
    fn log(&self, what: &str, session: &Session, topic: &str) {
        if !self.logged {
            let Session { id, identity, .. } = session;
            debug!(session = %id, authid = identity.authid, topic, "{what} refused: {self}");
        }
    }
}

/// Logs a fault in one line. A fault has cost a request and is a bug in a plugin, so it is an
/// error; the log's rate limit bounds the number of lines.
fn log_fault(fault: &Fault) {
    let Fault { plugin, kind, backtrace, .. } = fault;
    let (kind, backtrace) = (kind.label(), backtrace.as_deref());
    match &*fault.call_site {
        CallSite::Hook { hook, handler, topic } => {
            error!(name: "handler.failed", plugin, handler, topic, %hook, kind, backtrace, "{fault}");
        }
        CallSite::Describe | CallSite::Configure { .. } => {
            error!(name: "plugin.failed", plugin, kind, backtrace, "{fault}");
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.uri, self.message)
    }
}

impl From<jackfield_sandbox::HookRefusal> for Refusal {
    fn from(refusal: jackfield_sandbox::HookRefusal) -> Self {
        Self { uri: refusal.uri.into(), message: refusal.message, logged: false, limit: None }
    }
}
