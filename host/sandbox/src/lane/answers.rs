//! Hooks with the answers of the plugin's own effects.

use super::{Lane, Turn};
use crate::call_record::AnswerContent;
use crate::contract::{http_types, types};
use crate::fault::Fault;
use crate::instance::{Instance, within};
use crate::manifest::Hook;
use crate::outcome::HookOutcome;
use crate::outgoing::request::{HttpError, HttpResponse};
use crate::outgoing::tally::Permit;
use crate::refusal::CallResult;
use crate::request::{EventTexts, HookRequest};

impl Lane {
    /// Calls `on-response` with the answer to a request.
    pub async fn on_response(
        &self,
        request: &HookRequest<'_>,
        context: &[u8],
        answer: Result<HttpResponse, HttpError>,
        permit: Permit,
    ) -> Result<HookOutcome<'_, ()>, Fault> {
        let number = permit.number();
        let mut turn = self.turn_of_answer(Hook::Response, request, permit).await?;
        turn.observe_answer(number, context, || answer.clone().into());
        let raw = answer.map(http_types::Response::from).map_err(http_types::Error::from);
        let Instance { store, exports } = &mut *turn.instance;
        let call = exports.on_response(store, turn.route, context, raw.as_ref());
        let answer = within(&self.meter, turn.deadline, call).await;
        self.pass(turn.finish(answer), Hook::Response, request).await
    }

    /// Calls `on-result` with the result of a call.
    pub async fn on_result(
        &self,
        request: &HookRequest<'_>,
        context: &[u8],
        answer: CallResult,
        permit: Permit,
    ) -> Result<HookOutcome<'_, ()>, Fault> {
        let number = permit.number();
        let mut turn = self.turn_of_answer(Hook::Result, request, permit).await?;
        turn.observe_answer(number, context, || answer.clone().into());
        let raw = answer.map(types::Event::from).map_err(types::Refusal::from);
        let Instance { store, exports } = &mut *turn.instance;
        let call = exports.on_result(store, turn.route, context, raw.as_ref());
        let answer = within(&self.meter, turn.deadline, call).await;
        self.pass(turn.finish(answer), Hook::Result, request).await
    }

    /// Waits for the lane with an answer. The permit bounds the answers that wait; it is given back
    /// when the hook begins, which may send the next request.
    async fn turn_of_answer<'a, 'r>(
        &'a self,
        hook: Hook,
        request: &'r HookRequest<'r>,
        permit: Permit,
    ) -> Result<Turn<'a, 'r>, Fault> {
        let turn = self.turn(hook, request, EventTexts::NONE).await;
        turn.inspect_err(|_| permit.drop_answer())
    }
}

impl Turn<'_, '_> {
    /// Shows the answer to the observers of the call.
    fn observe_answer(
        &mut self,
        number: u64,
        context: &[u8],
        received: impl FnOnce() -> AnswerContent,
    ) {
        if let Some(probe) = &mut self.instance.store.data_mut().probe {
            probe.answered(number, context, received());
        }
    }
}
