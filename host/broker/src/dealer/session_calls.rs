//! The dealer's record of one session: its registrations and its pending calls, of both directions.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jackfield_wamp::id::{RegistrationId, RequestId, SessionId};
use jackfield_wamp::message::{Call, CallId};
use jackfield_wamp::value::Dict;

use crate::client_key::ClientKey;
use crate::node::Relay;
use crate::quota::Usage;
use crate::registrations::Busy;
use crate::session::Session;

/// Registrations and pending calls of one session.
pub(super) struct SessionCalls {
    pub(super) client: ClientKey,
    pub(super) relay: Option<Relay>,
    pub(super) registered: HashSet<RegistrationId>,
    /// Number of pattern registrations among them.
    pub(super) patterns: usize,
    /// The id of the last INVOCATION to this session. Its scope is the session.
    pub(super) last_invocation: u64,
    /// Pending calls to this session, by the request id of the INVOCATION.
    pub(super) handling: HashMap<RequestId, InboundCall>,
    /// Number of the calls in `handling`, by the caller's client.
    pub(super) callers: Usage,
    /// Pending calls made by this session.
    pub(super) waiting: HashMap<CallId, OutboundCall>,
    /// Calls of this session that have ended, while more of their arguments may be on the way.
    pub(super) ended: EndedParts,
}

/// A pending call on the callee's side.
pub(super) struct InboundCall {
    pub(super) caller: Arc<Session>,
    pub(super) call: CallId,
    /// Whether the caller accepts progressive results.
    pub(super) progress: bool,
    /// Counts the call among those of the callee's registration, until it is dropped.
    pub(super) _busy: Busy,
}

/// A pending call on the caller's side.
pub(super) struct OutboundCall {
    pub(super) callee: Arc<Session>,
    pub(super) request: RequestId,
    pub(super) interrupted: bool,
    /// The time after which the dealer ends the call.
    pub(super) timeout: Option<Timeout>,
    /// The first CALL, while further ones with more arguments follow.
    pub(super) parts: Option<Box<Parts>>,
    /// The call, if another callee may get it.
    pub(super) kept: Option<Box<Kept>>,
}

impl SessionCalls {
    pub(super) fn new(session: &Session) -> Self {
        Self {
            client: session.client,
            relay: session.relay(),
            registered: HashSet::new(),
            patterns: 0,
            last_invocation: 0,
            handling: HashMap::new(),
            callers: Usage::default(),
            waiting: HashMap::new(),
            ended: EndedParts::default(),
        }
    }

    /// Returns whether the session stands for a caller of another node that waits for nothing any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.relay, Some(Relay::Caller(_))) && self.waiting.is_empty()
    }

    pub(super) fn next_invocation(&mut self) -> RequestId {
        loop {
            self.last_invocation += 1;
            match RequestId::new(self.last_invocation) {
                Some(id) if !self.handling.contains_key(&id) => return id,
                Some(_) => {}
                None => self.last_invocation = 0,
            }
        }
    }
}

/// The timeout of a pending call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeout {
    pub(super) limit: Duration,
    pub(super) due: Instant,
}

impl Timeout {
    /// Returns the timeout of a call that ends at `due`.
    pub(super) fn of(call: &Call, due: Instant) -> Self {
        let milliseconds = call.options.timeout.unwrap_or_default();
        Self { limit: Duration::from_millis(milliseconds), due }
    }
}

/// A call that another callee may get.
pub(super) struct Kept {
    pub(super) call: Call,
    /// The end of its timeout, which a callee may have had to keep itself.
    pub(super) due: Option<Instant>,
    /// The callees that were unavailable.
    pub(super) tried: HashSet<SessionId>,
}

impl Kept {
    /// Returns the bytes that count towards the limit.
    pub(super) fn bytes(&self) -> usize {
        self.call.payload.len() + self.call.procedure.len()
    }
}

/// Most calls of a session whose rest is discarded. The oldest one is forgotten first.
const MAX_ENDED: usize = 64;

/// The first CALL of a call whose arguments come in parts.
pub(super) struct Parts {
    pub(super) registration: RegistrationId,
    /// `INVOCATION.Details`, all but `progress`: the options of the first CALL count.
    pub(super) details: Dict,
}

/// Calls that ended before their last CALL.
#[derive(Default)]
pub(super) struct EndedParts(VecDeque<RequestId>);

impl EndedParts {
    pub(super) fn add(&mut self, call: &CallId) {
        // Version 1 has no parts.
        let CallId::V2(call) = call else { return };
        if self.0.len() >= MAX_ENDED {
            self.0.pop_front();
        }
        self.0.push_back(*call);
    }

    /// Returns whether the call is among them; its last CALL removes it.
    pub(super) fn take(&mut self, call: &CallId, is_last: bool) -> bool {
        let CallId::V2(call) = call else { return false };
        let Some(place) = self.0.iter().position(|one| one == call) else { return false };
        if is_last {
            self.0.remove(place);
        }
        true
    }
}
