//! Typed options of client requests. `decode` reads and `encode` writes them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use crate::id::SessionId;
use crate::uri::MatchPolicy;

/// The key of the trust level in messages between nodes.
pub(super) const TRUSTLEVEL: &str = "_jackfield_trustlevel";

/// Options of PUBLISH. WAMP v2 specification, sections "Publisher Exclusion", "Subscriber Black-
/// and Whitelisting", "Publisher Identification" and "Event Retention".
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "they are four options of the specification")]
pub struct PublishOptions {
    /// Whether the publisher wants PUBLISHED or ERROR.
    pub acknowledge: bool,
    /// Whether the publisher's own session is excluded. Default: true in version 2, false in
    /// version 1.
    pub exclude_me: bool,
    /// Whether the publisher discloses itself to the receivers.
    pub disclose_me: bool,
    /// Whether the event is to be kept for later subscribers.
    pub retain: bool,
    /// Restriction of the receivers.
    pub filter: Option<Box<ReceiverFilter>>,
    /// The trust level, in messages between nodes alone: that of a client is not used.
    pub trustlevel: Option<u32>,
}

impl Default for PublishOptions {
    /// Returns the options of version 2 with an empty dictionary.
    fn default() -> Self {
        Self {
            acknowledge: false,
            exclude_me: true,
            disclose_me: false,
            retain: false,
            filter: None,
            trustlevel: None,
        }
    }
}

/// Receiver lists of a publication. An absent list and an empty one mean the same, as in most
/// routers (version 1's `[]` must mean all sessions).
///
/// A list in which no name can exist (version 1 has session ids as texts) is `Some` and empty: it
/// matches no session.
///
/// The lists are sets, because each receiver is looked up in them and a list may be long.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ReceiverFilter {
    /// Excluded sessions.
    pub exclude: BTreeSet<SessionId>,
    /// Excluded users.
    pub exclude_authid: BTreeSet<String>,
    /// Excluded roles.
    pub exclude_authrole: BTreeSet<String>,
    /// The only sessions that receive it.
    pub eligible: Option<BTreeSet<SessionId>>,
    /// The only users that receive it.
    pub eligible_authid: Option<BTreeSet<String>>,
    /// The only roles that receive it.
    pub eligible_authrole: Option<BTreeSet<String>>,
}

impl ReceiverFilter {
    /// Returns the number of names in all lists.
    pub fn len(&self) -> usize {
        let Self { exclude, exclude_authid, exclude_authrole, .. } = self;
        let Self { eligible, eligible_authid, eligible_authrole, .. } = self;
        let names = [eligible_authid, eligible_authrole].into_iter().flatten().map(BTreeSet::len);
        exclude.len()
            + exclude_authid.len()
            + exclude_authrole.len()
            + eligible.as_ref().map_or(0, BTreeSet::len)
            + names.sum::<usize>()
    }

    /// Returns whether all lists are empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the filter in a box; `None` if it excludes no session.
    pub(crate) fn into_option(self) -> Option<Box<Self>> {
        let Self { exclude, exclude_authid, exclude_authrole, .. } = &self;
        let excludes =
            !exclude.is_empty() || !exclude_authid.is_empty() || !exclude_authrole.is_empty();
        let Self { eligible, eligible_authid, eligible_authrole, .. } = &self;
        let selects =
            eligible.is_some() || eligible_authid.is_some() || eligible_authrole.is_some();
        (excludes || selects).then(|| Box::new(self))
    }
}

