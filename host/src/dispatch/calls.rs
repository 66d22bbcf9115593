//! Calls: a procedure is a topic whose route's handler answers calls. Like everything that a
//! session asks for, a call is answered before the session's next request is looked at, so a slow
//! one holds back its own session alone, and there is never anything left to cancel.
//!
//! Of the options, `progress` is refused, because no handler takes its arguments in parts; the
//! rest need nothing done. Results before the last are the callee's choice, handlers know their
//! callers anyway, and what bounds a call is the handler's deadline: a time-out of the caller's
//! would end the instance that it interrupts, and with it what others keep there.

use std::sync::Arc;

use jackfield_broker::{Batch, Session};
use jackfield_routing::Action;
use jackfield_sandbox::{Effect, Hook, Outcome};
use jackfield_wamp::message::Call;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::session::{self as wamp, ErrorTo, Reply};
use jackfield_wamp::uri::MatchPolicy;

use super::{Dispatch, Refusal, effects, paying, uris};
use crate::frame;
use crate::generation::Generation;

impl Dispatch {
    /// One call: the answer is queued before what the handler wants done is.
    pub(super) async fn call(
        &self,
        from: &Arc<Session>,
        dialogue: &wamp::Session,
        call: &Call,
        batch: &mut Batch,
    ) {
        let generation = self.generations.current();
        let mut effects = Vec::new();
        let answer = self.answer(&generation, from, call, &mut effects, batch).await;
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

    /// One call of a backend, which has no connection here to be answered on.
    pub(crate) async fn call_for(
        &self,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut Batch,
    ) -> Result<Payload, Refusal> {
        let generation = self.generations.current();
        let mut effects = Vec::new();
        let answer = self.answer(&generation, from, call, &mut effects, batch).await;
        self.apply(&generation, effects, batch).await;
        answer.inspect_err(|refusal| refusal.log("call", from, uris::shown(&call.procedure)))
    }

    /// What the caller is told; what the handler wants done is left in `effects`.
    async fn answer(
        &self,
        generation: &Generation,
        from: &Session,
        call: &Call,
        effects: &mut Vec<Effect>,
        batch: &mut Batch,
    ) -> Result<Payload, Refusal> {
        let Call { procedure, options, payload, .. } = call;
        uris::check(from, procedure, MatchPolicy::Exact)?;
        let routed = generation.find(procedure).ok_or_else(|| Refusal::no_procedure(procedure))?;
        if !routed.handler.hooks().contains(Hook::Call) {
            return Err(Refusal::not_callable(from.dialect, &routed.route.name));
        }
        routed.allows(Action::Call, from)?;
        if options.progress {
            return Err(Refusal::no_progress());
        }
        let (args, kwargs) = (payload.args_json(), payload.kwargs_json());
        let attributes = routed.attributes();
        let request = self.hook_request(&routed, &attributes, Some(from));
        let hook = routed.handler.lane(procedure).on_call(&request, &args, &kwargs);
        let outcome = paying(batch, hook).await.map_err(|fault| routed.failed(&fault))?;
        let Outcome { answer, effects: wanted } = outcome;
        *effects = wanted;
        effects::payload(&answer?)
    }
}
