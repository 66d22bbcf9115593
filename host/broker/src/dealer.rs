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
use jackfield_wamp::id::{RequestId, SessionId};
use jackfield_wamp::message::{
    Call, CallId, Cancel, CancelMode, Error, Register, Unregister, Yield,
};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::uri::MatchPolicy;
use jackfield_wamp::value::{Dict, Value};

use crate::publication::{DeliveryError, TooLarge};
use crate::quota::Usage;
use crate::realm::RealmLimits;
use crate::registrations::{Callee, ChosenCallee, RegisterError, Registrations};
use crate::session::{PendingFlushes, Session};

mod error;
mod inspect;
mod session_calls;

pub use error::{CallError, UnregisterError};
use error::{MAX_CALL_ID_BYTES, MAX_CALLS, callee_calls, open_calls};
pub use inspect::CallsView;
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
        let mut state = self.lock();
        let State { limits, registrations, sessions, registered, .. } = &mut *state;
        let session_calls = sessions.entry(callee.id).or_insert_with(|| SessionCalls::new(callee));
        if session_calls.registered.len() >= limits.subscriptions {
            return Err(RegisterError::TooMany(limits.subscriptions));
        }
        let Register { request, options, procedure } = register;
        let by_pattern = options.policy != MatchPolicy::Exact;
        if by_pattern && session_calls.patterns >= limits.patterns {
            return Err(RegisterError::TooManyPatterns(limits.patterns));
        }
        registered.check(callee.client, limits.quota("registrations of the realm"))?;
        let wildcards = limits.wildcards("registered wildcards of the realm");
        let registration = registrations.add(callee, procedure, options, wildcards)?;
        registered.add(callee.client);
        session_calls.patterns += usize::from(by_pattern);
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

    /// Routes a call to a callee. Callees of pattern registrations are candidates where `may_offer`
    /// returns true; it is called under the lock and must be quick. `chance` is a random number.
    ///
    /// # Errors
    /// [`CallError`]; nothing is queued then, and the caller has to be answered.
    pub fn call(
        &self,
        caller: &Arc<Session>,
        call: &Call,
        may_offer: impl Fn(&Session) -> bool,
        chance: u64,
        batch: &mut PendingFlushes,
    ) -> Result<(), CallError> {
        let mut state = self.lock();
        let State { limits, registrations, sessions, calls, .. } = &mut *state;
        let chosen = registrations.choose(&call.procedure, may_offer, chance);
        let ChosenCallee { registration, pattern, callee } =
            chosen.ok_or(CallError::NoSuchProcedure)?;
        if matches!(&call.request, CallId::V1(id) if id.len() > MAX_CALL_ID_BYTES) {
            return Err(CallError::LongId);
        }
        let of_caller = sessions.entry(caller.id).or_insert_with(|| SessionCalls::new(caller));
        let waiting = &of_caller.waiting;
        if waiting.contains_key(&call.request) {
            return Err(CallError::Repeated);
        }
        if waiting.len() >= MAX_CALLS {
            return Err(CallError::TooMany);
        }
        calls.check(caller.client, open_calls(limits.client_percent))?;
        // Not every callee with progressive results announces them: Wampy announces nothing.
        let progress = call.options.receive_progress;
        let of_callee = sessions.entry(callee.session.id);
        let handling = of_callee.or_insert_with(|| SessionCalls::new(&callee.session));
        handling.callers.check(caller.client, callee_calls(limits.client_percent))?;
        let request = handling.next_invocation();
        let pending =
            InboundCall { caller: Arc::clone(caller), call: call.request.clone(), progress };
        handling.handling.insert(request, pending);
        handling.callers.add(caller.client);
        calls.add(caller.client);
        let callee_session = Arc::clone(&callee.session);
        let handled = OutboundCall { callee: callee_session, request, interrupted: false };
        if let Some(of_caller) = sessions.get_mut(&caller.id) {
            of_caller.waiting.insert(call.request.clone(), handled);
        }
        let details = details(caller, call, &callee, pattern, progress);
        let (details, payload) = (&details, &call.payload);
        let invocation = Reply::Invocation { request, registration, details, payload };
        let forwarded = self.forward(&callee.session, &invocation, payload, batch);
        if forwarded.is_err() {
            state.take_call(callee.session.id, request);
        }
        Ok(forwarded?)
    }

    /// Returns whether the call with this id is pending.
    pub fn is_open(&self, caller: SessionId, call: &CallId) -> bool {
        self.lock()
            .sessions
            .get(&caller)
            .is_some_and(|session_calls| session_calls.waiting.contains_key(call))
    }

    /// Routes a callee's result to the caller. Ignored if the call is not pending.
    pub fn answer(&self, callee: &Session, answer: &Yield, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        let Yield { request, progress, payload } = answer;
        let mut forwarded = Ok(());
        if *progress {
            let session_calls = state.sessions.get(&callee.id);
            let pending =
                session_calls.and_then(|session_calls| session_calls.handling.get(request));
            let Some(InboundCall { caller, call, progress: true }) = pending else { return };
            let reply = Reply::Result { call, progress: true, payload };
            forwarded = self.forward(caller, &reply, payload, batch);
            if forwarded.is_ok() {
                return;
            }
        }
        if let Some(InboundCall { caller, call, .. }) = state.take_call(callee.id, *request) {
            let reply = Reply::Result { call: &call, progress: false, payload };
            let forwarded = forwarded.and_then(|()| self.forward(&caller, &reply, payload, batch));
            self.send_undeliverable(forwarded, &caller, &call, batch);
        }
    }

    /// Routes a callee's error to the caller. Ignored if the call is not pending.
    pub fn fail(&self, callee: &Session, error: &Error, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        if let Some(InboundCall { caller, call, .. }) = state.take_call(callee.id, error.request) {
            let Error { details, uri, payload, .. } = error;
            let reply = Reply::CallError { call: &call, uri, details, payload };
            let forwarded = self.forward(&caller, &reply, payload, batch);
            self.send_undeliverable(forwarded, &caller, &call, batch);
        }
    }

    /// Cancels a call. A callee without call canceling is not interrupted.
    pub fn cancel(&self, caller: &Arc<Session>, cancel: &Cancel, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        let call = CallId::V2(cancel.request);
        let session_calls = state.sessions.get_mut(&caller.id);
        let Some(handled) =
            session_calls.and_then(|session_calls| session_calls.waiting.get_mut(&call))
        else {
            return;
        };
        let OutboundCall { callee, request, interrupted } = handled;
        let (callee, request) = (Arc::clone(callee), *request);
        let interrupt = cancel.mode != CancelMode::Skip && callee.features.call_canceling;
        if interrupt && !std::mem::replace(interrupted, true) {
            self.interrupt(&callee, request, cancel.mode, batch);
        }
        if interrupt && cancel.mode == CancelMode::Kill {
            // The callee's answer will be forwarded to the caller.
            return;
        }
        if state.take_call(callee.id, request).is_some() {
            self.send_canceled(caller, &call, "the call was cancelled", batch);
        }
    }

    /// Removes a session: its registrations end, callers of its pending calls get an error, and
    /// callees of its own calls are interrupted.
    pub fn leave(&self, session: SessionId, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        let State { limits: _, registrations, sessions, registered, calls } = &mut *state;
        let Some(session_calls) = sessions.remove(&session) else { return };
        let client = session_calls.client;
        registered.remove(client, session_calls.registered.len());
        for registration in session_calls.registered {
            registrations.remove(session, registration);
        }
        for InboundCall { caller, call, .. } in session_calls.handling.into_values() {
            calls.remove(caller.client, 1);
            if let Some(session_calls) = sessions.get_mut(&caller.id) {
                session_calls.waiting.remove(&call);
            }
            self.send_canceled(&caller, &call, "the callee has left", batch);
        }
        for OutboundCall { callee, request, interrupted } in session_calls.waiting.into_values() {
            // A session's call to itself was subtracted above.
            if let Some(of_callee) = sessions.get_mut(&callee.id)
                && of_callee.handling.remove(&request).is_some()
            {
                of_callee.callers.remove(client, 1);
                calls.remove(client, 1);
            }
            if callee.features.call_canceling && !interrupted {
                self.interrupt(&callee, request, CancelMode::KillNoWait, batch);
            }
        }
    }

    /// Revokes exact registrations that `keep` rejects. `keep` is called without the lock, once for
    /// each procedure and callee.
    pub fn revoke(
        &self,
        keep: impl Fn(&str, &Session) -> bool,
        reason: &str,
        batch: &mut PendingFlushes,
    ) {
        let procedures: Vec<Arc<str>> =
            self.lock().registrations.procedures().map(Arc::clone).collect();
        for procedure in procedures {
            let offered = self.lock().registrations.of(&procedure);
            let callees = offered.map(|(_, callees)| callees).unwrap_or_default();
            for callee in callees.into_iter().filter(|callee| !keep(&procedure, callee)) {
                let mut state = self.lock();
                let State { registrations, sessions, registered, .. } = &mut *state;
                let Some((registration, _)) = registrations.of(&procedure) else { continue };
                if !registrations.remove(callee.id, registration) {
                    continue;
                }
                if let Some(session_calls) = sessions.get_mut(&callee.id)
                    && session_calls.registered.remove(&registration)
                {
                    registered.remove(callee.client, 1);
                }
                if callee.features.registration_revocation {
                    let revoked = Reply::RegistrationRevoked { registration, reason };
                    self.send(&callee, &revoked, batch);
                }
            }
        }
    }

    fn interrupt(
        &self,
        callee: &Arc<Session>,
        request: RequestId,
        mode: CancelMode,
        batch: &mut PendingFlushes,
    ) {
        self.send(callee, &Reply::Interrupt { request, mode, reason: error_uri::CANCELED }, batch);
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

    /// Answers the session's own request.
    fn confirm(&self, session: &Arc<Session>, reply: &Reply<'_>, batch: &mut PendingFlushes) {
        if let Some(frame) = (self.encode)(session, reply) {
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
        payload.check_translatable(session.dialect.codec())?;
        let Some(frame) = (self.encode)(session, reply) else { return Ok(()) };
        let (bytes, limit) = (frame.len(), self.max_bytes.load(Ordering::Relaxed));
        if bytes > limit {
            return Err(TooLarge { bytes, limit }.into());
        }
        session.forward(frame, batch);
        Ok(())
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
        if let Some(frame) = (self.encode)(session, reply) {
            session.forward(frame, batch);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // As with a realm's lock: it is better to continue than to refuse every call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes a pending call from both its sessions, so that it is answered once.
    fn take_call(&mut self, callee: SessionId, request: RequestId) -> Option<InboundCall> {
        let of_callee = self.sessions.get_mut(&callee)?;
        let pending = of_callee.handling.remove(&request)?;
        of_callee.callers.remove(pending.caller.client, 1);
        self.calls.remove(pending.caller.client, 1);
        if let Some(caller) = self.sessions.get_mut(&pending.caller.id) {
            caller.waiting.remove(&pending.call);
        }
        Some(pending)
    }
}

/// Builds INVOCATION.Details.
fn details(caller: &Session, call: &Call, callee: &Callee, pattern: bool, progress: bool) -> Dict {
    let mut details = Dict::new();
    if pattern {
        details.insert("procedure", call.procedure.as_str());
    }
    if call.options.disclose_me || callee.disclose_caller {
        details.insert("caller", Value::UInt(caller.id.get()));
        details.insert("caller_authid", caller.identity.authid.as_str());
        details.insert("caller_authrole", caller.identity.authrole());
    }
    if progress {
        details.insert("receive_progress", true);
    }
    details
}

#[cfg(test)]
mod tests;
