//! Lane: runs the calls of one instance one at a time, in roughly their order of arrival; calls of
//! one session are in order anyway.
//!
//! After a fault the call's effects are dropped, its writes to the store are rolled back, its
//! instance is discarded, and the next call gets a fresh one. The same holds for a call whose
//! future is dropped before its end.

mod access;
mod answers;
mod lanes;
mod queue;
mod recorded;
mod replay;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::call_record::{CallInput, FaultRecord, HookAnswer, PluginVersion};
use crate::circuit_breaker::CircuitBreaker;
use crate::cpu::{MAX_WAIT, Meter};
use crate::fault::{CallSite, Fault, FaultKind};
use crate::handler_metrics::HandlerMetrics;
use crate::host_state::Deferral;
use crate::instance::{CallFailure, Instance, fault, fault_of_kind, within};
use crate::manifest::Hook;
use crate::outcome::{HookOutcome, LaneGuard, Passage};
use crate::plugin_runtime::{HandlerState, PluginRuntime};
use crate::probe::Probe;
use crate::request::{EventTexts, HookRequest, RouteId};
use crate::route_config::Routes;
use crate::spin_mutex::SpinMutex;
use crate::store::moment::StoreMoment;
use crate::store::passage::{Gate, PassageOrder};
use crate::ticker::Running;
use crate::verdict::{CallAnswer, PublishVerdict, SubscribeVerdict};

pub use lanes::Lanes;
use queue::Queue;
use recorded::Recorded;

/// A lane: one instance, one call at a time.
pub struct Lane {
    plugin: Arc<PluginRuntime>,
    version: Arc<PluginVersion>,
    /// The routes of a fresh instance.
    routes: Arc<Routes>,
    meter: Arc<Meter>,
    /// No instance while a call runs, and after one that failed.
    slot: SpinMutex<Option<Box<Instance>>>,
    /// Whether the instance is to be replaced before the next call.
    is_stale: AtomicBool,
    /// The order of calls whose effects wait until the store is saved.
    order: PassageOrder,
    queue: Queue,
}

/// The result of a call that has left the lane, and the gate before its effects, if there is one.
type CallEnd<'a, T> = Result<(HookOutcome<'a, T>, Option<Gate>), Fault>;

/// One call that has the lane to itself. Dropped before it is finished, it leaves the lane without
/// an instance, and the instance takes back what the call wrote.
struct Turn<'a, 'r> {
    request: &'r HookRequest<'r>,
    hook: Hook,
    route: RouteId,
    breaker: &'a CircuitBreaker,
    metrics: &'a HandlerMetrics,
    /// When the call got its lane and its instance.
    began: Instant,
    deadline: Instant,
    // Dropped in this order: the instance has to be gone before the next call takes its turn.
    instance: Box<Instance>,
    slot: LaneGuard<'a>,
    order: &'a PassageOrder,
    _running: Running<'a>,
}

impl Lane {
    pub(crate) fn new(
        plugin: Arc<PluginRuntime>,
        version: Arc<PluginVersion>,
        routes: Arc<Routes>,
        instance: Instance,
    ) -> Self {
        let meter = Arc::clone(&instance.store.data().meter);
        meter.end_exemption();
        Self {
            plugin,
            version,
            routes,
            meter,
            slot: SpinMutex::new(Some(Box::new(instance))),
            is_stale: AtomicBool::new(false),
            order: PassageOrder::default(),
            queue: Queue::default(),
        }
    }

