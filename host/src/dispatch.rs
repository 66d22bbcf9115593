//! Dispatch: the path of a message, from a client's request to its receivers. Read it first.
//!
//! ```text
//! frame → codec → session → dispatch → route → handler → audience → outbox → frame
//!         wamp    wamp      here       routing sandbox   broker     broker   transport
//! ```
//!
//! PUBLISH is on this page; each other request has a file of its own, with the same three steps:
//! check it, ask the handler, tell the broker. A message uses one generation from start to end. It
//! is handled to its end, and queued to every receiver, before [`crate::connection`] decodes the
//! session's next one.

use std::sync::Arc;
use std::time::Instant;

use jackfield_broker::{Clock, Dealer, EventSource, PendingFlushes, Publication, Realm, Session};
use jackfield_config::Rule;
use jackfield_routing::Action;
use jackfield_sandbox::{Hook, HookOutcome, PublishVerdict};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::PublicationId;
use jackfield_wamp::message::Publish;
use jackfield_wamp::protocol::{ErrorTo, Reply, Request};
use jackfield_wamp::uri::MatchPolicy;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::task::yield_now;

use crate::cluster::ClusterNode;
use crate::generation::{CurrentGeneration, Generation, RealmUri, RouteMatch};
use crate::history_log::HistoryLog;
use crate::log::backoff::Backoff;
use crate::metrics::{RequestKind, RequestMetrics};
use crate::timers::Timers;
use crate::trace::{MessageTrace, Traces};
use crate::{frame, ids, wall_clock};

mod authenticator;
mod authorize;
mod authorizer;
mod call;
mod call_timeouts;
mod caller;
mod cluster;
mod deferred;
mod durable;
mod effects;
mod excess;
mod history;
mod home;
mod home_move;
mod home_serve;
mod hooks;
mod meta;
mod mirror;
mod outgoing;
mod past_events;
mod plugin_call;
mod probe_handler;
mod refusal;
mod register;
mod remote_calls;
mod remote_effects;
mod schema;
mod subscribe;
mod timer_hooks;
mod trace;
mod unsubscribe;
mod uris;

use authorize::{check_allowed, overflow, pattern_audience, route};
use authorizer::Wish;
use hooks::{flush_before_wait, reply};
use meta::Testaments;
use outgoing::Outgoing;
use probe_handler::ProbeHandler;
use remote_calls::{Offers, RemoteNodes};
use trace::MessageKind;

pub(crate) use authenticator::{Claimant, KnownPrincipal, NoAnswer};
pub(crate) use call::Cancellation;
pub(crate) use history::DEFAULT_EVENTS;
pub(crate) use meta::SessionQuestion;
pub(crate) use outgoing::InFlight;
pub(crate) use probe_handler::{PROBE_PROCEDURE, PROBE_REALM};
pub(crate) use refusal::{NO_ROUTE, Refusal};
pub(crate) use remote_effects::RemoteEffect;

/// Handles the requests of one realm's sessions.
pub(crate) struct Dispatch {
    realm: Arc<Realm>,
    /// The id of the realm in the sandbox.
    token: jackfield_sandbox::RealmId,
    generations: Arc<CurrentGeneration>,
    timers: Timers,
    /// Faults of timers, by handler and kind: a failing timer fails repeatedly.
    faults: Backoff<(String, String)>,
    /// The procedures of clients.
    dealer: Dealer,
    /// Wakes the task of timeouts, if a call has to end earlier than the one that it waits for.
    earlier_timeout: Notify,
    outgoing: Outgoing,
    metrics: RequestMetrics,
    /// The handler of the probe, in its realm alone.
    probe: Option<Box<ProbeHandler>>,
    /// Events of sessions for the time after their end.
    testaments: Testaments,
    /// Permits for publications that take long to match: one less than there are workers.
    slow_matching: Semaphore,
    traces: Arc<Traces>,
    /// This node, in a cluster.
    cluster: Option<Arc<ClusterNode>>,
    /// The other nodes as callees and callers, and the procedures of this one as they know them.
    remote_nodes: RemoteNodes,
    offers: Offers,
    /// The file of durable histories, if there is a data folder.
    history_log: Option<Arc<HistoryLog>>,
}

/// A publication that was not refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) publication: PublicationId,
    /// The number of receivers that it was queued to.
    pub(crate) delivered: usize,
}

/// Average matching steps of a session's publications until they have to take turns with other such
/// sessions: about a tenth of a millisecond.
const MAX_FAST_MATCHING: usize = 4_096;

