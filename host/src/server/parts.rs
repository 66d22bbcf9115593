//! Parts of a server, each built from those before it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jackfield_config::{Config, Limits, Opened, Traces as TraceSettings};
use jackfield_otlp::{Collector, SpanExport};
use tracing::info;
use zeroize::Zeroizing;

use super::ServeError;
use super::histories::Histories;
use super::plugins::{OpenedPlugins, open_plugins};
use crate::admission::{Admission, Files};
use crate::api::Api;
use crate::audience::Subscribers;
use crate::cluster::ClusterNode;
use crate::connection::{Context, LiveSettings, NewConnections};
use crate::connection_limit::ConnectionLimit;
use crate::data_folder::DataFolder;
use crate::ended::EndedSessions;
use crate::fetch::HttpClient;
use crate::http::{Demo, Health, Http, LiveHttp, MetricsPage};
use crate::listener_tls::ListenerTls;
use crate::log::PluginLog;
use crate::metrics::{ConnectionMetrics, HttpMetrics};
use crate::open_files;
use crate::rates::Rates;
use crate::readiness::Probe;
use crate::realms::Realms;
use crate::rollout::Rollout;
use crate::scrape::Scrape;
use crate::server_state::ServerState;
use crate::settings::SettingsReloader;
use crate::shadow::Shadows;
use crate::shutdown::Shutdown;
use crate::site::Site;
use crate::trace::Traces;
use crate::transport::ConnectionTotals;

/// The input of the parts, beside the settings.
pub(super) struct Inputs<'a> {
    pub(super) site: Site,
    pub(super) opened: Opened,
    pub(super) files: Files,
    pub(super) plugin_log: PluginLog,
    pub(super) demo: Demo,
    pub(super) data: Option<&'a DataFolder>,
    /// TLS of all listeners.
    pub(super) tls: Vec<Arc<ListenerTls>>,
}

/// The parts of a server that tasks and listeners reach.
pub(super) struct Parts {
    pub(super) admission: Arc<Admission>,
    /// Sends the requests of plugins.
    pub(super) client: Arc<HttpClient>,
    pub(super) shadows: Arc<Shadows>,
    pub(super) state: Arc<ServerState>,
    pub(super) limit: ConnectionLimit,
    pub(super) scrape: Arc<Scrape>,
    /// The list of what a connection may reach.
    pub(super) context: Arc<Context>,
    /// The names of the tokens of the HTTP API, if it is on.
    pub(super) api_tokens: Option<Vec<String>>,
}

/// The counters that connections and HTTP requests count in.
#[derive(Default)]
struct Counters {
    connections: Arc<ConnectionMetrics>,
    http: Arc<HttpMetrics>,
}

impl Parts {
    /// Builds the parts. Nothing runs yet.
    ///
    /// # Errors
    /// When a part cannot be opened.
    pub(super) async fn build(config: &Config, inputs: Inputs<'_>) -> Result<Self, ServeError> {
        let Inputs { site, opened, files, plugin_log, demo, data, tls } = inputs;
        let Opened { auth, tokens, metrics_token, trace_headers, .. } = opened;
        let admission = Arc::new(Admission::new(config.access.clone(), auth, files));
        let audience = Arc::new(Subscribers::default());
        let client = Arc::new(HttpClient::new());
        let cluster = ClusterNode::new(&config.cluster)?;
        let plugins =
            open_plugins(site, config, &client, data, &audience, cluster.as_ref()).await?;
        let shadows = Arc::new(Shadows::new(Arc::clone(&plugins.reloader)));
        let histories = Histories::open(config, data).await?;
        let state = state(config, plugins, &audience, &shadows, (plugin_log, cluster), histories)?;
        export_spans(&config.traces, trace_headers, &state.traces)?;
        let (realms, totals) = (Arc::clone(&state.realms), Arc::clone(&state.totals));
        let api = Api::new(tokens, config, realms, totals, Arc::clone(&state.shutdown))?;
        let api_tokens = api.as_ref().map(Api::names);
        let limit = connection_limit(&config.limits);
        let counters = Counters::default();
        let (connections, http) = (Arc::clone(&counters.connections), Arc::clone(&counters.http));
        let scrape = Scrape::new(Arc::clone(&state), limit.clone(), connections, http, tls);
        let live = LiveHttp {
            api,
            metrics_page: metrics_page(config, &scrape, metrics_token.as_deref()),
            idle_timeout: config.api.idle_timeout,
            max_head_bytes: config.limits.handshake_bytes,
        };
        let http = Arc::new(Http {
            admission: Arc::clone(&admission),
            demo,
            health: Health(Arc::clone(&state)),
            metrics: counters.http,
            shutdown: Arc::clone(&state.shutdown),
            live: ArcSwap::from_pointee(live),
        });
        let context = context(config, &state, &admission, http, counters.connections);
        Ok(Self { admission, client, shadows, state, limit, scrape, context, api_tokens })
    }
}

