//! Publications to topics with a durable history: they wait until the event is saved, and are delivered
//! then. Each publisher's events keep their order, since its session waits meanwhile.

use jackfield_broker::{PendingFlushes, Publication};
use jackfield_sandbox::{Effect, PluginEvent};
use jackfield_wamp::message::ReceiverFilter;

use super::authorize::{overflow, pattern_audience};
use super::{Dispatch, Refusal, effects, flush_before_wait, history, trace};
use crate::generation::{Generation, RouteMatch};
use crate::history_log::{self, HistoryLog, SaveError};
use crate::ids;
use crate::trace::MessageTrace;

/// The durable history of the topic cannot be saved; nothing was delivered.
pub(super) const HISTORY_FAILED: &str = "jackfield.error.history_failed";

/// The maximum number of reloads that may end the history of a topic while one event is saved.
const MAX_TRIES: usize = 3;

impl Dispatch {
    /// Passes an event to the broker, after it is saved if its history is durable. Returns the number of
    /// receivers.
    pub(super) async fn pass_on(
        &self,
        publication: &Publication<'_>,
        batch: &mut PendingFlushes,
        trace: Option<&MessageTrace>,
    ) -> Result<usize, Refusal> {
        let is_durable = publication.recording.is_some_and(|it| it.is_durable);
        match (is_durable, self.history_log.as_deref()) {
            (false, _) => {
                let _turn = self.matching_turn(batch).await;
                Ok(self.fan_out(publication, batch, trace)?)
            }
            (true, None) => Err(SaveError::Failed.into()),
            // Boxed to keep a connection's task small.
            (true, Some(log)) => {
                Box::pin(self.save_and_fan_out(log, publication, batch, trace)).await
            }
        }
    }

    /// Saves an event, and passes it to the broker. Returns the number of receivers.
    async fn save_and_fan_out(
        &self,
        log: &HistoryLog,
        publication: &Publication<'_>,
        batch: &mut PendingFlushes,
        trace: Option<&MessageTrace>,
    ) -> Result<usize, Refusal> {
        let (realm, topic) = (self.realm.name(), publication.topic);
        let _turn = flush_before_wait(batch, log.turn(realm, topic)).await?;
        for _ in 0..MAX_TRIES {
            // Not held while the disk is waited for: it is that of all slow publications.
            let matching = self.matching_turn(batch).await;
            let prepared = self.realm.prepare(publication);
            drop(matching);
            let Some(prepared) = prepared? else { break };
            let event = history_log::append(realm, topic, &prepared);
            let rewind = history_log::rewind(realm, topic, &prepared);
            let saved = flush_before_wait(batch, log.append(event, rewind)).await?;
            let _matching = self.matching_turn(batch).await;
            let Some(report) = self.realm.publish_saved(publication, &prepared, batch)? else {
                continue;
            };
            saved.keep();
            self.trace_audience(publication, trace);
            return Ok(report.delivered);
        }
        Err(SaveError::Failed.into())
    }

    /// Ends the durable histories of routes that are not durable any more, and those for which `ends` holds.
    pub(crate) fn end_durable(&self, new: &Generation, ends: impl Fn(&str) -> bool) {
        if let Some(log) = &self.history_log {
            let ends = |topic: &str| !history::is_durable(new, topic) || ends(topic);
            let mut batch = PendingFlushes::default();
            self.realm.end_durable_histories(ends, ids::publication, &mut batch);
            batch.flush();
            log.compare_soon();
        }
    }

    /// Notes that an event has ended a durable history: the file is to forget it.
    pub(super) fn has_ended_durable(&self) {
        if let Some(log) = &self.history_log {
            log.compare_soon();
        }
    }

    /// Performs the effects of a hook in order. Returns the sessions that it removed from topics.
    pub(super) async fn perform(
        &self,
        generation: &Generation,
        effects: Vec<Effect>,
        batch: &mut PendingFlushes,
    ) -> Vec<effects::Removed> {
        match &self.history_log {
            Some(log) if generation.has_durable() && !effects.is_empty() => {
                Box::pin(self.perform_and_save(log, generation, effects, batch)).await
            }
            _ => self.perform_now(generation, effects, batch),
        }
    }

    async fn perform_and_save(
        &self,
        log: &HistoryLog,
        generation: &Generation,
        effects: Vec<Effect>,
        batch: &mut PendingFlushes,
    ) -> Vec<effects::Removed> {
        let mut left = Vec::new();
        for effect in effects {
            match effect {
                Effect::Publish { topic, event, exclude, eligible }
                    if history::is_durable(generation, &topic) =>
                {
                    let narrowed = effects::filter(exclude, eligible);
                    let saved =
                        self.save_effect(log, generation, (&topic, &event), &narrowed, batch);
                    if let Err(refusal) = saved.await {
                        effects::warn_of_dropped(&topic, &refusal);
                    }
                }
                effect => left.extend(self.perform_now(generation, vec![effect], batch)),
            }
        }
        left
    }

    async fn save_effect(
        &self,
        log: &HistoryLog,
        generation: &Generation,
        (topic, event): (&str, &PluginEvent),
        narrowed: &ReceiverFilter,
        batch: &mut PendingFlushes,
    ) -> Result<(), Refusal> {
        let routed = generation.find(topic).map(RouteMatch::for_events);
        let recording = history::recording(routed.as_ref());
        let payload = effects::payload(event)?;
        let publication = Publication {
            narrowed: Some(narrowed),
            patterns: pattern_audience(generation, self.at(topic), routed.as_ref()),
            overflow: overflow(routed.as_ref()),
            recording: recording.as_ref(),
            ..Publication::new(topic, ids::publication(), &payload)
        };
        let trace = self.trace_effect(&publication);
        let delivered = self.save_and_fan_out(log, &publication, batch, trace.as_deref()).await?;
        trace::accepted(trace.as_deref(), Some(delivered), None);
        Ok(())
    }
}

impl From<SaveError> for Refusal {
    fn from(error: SaveError) -> Self {
        // The failure is in the log; there may be many refusals.
        Self::new(HISTORY_FAILED, error.to_string())
    }
}
