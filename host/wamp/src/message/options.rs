//! Options of client requests, typed. Reading and writing them is beside the messages' own, in
//! `decode` and `encode`.

use std::collections::BTreeSet;

use crate::id::SessionId;
use crate::uri::MatchPolicy;

/// How a publication is delivered. WAMP v2 specification, sections "Publisher Exclusion",
/// "Subscriber Black- and Whitelisting", "Publisher Identification" and "Event Retention".
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "they are four options of the specification")]
pub struct PublishOptions {
    /// Whether the publisher wants PUBLISHED or ERROR.
    pub acknowledge: bool,
    /// Whether the publisher's own session is left out. Without the option: yes in version 2, no
    /// in version 1.
    pub exclude_me: bool,
    /// Whether the publisher wants to be known to the receivers.
    pub disclose_me: bool,
    /// Whether the event is to be kept for later subscribers.
    pub retain: bool,
    /// Who receives it, if the publisher narrows that.
    pub filter: Option<Box<ReceiverFilter>>,
}

impl Default for PublishOptions {
    /// As in version 2 with an empty dictionary.
    fn default() -> Self {
        Self {
            acknowledge: false,
            exclude_me: true,
            disclose_me: false,
            retain: false,
            filter: None,
        }
    }
}

/// The lists of a publication, only what was present and not empty: an empty list counts as absent,
/// as most routers take it (and as version 1's `[]` must mean everybody).
///
/// A list that was not empty, but held no name that can exist (version 1, where session ids are
/// texts), is there and empty: nobody is on it.
///
/// They are sets, because each receiver is looked up in them, and a list may be long.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ReceiverFilter {
    /// Sessions that do not receive.
    pub exclude: BTreeSet<SessionId>,
    /// Users that do not.
    pub exclude_authid: BTreeSet<String>,
    /// Roles that do not.
    pub exclude_authrole: BTreeSet<String>,
    /// Only these sessions receive.
    pub eligible: Option<BTreeSet<SessionId>>,
    /// Only these users.
    pub eligible_authid: Option<BTreeSet<String>>,
    /// Only these roles.
    pub eligible_authrole: Option<BTreeSet<String>>,
}

impl ReceiverFilter {
    /// Boxed, or none if it leaves nobody out.
    pub(crate) fn into_option(self) -> Option<Box<Self>> {
        if self == Self::default() { None } else { Some(Box::new(self)) }
    }
}

/// How a call is made. WAMP v2 specification, sections "Progressive Call Results", "Progressive
/// Call Invocations", "Call Timeout" and "Caller Identification".
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CallOptions {
    /// Whether the caller takes results before the last.
    pub receive_progress: bool,
    /// Whether more arguments follow in further CALLs.
    pub progress: bool,
    /// Whether the caller wants to be known to the callee.
    pub disclose_me: bool,
    /// After how many milliseconds the call is to be cancelled.
    pub timeout: Option<u64>,
}

/// How a procedure is offered. WAMP v2 specification, sections "Pattern-based Registration",
/// "Shared Registration" and "Call Timeout".
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RegisterOptions {
    /// How the procedure's URI is matched.
    pub policy: MatchPolicy,
    /// How calls are spread over several callees.
    pub invoke: InvocationPolicy,
    /// Whether the callee wants to know its callers.
    pub disclose_caller: bool,
    /// Whether the callee sees to time-outs itself.
    pub forward_timeout: bool,
}

/// Which of several callees answers (the option `invoke`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "named as in the specification")]
pub enum InvocationPolicy {
    #[default]
    Single,
    RoundRobin,
    Random,
    First,
    Last,
}

impl InvocationPolicy {
    /// The policy that an option's value names.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Single, Self::RoundRobin, Self::Random, Self::First, Self::Last];
        all.into_iter().find(|policy| policy.name() == name)
    }

    /// The option's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::RoundRobin => "roundrobin",
            Self::Random => "random",
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

/// How a call is cancelled (the option `mode`). The specification gives no default; routers agree
/// on `killnowait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CancelMode {
    /// The caller stops waiting; the callee learns nothing.
    Skip,
    /// The callee is interrupted, and the caller waits for its answer.
    Kill,
    /// The callee is interrupted, and the caller stops waiting.
    #[default]
    KillNoWait,
}

impl CancelMode {
    /// The mode that an option's value names.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Skip, Self::Kill, Self::KillNoWait].into_iter().find(|mode| mode.name() == name)
    }

    /// The option's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Kill => "kill",
            Self::KillNoWait => "killnowait",
        }
    }
}