/// The parts that have a state.
fn state(
    config: &Config,
    plugins: OpenedPlugins,
    audience: &Subscribers,
    shadows: &Arc<Shadows>,
    (plugin_log, cluster): (PluginLog, Option<Arc<ClusterNode>>),
    histories: Histories,
) -> Result<Arc<ServerState>, ServeError> {
    let OpenedPlugins { reloader, instance_memory, observers, stores } = plugins;
    let totals = ConnectionTotals::new(&config.limits);
    let traces = Arc::default();
    let generations = reloader.generations();
    let Histories { log, saved } = histories;
    let (node, log) = (cluster.as_ref(), log.as_ref());
    let realms = Realms::of(config, &generations, audience, &traces, node, log);
    let realms = Arc::new(realms.ok_or(ServeError::NoRealm)?);
    for (realm, topics) in saved {
        if let Some(dispatch) = realms.get(&realm) {
            dispatch.realm().restore_durable_histories(topics);
        }
    }
    let history_log = log.cloned();
    Ok(Arc::new(ServerState {
        settings: SettingsReloader::new(),
        rollout: Rollout::new(Arc::clone(&reloader), Arc::clone(shadows)),
        reloader,
        realms,
        history_log,
        instance_memory,
        observers,
        stores,
        rates: Rates::new(Arc::clone(&totals)),
        totals,
        ended: Arc::new(EndedSessions::default()),
        traces,
        plugin_log,
        shutdown: Arc::new(Shutdown::new(config.shutdown)),
        probe: config.health.probe.map(Probe::new).transpose()?.map(Arc::new),
        cluster,
    }))
}

/// Opens the export of spans, if a collector is configured.
fn export_spans(
    settings: &TraceSettings,
    headers: Vec<(String, Zeroizing<String>)>,
    traces: &Traces,
) -> Result<(), ServeError> {
    let Some(endpoint) = settings.endpoint.clone() else { return Ok(()) };
    let headers = headers.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    let (service, version) = (settings.service.clone(), env!("CARGO_PKG_VERSION"));
    info!(name: "traces.on", endpoint, sample = settings.sample, "spans of messages go to {endpoint}");
    let export = SpanExport::open(Collector { endpoint, headers, service, version })?;
    traces.export(export, settings.sample);
    Ok(())
}

/// The list of what a connection may reach.
fn context(
    config: &Config,
    state: &ServerState,
    admission: &Arc<Admission>,
    http: Arc<Http>,
    metrics: Arc<ConnectionMetrics>,
) -> Arc<Context> {
    let mut context = Context {
        admission: Arc::clone(admission),
        http,
        realms: Arc::clone(&state.realms),
        generations: state.reloader.generations(),
        totals: Arc::clone(&state.totals),
        metrics,
        ended: Arc::clone(&state.ended),
        shutdown: Arc::clone(&state.shutdown),
        new_connections: NewConnections::new(&config.limits),
        settings: Arc::new(LiveSettings::new(config)),
        probe: None,
    };
    if let Some(probe) = &state.probe {
        context.admit_probe(Arc::clone(probe));
    }
    Arc::new(context)
}

/// The connection limit: the configured one, or less where the process may open too few files.
fn connection_limit(limits: &Limits) -> ConnectionLimit {
    ConnectionLimit::new(max_connections(limits), limits.address_connections)
}

/// The configured number of connections, or less where the process may open too few files.
pub(super) fn max_connections(limits: &Limits) -> usize {
    open_files::connections(limits.connections, open_files::raise_limit())
}

/// The page of metrics on the port, if the settings ask for it.
pub(super) fn metrics_page(
    config: &Config,
    scrape: &Arc<Scrape>,
    token: Option<&String>,
) -> Option<MetricsPage> {
    config.metrics.enabled.then(|| MetricsPage::new(Arc::clone(scrape), token))
}
