//! SUBSCRIBE: SUBSCRIBED is queued before all messages of the handler.

use std::sync::Arc;

use jackfield_broker::{PendingFlushes, RetainedWish, Session};
use jackfield_routing::Action;
use jackfield_sandbox::{Hook, HookOutcome, Passage, SubscribeVerdict};
use jackfield_wamp::message::Subscribe;
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::uri::MatchPolicy;

use super::authorize::{check_allowed, may, pattern_audience, route};
use super::authorizer::Wish;
use super::home::{HookCall, NO_EVENT};
use super::trace::{self, MessageKind};
use super::{Dispatch, Refusal, effects, flush_before_wait, history, reply, uris};
use crate::cluster::Change;
use crate::frame;
use crate::generation::{Generation, RealmUri, RouteMatch};
use crate::metrics::RequestKind;
use crate::timers::Start;
use crate::trace::MessageTrace;

impl Dispatch {
    pub(super) async fn handle_subscribe(
        &self,
        from: &Arc<Session>,
        subscribe: &Subscribe,
        batch: &mut PendingFlushes,
    ) {
        let is_exact = subscribe.policy == MatchPolicy::Exact;
        let kind = if is_exact { MessageKind::Subscribe } else { MessageKind::SubscribePattern };
        let trace = self.trace(from, kind, &subscribe.topic, None);
        let subscribed = self.subscribe(from, subscribe, batch, trace.as_deref()).await;
        trace::ended(trace.as_deref(), &subscribed);
        self.tell_subscriptions(batch);
        if let Err(refusal) = subscribed {
            let (request, topic) = (subscribe.request, uris::shown(&subscribe.topic));
            self.refused(RequestKind::Subscribe, &refusal, from, &subscribe.topic);
            reply(from, &refusal.reply(ErrorTo::Subscribe { request, topic }), batch);
        }
    }