    /// Calls `on-subscribe`, before a session becomes a subscriber. The session has to subscribe, and
    /// the effects have to be performed, before the passage is dropped: a handler that tells the
    /// newcomer of the others, and the others of the newcomer, would miss the next one otherwise.
    /// The lane is held while the store is saved, too.
    pub async fn on_subscribe(
        &self,
        request: &HookRequest<'_>,
    ) -> Result<HookOutcome<'_, SubscribeVerdict>, Fault> {
        let mut turn = self.turn(Hook::Subscribe, request, EventTexts::NONE).await?;
        let Instance { store, exports } = &mut *turn.instance;
        store.data_mut().call.may_wait = true;
        let call = exports.on_subscribe(store, turn.route, request);
        let answer = within(&self.meter, turn.deadline, call).await;
        self.pass(turn.finish_in_lane(answer), Hook::Subscribe, request).await
    }

    /// Calls `on-unsubscribe`, after a session has left a topic. The effects have to be performed
    /// before the passage is dropped, as those of `on-subscribe`.
    pub async fn on_unsubscribe(
        &self,
        request: &HookRequest<'_>,
    ) -> Result<HookOutcome<'_, ()>, Fault> {
        let mut turn = self.turn(Hook::Unsubscribe, request, EventTexts::NONE).await?;
        let Instance { store, exports } = &mut *turn.instance;
        let call = exports.on_unsubscribe(store, turn.route, request);
        let answer = within(&self.meter, turn.deadline, call).await;
        self.pass(turn.finish_in_lane(answer), Hook::Unsubscribe, request).await
    }

    /// Calls `on-publish`: `args` is the text of a JSON array, `kwargs` of a JSON object.
    pub async fn on_publish(
        &self,
        request: &HookRequest<'_>,
        args: &str,
        kwargs: &str,
    ) -> Result<HookOutcome<'_, PublishVerdict>, Fault> {
        let event = EventTexts { args, kwargs };
        let mut turn = self.turn(Hook::Publish, request, event).await?;
        let Instance { store, exports } = &mut *turn.instance;
        let call = exports.on_publish(store, turn.route, request, event);
        let answer = within(&self.meter, turn.deadline, call).await;
        self.pass(turn.finish(answer), Hook::Publish, request).await
    }

    /// A procedure is called; the answer is a result, or the error that the caller is shown.
    /// `has_begun` is set when the call has the lane: until then its future may be dropped at no
    /// cost, and from then on that would end the instance.
    pub async fn on_call(
        &self,
        request: &HookRequest<'_>,
        args: &str,
        kwargs: &str,
        has_begun: &AtomicBool,
    ) -> Result<HookOutcome<'_, CallAnswer>, Fault> {
        let event = EventTexts { args, kwargs };
        let mut turn = self.turn(Hook::Call, request, event).await?;
        has_begun.store(true, Ordering::Relaxed);
        let Instance { store, exports } = &mut *turn.instance;
        store.data_mut().call.deferral = Deferral::Possible;
        let call = exports.on_call(store, turn.route, request, event);
        let answer = within(&self.meter, turn.deadline, call).await;
        let later = turn.instance.store.data_mut().call.deferral.take();
        let answer = answer.map(|answer| (answer, later));
        self.pass(turn.finish(answer), Hook::Call, request).await
    }

    /// Calls `on-timer`.
    pub async fn on_timer(&self, request: &HookRequest<'_>) -> Result<HookOutcome<'_, ()>, Fault> {
        let mut turn = self.turn(Hook::Timer, request, EventTexts::NONE).await?;
        let Instance { store, exports } = &mut *turn.instance;
        let call = exports.on_timer(store, turn.route, request);
        let answer = within(&self.meter, turn.deadline, call).await;
        self.pass(turn.finish(answer), Hook::Timer, request).await
    }

    /// Keeps a call's answer and effects back until what it saw in the store is saved.
    async fn pass<'a, T>(
        &'a self,
        ended: CallEnd<'a, T>,
        hook: Hook,
        request: &HookRequest<'_>,
    ) -> Result<HookOutcome<'a, T>, Fault> {
        let (mut outcome, gate) = ended?;
        if let Some(gate) = gate {
            // The place keeps the order. A call that has the lane keeps it as well.
            let passed = gate.pass().await;
            outcome.passage.passed =
                Some(passed.map_err(|kind| self.refusal(hook, request, kind))?);
        }
        Ok(outcome)
    }

    /// A probe for the observers that want the call.
    #[cold]
    fn probe(
        &self,
        hook: Hook,
        request: &HookRequest<'_>,
        event: EventTexts<'_>,
    ) -> Option<Box<Probe>> {
        let observers = self.plugin.observers.of_call(&self.version, hook, request);
        if observers.is_empty() {
            return None;
        }
        let realm = self.plugin.context.audience.realm_name(request.realm);
        let input = CallInput::new(hook, realm, request, (event.args, event.kwargs));
        let space = &self.plugin.context.space;
        let needs_store = observers.iter().any(|observer| observer.needs_store());
        let store = needs_store.then(|| StoreMoment::now(space));
        Probe::new(&self.version, input, observers, store)
    }

    /// The fault of a call that is refused. It is counted.
    fn refusal(&self, hook: Hook, request: &HookRequest<'_>, kind: FaultKind) -> Fault {
        if let Ok(handler) = self.plugin.handler(request.handler) {
            handler.metrics.failed(&kind);
        }
        Fault {
            plugin: self.plugin.context.label.clone(),
            call_site: Box::new(call_site(hook, request)),
            kind,
            backtrace: None,
            stderr: None,
        }
    }

    /// Waits for the lane, and for a fresh instance if there is none. A call that gets the lane
    /// later than [`MAX_WAIT`] is refused; `on_unsubscribe` never is, because the session has left
    /// the topic already, and the handler would count it forever.
    async fn turn<'a, 'r>(
        &'a self,
        hook: Hook,
        request: &'r HookRequest<'r>,
        event: EventTexts<'_>,
    ) -> Result<Turn<'a, 'r>, Fault> {
        let plugin = &*self.plugin;
        let refuse = |kind| self.refusal(hook, request, kind);
        let is_certain = hook == Hook::Unsubscribe;
        let mut now = Instant::now();
        let HandlerState { breaker, metrics } = plugin.handler(request.handler).map_err(refuse)?;
        let route = self.routes.id(request.route).ok_or_else(|| refuse(FaultKind::UnknownRoute))?;
        breaker.admit(hook, request, now).map_err(refuse)?;
        let mut slot = if let Some(slot) = self.slot.try_take() {
            slot
        } else {
            let waiting = self.queue.enter();
            let slot = self.slot.take().await;
            drop(waiting);
            let began = std::mem::replace(&mut now, Instant::now());
            // A queue that is too long is refused call by call; a timer for each wait would cost
            // more than most calls.
            if !is_certain && now.saturating_duration_since(began) > MAX_WAIT {
                return Err(refuse(FaultKind::Busy(MAX_WAIT)));
            }
            // Those who waited while the handler failed are not to try it again, one by one.
            breaker.admit(hook, request, now).map_err(refuse)?;
            slot
        };
        self.meter.set_certain(is_certain);
        if self.is_stale.swap(false, Ordering::Relaxed) {
            drop(slot.take());
        }
        // In its slot meanwhile, so that a call that is dropped here does not drop the instance.
        if let Some(instance) = slot.as_mut().filter(|instance| plugin.is_due(instance)) {
            plugin.recycle(instance, &self.routes, &self.meter).await;
            now = Instant::now();
        }
        // An instance may know what was undone when the store could not be saved.
        let mut instance =
            if let Some(instance) = slot.take().filter(|it| it.store.data().journal.is_current()) {
                instance
            } else {
                plugin.admit().map_err(refuse)?;
                let starting = self.meter.starting();
                let made = plugin.instance(&self.routes, &self.meter).await;
                drop(starting);
                match made {
                    Ok(instance) => {
                        // What it took to start is not taken from the call's time.
                        now = Instant::now();
                        Box::new(instance)
                    }
                    Err(error) if error.is_busy() => return Err(refuse(FaultKind::Busy(MAX_WAIT))),
                    Err(error) => {
                        if let Some(kind) = error.store_failure() {
                            return Err(refuse(kind.clone()));
                        }
                        breaker.failed_to_start(request, Instant::now());
                        return Err(refuse(FaultKind::Restart(error.to_string())));
                    }
                }
            };
        if let Err(kind) = plugin.admit() {
            *slot = Some(instance);
            return Err(refuse(kind));
        }
        let running = plugin.ticker.run();
        instance.store.set_epoch_deadline(1);
        let guest = instance.store.data_mut();
        let deadline = guest.begin(request, event, now);
        if plugin.observers.is_any() && !hook.is_of_access() {
            guest.probe = self.probe(hook, request, event);
        }
        let order = &self.order;
        Ok(Turn {
            request,
            hook,
            route,
            breaker,
            metrics,
            began: now,
            deadline,
            instance,
            slot,
            order,
            _running: running,
        })
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("plugin", &self.plugin.manifest.name).finish_non_exhaustive()
    }
}

