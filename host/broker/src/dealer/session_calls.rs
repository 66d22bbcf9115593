//! The dealer's record of one session: its registrations and its pending calls, of both directions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jackfield_wamp::id::{RegistrationId, RequestId};
use jackfield_wamp::message::CallId;

use crate::client_key::ClientKey;
use crate::quota::Usage;
use crate::session::Session;

/// Registrations and pending calls of one session.
pub(super) struct SessionCalls {
    pub(super) client: ClientKey,
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
}

/// A pending call on the callee's side.
pub(super) struct InboundCall {
    pub(super) caller: Arc<Session>,
    pub(super) call: CallId,
    /// Whether the caller accepts progressive results.
    pub(super) progress: bool,
}

/// A pending call on the caller's side.
pub(super) struct OutboundCall {
    pub(super) callee: Arc<Session>,
    pub(super) request: RequestId,
    pub(super) interrupted: bool,
}

impl SessionCalls {
    pub(super) fn new(session: &Session) -> Self {
        Self {
            client: session.client,
            registered: HashSet::new(),
            patterns: 0,
            last_invocation: 0,
            handling: HashMap::new(),
            callers: Usage::default(),
            waiting: HashMap::new(),
        }
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
