//! Effects with an answer: requests of HTTP, calls of procedures, and deferred results of calls.
//!
//! Each is a task of its own, so that no lane and no session waits. It begins when the effects of
//! its hook are performed, after the hook has returned and its writes are saved. The answer is a
//! hook of the plugin that serves the topic by then; if none does, it is dropped and counted. The
//! sandbox bounds how many wait: each has a permit.

mod in_flight;

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use jackfield_broker::PendingFlushes;
use jackfield_sandbox::{
    CallResult, HookOutcome, HookRequest, HttpError, HttpResponse, OutgoingCall, OutgoingRequest,
    Permit, ReplyTo,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tracing::{debug, error};

use super::deferred::{Deferral, DeferredCalls};
use super::plugin_call::PluginCaller;
use super::{Dispatch, Refusal, flush_before_wait};
use crate::fetch::HttpClient;
use crate::generation::{Generation, RouteMatch};

pub(crate) use in_flight::InFlight;
use in_flight::{InFlightCounter, Place};

/// The effects with an answer of one realm.
pub(super) struct Outgoing {
    /// The calls whose result comes later.
    pub(super) deferred: DeferredCalls,
    /// Unbounded, as each errand has a permit of the sandbox.
    errands: UnboundedSender<(Errand, Place)>,
    /// Until it is run.
    arriving: Mutex<Option<UnboundedReceiver<(Errand, Place)>>>,
    in_flight: InFlightCounter,
}

/// The work for an answer.
enum Errand {
    Request(Box<OutgoingRequest>),
    Call(Box<OutgoingCall>),
    Wait(Box<Deferral>),
}

impl Outgoing {
    /// Begins a request of HTTP.
    pub(super) fn begin_request(&self, request: Box<OutgoingRequest>) {
        self.begin(Errand::Request(request));
    }

    /// Begins a call of a procedure.
    pub(super) fn begin_call(&self, call: Box<OutgoingCall>) {
        self.begin(Errand::Call(call));
    }

    /// Begins the wait for a deferred result.
    pub(super) fn begin_wait(&self, deferral: Box<Deferral>) {
        self.begin(Errand::Wait(deferral));
    }

    fn begin(&self, errand: Errand) {
        let place = match &errand {
            Errand::Request(_) => self.in_flight.request(),
            Errand::Call(_) => self.in_flight.call(),
            Errand::Wait(_) => Place::default(),
        };
        // The receiver ends with the server.
        let _ended = self.errands.send((errand, place));
    }

    fn take(&self) -> Option<UnboundedReceiver<(Errand, Place)>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        let (errands, arriving) = unbounded_channel();
        let arriving = Mutex::new(Some(arriving));
        let in_flight = InFlightCounter::default();
        Self { deferred: DeferredCalls::default(), errands, arriving, in_flight }
    }
}