impl Dispatch {
    pub(crate) fn new(
        realm: Arc<Realm>,
        token: jackfield_sandbox::RealmId,
        generations: Arc<CurrentGeneration>,
        traces: Arc<Traces>,
        cluster: Option<Arc<ClusterNode>>,
    ) -> Self {
        let dealer = Dealer::new(frame::reply, realm.max_event_bytes(), realm.limits())
            .with_clock(Clock(wall_clock::since_epoch));
        let dealer = match &cluster {
            Some(cluster) => dealer.in_cluster(cluster.id()),
            None => dealer,
        };
        let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        let slow_matching = Semaphore::new(workers.saturating_sub(1).max(1));
        Self {
            realm,
            token,
            generations,
            timers: Timers::default(),
            faults: Backoff::default(),
            dealer,
            earlier_timeout: Notify::new(),
            outgoing: Outgoing::default(),
            metrics: RequestMetrics::default(),
            probe: None,
            testaments: Testaments::default(),
            slow_matching,
            traces,
            cluster,
            remote_nodes: RemoteNodes::default(),
            offers: Offers::default(),
            history_log: None,
        }
    }

    /// Saves the histories of routes with `durable`.
    pub(crate) fn saved_by(self, history_log: Option<Arc<HistoryLog>>) -> Self {
        Self { history_log, ..self }
    }

    pub(crate) fn realm(&self) -> &Realm {
        &self.realm
    }

    /// A topic or procedure of the realm, for the rules about it.
    fn at<'t>(&'t self, uri: &'t str) -> RealmUri<'t> {
        RealmUri { realm: self.realm.name(), uri }
    }

    pub(crate) fn metrics(&self) -> &RequestMetrics {
        &self.metrics
    }

    /// Returns the procedures of clients.
    pub(crate) fn dealer(&self) -> &Dealer {
        &self.dealer
    }

    /// Handles one request to its end; a call may be cancelled meanwhile. The queued frames are
    /// flushed with the batch.
    pub(crate) async fn handle(
        &self,
        from: &Arc<Session>,
        request: Request,
        cancellation: impl Cancellation,
        batch: &mut PendingFlushes,
    ) {
        match request {
            Request::Publish(publish) => self.handle_publish(from, &publish, batch).await,
            // Boxed to keep the future of a PUBLISH small.
            Request::Subscribe(subscribe) => {
                Box::pin(self.handle_subscribe(from, &subscribe, batch)).await;
            }
            Request::Unsubscribe(unsubscribe) => {
                Box::pin(self.handle_unsubscribe(from, &unsubscribe, batch)).await;
            }
            Request::Call(call) if call.procedure == history::PROCEDURE => {
                Box::pin(self.handle_history(from, &call, batch)).await;
            }
            Request::Call(call)
                if from.dialect != Dialect::V1 && call.procedure == past_events::PROCEDURE =>
            {
                self.handle_past_events(from, &call, batch);
            }
            Request::Call(call)
                if from.dialect != Dialect::V1 && meta::is_procedure(&call.procedure) =>
            {
                Box::pin(self.handle_meta(from, &call, batch)).await;
            }
            Request::Call(call) => match &self.probe {
                None => Box::pin(self.handle_call(from, &call, cancellation, batch)).await,
                Some(probe) => Box::pin(self.answer_probe(probe, from, &call, batch)).await,
            },
            Request::Register(register) => {
                Box::pin(self.handle_register(from, &register, batch)).await;
            }
            Request::Unregister(unregister) => self.handle_unregister(from, &unregister, batch),
            Request::Cancel(cancel) => self.handle_cancel(from, &cancel, batch),
            // The dealer ignores messages about a call that has ended.
            Request::Yield(answer) => self.dealer.answer(from, &answer, Instant::now, batch),
            Request::InvocationError(error) => self.handle_error(from, &error, batch),
        }
    }

