//! The road of a message, from what a client asked for to who is delivered to:
//!
//! ```text
//! frame → codec → session → dispatch → route → handler → audience → outbox → frame
//!         wamp    wamp      here       routing sandbox   broker     broker   wire
//! ```
//!
//! A message uses one generation from start to end. It is handled to its end, and queued to every
//! receiver, before [`crate::connection`] decodes the session's next one. Procedures are called in
//! [`calls`]; what clients offer to be called is in [`procedures`].

use std::future::poll_fn;
use std::sync::Arc;

use jackfield_broker::{Dealer, PendingFlushes, Publication, Realm, Session};
use jackfield_routing::{Action, Allow};
use jackfield_sandbox::{
    Caller, Effect, Fault, Hook, Outcome, PublishVerdict, Request as HookRequest, SubscribeVerdict,
};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::PublicationId;
use jackfield_wamp::message::{Publish, Subscribe, Unsubscribe};
use jackfield_wamp::protocol::{self as wamp, ErrorTo, Reply, Request};
use jackfield_wamp::uri::MatchPolicy;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::generation::{CurrentGeneration, Generation, RouteMatch};
use crate::log::backoff::Backoff;
use crate::timers::{Start, Timers};
use crate::{frame, ids};

mod authorize;
mod calls;
mod effects;
mod procedures;
mod refusals;
mod timer_hooks;
mod unsubscribe;
mod uris;

pub(crate) use calls::Cancellation;
pub(crate) use refusals::{HANDLER_BUSY, HANDLER_FAILED, HANDLER_ON_HOLD, NO_ROUTE, Refusal};

/// Decides what requests of one realm's sessions come to.
pub(crate) struct Dispatch {
    realm: Arc<Realm>,
    /// The realm as the sandbox knows it.
    token: jackfield_sandbox::Realm,
    generations: Arc<CurrentGeneration>,
    unrouted: Unrouted,
    /// Who may do what where no route says so.
    allow: Allow,
    timers: Timers,
    /// Faults of timers, by handler and kind: a timer that fails does so again and again.
    faults: Backoff<(String, String)>,
    /// Procedures of clients.
    dealer: Dealer,
    /// Permits for publications that take long to match: one less than workers.
    slow_matching: Semaphore,
}

/// What becomes of topics that no route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// Nobody may subscribe or publish.
    Refuse,
    /// Everybody may, as on a broker without handlers.
    Broadcast,
}

/// A publication that was not refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) publication: PublicationId,
    /// To how many it was queued.
    pub(crate) delivered: usize,
}

/// Subscribers and steps of matching that publications may look at before their task lets others
/// run: about a millisecond. Fewer would cut batches of publications to large topics into single
/// events, each written to each subscriber by itself.
const MAX_UNSHARED_WORK: usize = 32_768;

/// Steps of matching patterns that a session's publications may take on average before they take
/// turns with those of other such sessions: about a tenth of a millisecond.
const MAX_FAST_MATCHING: usize = 4_096;

impl Dispatch {
    pub(crate) fn new(
        realm: Arc<Realm>,
        token: jackfield_sandbox::Realm,
        generations: Arc<CurrentGeneration>,
        unrouted: Unrouted,
        allow: Allow,
    ) -> Self {
        let timers = Timers::default();
        let dealer = Dealer::new(frame::reply, realm.max_event_bytes(), realm.limits());
        let faults = Backoff::default();
        let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        let slow_matching = Semaphore::new(workers.saturating_sub(1).max(1));
        Self { realm, token, generations, unrouted, allow, timers, faults, dealer, slow_matching }
    }

