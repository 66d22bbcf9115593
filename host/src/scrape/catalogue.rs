//! Catalogue of all metrics: names, kinds, labels and meanings. `docs/metrics.md` has the same table;
//! a test compares the two.

use jackfield_metrics::{Kind, Metric};

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

pub(super) const BUILD_INFO: Metric =
    gauge("jackfield_build_info", &["version"], "Always 1; the label is the server's version.");
pub(super) const GENERATION: Metric =
    gauge("jackfield_generation", &[], "Number of the generation in service; 0 during the start.");
pub(super) const ROUTES: Metric =
    gauge("jackfield_routes", &[], "Routes of the generation in service.");
pub(super) const RELOADS: Metric = counter(
    "jackfield_reloads_total",
    &["outcome"],
    "Reloads of the site: ok, unchanged, partial (a plugin is still loading), failed.",
);
pub(super) const SITE_PROBLEMS: Metric = gauge(
    "jackfield_site_problems",
    &[],
    "Problems of the site that keep the newest files from being served.",
);
pub(super) const READY: Metric =
    gauge("jackfield_ready", &[], "1 while clients are served, as /readyz says; else 0.");
pub(super) const PROBE_FAILURES: Metric = gauge(
    "jackfield_probe_failures",
    &[],
    "Failures in a row of the server's own probe; 0 after a success, or if there is no probe.",
);
pub(super) const CONNECTIONS: Metric =
    gauge("jackfield_connections", &[], "Open connections, WebSockets and HTTP.");
pub(super) const CONNECTION_LIMIT: Metric = gauge(
    "jackfield_connection_limit",
    &[],
    "The value of limits.connections, or less if the limit of open files is too low.",
);
pub(super) const CONNECTIONS_TOTAL: Metric = counter(
    "jackfield_connections_total",
    &["outcome"],
    "Connections by the outcome of their first request: accepted (a WebSocket), http, or the reason of a refusal.",
);
pub(super) const CERTIFICATE_EXPIRY: Metric = gauge(
    "jackfield_certificate_expiry_seconds",
    &["listener", "certificate"],
    "Seconds until a certificate of a listener expires; negative afterwards.",
);
pub(super) const CERTIFICATE_RELOADS: Metric = counter(
    "jackfield_certificate_reloads_total",
    &["listener", "outcome"],
    "Changes of a listener's certificates: ok, or failed (the earlier certificates stay).",
);
pub(super) const CLOSES: Metric =
    counter("jackfield_closes_total", &["reason"], "WebSockets that have ended, by reason.");
pub(super) const SLOW_SUBSCRIBERS: Metric = counter(
    "jackfield_slow_subscribers_total",
    &["action"],
    "Subscribers that did not keep up: disconnect (a connection was closed), drop (an event was dropped), latest (an event was replaced by a newer one).",
);
pub(super) const THROTTLED: Metric = counter(
    "jackfield_throttled_total",
    &["action"],
    "Sessions above limits.message_rate or limits.byte_rate: delay (a pause in reading), close; refusals have the reason rate.",
);
pub(super) const SPANS: Metric = counter(
    "jackfield_spans_total",
    &["result"],
    "Spans for the collector of traces.endpoint: sent, failed (not accepted), dropped (too many waited).",
);
pub(super) const ROUND_TRIP: Metric = histogram(
    "jackfield_round_trip_seconds",
    &[],
    "Time from a ping of the server to the client's pong.",
);
pub(super) const SESSIONS: Metric =
    gauge("jackfield_sessions", &["realm", "protocol"], "Open sessions.");
pub(super) const SUBSCRIPTIONS: Metric =
    gauge("jackfield_subscriptions", &["realm"], "Subscriptions of all sessions.");
pub(super) const SUBSCRIPTION_LIMIT: Metric =
    gauge("jackfield_subscription_limit", &["realm"], "The value of limits.realm_subscriptions.");
pub(super) const TOPICS: Metric =
    gauge("jackfield_topics", &["realm"], "Topics and patterns with subscribers.");
pub(super) const TOPIC_LIMIT: Metric =
    gauge("jackfield_topic_limit", &["realm"], "The value of limits.realm_topics.");
