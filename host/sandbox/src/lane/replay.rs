//! Replay of a recorded call: the same hook, with the recorded answers of the host.
//!
//! It is a call like any other, in the lane of its topic and with the plugin's limits. What it
//! writes to the store is dropped.

use std::sync::PoisonError;

use super::{Lane, Lanes, Turn};
use crate::audience::RealmId;
use crate::call_record::{
    AnswerContent, CallCost, CallOutcome, CallRecord, CallerRecord, FaultRecord, HookAnswer,
};
use crate::contract::{http_types, types};
use crate::fault::Fault;
use crate::host_state::Deferral;
use crate::instance::{CallFailure, Instance, within};
use crate::manifest::Hook;
use crate::probe::{ReplaySlot, Replayed};
use crate::request::{EventTexts, HookRequest};
use crate::store::history::LostMoment;
use crate::store::moment::StoreMoment;

/// The end of a call whose record lacks its answer: the plugin is not called.
const NOT_CALLED: CallFailure = CallFailure::Busy { was_begun: false };

impl Lanes {
    /// Replays a call. Without [`CallRecord::is_whole`], answers are missing. A hook with the answer
    /// to an effect gets `context`, which [`AnswerMatcher::context`] has.
    ///
    /// [`AnswerMatcher::context`]: crate::AnswerMatcher::context
    pub async fn replay(&self, record: &CallRecord, context: &[u8]) -> Replayed {
        self.replay_over(record, context, None).await
    }

    /// Replays a call with the store as of its beginning: what the recorded call has not read is
    /// read there.
    ///
    /// # Errors
    /// [`LostMoment`]: that store cannot be read any more.
    pub async fn replay_at(
        &self,
        record: &CallRecord,
        context: &[u8],
        store: &StoreMoment,
    ) -> Result<Replayed, LostMoment> {
        let replayed = self.replay_over(record, context, Some(store)).await;
        if store.is_lost() { Err(LostMoment) } else { Ok(replayed) }
    }

    async fn replay_over(
        &self,
        record: &CallRecord,
        context: &[u8],
        store: Option<&StoreMoment>,
    ) -> Replayed {
        let lane = self.of(&record.input.topic);
        let slot = ReplaySlot::default();
        let ran = lane.replay(record, context, store, &slot).await;
        let replayed = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        replayed.unwrap_or_else(|| never_begun(ran.err().as_ref()))
    }
}

impl Lane {
    async fn replay(
        &self,
        record: &CallRecord,
        context: &[u8],
        over: Option<&StoreMoment>,
        slot: &ReplaySlot,
    ) -> Result<(), Fault> {
        let input = &record.input;
        let attributes: Vec<_> =
            input.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = HookRequest {
            realm: RealmId::default(),
            handler: &input.handler,
            route: &input.route,
            topic: &input.topic,
            attributes: &attributes,
            session: input.session.as_ref().map(CallerRecord::caller),
            login: None,
            subscribers: input.subscribers,
            depth: input.depth,
        };
        let event = EventTexts { args: &input.args, kwargs: &input.kwargs };
        let mut turn = self.turn(input.hook, &request, event).await?;
        turn.instance.store.data_mut().begin_replay(record, over, slot);
        let (meter, deadline, route) = (&self.meter, turn.deadline, turn.route);
        let Turn { instance, .. } = &mut turn;
        let Instance { store, exports } = &mut **instance;
        let received = input.answer.as_ref().map(|it| &it.received);
        // The result is in the slot.
        match input.hook {
            Hook::Subscribe => {
                store.data_mut().call.may_wait = true;
                let call = exports.on_subscribe(store, route, &request);
                let answer = within(meter, deadline, call).await;
                turn.finish::<crate::verdict::SubscribeVerdict>(answer).map(drop)
            }
            Hook::Unsubscribe => {
                let call = exports.on_unsubscribe(store, route, &request);
                let answer = within(meter, deadline, call).await;
                turn.finish::<()>(answer).map(drop)
            }
            Hook::Publish => {
                let call = exports.on_publish(store, route, &request, event);
                let answer = within(meter, deadline, call).await;
                turn.finish::<crate::verdict::PublishVerdict>(answer).map(drop)
            }
            Hook::Call => {
                store.data_mut().call.deferral = Deferral::Possible;
                let call = exports.on_call(store, route, &request, event);
                let answer = within(meter, deadline, call).await;
                let later = turn.instance.store.data_mut().call.deferral.take();
                let answer = answer.map(|answer| (answer, later));
                turn.finish::<crate::verdict::CallAnswer>(answer).map(drop)
            }
            Hook::Response => {
                let Some(answer) = received.and_then(AnswerContent::response) else {
                    return turn.finish::<()>(Err(NOT_CALLED)).map(drop);
                };
                let raw = answer.map(http_types::Response::from).map_err(http_types::Error::from);
                let call = exports.on_response(store, route, context, raw.as_ref());
                let answer = within(meter, deadline, call).await;
                turn.finish::<()>(answer).map(drop)
            }
            Hook::Result => {
                let Some(answer) = received.and_then(AnswerContent::result) else {
                    return turn.finish::<()>(Err(NOT_CALLED)).map(drop);
                };
                let raw = answer.map(types::Event::from).map_err(types::Refusal::from);
                let call = exports.on_result(store, route, context, raw.as_ref());
                let answer = within(meter, deadline, call).await;
                turn.finish::<()>(answer).map(drop)
            }
            // They are not recorded.
            Hook::Authorize | Hook::Authenticate => turn.finish::<()>(Err(NOT_CALLED)).map(drop),
            Hook::Timer => {
                let call = exports.on_timer(store, route, &request);
                let answer = within(meter, deadline, call).await;
                turn.finish::<()>(answer).map(drop)
            }
        }
    }
}

/// The result of a call that was refused before it began.
fn never_begun(fault: Option<&Fault>) -> Replayed {
    let fault = fault.map_or_else(
        || FaultRecord { fault: "lost".to_owned(), message: "has no result".to_owned() },
        FaultRecord::from,
    );
    let outcome =
        CallOutcome { answer: HookAnswer::Fault(fault), effects: Vec::new(), writes: Vec::new() };
    Replayed { outcome, cost: CallCost::default(), unrecorded: Vec::new(), is_whole: true }
}
