//! Procedures of clients: who offers which, and which calls wait for an answer.
//!
//! Everything that a session is told here is queued under the dealer's one lock, and each call is
//! taken out of its table by whoever answers it first. Therefore REGISTERED comes before the first
//! INVOCATION of a registration and none comes after UNREGISTERED, a call is answered exactly once,
//! and no result follows its cancelling. The lock is never held together with a realm's.

#![expect(clippy::similar_names, reason = "callers and callees are the specification's words")]

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jackfield_wamp::error_uri;
use jackfield_wamp::id::{RegistrationId, RequestId, SessionId};
use jackfield_wamp::message::{
    Call, CallId, Cancel, CancelMode, Error, Register, Unregister, Yield,
};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::uri::MatchPolicy;
use jackfield_wamp::value::{Dict, Value};

use crate::publication::{DeliveryError, TooLarge};
use crate::realm::RealmLimits;
use crate::registrations::{Callee, Chosen, RegisterError, Registrations};
use crate::session::{PendingFlushes, Session};

mod error;

pub use error::{CallError, UnregisterError};
use error::{MAX_CALL_ID_BYTES, MAX_CALLS, MAX_CALLS_OF_ALL, MAX_CALLS_PER_CALLEE};

/// Makes a frame of what a session is told; none where its dialect has no words for it.
pub type Encode = fn(&Session, &Reply<'_>) -> Option<Bytes>;

/// The procedures of one realm's clients.
pub struct Dealer {
    encode: Encode,
    /// Bytes of the longest call or answer, as its receiver gets it.
    max_bytes: usize,
    limits: RealmLimits,
    /// Under it only outbox locks are taken.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    registrations: Registrations,
    parties: HashMap<SessionId, SessionCalls>,
    /// Registrations of all sessions together.
    registered: usize,
    /// Calls of all sessions that wait for an answer.
    calls: usize,
}

/// What a session has to do with procedures.
#[derive(Default)]
struct SessionCalls {
    registered: HashSet<RegistrationId>,
    /// Prefixes and wildcards among them.
    patterns: usize,
    /// The id of its last INVOCATION; those are of session scope.
    last_invocation: u64,
    /// Calls that it is to answer.
    handling: HashMap<RequestId, InboundCall>,
    /// Calls that it waits for.
    waiting: HashMap<CallId, OutboundCall>,
}

/// A call that waits for an answer, as its callee's party knows it.
struct InboundCall {
    caller: Arc<Session>,
    call: CallId,
    /// Whether the caller takes results before the last.
    progress: bool,
}

/// A call that waits for an answer, as its caller's party knows it.
struct OutboundCall {
    callee: Arc<Session>,
    request: RequestId,
    interrupted: bool,
}

impl Dealer {
    /// A dealer without procedures.
    pub fn new(encode: Encode, max_bytes: usize, limits: RealmLimits) -> Self {
        Self { encode, max_bytes, limits, state: Mutex::default() }
    }

    /// Makes a session a callee, and tells it so before any call.
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
        let State { registrations, parties, registered, .. } = &mut *state;
        let party = parties.entry(callee.id).or_default();
        if party.registered.len() >= self.limits.subscriptions {
            return Err(RegisterError::TooMany(self.limits.subscriptions));
        }
        let Register { request, options, procedure } = register;
        let by_pattern = options.policy != MatchPolicy::Exact;
        if by_pattern && party.patterns >= self.limits.patterns {
            return Err(RegisterError::TooManyPatterns(self.limits.patterns));
        }
        if *registered >= self.limits.realm_subscriptions {
            return Err(RegisterError::TooManyOfAll(self.limits.realm_subscriptions));
        }
        let registration = registrations.add(callee, procedure, options)?;
        *registered += 1;
        party.patterns += usize::from(by_pattern);
        party.registered.insert(registration);
        self.confirm(callee, &Reply::Registered { request: *request, registration }, batch);
        Ok(())
    }

    /// Ends a registration. Calls that the callee has begun may be answered still.
    ///
    /// # Errors
    /// [`UnregisterError`]; nothing is queued then.
    pub fn unregister(
        &self,
        callee: &Arc<Session>,
        unregister: &Unregister,
        batch: &mut PendingFlushes,
    ) -> Result<(), UnregisterError> {
        let mut state = self.lock();
        let State { registrations, parties, registered, .. } = &mut *state;
        let party = parties.get_mut(&callee.id).ok_or(UnregisterError)?;
        if !party.registered.remove(&unregister.registration) {
            return Err(UnregisterError);
        }
        *registered -= 1;
        party.patterns -= usize::from(registrations.is_pattern(unregister.registration));
        registrations.remove(callee.id, unregister.registration);
        self.confirm(callee, &Reply::Unregistered { request: unregister.request }, batch);
        Ok(())
    }

    /// Passes a call on to a callee. Callees of pattern registrations count where `may_offer`
    /// says so; it is asked under the lock and must be quick. `chance` is any number, another one
    /// each time.
    ///
    /// # Errors
    /// [`CallError`]; nothing is queued then, and the caller is to be told.
    pub fn call(
        &self,
        caller: &Arc<Session>,
        call: &Call,
        may_offer: impl Fn(&Session) -> bool,
        chance: u64,
        batch: &mut PendingFlushes,
    ) -> Result<(), CallError> {
        let mut state = self.lock();
        let State { registrations, parties, calls, .. } = &mut *state;
        let chosen = registrations.choose(&call.procedure, may_offer, chance);
        let Chosen { registration, pattern, callee } = chosen.ok_or(CallError::NoSuchProcedure)?;
        if matches!(&call.request, CallId::V1(id) if id.len() > MAX_CALL_ID_BYTES) {
            return Err(CallError::LongId);
        }
        let waiting = &parties.entry(caller.id).or_default().waiting;
        if waiting.contains_key(&call.request) {
            return Err(CallError::Repeated);
        }
        if waiting.len() >= MAX_CALLS {
            return Err(CallError::TooMany);
        }
        if *calls >= MAX_CALLS_OF_ALL {
            return Err(CallError::TooManyOfAll);
        }
        // Not every callee that gives results in parts announces it: Wampy announces nothing.
        let progress = call.options.receive_progress;
        let handling = parties.entry(callee.session.id).or_default();
        if handling.handling.len() >= MAX_CALLS_PER_CALLEE {
            return Err(CallError::CalleeBusy);
        }
        let request = handling.next_invocation();
        let pending =
            InboundCall { caller: Arc::clone(caller), call: call.request.clone(), progress };
        handling.handling.insert(request, pending);
        *calls += 1;
        let callee_session = Arc::clone(&callee.session);
        let handled = OutboundCall { callee: callee_session, request, interrupted: false };
        parties.entry(caller.id).or_default().waiting.insert(call.request.clone(), handled);
        let details = details(caller, call, &callee, pattern, progress);
        let (details, payload) = (&details, &call.payload);
        let invocation = Reply::Invocation { request, registration, details, payload };
        let passed = self.pass(&callee.session, &invocation, payload, batch);
        if passed.is_err() {
            state.take(callee.session.id, request);
        }
        Ok(passed?)
    }

    /// Whether the session waits for the answer to a call of this id.
    pub fn is_open(&self, caller: SessionId, call: &CallId) -> bool {
        self.lock().parties.get(&caller).is_some_and(|party| party.waiting.contains_key(call))
    }

    /// A callee's result, on its way to the caller. One that nobody waits for any more is none.
    pub fn answer(&self, callee: &Session, answer: &Yield, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        let Yield { request, progress, payload } = answer;
        let mut passed = Ok(());
        if *progress {
            let party = state.parties.get(&callee.id);
            let pending = party.and_then(|party| party.handling.get(request));
            let Some(InboundCall { caller, call, progress: true }) = pending else { return };
            let reply = Reply::Result { call, progress: true, payload };
            passed = self.pass(caller, &reply, payload, batch);
            if passed.is_ok() {
                return;
            }
        }
        if let Some(InboundCall { caller, call, .. }) = state.take(callee.id, *request) {
            let reply = Reply::Result { call: &call, progress: false, payload };
            let passed = passed.and_then(|()| self.pass(&caller, &reply, payload, batch));
            self.tell_if_refused(passed, &caller, &call, batch);
        }
    }

    /// A callee's failure, on its way to the caller.
    pub fn fail(&self, callee: &Session, error: &Error, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        if let Some(InboundCall { caller, call, .. }) = state.take(callee.id, error.request) {
            let Error { details, uri, payload, .. } = error;
            let reply = Reply::CallError { call: &call, uri, details, payload };
            let passed = self.pass(&caller, &reply, payload, batch);
            self.tell_if_refused(passed, &caller, &call, batch);
        }
    }

    /// A caller gives up a call. A callee that cannot be interrupted goes on for nothing.
    pub fn cancel(&self, caller: &Arc<Session>, cancel: &Cancel, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        let call = CallId::V2(cancel.request);
        let party = state.parties.get_mut(&caller.id);
        let Some(handled) = party.and_then(|party| party.waiting.get_mut(&call)) else { return };
        let OutboundCall { callee, request, interrupted } = handled;
        let (callee, request) = (Arc::clone(callee), *request);
        let interrupt = cancel.mode != CancelMode::Skip && callee.features.call_canceling;
        if interrupt && !std::mem::replace(interrupted, true) {
            self.interrupt(&callee, request, cancel.mode, batch);
        }
        if interrupt && cancel.mode == CancelMode::Kill {
            // The callee answers, and that is the caller's answer.
            return;
        }
        if state.take(callee.id, request).is_some() {
            self.tell_failed(caller, &call, "the call was cancelled", batch);
        }
    }

    /// A session has left: its procedures are gone, whoever waits for it is told, and whoever works
    /// for it may stop.
    pub fn leave(&self, session: SessionId, batch: &mut PendingFlushes) {
        let mut state = self.lock();
        let State { registrations, parties, registered, calls } = &mut *state;
        let Some(party) = parties.remove(&session) else { return };
        *registered -= party.registered.len();
        *calls -= party.handling.len();
        for registration in party.registered {
            registrations.remove(session, registration);
        }
        for InboundCall { caller, call, .. } in party.handling.into_values() {
            if let Some(party) = parties.get_mut(&caller.id) {
                party.waiting.remove(&call);
            }
            self.tell_failed(&caller, &call, "the callee has left", batch);
        }
        for OutboundCall { callee, request, interrupted } in party.waiting.into_values() {
            // A call of its own is counted already.
            let party = parties.get_mut(&callee.id);
            let pending = party.and_then(|party| party.handling.remove(&request));
            *calls -= usize::from(pending.is_some());
            if callee.features.call_canceling && !interrupted {
                self.interrupt(&callee, request, CancelMode::KillNoWait, batch);
            }
        }
    }

    /// Takes away the registrations by name that callees are not to keep. `keep` is asked without
    /// the lock, once for each procedure and callee.
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
                let State { registrations, parties, registered, .. } = &mut *state;
                let Some((registration, _)) = registrations.of(&procedure) else { continue };
                if !registrations.remove(callee.id, registration) {
                    continue;
                }
                if let Some(party) = parties.get_mut(&callee.id) {
                    *registered -= usize::from(party.registered.remove(&registration));
                }
                if callee.features.registration_revocation {
                    let revoked = Reply::RegistrationRevoked { registration, reason };
                    self.tell(&callee, &revoked, batch);
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
        self.tell(callee, &Reply::Interrupt { request, mode, reason: error_uri::CANCELED }, batch);
    }

    fn tell_failed(
        &self,
        caller: &Arc<Session>,
        call: &CallId,
        message: &str,
        batch: &mut PendingFlushes,
    ) {
        let to = ErrorTo::Call { call };
        self.tell(caller, &Reply::Error { to, uri: error_uri::CANCELED, message }, batch);
    }

    /// Answers the session's own request.
    fn confirm(&self, session: &Arc<Session>, reply: &Reply<'_>, batch: &mut PendingFlushes) {
        if let Some(frame) = (self.encode)(session, reply) {
            session.reply(frame, batch);
        }
    }

    /// Sends a payload of another session's, if the receiver can be given its values exactly, and
    /// within the limit of its size.
    fn pass(
        &self,
        session: &Arc<Session>,
        reply: &Reply<'_>,
        payload: &Payload,
        batch: &mut PendingFlushes,
    ) -> Result<(), DeliveryError> {
        payload.check_translatable(session.dialect.codec())?;
        let Some(frame) = (self.encode)(session, reply) else { return Ok(()) };
        let (bytes, limit) = (frame.len(), self.max_bytes);
        if bytes > limit {
            return Err(TooLarge { bytes, limit }.into());
        }
        session.forward(frame, batch);
        Ok(())
    }

    /// A caller whose answer could not be passed on is told so.
    fn tell_if_refused(
        &self,
        passed: Result<(), DeliveryError>,
        caller: &Arc<Session>,
        call: &CallId,
        batch: &mut PendingFlushes,
    ) {
        if let Err(error) = passed {
            let (to, uri) = (ErrorTo::Call { call }, error.uri());
            self.tell(caller, &Reply::Error { to, uri, message: &error.to_string() }, batch);
        }
    }

    /// Sends what another session has caused.
    fn tell(&self, session: &Arc<Session>, reply: &Reply<'_>, batch: &mut PendingFlushes) {
        if let Some(frame) = (self.encode)(session, reply) {
            session.forward(frame, batch);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // As with a realm's: serving on is better than refusing everybody.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a call out of both its parties, so that nobody else answers it.
    fn take(&mut self, callee: SessionId, request: RequestId) -> Option<InboundCall> {
        let pending = self.parties.get_mut(&callee)?.handling.remove(&request)?;
        self.calls -= 1;
        if let Some(caller) = self.parties.get_mut(&pending.caller.id) {
            caller.waiting.remove(&pending.call);
        }
        Some(pending)
    }
}

impl SessionCalls {
    fn next_invocation(&mut self) -> RequestId {
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

/// INVOCATION.Details: what the callee has to know of the call.
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
