//! Calls: a procedure is a topic whose route's handler answers calls, or else what a client has
//! registered.
//!
//! Like everything that a session asks of a handler, such a call is answered before the session's
//! next request is looked at: a slow one holds back its own session alone, and there is never
//! anything left to cancel. Of its options, `progress` is refused, because nobody takes arguments
//! in parts; the rest need nothing done. Results before the last are the callee's choice, handlers
//! know their callers anyway, and what bounds a call is the handler's deadline: a time-out of the
//! caller's would end the instance that it interrupts, and with it what others keep there.
//!
//! A call of a client's procedure is passed on, and its answer comes when it comes; see
//! [`super::procedures`].

use std::sync::Arc;

use jackfield_broker::{Batch, CallError, Closing, Session};
use jackfield_routing::Action;
use jackfield_sandbox::{Effect, Hook, Outcome};
use jackfield_wamp::error_uri;
use jackfield_wamp::message::{Call, CallId};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::session::{self as wamp, ErrorTo, Reply};
use jackfield_wamp::uri::{self, MatchPolicy};

use super::{Dispatch, Refusal, effects, paying, uris};
use crate::frame;
use crate::generation::{Generation, Routed};

/// A call of a client's procedure that was not refused.
enum Passed {
    /// Its callee has been asked.
    On,
    /// It has the id of an open call.
    Repeated,
}

impl Dispatch {
    /// One call. A handler's answer is queued before what the handler wants done is.
    pub(super) async fn call(
        &self,
        from: &Arc<Session>,
        dialogue: &wamp::Session,
        call: &Call,
        batch: &mut Batch,
    ) {
        let generation = self.generations.current();
        let mut effects = Vec::new();
        let answer = match self.procedure(&generation, from, call) {
            Ok(Some(routed)) if routed.handler.hooks().contains(Hook::Call) => {
                if self.dealer.is_open(from.id, &call.request) {
                    return Self::reject_repeated(from, dialogue, call, batch);
                }
                self.ask(&routed, from, call, &mut effects, batch).await
            }
            Ok(routed) => match self.pass_on(routed.as_ref(), from, call, batch) {
                Ok(Passed::On) => return,
                Ok(Passed::Repeated) => return Self::reject_repeated(from, dialogue, call, batch),
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        let reply = match &answer {
            Ok(payload) => Reply::Result { call: &call.request, progress: false, payload },
            Err(refusal) => {
                refusal.log("call", from, uris::shown(&call.procedure));
                refusal.reply(ErrorTo::Call { call: &call.request })
            }
        };
        if let Some(message) = dialogue.reply(&reply) {
            from.reply(frame::message(from.dialect, &message), batch);
        }
        self.apply(&generation, effects, batch).await;
    }

    /// One call of a backend, which has no connection here to be answered on: only handlers answer
    /// it, because what a client answers comes when it comes.
    pub(crate) async fn call_for(
        &self,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut Batch,
    ) -> Result<Payload, Refusal> {
        let generation = self.generations.current();
        let mut effects = Vec::new();
        let answer = match self.procedure(&generation, from, call) {
            Ok(Some(routed)) if routed.handler.hooks().contains(Hook::Call) => {
                self.ask(&routed, from, call, &mut effects, batch).await
            }
            Ok(Some(routed)) => Err(Refusal::not_callable(from.dialect, &routed.route.name)),
            Ok(None) => Err(Refusal::no_procedure(&call.procedure)),
            Err(refusal) => Err(refusal),
        };
        self.apply(&generation, effects, batch).await;
        answer.inspect_err(|refusal| refusal.log("call", from, uris::shown(&call.procedure)))
    }

    /// The route of the procedure, if the session may call it at all.
    fn procedure<'g, 'c>(
        &self,
        generation: &'g Generation,
        from: &Session,
        call: &'c Call,
    ) -> Result<Option<Routed<'g, 'c>>, Refusal> {
        let Call { procedure, options, .. } = call;
        uris::check(from, procedure, MatchPolicy::Exact)?;
        let routed =
            self.route(generation, procedure).map_err(|_| Refusal::no_procedure(procedure))?;
        self.check_allowed(routed.as_ref(), Action::Call, from)?;
        if options.progress {
            return Err(Refusal::no_progress());
        }
        Ok(routed)
    }

    /// Asks a handler. What it wants done is left in `effects`.
    async fn ask(
        &self,
        routed: &Routed<'_, '_>,
        from: &Session,
        call: &Call,
        effects: &mut Vec<Effect>,
        batch: &mut Batch,
    ) -> Result<Payload, Refusal> {
        let (args, kwargs) = (call.payload.args_json(), call.payload.kwargs_json());
        let attributes = routed.attributes();
        let request = self.hook_request(routed, &attributes, Some(from));
        let hook = routed.handler.lane(&call.procedure).on_call(&request, &args, &kwargs);
        let outcome = paying(batch, hook).await.map_err(|fault| routed.failed(&fault))?;
        let Outcome { answer, effects: wanted } = outcome;
        *effects = wanted;
        effects::payload(&answer?)
    }

    /// Passes the call on to a client that has registered the procedure.
    fn pass_on(
        &self,
        routed: Option<&Routed<'_, '_>>,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut Batch,
    ) -> Result<Passed, Refusal> {
        // A pattern names no procedure: its callee is judged at each call. No client answers in
        // the router's name.
        let reserved = uri::is_reserved(&call.procedure);
        let may_offer = |callee: &Session| !reserved && self.may(routed, Action::Register, callee);
        let chance = fastrand::u64(..);
        let passed = self.dealer.call(from, call, may_offer, chance, batch);
        match (passed, routed) {
            (Ok(()), _) => Ok(Passed::On),
            (Err(CallError::Repeated), _) => Ok(Passed::Repeated),
            (Err(CallError::NoSuchProcedure), Some(routed)) => {
                Err(Refusal::not_callable(from.dialect, &routed.route.name))
            }
            (Err(CallError::NoSuchProcedure), None) => Err(Refusal::no_procedure(&call.procedure)),
            (Err(CallError::TooLarge(error)), _) => Err(error.into()),
            (Err(error @ (CallError::TooMany | CallError::CalleeBusy | CallError::LongId)), _) => {
                Err(Refusal::unavailable(error))
            }
        }
    }

    /// A call with the id of an open one. Version 2 ends the session: an ERROR would be taken for
    /// the answer to the open call. WAMP v2 specification, section "Protocol Violations".
    fn reject_repeated(
        from: &Arc<Session>,
        dialogue: &wamp::Session,
        call: &Call,
        batch: &mut Batch,
    ) {
        let refusal = Refusal::unavailable(CallError::Repeated);
        refusal.log("call", from, uris::shown(&call.procedure));
        match call.request {
            CallId::V2(request) => from.close(Closing {
                reason: error_uri::PROTOCOL_VIOLATION.to_owned(),
                message: format!("CALL repeats the request id {request} of an open call"),
            }),
            CallId::V1(_) => {
                let reply = refusal.reply(ErrorTo::Call { call: &call.request });
                if let Some(message) = dialogue.reply(&reply) {
                    from.reply(frame::message(from.dialect, &message), batch);
                }
            }
        }
    }
}
