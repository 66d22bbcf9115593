//! Scrape: the page of all metrics in the Prometheus text format, for `GET /metrics`.
//!
//! Counters come from the parts that count ([`crate::metrics`]); all other numbers are read from the
//! state of the server when they are asked for. A topic, a session or a user is never a label, and
//! each label has a bounded number of values. See decision 44.

mod catalogue;
mod cluster;
mod plugins;
mod process;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jackfield_metrics::{Durations, Page};
use jackfield_otlp::SpanCounts;
use jackfield_wamp::dialect::Dialect;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::connection_end::ConnectionEnd;
use crate::connection_limit::ConnectionLimit;
use crate::listener_tls::ListenerTls;
use crate::metrics::{CodecLabel, ConnectionMetrics, HttpMetrics};
use crate::server_state::ServerState;

/// The sources of a scrape.
pub(crate) struct Scrape {
    state: Arc<ServerState>,
    connections: ConnectionLimit,
    connection_metrics: Arc<ConnectionMetrics>,
    http_metrics: Arc<HttpMetrics>,
    /// TLS of all listeners.
    tls: Vec<Arc<ListenerTls>>,
    started: SystemTime,
    /// One scrape at a time: a page can have a megabyte.
    turn: Semaphore,
}

/// The type of the page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Scrape {
    pub(crate) fn new(
        state: Arc<ServerState>,
        connections: ConnectionLimit,
        connection_metrics: Arc<ConnectionMetrics>,
        http_metrics: Arc<HttpMetrics>,
        tls: Vec<Arc<ListenerTls>>,
    ) -> Arc<Self> {
        let (started, turn) = (SystemTime::now(), Semaphore::new(1));
        Arc::new(Self { state, connections, connection_metrics, http_metrics, tls, started, turn })
    }

    /// Writes the page, on a thread of its own: it looks at each connection.
    ///
    /// # Errors
    /// The writing has ended early, by a fault of the server.
    pub(crate) async fn page(self: Arc<Self>) -> Result<String, JoinError> {
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        let scrape = Arc::clone(&self);
        tokio::task::spawn_blocking(move || scrape.write()).await
    }

    fn write(&self) -> String {
        let mut page = Page::default();
        page.begin(&catalogue::BUILD_INFO);
        page.sample(&catalogue::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
        self.write_site(&mut page);
        self.write_connections(&mut page);
        self.write_certificates(&mut page);
        self.write_traffic(&mut page);
        self.write_realms(&mut page);
        self.write_requests(&mut page);
        let left_out = plugins::write(&mut page, &self.state.reloader);
        self.write_memory(&mut page);
        cluster::write(&mut page, self.state.cluster.as_deref());
        page.begin(&catalogue::SPANS);
        let SpanCounts { sent, failed, dropped } = self.state.traces.span_counts();
        for (result, count) in [("sent", sent), ("failed", failed), ("dropped", dropped)] {
            page.sample(&catalogue::SPANS, &[result], count);
        }
        page.begin(&catalogue::LEFT_OUT);
        for (of, count) in left_out {
            page.sample(&catalogue::LEFT_OUT, &[of], count);
        }
        process::write(&mut page);
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        page.single(&catalogue::START_TIME, started.as_secs_f64());
        page.into_text()
    }

    fn write_site(&self, page: &mut Page) {
        let reloader = &self.state.reloader;
        let generations = reloader.generations();
        let generation = generations.current();
        page.single(&catalogue::GENERATION, generation.number());
        page.single(&catalogue::ROUTES, generation.routes().routes().len());
        page.begin(&catalogue::RELOADS);
        for (result, count) in reloader.counts() {
            page.sample(&catalogue::RELOADS, &[result.label()], count);
        }
        page.single(&catalogue::SITE_PROBLEMS, reloader.state().problems.len());
        page.single(&catalogue::READY, u8::from(self.state.is_ready()));
        // Without a probe, 0 would say that it is well.
        page.begin(&catalogue::PROBE_FAILURES);
        if let Some(probe) = self.state.probe_status() {
            page.sample(&catalogue::PROBE_FAILURES, &[], probe.failures);
        }
        page.begin(&catalogue::PUBLICATIONS);
        for (route, counts) in generation.counts().named() {
            page.sample(&catalogue::PUBLICATIONS, &[route], counts.publications());
        }
        page.begin(&catalogue::DELIVERIES);
        for (route, counts) in generation.counts().named() {
            page.sample(&catalogue::DELIVERIES, &[route], counts.deliveries());
        }
    }

    fn write_connections(&self, page: &mut Page) {
        let metrics = &self.connection_metrics;
        page.single(&catalogue::CONNECTIONS, self.connections.used());
        page.single(&catalogue::CONNECTION_LIMIT, self.connections.limit());
        page.begin(&catalogue::CONNECTIONS_TOTAL);
        for (outcome, count) in metrics.outcomes() {
            page.sample(&catalogue::CONNECTIONS_TOTAL, &[outcome.label()], count);
        }
        page.begin(&catalogue::CLOSES);
        for (end, count) in metrics.closes() {
            page.sample(&catalogue::CLOSES, &[end.label()], count);
        }
        page.begin(&catalogue::THROTTLED);
        for (action, count) in metrics.throttles() {
            page.sample(&catalogue::THROTTLED, &[action.label()], count);
        }
        page.begin(&catalogue::ROUND_TRIP);
        page.durations(&catalogue::ROUND_TRIP, &[], &metrics.round_trips());
        page.begin(&catalogue::HTTP_REQUESTS);
        for (endpoint, class, count) in self.http_metrics.requests() {
            let labels = [endpoint.label(), class.label()];
            page.sample(&catalogue::HTTP_REQUESTS, &labels, count);
        }
    }

    fn write_certificates(&self, page: &mut Page) {
        page.begin(&catalogue::CERTIFICATE_EXPIRY);
        for tls in &self.tls {
            for (file, certificate) in tls.certificates() {
                let labels = [tls.listener(), &file.display().to_string()];
                page.sample(&catalogue::CERTIFICATE_EXPIRY, &labels, certificate.seconds_left());
            }
        }
        page.begin(&catalogue::CERTIFICATE_RELOADS);
        for tls in &self.tls {
            for (outcome, count) in ["ok", "failed"].into_iter().zip(tls.reloads()) {
                page.sample(&catalogue::CERTIFICATE_RELOADS, &[tls.listener(), outcome], count);
            }
        }
    }

    fn write_traffic(&self, page: &mut Page) {
        let (traffic, outboxes) = self.state.totals.traffic();
        let by_dialect =
            || Dialect::ALL.into_iter().map(|it| CodecLabel::of(it).label()).zip(&traffic);
        page.begin(&catalogue::MESSAGES);
        for (kind, codec, count) in self.connection_metrics.received_messages() {
            let labels = ["received", kind.label(), codec.label()];
            page.sample(&catalogue::MESSAGES, &labels, count);
        }
        for (codec, traffic) in by_dialect() {
            page.sample(&catalogue::MESSAGES, &["sent", "event", codec], traffic.events);
            page.sample(&catalogue::MESSAGES, &["sent", "other", codec], traffic.others);
        }
        page.begin(&catalogue::BYTES);
        for (codec, traffic) in by_dialect() {
            page.sample(&catalogue::BYTES, &["received", codec], traffic.read);
            page.sample(&catalogue::BYTES, &["sent", codec], traffic.written);
        }
        let closed = self.connection_metrics.closes();
        let closed = closed.filter(|(end, _)| *end == ConnectionEnd::SlowSubscriber);
        let closed: u64 = closed.map(|(_, count)| count).sum();
        page.begin(&catalogue::SLOW_SUBSCRIBERS);
        page.sample(&catalogue::SLOW_SUBSCRIBERS, &["disconnect"], closed);
        let dropped: u64 = traffic.iter().map(|it| it.dropped).sum();
        page.sample(&catalogue::SLOW_SUBSCRIBERS, &["drop"], dropped);
        let replaced: u64 = traffic.iter().map(|it| it.replaced).sum();
        page.sample(&catalogue::SLOW_SUBSCRIBERS, &["latest"], replaced);
        page.begin(&catalogue::OUTBOX);
        let (sizes, count) = (outboxes.cumulative(), outboxes.count());
        page.buckets(&catalogue::OUTBOX, &[], sizes, outboxes.bytes, count);
    }

    fn write_realms(&self, page: &mut Page) {
        let realms = || self.state.realms.iter().map(|dispatch| dispatch.realm());
        page.begin(&catalogue::SESSIONS);
        for realm in realms() {
            for (dialect, count) in Dialect::ALL.into_iter().zip(realm.session_counts()) {
                let labels = [realm.name(), dialect.subprotocol()];
                page.sample(&catalogue::SESSIONS, &labels, count);
            }
        }
        page.begin(&catalogue::SUBSCRIPTIONS);
        for realm in realms() {
            page.sample(&catalogue::SUBSCRIPTIONS, &[realm.name()], realm.subscription_count());
        }
        page.begin(&catalogue::SUBSCRIPTION_LIMIT);
        for realm in realms() {
            let limit = realm.limits().realm_subscriptions;
            page.sample(&catalogue::SUBSCRIPTION_LIMIT, &[realm.name()], limit);
        }
        page.begin(&catalogue::TOPICS);
        for realm in realms() {
            page.sample(&catalogue::TOPICS, &[realm.name()], realm.topic_count());
        }
        page.begin(&catalogue::TOPIC_LIMIT);
        for realm in realms() {
            page.sample(&catalogue::TOPIC_LIMIT, &[realm.name()], realm.limits().topics);
        }
    }

    fn write_requests(&self, page: &mut Page) {
        let metrics = || self.state.realms.iter().map(|dispatch| dispatch.metrics());
        let mut times = Durations::default();
        metrics().for_each(|it| times.add(&it.publish_times()));
        page.begin(&catalogue::PUBLISH);
        page.durations(&catalogue::PUBLISH, &[], &times);
        page.begin(&catalogue::REFUSALS);
        let mut sums: Vec<(&str, &str, u64)> = Vec::new();
        for metrics in metrics() {
            for (number, (kind, reason, count)) in metrics.refusals().enumerate() {
                match sums.get_mut(number) {
                    Some((.., sum)) => *sum += count,
                    None => sums.push((kind.label(), reason.label(), count)),
                }
            }
        }
        for (kind, reason, count) in sums {
            page.sample(&catalogue::REFUSALS, &[kind, reason], count);
        }
    }

    fn write_memory(&self, page: &mut Page) {
        let ServerState { instance_memory, totals, realms, .. } = &*self.state;
        let history = realms.history_numbers();
        let parts = [
            ("instances", instance_memory.used(), instance_memory.limit()),
            ("outboxes", totals.outboxes.bytes(), totals.outboxes.limit()),
            ("waiting", totals.backlog.bytes(), totals.backlog.limit()),
            ("incomplete", totals.arriving.bytes(), totals.arriving.limit()),
            ("history", history.bytes, history.limit),
        ];
        page.begin(&catalogue::MEMORY);
        for (part, bytes, _) in parts {
            page.sample(&catalogue::MEMORY, &[part], bytes);
        }
        page.begin(&catalogue::MEMORY_LIMIT);
        for (part, _, limit) in parts {
            page.sample(&catalogue::MEMORY_LIMIT, &[part], limit);
        }
        page.begin(&catalogue::HISTORY_TOPICS);
        page.sample(&catalogue::HISTORY_TOPICS, &[], history.topics);
        page.begin(&catalogue::HISTORY_EVICTIONS);
        page.sample(&catalogue::HISTORY_EVICTIONS, &[], history.evictions);
        page.begin(&catalogue::HISTORY_REPLAYED);
        page.sample(&catalogue::HISTORY_REPLAYED, &[], history.replayed);
        page.begin(&catalogue::HISTORY_RECOVERIES);
        let outcomes = [("recovered", history.recovered), ("not_recovered", history.not_recovered)];
        for (outcome, count) in outcomes {
            page.sample(&catalogue::HISTORY_RECOVERIES, &[outcome], count);
        }
        if let Some(log) = &self.state.history_log {
            page.begin(&catalogue::HISTORY_FAILED);
            page.sample(&catalogue::HISTORY_FAILED, &[], usize::from(log.is_failing()));
        }
    }
}