pub(super) const MESSAGES: Metric = counter(
    "jackfield_messages_total",
    &["direction", "kind", "codec"],
    "Messages: received ones by their WAMP kind; sent ones are event, or other (replies, calls, results and control frames), and are counted when they are queued.",
);
pub(super) const BYTES: Metric = counter(
    "jackfield_bytes_total",
    &["direction", "codec"],
    "Bytes of WebSocket frames that were read from sockets (received) and written to sockets (sent).",
);
pub(super) const PUBLICATIONS: Metric = counter(
    "jackfield_publications_total",
    &["route"],
    "Accepted publications of clients and of the HTTP API, by route; (none) is no route, (other) the routes without a series of their own.",
);
pub(super) const DELIVERIES: Metric = counter(
    "jackfield_deliveries_total",
    &["route"],
    "Events queued for subscribers by these publications.",
);
pub(super) const PUBLISH: Metric = histogram(
    "jackfield_publish_seconds",
    &[],
    "Time of a publication, from the request to its queued events, with the handler's hook; measured for the first publication of each batch.",
);
pub(super) const REFUSALS: Metric = counter(
    "jackfield_refusals_total",
    &["kind", "reason"],
    "Refused requests of clients and of the HTTP API.",
);
pub(super) const HTTP_REQUESTS: Metric = counter(
    "jackfield_http_requests_total",
    &["endpoint", "code"],
    "Answered HTTP requests on the WebSocket port, by class of the status code.",
);
pub(super) const HOOK: Metric = histogram(
    "jackfield_hook_seconds",
    &["plugin", "handler", "hook"],
    "Time of a hook's call, without the wait for the lane.",
);
pub(super) const FAULTS: Metric = counter(
    "jackfield_faults_total",
    &["plugin", "handler", "kind"],
    "Calls of a handler that failed, or were refused (on_hold, busy, store_failed).",
);
pub(super) const BREAKER_STATE: Metric = gauge(
    "jackfield_breaker_state",
    &["plugin", "handler"],
    "Circuit breaker of a whole handler: 0 closed, 1 half open, 2 open.",
);
pub(super) const BREAKER_OPENINGS: Metric = counter(
    "jackfield_breaker_openings_total",
    &["plugin", "handler"],
    "Openings of a handler's circuits of any scope since its version was loaded.",
);
pub(super) const LANES: Metric =
    gauge("jackfield_lanes", &["plugin"], "Lanes of a plugin, each with an instance.");
pub(super) const LANE_QUEUE: Metric =
    gauge("jackfield_lane_queue", &["plugin"], "Calls that wait for a lane of a plugin.");
pub(super) const INSTANCE_MEMORY: Metric =
    gauge("jackfield_instance_memory_bytes", &["plugin"], "Memory of a plugin's instances.");
pub(super) const RECYCLED: Metric = counter(
    "jackfield_recycled_instances_total",
    &["plugin"],
    "Instances that were replaced because they had grown, since the version was loaded.",
);
pub(super) const STORE_BYTES: Metric =
    gauge("jackfield_store_bytes", &["plugin"], "Size of what a plugin's store holds.");
pub(super) const STORE_LIMIT: Metric =
    gauge("jackfield_store_limit_bytes", &["plugin"], "Quota of a plugin's store.");
pub(super) const STORE_FAILED: Metric = gauge(
    "jackfield_store_failed",
    &["plugin"],
    "1 while a plugin's store cannot be saved and its handlers are on hold.",
);
pub(super) const STORE_COMMIT: Metric = histogram(
    "jackfield_store_commit_seconds",
    &[],
    "Time of a commit of saved stores, without the sync of synced ones.",
);
pub(super) const OUTGOING: Metric = counter(
    "jackfield_outgoing_total",
    &["plugin", "kind", "outcome"],
    "Effects of plugins that have an answer (http, call, later): accepted, refused, dropped (no hook got the answer).",
);
pub(super) const OUTGOING_IN_FLIGHT: Metric = gauge(
    "jackfield_outgoing_in_flight",
    &["plugin", "kind"],
    "Effects of plugins that wait for their answer.",
);
pub(super) const MEMORY: Metric = gauge(
    "jackfield_memory_bytes",
    &["part"],
    "Memory with a total limit: instances of plugins, outboxes of blocked clients, messages waiting for handlers, incomplete messages, recent events of topics.",
);
pub(super) const MEMORY_LIMIT: Metric =
    gauge("jackfield_memory_limit_bytes", &["part"], "The limit of each part.");