/// Options of CALL. WAMP v2 specification, sections "Progressive Call Results", "Progressive Call
/// Invocations", "Call Timeout", "Caller Identification" and "Sharded Registration".
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CallOptions {
    /// Whether the caller accepts progressive results.
    pub receive_progress: bool,
    /// Whether further CALLs with more arguments follow.
    pub progress: bool,
    /// Whether the caller discloses itself to the callee.
    pub disclose_me: bool,
    /// Timeout in milliseconds, after which the call is cancelled.
    pub timeout: Option<u64>,
    /// The mode of the call; the only one that the specification describes is [`PARTITION`](Self::PARTITION).
    pub runmode: Option<String>,
    /// The resource key, which chooses the callee of a call of that mode.
    pub rkey: Option<String>,
    /// The trust level, which dispatch sets and nodes tell each other: that of a client is not used.
    pub trustlevel: Option<u32>,
}

impl CallOptions {
    /// The mode of calls that go to the callee of their resource key.
    pub const PARTITION: &str = "partition";

    /// Returns the key that chooses the callee, if one does.
    ///
    /// # Errors
    /// [`RunModeError`]
    pub fn shard(&self) -> Result<Option<&str>, RunModeError> {
        match (self.runmode.as_deref(), self.rkey.as_deref()) {
            (None, _) => Ok(None),
            (Some(Self::PARTITION), None) => Err(RunModeError::NoKey),
            (Some(Self::PARTITION), key) => Ok(key),
            (Some(_), _) => Err(RunModeError::Unknown),
        }
    }
}

/// A call has a mode that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunModeError {
    /// The key is missing.
    #[error("CALL.Options.runmode is \"partition\" and needs CALL.Options.rkey, a string")]
    NoKey,
    /// The specification does not describe the mode.
    #[error("CALL.Options.runmode has to be \"partition\": this router knows no other")]
    Unknown,
}

/// Options of REGISTER. WAMP v2 specification, sections "Pattern-based Registration", "Shared
/// Registration" and "Call Timeout".
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RegisterOptions {
    /// The match policy of the procedure's URI.
    pub policy: MatchPolicy,
    /// The choice among several callees.
    pub invoke: InvocationPolicy,
    /// Whether the callee asks for the identity of its callers.
    pub disclose_caller: bool,
    /// Whether the callee handles timeouts itself.
    pub forward_timeout: bool,
    /// The most calls that the callee handles at the same time. Not in the specification: an option
    /// of Crossbar.
    pub concurrency: Option<NonZeroU32>,
    /// The node key: a callee that registers with it again gets the calls of the same resource keys. Not in the
    /// specification, which has it for subscriptions.
    pub nkey: Option<String>,
    /// Whether the registrations of other sessions for the procedure end. Not in the specification: an
    /// option of Crossbar.
    pub force_reregister: bool,
}

/// Choice among several callees (the option `invoke`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "named as in the specification")]
pub enum InvocationPolicy {
    #[default]
    Single,
    RoundRobin,
    Random,
    First,
    Last,
    /// The callee with the fewest pending calls. Not in the specification: a policy of Bondy.
    LeastLoaded,
}

impl InvocationPolicy {
    /// Returns the policy that an option's value names.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Single,
            Self::RoundRobin,
            Self::Random,
            Self::First,
            Self::Last,
            Self::LeastLoaded,
        ];
        all.into_iter().find(|policy| policy.name() == name)
    }

    /// Returns the option's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::RoundRobin => "roundrobin",
            Self::Random => "random",
            Self::First => "first",
            Self::Last => "last",
            Self::LeastLoaded => "queue_least_loaded",
        }
    }
}

/// Mode of CANCEL (the option `mode`). The specification gives no default; routers agree on
/// `killnowait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CancelMode {
    /// The caller stops waiting; the callee is not informed.
    Skip,
    /// The callee is interrupted, and the caller waits for its answer.
    Kill,
    /// The callee is interrupted, and the caller stops waiting.
    #[default]
    KillNoWait,
}

impl CancelMode {
    /// Returns the mode that an option's value names.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Skip, Self::Kill, Self::KillNoWait].into_iter().find(|mode| mode.name() == name)
    }

    /// Returns the option's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Kill => "kill",
            Self::KillNoWait => "killnowait",
        }
    }
}