    pub(crate) fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Handles one request to its end; a call may be cancelled meanwhile. What it queued is flushed
    /// with the batch.
    pub(crate) async fn handle(
        &self,
        from: &Arc<Session>,
        dialogue: &wamp::Protocol,
        request: Request,
        cancellation: impl Cancellation,
        batch: &mut PendingFlushes,
    ) {
        let reply = |reply: &Reply<'_>, batch: &mut PendingFlushes| {
            if let Some(message) = dialogue.reply(reply) {
                from.reply(frame::message(from.dialect, &message), batch);
            }
        };
        match request {
            Request::Publish(publish) => {
                let Publish { request, ref topic, .. } = publish;
                let acknowledge = publish.options.acknowledge;
                match self.publish(from, &publish, batch).await {
                    Ok(Accepted { publication, .. }) if acknowledge => {
                        reply(&Reply::Published { request, publication }, batch);
                    }
                    Ok(_) => {}
                    Err(refusal) => {
                        let topic = uris::shown(topic);
                        // Version 2 reports errors of acknowledged publications alone; version 1
                        // has an answer that no client takes amiss.
                        if acknowledge || from.dialect == Dialect::V1 {
                            reply(&refusal.reply(ErrorTo::Publish { request, topic }), batch);
                        }
                    }
                }
            }
            Request::Subscribe(subscribe) => {
                let Subscribe { request, ref topic, .. } = subscribe;
                let subscribed = Box::pin(self.subscribe(from, dialogue, &subscribe, batch));
                if let Err(refusal) = subscribed.await {
                    let topic = uris::shown(topic);
                    refusal.log("subscribe", from, topic);
                    reply(&refusal.reply(ErrorTo::Subscribe { request, topic }), batch);
                }
            }
            Request::Unsubscribe(unsubscribe) => {
                let unsubscribed = Box::pin(self.unsubscribe(from, dialogue, &unsubscribe, batch));
                if let Err(refusal) = unsubscribed.await
                    && let Unsubscribe::ById { request, .. } = unsubscribe
                {
                    reply(&refusal.reply(ErrorTo::Unsubscribe { request }), batch);
                }
            }
            Request::Call(call) => {
                Box::pin(self.call(from, dialogue, &call, cancellation, batch)).await;
            }
            request => self.handle_rpc(from, &request, batch),
        }
    }

    /// One event, of a session or of a backend that has none: what it comes to.
    pub(crate) async fn publish(
        &self,
        from: &Arc<Session>,
        publish: &Publish,
        batch: &mut PendingFlushes,
    ) -> Result<Accepted, Refusal> {
        let id = ids::publication();
        // Sessions that publish to topics with many patterns leave a worker to all others.
        let turn = if batch.is_matching_slow(MAX_FAST_MATCHING) {
            Some(flush_before_wait(batch, self.slow_matching.acquire()).await)
        } else {
            None
        };
        let accepted = self.deliver(from, publish, id, batch).await;
        drop(turn);
        // The session's next frame waits for this turn to end, so its events stay in order.
        if batch.work() >= MAX_UNSHARED_WORK {
            batch.flush();
            yield_now().await;
        }
        accepted
            .map(|delivered| Accepted { publication: id, delivered })
            .inspect_err(|refusal| refusal.log("publish", from, uris::shown(&publish.topic)))
    }

    /// ★ Which route it takes, what its handler makes of it, who receives it: how many.
    async fn deliver(
        &self,
        from: &Arc<Session>,
        publish: &Publish,
        id: PublicationId,
        batch: &mut PendingFlushes,
    ) -> Result<usize, Refusal> {
        let Publish { topic, options, payload, .. } = publish;
        uris::check(from, topic, MatchPolicy::Exact)?;
        uris::check_reserved(topic)?;
        let generation = self.generations.current();
        let routed = self.route(&generation, topic)?;
        let mut publication = Publication {
            topic,
            id,
            disclosed: options.disclose_me.then_some(&**from),
            except: options.exclude_me.then_some(from.id),
            filter: options.filter.as_deref(),
            narrowed: None,
            patterns: self.pattern_audience(routed.as_ref()),
            payload,
        };
        self.check_allowed(routed.as_ref(), Action::Publish, from)?;
        let Some(routed) = routed else {
            return Ok(self.realm.publish(&publication, batch)?.delivered);
        };
        if !routed.handler.hooks().contains(Hook::Publish) {
            return Ok(self.realm.publish(&publication, batch)?.delivered);
        }
        payload.check_portable()?;
        let (args, kwargs) = (payload.args_json(), payload.kwargs_json());
        let lane = routed.handler.lane(topic);
        let attributes = routed.attributes();
        let request = self.hook_request(&routed, &attributes, Some(from));
        let hook = lane.on_publish(&request, &args, &kwargs);
        let Outcome { answer, effects } =
            flush_before_wait(batch, hook).await.map_err(|fault| routed.failed(&fault))?;
        let changed;
        let narrowed;
        let delivered = match answer {
            PublishVerdict::Broadcast => self.realm.publish(&publication, batch)?.delivered,
            PublishVerdict::Deliver(delivery) => {
                narrowed = effects::filter(delivery.exclude, delivery.eligible);
                publication.narrowed = Some(&narrowed);
                if let Some(event) = delivery.event {
                    changed = effects::payload(&event)?;
                    publication.payload = &changed;
                }
                self.realm.publish(&publication, batch)?.delivered
            }
            PublishVerdict::Drop => 0,
            PublishVerdict::Reject(refusal) => {
                self.apply(&generation, effects, batch).await;
                return Err(refusal.into());
            }
        };
        self.apply(&generation, effects, batch).await;
        Ok(delivered)
    }

    /// One subscription: SUBSCRIBED is queued before anything that the handler sends.
    async fn subscribe(
        &self,
        from: &Arc<Session>,
        dialogue: &wamp::Protocol,
        subscribe: &Subscribe,
        batch: &mut PendingFlushes,
    ) -> Result<(), Refusal> {
        let Subscribe { request, policy, topic, .. } = subscribe;
        uris::check(from, topic, *policy)?;
        let acknowledge = |subscription| {
            let reply = Reply::Subscribed { request: *request, subscription };
            dialogue.reply(&reply).map(|message| frame::message(from.dialect, &message))
        };
        let generation = self.generations.current();
        // A pattern names no topic: its subscriber is judged at each publication.
        let by_name = *policy == MatchPolicy::Exact;
        if by_name && self.realm.acknowledge(from.id, topic, batch, acknowledge) {
            return Ok(());
        }
        let routed = if by_name { self.route(&generation, topic)? } else { None };
        if by_name {
            self.check_allowed(routed.as_ref(), Action::Subscribe, from)?;
        }
        let mut effects = Vec::new();
        if let Some(routed) = &routed
            && routed.handler.hooks().contains(Hook::Subscribe)
        {
            let lane = routed.handler.lane(topic);
            let attributes = routed.attributes();
            let hook_request = self.hook_request(routed, &attributes, Some(from));
            let hook = lane.on_subscribe(&hook_request);
            let outcome =
                flush_before_wait(batch, hook).await.map_err(|fault| routed.failed(&fault))?;
            effects = outcome.effects;
            if let SubscribeVerdict::Deny(refusal) = outcome.answer {
                self.apply(&generation, effects, batch).await;
                return Err(refusal.into());
            }
        }
        self.realm.subscribe(from.id, topic, *policy, batch, acknowledge)?;
        if let Some(routed) = &routed {
            // A reload may have taken place while the handler was asked.
            let current = self.generations.current();
            let replaced = current.number() != generation.number();
            if replaced && self.route(&current, topic).is_err() {
                self.evict(&generation, from.id, topic, batch).await;
            }
            if replaced || routed.handler.timer().is_some() {
                self.sync_timer(topic, Start::Whole);
            }
        }
        self.apply(&generation, effects, batch).await;
        Ok(())
    }

    async fn unsubscribe(
        &self,
        from: &Arc<Session>,
        dialogue: &wamp::Protocol,
        unsubscribe: &Unsubscribe,
        batch: &mut PendingFlushes,
    ) -> Result<(), Refusal> {
        let (subscription, reply) = match unsubscribe {
            Unsubscribe::ById { request, subscription } => {
                (*subscription, dialogue.reply(&Reply::Unsubscribed { request: *request }))
            }
            Unsubscribe::ByTopic { topic } => match self.realm.subscription(from.id, topic) {
                Some(subscription) => (subscription, None),
                // Version 1 has no words for it, and its servers ignore it.
                None => return Ok(()),
            },
        };
        let reply = reply.map(|message| frame::message(from.dialect, &message));
        let topic = self.realm.unsubscribe(from.id, subscription, batch, reply)?;
        if let Some(topic) = topic {
            let generation = self.generations.current();
            self.notify_unsubscribed(&generation, [(Arc::clone(from), topic)], batch).await;
        }
        Ok(())
    }

    /// Does what a hook wants done.
    async fn apply(
        &self,
        generation: &Generation,
        effects: Vec<Effect>,
        batch: &mut PendingFlushes,
    ) {
        if !effects.is_empty() {
            let left = self.perform(generation, effects, batch);
            // Boxed for the size of a connection's task.
            Box::pin(self.notify_unsubscribed(generation, left, batch)).await;
        }
    }

    /// The route of a topic; none where unrouted topics are open to everybody.
    fn route<'g, 't>(
        &self,
        generation: &'g Generation,
        topic: &'t str,
    ) -> Result<Option<RouteMatch<'g, 't>>, Refusal> {
        match generation.find(topic) {
            Some(routed) => Ok(Some(routed)),
            None if self.unrouted == Unrouted::Broadcast => Ok(None),
            None => Err(Refusal::no_route(topic)),
        }
    }

    fn hook_request<'a>(
        &self,
        routed: &'a RouteMatch<'_, '_>,
        attributes: &'a [(&'a str, &'a str)],
        session: Option<&'a Session>,
    ) -> HookRequest<'a> {
        HookRequest {
            realm: self.token,
            handler: routed.handler.name(),
            route: &routed.route.name,
            topic: routed.topic,
            attributes,
            session: session.map(caller),
            subscribers: u32::try_from(self.realm.count(routed.topic)).unwrap_or(u32::MAX),
        }
    }
}

impl RouteMatch<'_, '_> {
    fn failed(&self, fault: &Fault) -> Refusal {
        Refusal::fault(self.handler.name(), fault)
    }
}

/// A session as hooks see it.
fn caller(session: &Session) -> Caller<'_> {
    let identity = &session.identity;
    Caller {
        id: session.id.get(),
        authid: &identity.authid,
        authrole: identity.authrole(),
        roles: &identity.roles,
        authmethod: &identity.authmethod,
        claims: &identity.claims,
        anonymous_from: identity.anonymous_from,
    }
}

/// Runs a hook. Most return at once; before waiting for one that does not, what the batch owes
/// to others is paid. Boxed before anything is awaited, because a connection's task is as large as
/// its largest state for as long as it lives, and a call into wasm is by far the largest.
fn flush_before_wait<T>(
    batch: &mut PendingFlushes,
    hook: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let mut hook = Box::pin(hook);
    poll_fn(move |context| {
        let polled = hook.as_mut().poll(context);
        if polled.is_pending() {
            batch.flush();
        }
        polled
    })
}
