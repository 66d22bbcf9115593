//! Dealer of a realm: registrations of clients, and calls that wait for an answer.
//!
//! Every message to a session is queued under the dealer's one lock, and the first answer removes
//! the call from its table. Therefore REGISTERED precedes the first INVOCATION of a registration
//! and none follows UNREGISTERED, a call is answered exactly once, and no result follows its
//! cancellation. The lock is never held together with a realm's.

#![expect(clippy::similar_names, reason = "callers and callees are the specification's words")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jackfield_wamp::error_uri;
use jackfield_wamp::id::{RegistrationId, SessionId};
use jackfield_wamp::message::{CallId, Cancel, CancelMode, Register, Unregister};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::uri::MatchPolicy;

use crate::node::NodeId;
use crate::publication::{DeliveryError, TooLarge};
use crate::quota::Usage;
use crate::realm::RealmLimits;
use crate::registrations::{Claim, RegisterError, Registrations};
use crate::relay;
use crate::session::{PendingFlushes, Session};
use crate::uri_table::Key;

mod calls;
mod deadlines;
mod details;
mod error;
mod inspect;
mod meta;
mod parts;
mod remote;
mod reroute;
mod session_calls;

use deadlines::Deadlines;
pub use error::{CallError, UnregisterError};
pub use inspect::CallsView;
pub use parts::Continued;
use session_calls::{InboundCall, OutboundCall, SessionCalls};

