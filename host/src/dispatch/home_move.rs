//! Subscribers of this node when the home of their topics' plugin moves: the new home is asked about them,
//! as the memory and the store of the former one are not there.

use std::sync::Arc;
use std::time::Duration;

use jackfield_broker::{PendingFlushes, Session};
use jackfield_sandbox::{Hook, HookOutcome, SubscribeVerdict};
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::warn;

use super::home::{HookCall, NO_EVENT};
use super::refusal::HANDLER_FAILED;
use super::{Dispatch, Refusal};
use crate::cluster::{Change, Home};
use crate::generation::{Generation, RouteMatch};

/// The first and the longest time between two inquiries at a home that does not answer.
const INQUIRY_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INQUIRY_INTERVAL: Duration = Duration::from_secs(5);

impl Dispatch {
    /// Asks the home of a plugin about the subscribers of this node again, as it has moved, or may have given
    /// them up. One that it refuses is unsubscribed.
    pub(crate) async fn ask_about_subscribers(self: Arc<Self>, plugin: String) {
        let Some(cluster) = &self.cluster else { return };
        let inquiries = &cluster.homes().inquiries;
        if !inquiries.begin(self.realm.name(), &plugin) {
            return;
        }
        loop {
            self.ask_until_answered(&plugin).await;
            if inquiries.end(self.realm.name(), &plugin) {
                return;
            }
        }
    }

    /// Asks the home about all subscribers until it has answered, or is here.
    async fn ask_until_answered(&self, plugin: &str) {
        let mut interval = INQUIRY_INTERVAL;
        while let Err(refusal) = self.ask_about_all(plugin).await {
            if interval == INQUIRY_INTERVAL {
                warn!(name: "cluster.home_uninformed", plugin, "the home of a plugin does not know the subscribers of this node yet: {refusal}");
            }
            sleep(interval).await;
            interval = MAX_INQUIRY_INTERVAL.min(interval * 2);
        }
    }

    /// Asks about all subscribers again.
    ///
    /// # Errors
    /// The home does not answer.
    async fn ask_about_all(&self, plugin: &str) -> Result<(), Refusal> {
        let mut batch = PendingFlushes::default();
        for topic in self.realm.topics() {
            for session in self.realm.subscribers(&topic) {
                let Some(session) = self.realm.session(session) else { continue };
                self.ask_again(plugin, &session, &topic, &mut batch).await?;
            }
            batch.flush();
            yield_now().await;
        }
        Ok(())
    }

    /// Returns the home of a handler now; `None` without one, and without a cluster.
    pub(super) fn home_now(&self, routed: Option<&RouteMatch<'_, '_>>) -> Option<Home> {
        let (cluster, routed) = (self.cluster.as_ref()?, routed?);
        cluster.homes().of(&routed.handler.manifest().name)
    }

    /// Asks the home about a subscriber that has come while it moved.
    pub(super) async fn ask_about_newcomer(
        &self,
        session: &Arc<Session>,
        topic: &str,
        batch: &mut PendingFlushes,
    ) {
        let generation = self.generations.current();
        let Some(routed) = generation.find(topic) else { return };
        let plugin = routed.handler.manifest().name.clone();
        drop(generation);
        // Without an answer, the home moves again, or this node is met again: both begin an inquiry.
        let _unreachable = self.ask_again(&plugin, session, &Arc::from(topic), batch).await;
    }

    /// Asks about one subscriber again.
    ///
    /// # Errors
    /// The home does not answer.
    async fn ask_again(
        &self,
        plugin: &str,
        session: &Arc<Session>,
        topic: &Arc<str>,
        batch: &mut PendingFlushes,
    ) -> Result<(), Refusal> {
        let generation = self.generations.current();
        let routed = generation.find(topic).map(RouteMatch::for_events);
        let routed = routed.filter(|it| it.handler.manifest().name == plugin);
        let Some(routed) = routed.filter(|it| !it.handler.is_disabled()) else { return Ok(()) };
        if !routed.has(Hook::Subscribe) {
            self.tell_home(&routed, session, Change::Subscribed);
            return Ok(());
        }
        let attributes = routed.attributes();
        let request = self.hook_request(&routed, &attributes, Some(session));
        let call =
            HookCall { hook: Hook::Subscribe, request: &request, is_again: true, event: NO_EVENT };
        let here = Box::pin(routed.handler.lane(topic).on_subscribe(&request));
        let HookOutcome { answer, effects, passage } = match self.decide(&routed, call, here).await
        {
            // The plugin fails for this one.
            Err(refusal) if refusal.uri() == HANDLER_FAILED => return Ok(()),
            Err(refusal) => return Err(refusal),
            Ok(outcome) => outcome,
        };
        let mut left: Vec<_> = self.perform_now(&generation, effects, batch);
        let is_subscribed = self.realm.subscription(session.id, topic).is_some();
        match answer {
            SubscribeVerdict::Allow if is_subscribed => {}
            // It has left meanwhile.
            SubscribeVerdict::Allow => left.push((Arc::clone(session), Arc::clone(topic))),
            // The plugin counts no session that it refuses.
            SubscribeVerdict::Deny(_) => drop(self.remove(session.id, topic, batch)),
        }
        drop(passage);
        self.notify_unsubscribed(&generation, left, batch).await;
        Ok(())
    }

    /// Tells the homes of plugins about the subscribers of topics that a reload has given to another one. No
    /// hook is called, as without a cluster.
    pub(super) fn reassign(&self, old: &Generation, new: &Generation) {
        if self.cluster.is_none() {
            return;
        }
        for topic in self.realm.topics() {
            let before = old.find(&topic).filter(|it| it.handler.has_home());
            let after = new.find(&topic).filter(|it| it.handler.has_home());
            let name = |it: &Option<RouteMatch<'_, '_>>| {
                it.as_ref().map(|it| it.handler.manifest().name.clone())
            };
            if name(&before) == name(&after) {
                continue;
            }
            for session in self.realm.subscribers(&topic) {
                let Some(session) = self.realm.session(session) else { continue };
                if let Some(before) = &before {
                    self.tell_home(before, &session, Change::Reassigned);
                }
                if let Some(after) = &after {
                    self.tell_home(after, &session, Change::Subscribed);
                }
            }
        }
    }
}
