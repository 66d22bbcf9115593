//! Timer hooks: the topics that have a timer, and the call when it is due. [`crate::timers`] has
//! the schedule.
//!
//! A topic has a timer if its route's handler has one and a session is subscribed to the topic by
//! name, or from the start if the route says so. Several events can change that at the same time (a
//! first subscriber, the last unsubscription, a reload). None of them decides: each calls
//! [`Dispatch::sync_timer`], which checks the current state.

use std::sync::Arc;
use std::time::Instant;

use jackfield_broker::PendingFlushes;
use jackfield_routing::TimerFrom;
use jackfield_sandbox::{Fault, FaultKind, HookOutcome};
use tracing::error;

use super::{Dispatch, flush_before_wait};
use crate::generation::{BoundTimer, RouteMatch};
use crate::timers::{LaneKey, Start};

/// The number of ticks of a lane that share their writes; then the task yields.
const BATCH_TICKS: usize = 32;

impl Dispatch {
    /// Runs the realm's timers, forever.
    pub(crate) async fn run_timers(self: Arc<Self>) {
        self.follow_all();
        loop {
            for topic in self.timers.due().await {
                match self.timer_lane(&topic) {
                    Some(lane) => {
                        if self.timers.queue(&lane, topic) {
                            tokio::spawn(Arc::clone(&self).work(lane));
                        }
                    }
                    None => self.timers.done(&topic),
                }
            }
        }
    }

    /// Sets the topic's timer if it should have one, and removes it if not. If the state changes
    /// meanwhile, another change may have been overwritten, so the state is checked again.
    pub(super) fn sync_timer(&self, topic: &str, start: Start) {
        let mut wanted = self.wanted_timer(topic);
        loop {
            let start = match wanted {
                Some(BoundTimer { from: TimerFrom::Start, .. }) => Start::Whole,
                _ => start,
            };
            self.timers.set(topic, wanted.map(|timer| timer.every), start);
            let now = self.wanted_timer(topic);
            if now == wanted {
                return;
            }
            wanted = now;
        }
    }

    /// Updates every timer for a new generation.
    pub(crate) fn follow_all(&self) {
        let generation = self.generations.current();
        let running = self.timers.topics();
        if !generation.has_timers() && running.is_empty() {
            return;
        }
        let from_start = generation.bound().filter_map(|(route, handler)| {
            let from_start = handler.timer().is_some_and(|it| it.from == TimerFrom::Start);
            from_start.then(|| Arc::from(route.channel.as_str()))
        });
        let remote = self.topics_with_remote_subscribers();
        let topics = self.realm.topics().into_iter().chain(running).chain(from_start).chain(remote);
        for topic in topics {
            self.sync_timer(&topic, Start::Spread);
        }
    }

    /// Returns the timer that the topic should have now.
    fn wanted_timer(&self, topic: &str) -> Option<BoundTimer> {
        let generation = self.generations.current();
        let handler = generation.find(topic)?.handler;
        let timer = handler.timer().filter(|_| self.home_elsewhere(handler).is_none())?;
        let has_subscribers = || self.realm.local_count(topic) + self.remote_subscribers(topic) > 0;
        (timer.from == TimerFrom::Start || has_subscribers()).then_some(timer)
    }

    fn timer_lane(&self, topic: &str) -> Option<LaneKey> {
        let generation = self.generations.current();
        let handler = generation.find(topic)?.handler;
        Some((handler.manifest().name.clone(), handler.lane_number(topic)))
    }

    /// Calls the timer hooks of a lane's queued topics one after another, until none is left.
    async fn work(self: Arc<Self>, lane: LaneKey) {
        let mut batch = PendingFlushes::default();
        let mut ticks = 0;
        while let Some(topic) = self.timers.next_of(&lane) {
            self.tick(&topic, &mut batch).await;
            self.timers.done(&topic);
            ticks += 1;
            if ticks % BATCH_TICKS == 0 {
                batch.flush();
                tokio::task::yield_now().await;
            }
        }
    }

    /// Runs one tick. A fault is logged, and does not prevent the next tick.
    async fn tick(&self, topic: &str, batch: &mut PendingFlushes) {
        if self.wanted_timer(topic).is_none() {
            return self.sync_timer(topic, Start::Whole);
        }
        let generation = self.generations.current();
        let Some(routed) = generation.find(topic) else { return };
        let attributes = routed.attributes();
        let request = self.hook_request(&routed, &attributes, None);
        let Ok(right) = self.begin_here(routed.handler) else { return };
        let hook = routed.handler.lane(topic).on_timer(&request);
        let ticked = flush_before_wait(batch, hook).await;
        if right.check().is_err() {
            // The timer ticks at another home.
            return;
        }
        match ticked {
            Ok(HookOutcome { answer: (), effects, passage }) => {
                self.apply(&generation, effects, passage, batch).await;
            }
            Err(fault) => self.tell_fault(&routed, &fault),
        }
    }

    /// Logs a fault, with back-off: there may be ten a second, forever.
    pub(super) fn tell_fault(&self, routed: &RouteMatch<'_, '_>, fault: &Fault) {
        if let FaultKind::CircuitOpen { .. } | FaultKind::StoreFailed(_) = fault.kind {
            return drop(routed.failed(fault));
        }
        let handler = routed.handler.name();
        let what = (handler.to_owned(), fault.kind.to_string());
        match self.faults.happened(what, Instant::now()) {
            Some(1) => drop(routed.failed(fault)),
            Some(times) => error!(
                name: "handler.timer_failing",
                plugin = fault.plugin,
                times,
                kind = fault.kind.label(),
                "again and again: {fault}"
            ),
            None => {}
        }
    }
}
