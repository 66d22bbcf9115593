//! UNSUBSCRIBE, and the other ways in which sessions leave topics: with their connection, or because
//! a reload took the route away. The handler of each topic is told once.

use std::collections::VecDeque;
use std::sync::Arc;

use jackfield_broker::{PendingFlushes, Session};
use jackfield_config::Unrouted;
use jackfield_sandbox::{Hook, HookOutcome};
use jackfield_wamp::message::Unsubscribe;
use jackfield_wamp::protocol::{ErrorTo, Reply};

use super::{Dispatch, Refusal, effects, flush_before_wait, reply};
use crate::frame;
use crate::generation::Generation;
use crate::timers::Start;

/// Unsubscriptions that the hooks of one unsubscription may cause, hook after hook.
const MAX_CONSEQUENCES: usize = 1_000;

impl Dispatch {
    pub(super) async fn handle_unsubscribe(
        &self,
        from: &Arc<Session>,
        unsubscribe: &Unsubscribe,
        batch: &mut PendingFlushes,
    ) {
        if let Err(refusal) = self.unsubscribe(from, unsubscribe, batch).await
            && let Unsubscribe::ById { request, .. } = *unsubscribe
        {
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
                // Version 1 has no words for it, and its servers ignore it.
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

    /// Ends a session's membership, and lets the handlers of its topics know.
    pub(crate) async fn leave(&self, session: &Arc<Session>) {
        let mut batch = PendingFlushes::default();
        self.dealer.leave(session.id, &mut batch);
        let topics = self.realm.leave(session.id);
        let generation = self.generations.current();
        let left = topics.into_iter().map(|topic| (Arc::clone(session), topic));
        self.notify_unsubscribed(&generation, left, &mut batch).await;
    }

    /// Takes away what a new generation no longer has, and begins what it has.
    pub(crate) fn reloaded(self: &Arc<Self>, old: Arc<Generation>, new: &Generation) {
        self.revoke(old, new);
        self.revoke_registrations(new, &mut PendingFlushes::default());
        self.follow_all();
    }

    /// Takes away the subscriptions whose routes a new generation no longer has. The handlers of
    /// the old one are told by a task of their own, so that nothing waits for them.
    fn revoke(self: &Arc<Self>, old: Arc<Generation>, new: &Generation) {
        if self.unrouted == Unrouted::Broadcast {
            return;
        }
        let mut batch = PendingFlushes::default();
        let keep = |topic: &str| new.find(topic).is_some();
        let revoked = self.realm.revoke(keep, &mut batch, effects::revocation);
        batch.flush();
        let dispatch = Arc::clone(self);
        tokio::spawn(async move {
            let left = revoked.into_iter().map(|it| (it.session, it.topic));
            dispatch.notify_unsubscribed(&old, left, &mut batch).await;
        });
    }

    /// Tells the handlers of topics that sessions have left them, and applies their effects. These
    /// may make further sessions leave, which may subscribe again meanwhile, so the number of such
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
            let Some(routed) = generation.find(&topic) else { continue };
            if !routed.has(Hook::Unsubscribe) {
                continue;
            }
            let attributes = routed.attributes();
            let request = self.hook_request(&routed, &attributes, Some(&session));
            let hook = routed.handler.lane(&topic).on_unsubscribe(&request);
            match flush_before_wait(batch, hook).await {
                Ok(HookOutcome { answer: (), mut effects }) => {
                    if consequences >= MAX_CONSEQUENCES {
                        effects::drop_unsubscribes(&mut effects, &topic);
                    }
                    let further = self.perform(generation, effects, batch);
                    consequences += further.len();
                    left.extend(further);
                }
                // No client waits for an answer; the fault is in the log.
                Err(fault) => drop(routed.failed(&fault)),
            }
        }
    }
}