impl Dispatch {
    /// Runs the realm's effects with an answer, forever. They end with the future.
    pub(crate) async fn run_outgoing(self: Arc<Self>, client: Arc<HttpClient>) {
        let Some(mut errands) = self.outgoing.take() else { return };
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                Some((errand, place)) = errands.recv() => {
                    let (dispatch, client) = (Arc::clone(&self), Arc::clone(&client));
                    tasks.spawn(async move {
                        // Until the hook with the answer has ended, and has begun further effects.
                        let _place = place;
                        dispatch.run_errand(errand, &client).await;
                    });
                }
                Some(ended) = tasks.join_next() => {
                    if let Err(failure) = ended {
                        error!(name: "handler.answer_failed", "the work for an answer failed: {failure}");
                    }
                }
                else => return,
            }
        }
    }

    /// Waits until no request and no call of plugins waits for its answer. Cancel-safe.
    pub(crate) async fn outgoing_idle(&self) {
        self.outgoing.in_flight.idle().await;
    }

    /// Returns the requests and calls of plugins that wait for their answers.
    pub(crate) fn in_flight(&self) -> InFlight {
        self.outgoing.in_flight.now()
    }

    async fn run_errand(&self, errand: Errand, client: &HttpClient) {
        match errand {
            Errand::Request(request) => self.run_request(*request, client).await,
            Errand::Call(call) => self.run_call(*call).await,
            Errand::Wait(deferral) => self.run_deferral(*deferral).await,
        }
    }

    async fn run_request(&self, request: OutgoingRequest, client: &HttpClient) {
        let OutgoingRequest { reply_to, request, context, depth, permit } = request;
        let origin = request.origin.clone();
        let answer = client.send(&reply_to.plugin, request).await;
        let plugin = reply_to.plugin.as_str();
        match &answer {
            Ok(HttpResponse { status, .. }) => debug!(plugin, %origin, status, "HTTP answer"),
            Err(HttpError::Denied(text)) => {
                error!(name: "handler.http_denied", plugin, %origin, "HTTP request denied: {text}");
            }
            Err(failure) => debug!(plugin, %origin, "no HTTP answer: {failure}"),
        }
        self.take_answer(&reply_to, depth, &context, Answer::Response(answer), permit).await;
    }

    async fn run_call(&self, call: OutgoingCall) {
        let result = self.result_of(&call).await;
        let OutgoingCall { reply_to, context, depth, permit, .. } = call;
        // A plugin that calls again with each result comes to an end.
        let depth = depth.saturating_add(1);
        self.take_answer(&reply_to, depth, &context, Answer::Result(result), permit).await;
    }

    /// Brings an answer to its handler, whose effects follow; drops it if the handler is gone.
    async fn take_answer(
        &self,
        reply_to: &ReplyTo,
        depth: u8,
        context: &[u8],
        answer: Answer,
        permit: Permit,
    ) {
        let mut batch = PendingFlushes::default();
        let generation = self.generations.current();
        // The plugin may run on another node by now, with another store.
        let routed =
            recipient(&generation, reply_to).filter(|it| self.home_elsewhere(it.handler).is_none());
        let Some(routed) = routed else { return permit.drop_answer() };
        let Ok(right) = self.begin_here(routed.handler) else { return permit.drop_answer() };
        let attributes = routed.attributes();
        let hook = HookRequest { depth, ..self.hook_request(&routed, &attributes, None) };
        let lane = routed.handler.lane(routed.topic);
        let outcome = match answer {
            Answer::Response(response) => {
                let hook = lane.on_response(&hook, context, response, permit);
                flush_before_wait(&mut batch, hook).await
            }
            Answer::Result(result) => {
                let hook = lane.on_result(&hook, context, result, permit);
                flush_before_wait(&mut batch, hook).await
            }
        };
        if right.check().is_err() {
            return;
        }
        match outcome {
            Ok(HookOutcome { answer: (), effects, passage }) => {
                self.apply(&generation, effects, passage, &mut batch).await;
            }
            Err(fault) => self.tell_fault(&routed, &fault),
        }
    }

    /// Calls a procedure, and waits for its result.
    async fn result_of(&self, call: &OutgoingCall) -> CallResult {
        let OutgoingCall { reply_to, procedure, event, timeout, depth, .. } = call;
        let caller = PluginCaller::new(&reply_to.plugin, self.realm.max_event_bytes());
        let caller = caller.map_err(|_| Refusal::no_session())?;
        let call = PluginCaller::call(procedure, event, *timeout)?;
        let due = tokio::time::Instant::now() + *timeout;
        let generation = self.generations.current();
        let routed = self.procedure_of_plugin(&generation, caller.session(), &call);
        let routed =
            routed.and_then(|routed| self.check_arguments(routed.as_ref(), &call).map(|()| routed));
        let mut batch = PendingFlushes::default();
        // A handler that runs is not stopped: it would lose its instance. It ends in time itself.
        let handled = self.answer_call(
            &generation,
            routed,
            caller.session(),
            &call,
            pending(),
            depth.saturating_add(1),
            &mut batch,
        );
        Box::pin(handled).await;
        batch.flush();
        let result = tokio::time::timeout_at(due, caller.result()).await;
        self.dealer.leave(caller.session().id, &mut batch);
        self.outgoing.deferred.leave(caller.session().id);
        result.unwrap_or_else(|_elapsed| Err(Refusal::timed_out(milliseconds(*timeout)).into()))
    }
}

/// The answer to an effect of a handler.
enum Answer {
    Response(Result<HttpResponse, HttpError>),
    Result(CallResult),
}

/// Returns the route of an answer: the topic's, if it still belongs to the handler.
fn recipient<'g, 't>(
    generation: &'g Generation,
    reply_to: &'t ReplyTo,
) -> Option<RouteMatch<'g, 't>> {
    let ReplyTo { plugin, handler, topic, digest } = reply_to;
    let in_service = generation.find(topic)?;
    // The answer to a canary goes to the canary, while there is one.
    let of_events = in_service.for_events();
    let is_canary = of_events.handler.digest() == digest;
    let routed = if is_canary { of_events } else { in_service };
    let is_same = routed.handler.manifest().name == *plugin && routed.handler.name() == handler;
    let is_there = is_same && !routed.handler.is_disabled() && routed.handler.takes_answers();
    is_there.then_some(routed)
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl From<Refusal> for jackfield_sandbox::HookRefusal {
    fn from(refusal: Refusal) -> Self {
        let (uri, message) = refusal.into_parts();
        Self { uri: uri.into_owned(), message }
    }
}
