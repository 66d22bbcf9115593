//! The road of a message, from what a client asked for to who is delivered to:
//!
//! ```text
//! frame → codec → session → dispatch → route → handler → audience → outbox → frame
//!         wamp    wamp      here       routing sandbox   broker     broker   wire
//! ```
//!
//! A message uses one generation from start to end. It is handled to its end, and queued to every
//! receiver, before [`crate::connection`] decodes the session's next one. Requests that no
//! handler has a part in (calls, registrations) are answered in [`refusals`].

use std::future::poll_fn;
use std::sync::Arc;

use jackfield_broker::{Batch, Publication, Realm, Session};
use jackfield_routing::{Action, Allow};
use jackfield_sandbox::{
    Caller, Effect, Fault, Hook, Outcome, PublishVerdict, Request as HookRequest, SubscribeVerdict,
};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::PublicationId;
use jackfield_wamp::message::{Publish, Subscribe, Unsubscribe};
use jackfield_wamp::session::{self as wamp, ErrorTo, Reply, Request};
use jackfield_wamp::uri::MatchPolicy;

use crate::generation::{Generation, Generations, Routed};
use crate::{frame, ids};

mod effects;
mod leaving;
mod refusals;
mod uris;

pub(crate) use refusals::Refusal;

/// Decides what requests of one realm's sessions come to.
pub(crate) struct Dispatch {
    realm: Arc<Realm>,
    /// The realm as the sandbox knows it.
    token: jackfield_sandbox::Realm,
    generations: Arc<Generations>,
    unrouted: Unrouted,
    /// Who may do what on routes that do not say.
    allow: Allow,
}

/// What becomes of topics that no route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// Nobody may subscribe or publish.
    Refuse,
    /// Everybody may, as on a broker without handlers.
    Broadcast,
}

impl Dispatch {
    pub(crate) fn new(
        realm: Arc<Realm>,
        token: jackfield_sandbox::Realm,
        generations: Arc<Generations>,
        unrouted: Unrouted,
        allow: Allow,
    ) -> Self {
        Self { realm, token, generations, unrouted, allow }
    }

