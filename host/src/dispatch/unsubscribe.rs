//! UNSUBSCRIBE, and other reasons why sessions leave topics: the end of their connection, or a
//! reload that removed the route. The handler of each topic is informed once.

use std::collections::VecDeque;
use std::sync::Arc;

use jackfield_broker::{PatternAudience, PendingFlushes, Session};
use jackfield_sandbox::{Hook, HookOutcome};
use jackfield_wamp::message::Unsubscribe;
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::uri::{self, MatchPolicy};

use super::authorize::audience;
use super::{Dispatch, Refusal, effects, flush_before_wait, history, reply, trace};
use crate::cluster::Change;
use crate::frame;
use crate::generation::{Generation, RouteMatch};
use crate::metrics::RequestKind;
use crate::timers::Start;

/// The maximum number of unsubscriptions that the hooks of one unsubscription may cause in turn.
const MAX_CONSEQUENCES: usize = 1_000;

impl Dispatch {
    pub(super) async fn handle_unsubscribe(
        &self,
        from: &Arc<Session>,
        unsubscribe: &Unsubscribe,
        batch: &mut PendingFlushes,
    ) {
        let trace = self.trace_unsubscribe(from, unsubscribe);
        let ended = self.unsubscribe(from, unsubscribe, batch).await;
        trace::ended(trace.as_deref(), &ended);
        self.tell_subscriptions(batch);
        let Err(refusal) = ended else { return };
        self.refused(RequestKind::Unsubscribe, &refusal, from, "");
        if let Unsubscribe::ById { request, .. } = *unsubscribe {
            reply(from, &refusal.reply(ErrorTo::Unsubscribe { request }), batch);
        }
    }

    async fn unsubscribe(
        &self,
        from: &Arc<Session>,
        unsubscribe: &Unsubscribe,
        batch: &mut PendingFlushes,
    ) -> Result<(), Refusal> {
        let (subscription, acknowledgement) = match unsubscribe {
            Unsubscribe::ById { request, subscription } => {
                (*subscription, frame::reply(from, &Reply::Unsubscribed { request: *request }))
            }
            Unsubscribe::ByTopic { topic } => match self.realm.subscription(from.id, topic) {
                Some(subscription) => (subscription, None),
                // Version 1 has no error for it, and its servers ignore it.
                None => return Ok(()),
            },
        };
        let topic = self.realm.unsubscribe(from.id, subscription, batch, acknowledgement)?;
        if let Some(topic) = topic {
            let generation = self.generations.current();
            self.notify_unsubscribed(&generation, [(Arc::clone(from), topic)], batch).await;
        }
        Ok(())
    }

    /// Makes a session a member.
    pub(crate) fn join(&self, session: &Arc<Session>) {
        self.realm.join(session);
        self.tell_joined(session, &mut PendingFlushes::default());
    }

    /// Ends a session's membership, and informs the handlers of its topics.
    pub(crate) async fn leave(&self, session: &Arc<Session>) {
        let mut batch = PendingFlushes::default();
        self.dealer.leave(session.id, &mut batch);
        self.outgoing.deferred.leave(session.id);
        let topics = self.realm.leave(session.id);
        self.tell_left(session, &mut batch);
        let generation = self.generations.current();
        let left = topics.into_iter().map(|topic| (Arc::clone(session), topic));
        self.notify_unsubscribed(&generation, left, &mut batch).await;
        let testaments = self.take_testaments(session);
        if !testaments.is_empty() {
            // Few sessions have any: the task of each would be as large as a publication otherwise.
            Box::pin(self.publish_testaments(session, testaments, &mut batch)).await;
        }
    }

    /// Revokes subscriptions and registrations after a reload, and updates the timers.
    pub(crate) fn reloaded(self: &Arc<Self>, old: &Arc<Generation>, new: &Generation) {
        // Durable ones first: they need random epochs.
        self.end_durable(new, |topic| history::ends(old, new, topic));
        self.realm.end_histories(|topic| history::ends(old, new, topic));
        self.revoke(Arc::clone(old), new);
        self.reassign(old, new);
        let mut batch = PendingFlushes::default();
        self.revoke_registrations(Some(old), new, &mut batch);
        self.tell_registrations(&mut batch);
        self.tell_subscriptions(&mut batch);
        drop(batch);
        self.follow_all();
    }

    /// Revokes the subscriptions that a new generation does not allow: no route matches, the roles of the
    /// subscriber may not subscribe, or an authorizer has to be asked. A separate task informs the handlers of the old
    /// generation, so that nothing waits for them.
    fn revoke(self: &Arc<Self>, old: Arc<Generation>, new: &Generation) {
        let mut batch = PendingFlushes::default();
        let keep = |topic: &str, policy: MatchPolicy| {
            if let Some(nobody) = self.audience_anew(&old, new, topic, policy) {
                return nobody;
            }
            if policy != MatchPolicy::Exact {
                return PatternAudience::Everybody;
            }
            let routed = new.find(topic).filter(|_| !uri::is_reserved(topic));
            let routed = routed.map(RouteMatch::for_events);
            audience(new, self.at(topic), routed.as_ref())
        };
        let revoked = self.realm.revoke(keep, &mut batch, effects::revocation);
        batch.flush();
        let dispatch = Arc::clone(self);
        tokio::spawn(async move {
            let left = revoked.into_iter().map(|it| (it.session, it.topic));
            dispatch.notify_unsubscribed(&old, left, &mut batch).await;
        });
    }

    /// Informs the handlers of topics that sessions have left, and applies their effects. These may
    /// unsubscribe further sessions, which may subscribe again meanwhile, so the number of such
    /// consequences is bounded.
    pub(super) async fn notify_unsubscribed(
        &self,
        generation: &Generation,
        left: impl IntoIterator<Item = (Arc<Session>, Arc<str>)>,
        batch: &mut PendingFlushes,
    ) {
        let mut left: VecDeque<_> = left.into_iter().collect();
        let mut consequences = 0;
        while let Some((session, topic)) = left.pop_front() {
            if self.timers.has(&topic) {
                self.sync_timer(&topic, Start::Whole);
            }
            let routed = generation.find(&topic).map(RouteMatch::for_events);
            let Some(routed) = routed else { continue };
            if self.home_elsewhere(routed.handler).is_some() {
                // The home informs the handler, and performs its effects.
                self.tell_home(&routed, &session, Change::Left);
                continue;
            }
            if !routed.has(Hook::Unsubscribe) || routed.handler.is_disabled() {
                continue;
            }
            let attributes = routed.attributes();
            let request = self.hook_request(&routed, &attributes, Some(&session));
            // If this node is not the home any more, the next home is asked about the remaining subscribers.
            let Ok(right) = self.begin_here(routed.handler) else { continue };
            let hook = routed.handler.lane(&topic).on_unsubscribe(&request);
            let informed = flush_before_wait(batch, hook).await;
            if right.check().is_err() {
                continue;
            }
            match informed {
                Ok(HookOutcome { answer: (), mut effects, passage }) => {
                    if consequences >= MAX_CONSEQUENCES {
                        effects::drop_unsubscribes(&mut effects, &topic);
                    }
                    let further = self.perform(generation, effects, batch).await;
                    drop(passage);
                    consequences += further.len();
                    left.extend(further);
                }
                // No client waits for an answer; the fault is in the log.
                Err(fault) => drop(routed.failed(&fault)),
            }
        }
    }
}