pub(super) const HISTORY_TOPICS: Metric = gauge(
    "jackfield_history_topics",
    &[],
    "Topics with a history, and topics whose position is still known.",
);
pub(super) const HISTORY_EVICTIONS: Metric = counter(
    "jackfield_history_evictions_total",
    &[],
    "Topics that have lost their recent events or their position because history.memory was used up.",
);
pub(super) const HISTORY_REPLAYED: Metric = counter(
    "jackfield_history_replayed_events_total",
    &[],
    "Events that were sent again, to clients that returned and to new subscribers.",
);
pub(super) const HISTORY_RECOVERIES: Metric = counter(
    "jackfield_history_recoveries_total",
    &["outcome"],
    "Subscriptions of clients that returned with a position: recovered (they got all that they had missed), not_recovered (they were told that events may be missing).",
);
pub(super) const HISTORY_FAILED: Metric = gauge(
    "jackfield_history_failed",
    &[],
    "1 while durable histories cannot be saved, and publications to their topics are refused.",
);
pub(super) const CLUSTER_PIPE: Metric = gauge(
    "jackfield_cluster_pipe",
    &[],
    "1 while messages of this node pass through NATS; else 0. Only in a cluster.",
);
pub(super) const CLUSTER_PEERS: Metric =
    gauge("jackfield_cluster_peers", &[], "Other nodes that this node exchanges events with.");
pub(super) const CLUSTER_HOMES: Metric =
    gauge("jackfield_cluster_homes", &[], "Plugins whose hooks this node runs for all nodes.");
pub(super) const CLUSTER_LEASES: Metric = gauge(
    "jackfield_cluster_leases",
    &[],
    "Plugins whose home this node is by a lease of JetStream.",
);
pub(super) const CLUSTER_LAG: Metric = gauge(
    "jackfield_cluster_lag",
    &[],
    "Messages for another node that it has not received yet, of the node with most.",
);
pub(super) const CLUSTER_OUTBOX: Metric =
    gauge("jackfield_cluster_outbox_bytes", &[], "Events that wait to be sent to other nodes.");
pub(super) const CLUSTER_EVENTS: Metric =
    counter("jackfield_cluster_events_total", &[], "Events of other nodes.");
pub(super) const CLUSTER_REFUSED: Metric = counter(
    "jackfield_cluster_events_refused_total",
    &[],
    "Events of other nodes that were not delivered here: too large for a receiver, or a value that it cannot get.",
);
pub(super) const CLUSTER_LOST: Metric = counter(
    "jackfield_cluster_lost_total",
    &[],
    "Messages of other nodes that did not arrive, as far as they could be counted.",
);
pub(super) const CLUSTER_DIFFERENT: Metric = gauge(
    "jackfield_cluster_different_peers",
    &["kind"],
    "Other nodes that differ from this one: version (of Jackfield), site (routes or plugins), incompatible (the nodes exchange nothing).",
);
pub(super) const CLUSTER_INCIDENTS: Metric = counter(
    "jackfield_cluster_incidents_total",
    &["kind"],
    "Incidents: doubt (events may be missing, histories have ended), late (a node did not acknowledge a subscription or procedure in time), dead (a node was given up), incomplete (a node has more topics than this one can keep), silent (NATS was connected, and no message passed), home_moved (another node runs the hooks of a plugin), lease_lost (this node has lost the home of a plugin), store_given_up (a commit of a store was not saved in JetStream or here), foreign (a new home has skipped a message of another program in the log of a store).",
);
pub(super) const OUTBOX: Metric = histogram(
    "jackfield_outbox_bytes",
    &[],
    "Open connections by the bytes that wait in their outbox at the scrape; read it without rate().",
);
pub(super) const LEFT_OUT: Metric = gauge(
    "jackfield_series_left_out",
    &["of"],
    "Plugins and handlers without series because there are too many, and routes that share the series (other).",
);
pub(super) const CPU: Metric =
    counter("process_cpu_seconds_total", &[], "CPU time of the process.");
pub(super) const RESIDENT: Metric =
    gauge("process_resident_memory_bytes", &[], "Resident memory of the process.");
pub(super) const OPEN_FILES: Metric = gauge("process_open_fds", &[], "Open files of the process.");
pub(super) const MAX_FILES: Metric =
    gauge("process_max_fds", &[], "Limit of open files of the process.");
pub(super) const START_TIME: Metric =
    gauge("process_start_time_seconds", &[], "Start of the process, in seconds since 1970.");