    async fn handle_publish(
        &self,
        from: &Arc<Session>,
        publish: &Publish,
        batch: &mut PendingFlushes,
    ) {
        let Publish { request, options, .. } = publish;
        let (request, topic) = (*request, uris::shown(&publish.topic));
        match self.publish(from, publish, batch).await {
            Ok(Accepted { publication, .. }) if options.acknowledge => {
                reply(from, &Reply::Published { request, publication }, batch);
            }
            // Version 2 reports errors of acknowledged publications only; version 1 has an answer
            // that all clients tolerate.
            Err(refusal) if options.acknowledge || from.dialect == Dialect::V1 => {
                reply(from, &refusal.reply(ErrorTo::Publish { request, topic }), batch);
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Publishes one event of a session or a backend.
    pub(crate) async fn publish(
        &self,
        from: &Arc<Session>,
        publish: &Publish,
        batch: &mut PendingFlushes,
    ) -> Result<Accepted, Refusal> {
        let id = ids::publication();
        let trace = self.trace(from, MessageKind::Publish, &publish.topic, Some(&publish.payload));
        // The time of each batch's first publication is measured: a clock costs more than a counter.
        let began = batch.is_empty().then(Instant::now);
        let accepted = self.deliver(from, publish, id, batch, trace.as_deref()).await;
        if let Some(began) = began {
            self.metrics.published(began.elapsed());
        }
        // The session's next frame waits for this turn to end, so its events stay in order.
        if batch.is_due() {
            batch.flush();
            yield_now().await;
        }
        match (&trace, &accepted) {
            (Some(trace), Ok(delivered)) => trace::accepted(Some(trace), Some(*delivered), None),
            (Some(trace), Err(refusal)) => trace::refused(trace, refusal),
            (None, _) => {}
        }
        accepted
            .map(|delivered| Accepted { publication: id, delivered })
            .inspect_err(|it| self.refused(RequestKind::Publish, it, from, &publish.topic))
    }

    /// Waits for a turn of those that publish to topics with many patterns: they leave one worker to all
    /// others. `None` for other sessions.
    async fn matching_turn(&self, batch: &mut PendingFlushes) -> Option<SemaphorePermit<'_>> {
        if !batch.is_matching_slow(MAX_FAST_MATCHING) {
            return None;
        }
        // It is never closed.
        flush_before_wait(batch, self.slow_matching.acquire()).await.ok()
    }

    /// ★ Checks a publication, asks its handler, and passes it to the broker. Returns the number of
    /// receivers.
    async fn deliver(
        &self,
        from: &Arc<Session>,
        publish: &Publish,
        id: PublicationId,
        batch: &mut PendingFlushes,
        trace: Option<&MessageTrace>,
    ) -> Result<usize, Refusal> {
        let Publish { topic, options, payload, .. } = publish;
        let generation = self.generations.current();
        let (routed, rule) = self.check_publish(&generation, from, topic)?;
        self.check_cluster()?;
        let wish = Wish::publish(from, topic, options);
        let disclose = self.authorize(&generation, rule, wish, batch).await?;
        self.check_schema(routed.as_ref(), Action::Publish, payload)?;
        let recording = history::recording(routed.as_ref());
        let mut publication = Publication {
            topic,
            id,
            client: Some(from.client),
            disclosed: (disclose || options.disclose_me).then(|| from.publisher()),
            except: options.exclude_me.then_some(from.id),
            filter: options.filter.as_deref(),
            narrowed: None,
            patterns: pattern_audience(&generation, self.at(topic), routed.as_ref()),
            overflow: overflow(routed.as_ref()),
            recording: recording.as_ref(),
            retain: options.retain.then(wall_clock::since_epoch),
            trustlevel: generation.access().trust_level(from),
            source: EventSource::Here,
            payload,
        };
        let counts = routed.as_ref().map_or(generation.counts().unrouted(), |it| it.counts);
        let Some(routed) = routed.filter(|it| it.has(Hook::Publish)) else {
            let delivered = self.pass_on(&publication, batch, trace).await?;
            batch.count(counts, delivered);
            return Ok(delivered);
        };

        if payload.passthru().is_some() {
            return Err(Refusal::no_passthru(&routed.route.name));
        }
        let asked = trace::asked(trace);
        let verdict = self.ask_about_event(&routed, from, payload, batch).await;
        trace::answered(trace, Hook::Publish, asked, &verdict);
        let HookOutcome { answer, effects, passage } = verdict?;

        let (changed, narrowed);
        let delivered = match answer {
            PublishVerdict::Broadcast => Ok(self.pass_on(&publication, batch, trace).await?),
            PublishVerdict::Deliver(delivery) => {
                narrowed = effects::filter(delivery.exclude, delivery.eligible);
                publication.narrowed = Some(&narrowed);
                if let Some(event) = delivery.event {
                    changed = effects::payload(&event)?;
                    publication.payload = &changed;
                }
                Ok(self.pass_on(&publication, batch, trace).await?)
            }
            PublishVerdict::Drop => Ok(0),
            PublishVerdict::Reject(refusal) => Err(refusal.into()),
        };
        if let Ok(delivered) = &delivered {
            batch.count(counts, *delivered);
        }
        self.apply(&generation, effects, passage, batch).await;
        delivered
    }

    fn check_publish<'g, 't>(
        &'t self,
        generation: &'g Generation,
        from: &Session,
        topic: &'t str,
    ) -> Result<(Option<RouteMatch<'g, 't>>, Option<&'g Rule>), Refusal> {
        uris::check(from, topic, MatchPolicy::Exact)?;
        uris::check_reserved(topic)?;
        let at = self.at(topic);
        let routed = route(generation, at)?.map(RouteMatch::for_events);
        let rule = check_allowed(generation, at, routed.as_ref(), Action::Publish, from)?;
        Ok((routed, rule))
    }
}