    #[expect(clippy::too_many_lines, reason = "one step after another")]
    async fn subscribe(
        &self,
        from: &Arc<Session>,
        subscribe: &Subscribe,
        batch: &mut PendingFlushes,
        trace: Option<&MessageTrace>,
    ) -> Result<(), Refusal> {
        Box::pin(self.await_joining(subscribe, batch)).await;
        let subscribe = &*self.certain(subscribe);
        let Subscribe { request, policy, topic, .. } = subscribe;
        uris::check(from, topic, *policy)?;
        let acknowledge = |subscription| {
            frame::reply(from, &Reply::Subscribed { request: *request, subscription })
        };
        if *policy != MatchPolicy::Exact {
            // A pattern names no topic: the roles of its subscriber are checked at each publication.
            // It has many topics, so no position.
            let generation = self.generations.current();
            let wish = Wish::subscribe(from, subscribe);
            let action = Action::Subscribe;
            self.authorize_pattern(&generation, action, wish, *policy, batch).await?;
            let may_receive = |topic: &str| receives_by_pattern(&generation, self.at(topic), from);
            let mut request = history::replay_request(None, subscribe);
            if let Some(request) = request.as_mut().filter(|_| subscribe.get_retained) {
                request.retained = RetainedWish::OfPattern(*policy, &may_receive);
            }
            self.announce_subscription(from, *policy, topic, batch).await?;
            let added = self.realm.subscribe(
                from.id,
                topic,
                *policy,
                request.as_ref(),
                batch,
                acknowledge,
            )?;
            let current = self.generations.current();
            if current.number() != generation.number()
                && self.is_judged_anew(&generation, &current, topic, *policy)
            {
                // It was judged by the rules before; the subscriptions of other sessions were judged again.
                let notice = effects::revocation(from, added.id);
                let _has_ended = self.realm.unsubscribe(from.id, added.id, batch, notice);
            }
            return Ok(());
        }
        let generation = self.generations.current();
        let at = self.at(topic);
        let routed = route(&generation, at).map(|it| it.map(RouteMatch::for_events));
        let mut wanted =
            history::replay_request(routed.as_ref().ok().and_then(Option::as_ref), subscribe);
        if routed.is_err() {
            wanted = history::without_retained(wanted);
        }
        if self.realm.acknowledge(from.id, topic, wanted.as_ref(), batch, acknowledge) {
            return Ok(());
        }
        let routed = routed?;
        let rule = check_allowed(&generation, at, routed.as_ref(), Action::Subscribe, from)?;
        self.authorize(&generation, rule, Wish::subscribe(from, subscribe), batch).await?;

        let home = self.home_now(routed.as_ref());
        let (mut effects, mut passage) = (Vec::new(), Passage::default());
        if let Some(routed) = routed.as_ref().filter(|it| it.has(Hook::Subscribe)) {
            // A handler counts each session that it is asked about, so the limits are checked
            // first.
            self.realm.check_subscribe(from.id, topic, *policy)?;
            let asked = trace::asked(trace);
            let outcome = self.ask_about_subscriber(routed, from, batch).await;
            trace::answered(trace, Hook::Subscribe, asked, &outcome);
            let outcome = outcome?;
            (effects, passage) = (outcome.effects, outcome.passage);
            if let SubscribeVerdict::Deny(refusal) = outcome.answer {
                self.apply(&generation, effects, passage, batch).await;
                return Err(refusal.into());
            }
        }

        let announced = self.announce_subscription(from, *policy, topic, batch).await;
        if let Some(since) = wanted.as_ref().filter(|it| it.rule.is_some()).and_then(|it| it.since)
        {
            Box::pin(self.complete_for(topic, since, batch)).await;
        }
        if self.generations.current().number() != generation.number() {
            // The roles that may see the history may be others now.
            wanted = history::without_retained(history::replay_request(None, subscribe));
        }
        let subscribed = announced.and_then(|()| {
            self.realm.subscribe(from.id, topic, *policy, wanted.as_ref(), batch, acknowledge)
        });
        if let Err(error) = subscribed {
            // Other sessions have used up the quota while the handler was asked.
            drop(passage);
            let left = (Arc::clone(from), Arc::from(topic.as_str()));
            self.notify_unsubscribed(&generation, [left], batch).await;
            return Err(error.into());
        }
        let mut left = Vec::new();
        // A reload may have taken place meanwhile, for example while the handler was asked.
        let current = self.generations.current();
        let replaced = current.number() != generation.number();
        let is_judged_anew = || self.is_judged_anew(&generation, &current, topic, *policy);
        if replaced && (!may_subscribe(&current, at, from) || is_judged_anew()) {
            left.extend(self.remove(from.id, topic, batch));
        }
        if let Some(routed) = routed.as_ref().filter(|it| !it.has(Hook::Subscribe)) {
            self.tell_home(routed, from, Change::Subscribed);
        }
        let has_timer = |routed: &RouteMatch<'_, '_>| routed.handler.timer().is_some();
        if routed.as_ref().is_some_and(|routed| replaced || has_timer(routed)) {
            self.sync_timer(topic, Start::Whole);
        }
        left.extend(self.perform(&generation, effects, batch).await);
        drop(passage);
        if home != self.home_now(routed.as_ref()) {
            // The home has moved meanwhile, and the new one was not asked about this subscriber.
            Box::pin(self.ask_about_newcomer(from, topic, batch)).await;
        }
        if !left.is_empty() {
            Box::pin(self.notify_unsubscribed(&generation, left, batch)).await;
        }
        Ok(())
    }

    /// Asks the handler. Until its passage is dropped, the handler is asked about no other session.
    async fn ask_about_subscriber<'a>(
        &self,
        routed: &RouteMatch<'a, '_>,
        from: &Session,
        batch: &mut PendingFlushes,
    ) -> Result<HookOutcome<'a, SubscribeVerdict>, Refusal> {
        let attributes = routed.attributes();
        let request = self.hook_request(routed, &attributes, Some(from));
        let call =
            HookCall { hook: Hook::Subscribe, request: &request, is_again: false, event: NO_EVENT };
        let here = Box::pin(routed.handler.lane(routed.topic).on_subscribe(&request));
        flush_before_wait(batch, self.decide(routed, call, here)).await
    }
}

/// Returns whether the session receives the events of a topic by a pattern.
fn receives_by_pattern(generation: &Generation, topic: RealmUri<'_>, session: &Session) -> bool {
    let routed = route(generation, topic).map(|it| it.map(RouteMatch::for_events));
    routed.is_ok_and(|it| pattern_audience(generation, topic, it.as_ref()).admits(session))
}

/// Returns whether a generation allows a subscription, as far as its handler does not decide.
fn may_subscribe(generation: &Generation, topic: RealmUri<'_>, session: &Session) -> bool {
    let routed = route(generation, topic);
    routed.is_ok_and(|routed| may(generation, topic, routed.as_ref(), Action::Subscribe, session))
}