    pub(crate) fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Handles one request to its end. What it queued is flushed with the batch.
    pub(crate) async fn handle(
        &self,
        from: &Arc<Session>,
        dialogue: &wamp::Session,
        request: Request,
        batch: &mut Batch,
    ) {
        let reply = |reply: &Reply<'_>, batch: &mut Batch| {
            if let Some(message) = dialogue.reply(reply) {
                from.reply(frame::message(from.dialect, &message), batch);
            }
        };
        match request {
            Request::Publish(publish) => {
                let Publish { request, ref topic, .. } = publish;
                let acknowledge = publish.options.acknowledge;
                match self.publish(from, &publish, batch).await {
                    Ok(publication) if acknowledge => {
                        reply(&Reply::Published { request, publication }, batch);
                    }
                    Ok(_) => {}
                    Err(refusal) => {
                        let topic = uris::shown(topic);
                        refusal.log("publish", from, topic);
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
            request => {
                if let Some((to, refusal)) = refusals::not_served(&request) {
                    reply(&refusal.reply(to), batch);
                }
            }
        }
    }

    /// ★ One event: which route it takes, what its handler makes of it, who receives it.
    async fn publish(
        &self,
        from: &Arc<Session>,
        publish: &Publish,
        batch: &mut Batch,
    ) -> Result<PublicationId, Refusal> {
        let Publish { topic, options, payload, .. } = publish;
        uris::check(from, topic, MatchPolicy::Exact)?;
        uris::check_reserved(topic)?;
        let generation = self.generations.current();
        let routed = self.route(&generation, topic)?;
        let mut publication = Publication {
            topic,
            id: ids::publication(),
            disclosed: options.disclose_me.then_some(&**from),
            except: options.exclude_me.then_some(from.id),
            filter: options.filter.as_deref(),
            narrowed: None,
            patterns: self.is_open(routed.as_ref()),
            payload,
        };
        let Some(routed) = routed else {
            self.realm.publish(&publication, batch);
            return Ok(publication.id);
        };
        self.check_allowed(&routed, Action::Publish, from)?;
        if !routed.handler.hooks().contains(Hook::Publish) {
            self.realm.publish(&publication, batch);
            return Ok(publication.id);
        }
        let (args, kwargs) = (payload.args_json(), payload.kwargs_json());
        let lane = routed.handler.lane(topic);
        let attributes = routed.attributes();
        let request = self.hook_request(&routed, &attributes, from);
        let hook = lane.on_publish(&request, &args, &kwargs);
        let Outcome { answer, effects } =
            paying(batch, hook).await.map_err(|fault| routed.failed(&fault))?;
        let changed;
        let narrowed;
        match answer {
            PublishVerdict::Broadcast => {
                self.realm.publish(&publication, batch);
            }
            PublishVerdict::Deliver(delivery) => {
                narrowed = effects::filter(delivery.exclude, delivery.eligible);
                publication.narrowed = Some(&narrowed);
                if let Some(event) = delivery.event {
                    changed = effects::payload(&event)?;
                    publication.payload = &changed;
                }
                self.realm.publish(&publication, batch);
            }
            PublishVerdict::Drop => {}
            PublishVerdict::Reject(refusal) => {
                self.apply(&generation, effects, batch).await;
                return Err(refusal.into());
            }
        }
        self.apply(&generation, effects, batch).await;
        Ok(publication.id)
    }

    /// One subscription: SUBSCRIBED is queued before anything that the handler sends.
    async fn subscribe(
        &self,
        from: &Arc<Session>,
        dialogue: &wamp::Session,
        subscribe: &Subscribe,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let Subscribe { request, policy, topic, .. } = subscribe;
        uris::check(from, topic, *policy)?;
        let acknowledge = |subscription| {
            let reply = Reply::Subscribed { request: *request, subscription };
            dialogue.reply(&reply).map(|message| frame::message(from.dialect, &message))
        };
        let generation = self.generations.current();
        // Pattern subscriptions see open topics alone, so there is nobody to ask.
        let by_name = *policy == MatchPolicy::Exact;
        if by_name && self.realm.acknowledge(from.id, topic, batch, acknowledge) {
            return Ok(());
        }
        let routed = if by_name { self.route(&generation, topic)? } else { None };
        let mut effects = Vec::new();
        if let Some(routed) = &routed {
            self.check_allowed(routed, Action::Subscribe, from)?;
            if routed.handler.hooks().contains(Hook::Subscribe) {
                let lane = routed.handler.lane(topic);
                let attributes = routed.attributes();
                let hook_request = self.hook_request(routed, &attributes, from);
                let hook = lane.on_subscribe(&hook_request);
                let outcome = paying(batch, hook).await.map_err(|fault| routed.failed(&fault))?;
                effects = outcome.effects;
                if let SubscribeVerdict::Deny(refusal) = outcome.answer {
                    self.apply(&generation, effects, batch).await;
                    return Err(refusal.into());
                }
            }
        }
        self.realm.subscribe(from.id, topic, *policy, batch, acknowledge)?;
        if routed.is_some() && !self.still_routed(&generation, topic) {
            self.take_out(&generation, from.id, topic, batch).await;
        }
        self.apply(&generation, effects, batch).await;
        Ok(())
    }

    async fn unsubscribe(
        &self,
        from: &Arc<Session>,
        dialogue: &wamp::Session,
        unsubscribe: &Unsubscribe,
        batch: &mut Batch,
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
            self.left(&generation, [(Arc::clone(from), topic)], batch).await;
        }
        Ok(())
    }

    /// Does what a hook wants done.
    async fn apply(&self, generation: &Generation, effects: Vec<Effect>, batch: &mut Batch) {
        if !effects.is_empty() {
            let left = self.perform(generation, effects, batch);
            // Boxed for the size of a connection's task.
            Box::pin(self.left(generation, left, batch)).await;
        }
    }

    /// The route of a topic; none where unrouted topics are open to everybody.
    fn route<'g, 't>(
        &self,
        generation: &'g Generation,
        topic: &'t str,
    ) -> Result<Option<Routed<'g, 't>>, Refusal> {
        match generation.find(topic) {
            Some(routed) => Ok(Some(routed)),
            None if self.unrouted == Unrouted::Broadcast => Ok(None),
            None => Err(Refusal::no_route(topic)),
        }
    }

    /// Whether pattern subscriptions see the topic: not where subscribers are checked one by one.
    fn is_open(&self, routed: Option<&Routed<'_, '_>>) -> bool {
        match routed {
            Some(routed) => {
                let by_role = routed.route.allow.roles_or(&self.allow, Action::Subscribe).is_some();
                !by_role && !routed.handler.hooks().contains(Hook::Subscribe)
            }
            None => self.unrouted == Unrouted::Broadcast,
        }
    }

    /// What a route lists, or else the operator, only those roles may do; what neither lists is
    /// open.
    fn check_allowed(
        &self,
        routed: &Routed<'_, '_>,
        action: Action,
        session: &Session,
    ) -> Result<(), Refusal> {
        let listed = routed.route.allow.roles_or(&self.allow, action);
        if listed.is_none_or(|roles| roles.iter().any(|it| session.identity.roles.contains(it))) {
            Ok(())
        } else {
            Err(Refusal::not_allowed(action, &routed.route.name))
        }
    }

    /// A reload may have taken the route away while the handler was asked.
    fn still_routed(&self, judged_by: &Generation, topic: &str) -> bool {
        let current = self.generations.current();
        current.number() == judged_by.number() || self.route(&current, topic).is_ok()
    }

    fn hook_request<'a>(
        &self,
        routed: &'a Routed<'_, '_>,
        attributes: &'a [(&'a str, &'a str)],
        session: &'a Session,
    ) -> HookRequest<'a> {
        let identity = &session.identity;
        HookRequest {
            realm: self.token,
            handler: routed.handler.name(),
            route: &routed.route.name,
            topic: routed.topic,
            attributes,
            session: Some(Caller {
                id: session.id.get(),
                authid: &identity.authid,
                authrole: identity.authrole(),
                roles: &identity.roles,
                authmethod: &identity.authmethod,
                claims: &identity.claims,
            }),
            subscribers: u32::try_from(self.realm.count(routed.topic)).unwrap_or(u32::MAX),
        }
    }
}

impl Routed<'_, '_> {
    fn failed(&self, fault: &Fault) -> Refusal {
        Refusal::fault(self.handler.name(), fault)
    }
}

/// Runs a hook. Most return at once; before waiting for one that does not, what the batch owes
/// to others is paid. Boxed before anything is awaited, because a connection's task is as large as
/// its largest state for as long as it lives, and a call into wasm is by far the largest.
fn paying<T>(batch: &mut Batch, hook: impl Future<Output = T>) -> impl Future<Output = T> {
    let mut hook = Box::pin(hook);
    poll_fn(move |context| {
        let polled = hook.as_mut().poll(context);
        if polled.is_pending() {
            batch.flush();
        }
        polled
    })
}
