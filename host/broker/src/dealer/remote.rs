//! Calls between nodes: procedures of other nodes, and calls of their clients. A node is one callee here, and a
//! caller of another node a session ([`crate::relay`]).

use std::collections::HashSet;
use std::sync::Arc;

use jackfield_wamp::error_uri;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::{Call, Cancel, CancelMode, Error, Register};
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::uri::MatchPolicy;

use super::Dealer;
use super::session_calls::{InboundCall, SessionCalls};
use crate::node::Relay;
use crate::peers::{InterestKey, NodeId};
use crate::quota::{QuotaError, Usage};
use crate::registrations::{Claim, RegisterError, Terms};
use crate::session::{PendingFlushes, Session};
use crate::uri_table::Key;

/// Errors of the dealer of a node that has passed the call to no callee: another node may have one.
const NOT_TAKEN: [&str; 4] = [
    error_uri::NO_SUCH_PROCEDURE,
    error_uri::NO_AVAILABLE_CALLEE,
    error_uri::MAX_CONCURRENCY_REACHED,
    error_uri::UNAVAILABLE,
];

impl Dealer {
    /// Makes the dealer the part of this node in a cluster, before its first registration.
    #[must_use]
    pub fn in_cluster(self, node: NodeId) -> Self {
        let mut state = self.lock();
        state.registrations.record_offers();
        state.node = node;
        drop(state);
        self
    }

    /// Takes the procedures and patterns whose callees of this node have changed, as keys of a realm.
    pub fn take_changed_offers(&self, realm: &str) -> HashSet<InterestKey> {
        let changed = self.lock().registrations.take_changed_offers();
        let key = |key: Key| InterestKey::registration(realm, key.policy, &key.uri);
        changed.into_iter().map(key).collect()
    }

    /// Returns the terms on which this node offers a procedure; `None` without callees of it.
    pub fn terms(&self, uri: &str, policy: MatchPolicy) -> Option<Terms> {
        self.lock().registrations.terms(uri, policy)
    }

    /// Returns the time of the newest callee of other nodes, in microseconds since the Unix epoch; 0 without
    /// any.
    pub fn newest_elsewhere(&self, uri: &str, policy: MatchPolicy) -> u64 {
        self.lock().registrations.newest_elsewhere(uri, policy)
    }

    /// Checks whether [`Dealer::register`] would succeed now, but for registrations that it is to end.
    ///
    /// # Errors
    /// [`RegisterError`]
    pub fn check_register(
        &self,
        callee: &Session,
        register: &Register,
        claim: Claim,
    ) -> Result<(), RegisterError> {
        let state = self.lock();
        state.check_limits(callee, register)?;
        let Register { options, procedure, .. } = register;
        if options.force_reregister {
            return state.check_forced(callee, register);
        }
        let wildcards = state.limits.wildcards("registered wildcards of the realm");
        state.registrations.check(callee, procedure, options, claim, wildcards)
    }

    /// Sets the parts of all other nodes in a procedure. A node that is not named has none. Each session
    /// stands for a node.
    ///
    /// # Errors
    /// If there are too many wildcards: they are not called from this node.
    pub fn set_remotes(
        &self,
        uri: &str,
        policy: MatchPolicy,
        parts: &[(Arc<Session>, Terms)],
    ) -> Result<(), QuotaError> {
        let mut state = self.lock();
        let wildcards = state.limits.wildcards("registered wildcards of the realm");
        state.registrations.set_remotes(uri, policy, parts, wildcards)
    }

    /// Ends the exact registration of a procedure, which a client of another node wants alone.
    pub fn replace(&self, procedure: &str, batch: &mut PendingFlushes) {
        self.dismiss_all(&mut self.lock(), procedure, batch);
    }

    /// Ends the calls of the clients of another node: their callees are interrupted.
    pub fn leave_callers(&self, node: NodeId, batch: &mut PendingFlushes) {
        let is_of_node = |(_, calls): &(_, &SessionCalls)| calls.relay == Some(Relay::Caller(node));
        let state = self.lock();
        let callers: Vec<_> = state.sessions.iter().filter(is_of_node).map(|(id, _)| *id).collect();
        drop(state);
        for caller in callers {
            self.leave(caller, batch);
        }
    }

    /// Ends the pending calls of another node's procedures: messages between the nodes are lost. The callees
    /// are interrupted, as the node may have got a call after the loss.
    pub fn interrupt_node(&self, node: &Arc<Session>, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        let Some(of_node) = state.sessions.get_mut(&node.id) else { return };
        of_node.callers = Usage::default();
        for (request, InboundCall { caller, call, .. }) in std::mem::take(&mut of_node.handling) {
            state.calls.remove(caller.client, 1);
            state.end_waiting(caller.id, &call);
            let end = Cancel { request, mode: CancelMode::KillNoWait };
            self.interrupt(node, caller.id, end, error_uri::CANCELED, batch);
            let message = "the connection to the node of the callee was interrupted";
            self.send_canceled(&caller, &call, message, batch);
        }
    }

    /// Answers a call of another node that no callee gets.
    pub fn refuse_remote(
        &self,
        caller: &Arc<Session>,
        call: &Call,
        (uri, message): (&str, &str),
        batch: &mut PendingFlushes,
    ) {
        let to = ErrorTo::Call { call: &call.request };
        self.send(caller, &Reply::Error { to, uri, message }, batch);
    }

    /// Cancels a call of a client of another node.
    pub fn cancel_remote(
        &self,
        from: NodeId,
        caller: SessionId,
        cancel: &Cancel,
        reason: &str,
        batch: &mut PendingFlushes,
    ) {
        let is_of_node = |calls: &SessionCalls| calls.relay == Some(Relay::Caller(from));
        if self.lock().sessions.get(&caller).is_some_and(is_of_node) {
            self.cancel_because(caller, cancel, reason, batch);
        }
    }

    /// Routes the error of another node's dealer to the caller, or the call to another callee if that
    /// dealer has passed it to none. As [`Dealer::fail`].
    pub fn refused_by_node(
        &self,
        node: &Session,
        error: &Error,
        may_offer: impl Fn(&str, &Session) -> bool,
        chance: u64,
        batch: &mut PendingFlushes,
    ) -> bool {
        let is_unavailable = NOT_TAKEN.contains(&error.uri.as_str());
        self.pass_on(node, error, is_unavailable, may_offer, chance, batch)
    }
}