impl<'a> Turn<'a, '_> {
    /// Ends the call: an answer that is sound gives the instance back to the lane, and so does a call
    /// that was never begun. The lane is free.
    fn finish<T: Recorded>(self, answer: Result<T::Raw, CallFailure>) -> CallEnd<'a, T> {
        self.finish_in_lane(answer)
            .map(|(outcome, gate)| (HookOutcome { passage: Passage::default(), ..outcome }, gate))
    }

    /// As [`Turn::finish`]; the lane is free when the passage is dropped.
    fn finish_in_lane<T: Recorded>(
        mut self,
        answer: Result<T::Raw, CallFailure>,
    ) -> CallEnd<'a, T> {
        let was_begun = !matches!(answer, Err(CallFailure::Busy { was_begun: false }));
        if was_begun {
            self.metrics.ended(self.hook, self.began.elapsed());
        }
        let ended = self.end(answer);
        if let Some(probe) = self.instance.store.data_mut().probe.take() {
            self.report(probe, &ended, was_begun);
        }
        if let Err(fault) = &ended {
            self.metrics.failed(&fault.kind);
        }
        match &ended {
            Ok(_) => self.breaker.succeeded(self.request),
            // Others used the time, or the disk.
            Err(fault) if matches!(fault.kind, FaultKind::Busy(_) | FaultKind::StoreFailed(_)) => {}
            Err(_) => self.breaker.failed(self.request, Instant::now()),
        }
        if ended.is_ok() || !was_begun {
            self.instance.store.data_mut().call.request.end();
            *self.slot = Some(self.instance);
        } else {
            self.instance.discard();
        }
        let (mut outcome, gate) = ended?;
        outcome.passage.lane = Some(self.slot);
        Ok((outcome, gate))
    }

    /// Tells the observers of the call, or the replay.
    #[cold]
    fn report<T: Recorded>(&mut self, probe: Box<Probe>, ended: &CallEnd<'a, T>, was_begun: bool) {
        let guest = self.instance.store.data_mut();
        if !was_begun {
            // The plugin was not called.
            return guest.end_replay();
        }
        let (answer, effects) = match ended {
            Ok((outcome, _)) => (outcome.answer.record(), outcome.effects.as_slice()),
            Err(fault) => (HookAnswer::Fault(FaultRecord::from(fault)), [].as_slice()),
        };
        let memory = guest.memory.used();
        probe.end(answer, effects, memory);
        guest.end_replay();
    }

    fn end<T: Recorded>(&mut self, answer: Result<T::Raw, CallFailure>) -> CallEnd<'a, T> {
        let guest = self.instance.store.data_mut();
        let call_site = || call_site(self.hook, self.request);
        let raw = answer.map_err(|failure| fault(guest, call_site(), failure))?;
        let checked = T::parse(raw).map_err(FaultKind::BadAnswer).and_then(|answer| {
            let limit = guest.context.limits.output;
            let output = guest.call.output.saturating_add(answer.len());
            if output > limit { Err(FaultKind::Output(limit)) } else { Ok(answer) }
        });
        let answer = checked.map_err(|kind| fault_of_kind(guest, call_site(), kind, None))?;
        // The gate is taken with the lane, so that calls pass in the order of the lane.
        let (space, incarnation) = (&guest.context.space, guest.journal.incarnation());
        let gate = guest
            .journal
            .commit()
            .and_then(|receipt| Gate::behind(self.order, space, incarnation, receipt));
        let gate = gate.map_err(|kind| fault_of_kind(guest, call_site(), kind, None))?;
        guest.memory.take_refusal();
        guest.drain_console();
        guest.log_suppressed();
        let effects = std::mem::take(&mut guest.call.effects);
        Ok((HookOutcome { answer, effects, passage: Passage::default() }, gate))
    }
}

fn call_site(hook: Hook, request: &HookRequest<'_>) -> CallSite {
    CallSite::Hook { hook, handler: request.handler.to_owned(), topic: request.topic.to_owned() }
}