/// Encodes a reply as a frame. Returns `None` if the session's dialect has no such message.
pub type Encode = fn(&Session, &Reply<'_>) -> Option<Bytes>;

/// The procedures of one realm's clients.
pub struct Dealer {
    encode: Encode,
    /// Longest call or answer in bytes, in the receiver's encoding.
    max_bytes: AtomicUsize,
    /// Only outbox locks are taken under it.
    state: Mutex<State>,
}

struct State {
    limits: RealmLimits,
    registrations: Registrations,
    sessions: HashMap<SessionId, SessionCalls>,
    /// Registrations of all sessions together.
    registered: Usage,
    /// Pending calls of all sessions together, by the caller's client.
    calls: Usage,
    /// The ends of pending calls with a timeout.
    deadlines: Deadlines,
    /// Bytes of the arguments that are kept for other callees.
    kept_bytes: usize,
    /// This node, in a cluster.
    node: NodeId,
}

impl Dealer {
    /// Creates a dealer without procedures.
    pub fn new(encode: Encode, max_bytes: usize, limits: RealmLimits) -> Self {
        let state = State {
            limits,
            registrations: Registrations::default(),
            sessions: HashMap::new(),
            registered: Usage::default(),
            calls: Usage::default(),
            deadlines: Deadlines::default(),
            kept_bytes: 0,
            node: NodeId::default(),
        };
        Self { encode, max_bytes: AtomicUsize::new(max_bytes), state: Mutex::new(state) }
    }

    /// Replaces the limits, and the size of the longest call. Registrations beyond them stay.
    pub fn set_limits(&self, limits: RealmLimits, max_bytes: usize) {
        self.lock().limits = limits;
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
    }

    /// Registers a procedure. REGISTERED is queued before any INVOCATION.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is queued then.
    pub fn register(
        &self,
        callee: &Arc<Session>,
        register: &Register,
        batch: &mut PendingFlushes,
    ) -> Result<(), RegisterError> {
        self.register_claimed(callee, register, Claim::default(), batch)
    }

    /// [`Dealer::register`] with the age of the registration among those of other nodes.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is queued then.
    pub fn register_claimed(
        &self,
        callee: &Arc<Session>,
        register: &Register,
        claim: Claim,
        batch: &mut PendingFlushes,
    ) -> Result<(), RegisterError> {
        let mut state = self.lock();
        let state = &mut *state;
        state.check_limits(callee, register)?;
        let Register { request, options, procedure } = register;
        let wildcards = state.limits.wildcards("registered wildcards of the realm");
        if options.force_reregister {
            state.check_forced(callee, register)?;
            state.registrations.check_elsewhere(procedure, options.invoke, claim)?;
            self.dismiss_all(state, procedure, batch);
        }
        let registration = state.registrations.add(callee, procedure, options, claim, wildcards)?;
        state.registered.add(callee.client);
        let session_calls =
            state.sessions.entry(callee.id).or_insert_with(|| SessionCalls::new(callee));
        session_calls.patterns += usize::from(options.policy != MatchPolicy::Exact);
        session_calls.registered.insert(registration);
        self.confirm(callee, &Reply::Registered { request: *request, registration }, batch);
        Ok(())
    }

    /// Ends a registration. Pending calls may still be answered.
    pub fn unregister(
        &self,
        callee: &Arc<Session>,
        unregister: &Unregister,
        batch: &mut PendingFlushes,
    ) -> Result<(), UnregisterError> {
        let mut state = self.lock();
        let State { registrations, sessions, registered, .. } = &mut *state;
        let session_calls = sessions.get_mut(&callee.id).ok_or(UnregisterError)?;
        if !session_calls.registered.remove(&unregister.registration) {
            return Err(UnregisterError);
        }
        registered.remove(callee.client, 1);
        session_calls.patterns -= usize::from(registrations.is_pattern(unregister.registration));
        registrations.remove(callee.id, unregister.registration);
        self.confirm(callee, &Reply::Unregistered { request: unregister.request }, batch);
        Ok(())
    }

    /// Removes a session: its registrations end, callers of its pending calls get an error, and
    /// callees of its own calls are interrupted.
    pub fn leave(&self, session: SessionId, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(session_calls) = state.sessions.remove(&session) else { return };
        let client = session_calls.client;
        state.registered.remove(client, session_calls.registered.len());
        for registration in session_calls.registered {
            state.registrations.remove(session, registration);
        }
        for InboundCall { caller, call, .. } in session_calls.handling.into_values() {
            state.calls.remove(caller.client, 1);
            state.end_waiting(caller.id, &call);
            self.send_canceled(&caller, &call, "the callee has left", batch);
        }
        for (call, outbound) in session_calls.waiting {
            state.release(session, &call, &outbound);
            let OutboundCall { callee, request, interrupted, .. } = outbound;
            // A session's call to itself was subtracted above.
            if let Some(of_callee) = state.sessions.get_mut(&callee.id)
                && of_callee.handling.remove(&request).is_some()
            {
                of_callee.callers.remove(client, 1);
                state.calls.remove(client, 1);
            }
            if callee.features.call_canceling && !interrupted {
                let end = Cancel { request, mode: CancelMode::KillNoWait };
                self.interrupt(&callee, session, end, error_uri::CANCELED, batch);
            }
        }
    }

    /// Revokes registrations that `keep` rejects. `keep` is called without the lock, once for each
    /// procedure or pattern and callee.
    pub fn revoke(
        &self,
        keep: impl Fn(&str, MatchPolicy, &Session) -> bool,
        reason: &str,
        batch: &mut PendingFlushes,
    ) {
        let keys: Vec<_> = self.lock().registrations.keys().cloned().collect();
        for Key { policy, uri } in keys {
            let offered = self.lock().registrations.of(&uri, policy);
            let callees = offered.map(|(_, callees)| callees).unwrap_or_default();
            for callee in callees.into_iter().filter(|callee| !keep(&uri, policy, callee)) {
                let mut state = self.lock();
                let offered = state.registrations.of(&uri, policy);
                let Some((registration, _)) = offered else { continue };
                self.dismiss(&mut state, &callee, registration, reason, batch);
            }
        }
    }

    /// Ends the exact registration of a procedure that another session wants alone.
    fn dismiss_all(&self, state: &mut State, procedure: &str, batch: &mut PendingFlushes) {
        let offered = state.registrations.of(procedure, MatchPolicy::Exact);
        let Some((registration, callees)) = offered else { return };
        for callee in callees {
            self.dismiss(state, &callee, registration, error_uri::REGISTRATION_REPLACED, batch);
        }
    }

    /// Ends the registration of a callee, and tells it why. Its pending calls may still be answered.
    fn dismiss(
        &self,
        state: &mut State,
        callee: &Arc<Session>,
        registration: RegistrationId,
        reason: &str,
        batch: &mut PendingFlushes,
    ) {
        let State { registrations, sessions, registered, .. } = state;
        let is_pattern = registrations.is_pattern(registration);
        if !registrations.remove(callee.id, registration) {
            return;
        }
        if let Some(session_calls) = sessions.get_mut(&callee.id)
            && session_calls.registered.remove(&registration)
        {
            session_calls.patterns -= usize::from(is_pattern);
            registered.remove(callee.client, 1);
        }
        if callee.features.registration_revocation {
            let revoked = Reply::RegistrationRevoked { registration, reason };
            self.send(callee, &revoked, batch);
        }
    }

    /// Interrupts an invocation, or passes the end of the call to the callee's node.
    fn interrupt(
        &self,
        callee: &Arc<Session>,
        caller: SessionId,
        end: Cancel,
        reason: &str,
        batch: &mut PendingFlushes,
    ) {
        if callee.relay().is_some() {
            callee.forward(relay::cancel(caller, end, reason), batch);
        } else {
            let Cancel { request, mode } = end;
            self.send(callee, &Reply::Interrupt { request, mode, reason }, batch);
        }
    }

    fn send_canceled(
        &self,
        caller: &Arc<Session>,
        call: &CallId,
        message: &str,
        batch: &mut PendingFlushes,
    ) {
        let to = ErrorTo::Call { call };
        self.send(caller, &Reply::Error { to, uri: error_uri::CANCELED, message }, batch);
    }

    /// Writes a message to a session, or to the node that it stands for.
    fn frame(&self, session: &Session, reply: &Reply<'_>) -> Option<Bytes> {
        match session.relay() {
            None => (self.encode)(session, reply),
            Some(_) => relay::reply(reply),
        }
    }

    /// Answers the session's own request.
    fn confirm(&self, session: &Arc<Session>, reply: &Reply<'_>, batch: &mut PendingFlushes) {
        if let Some(frame) = self.frame(session, reply) {
            session.reply(frame, batch);
        }
    }

    /// Sends another session's payload, if the receiver's codec carries its values exactly and its
    /// size is within the limit.
    fn forward(
        &self,
        session: &Arc<Session>,
        reply: &Reply<'_>,
        payload: &Payload,
        batch: &mut PendingFlushes,
    ) -> Result<(), DeliveryError> {
        let mut limit = self.max_bytes.load(Ordering::Relaxed);
        if session.relay().is_some() {
            // The node of the receiver checks the rest.
            limit = relay::MAX_BYTES;
        } else {
            limit = session.outbox().max_frame_bytes(limit);
            payload.check_translatable(session.dialect.codec())?;
        }
        let Some(frame) = self.frame(session, reply) else { return Ok(()) };
        forward_within(session, frame, limit, batch)
    }

    /// Sends an error to a caller whose answer could not be delivered.
    fn send_undeliverable(
        &self,
        forwarded: Result<(), DeliveryError>,
        caller: &Arc<Session>,
        call: &CallId,
        batch: &mut PendingFlushes,
    ) {
        if let Err(error) = forwarded {
            let (to, uri) = (ErrorTo::Call { call }, error.uri());
            self.send(caller, &Reply::Error { to, uri, message: &error.to_string() }, batch);
        }
    }

    /// Sends a message caused by another session.
    fn send(&self, session: &Arc<Session>, reply: &Reply<'_>, batch: &mut PendingFlushes) {
        if let Some(frame) = self.frame(session, reply) {
            session.forward(frame, batch);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // As with a realm's lock: it is better to continue than to refuse every call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a frame of another session, if its size is within the limit.
fn forward_within(
    session: &Arc<Session>,
    frame: Bytes,
    limit: usize,
    batch: &mut PendingFlushes,
) -> Result<(), DeliveryError> {
    let bytes = frame.len();
    if bytes > limit {
        return Err(TooLarge { bytes, limit }.into());
    }
    session.forward(frame, batch);
    Ok(())
}

impl State {
    /// Checks whether a session may end the registrations of others for a procedure.
    fn check_forced(&self, callee: &Session, register: &Register) -> Result<(), RegisterError> {
        if register.options.policy != MatchPolicy::Exact {
            return Err(RegisterError::ForcedPattern);
        }
        let callees = self
            .registrations
            .of(&register.procedure, MatchPolicy::Exact)
            .map(|(_, callees)| callees);
        let is_own = callees.is_some_and(|all| all.iter().any(|it| it.id == callee.id));
        if is_own { Err(RegisterError::Again) } else { Ok(()) }
    }

    /// Checks the limits of registrations.
    fn check_limits(&self, callee: &Session, register: &Register) -> Result<(), RegisterError> {
        let limits = &self.limits;
        let (registered, patterns) =
            self.sessions.get(&callee.id).map_or((0, 0), |it| (it.registered.len(), it.patterns));
        if registered >= limits.subscriptions {
            return Err(RegisterError::TooMany(limits.subscriptions));
        }
        if register.options.policy != MatchPolicy::Exact && patterns >= limits.patterns {
            return Err(RegisterError::TooManyPatterns(limits.patterns));
        }
        self.registered.check(callee.client, limits.quota("registrations of the realm"))?;
        Ok(())
    }
}

#[cfg(test)]
impl Dealer {
    /// Returns whether nothing of any session is left.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        let State { registrations, sessions, registered, calls, deadlines, kept_bytes, .. } =
            &*state;
        sessions.is_empty()
            && registrations.is_empty()
            && registered.is_empty()
            && calls.is_empty()
            && deadlines.is_empty()
            && *kept_bytes == 0
    }
}

#[cfg(test)]
mod tests;
