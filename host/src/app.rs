//! The composition root: every part of a running server, built on one page.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use jackfield_broker::{Realm, RealmLimits};
use jackfield_sandbox::{Audience, Compiling, InstanceMemory, Sandbox};
use jackfield_wamp::id::SessionId;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::admission::Admission;
use crate::api::Api;
use crate::config::{Config, ConfigError, Limits};
use crate::dispatch::Dispatch;
use crate::frame::framing;
use crate::generation::CurrentGeneration;
use crate::generation::Generation;
use crate::http::Demo;
use crate::log::list;
use crate::reload::{ReloadState, Reloader};
use crate::shutdown::Signals;
use crate::site::Site;
use crate::transport::ConnectionTotals;
use crate::{listener, open_files, shutdown};

/// A running server.
pub(crate) struct App {
    pub(crate) config: Config,
    /// Publishing over HTTP, where somebody may.
    pub(crate) api: Option<Api>,
    /// Whether the demo's page is served.
    pub(crate) demo: Demo,
    /// By name; what the sandbox calls a realm is its place in the configuration.
    realms: HashMap<String, Arc<Dispatch>>,
    default_realm: Arc<Dispatch>,
    pub(crate) gate: Admission,
    reloader: Arc<Reloader>,
    /// What the instances of all plugins hold together.
    pub(crate) instance_memory: InstanceMemory,
    /// What all connections hold together.
    pub(crate) totals: Arc<ConnectionTotals>,
    stopping: watch::Sender<bool>,
}

/// Why a server does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The site has mistakes; each is complete with its place.
    #[error("the site is not served before its problems are mended")]
    Site(Vec<String>),
    /// The sandbox cannot be made.
    #[error("failed to {0}")]
    Sandbox(#[from] jackfield_sandbox::SandboxError),
    /// The address cannot be listened on.
    #[error("failed to listen on {0}: {1}{hint}", hint = listening_hint(.1))]
    Listen(SocketAddr, std::io::Error),
    /// The configuration names no realm.
    #[error("the configuration names no realm")]
    NoRealm,
    /// A secret is not where the configuration says.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Clients could not prove who they are.
    #[error("failed to set `auth` up: {0}")]
    Auth(#[from] jackfield_auth::SetupError),
    /// The operating system refused something that a server needs.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What to do where an address cannot be listened on.
fn listening_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "\n  = help: something is listening there already: is the server that Jackfield replaces, \
             or another Jackfield, still running?"
        }
        ErrorKind::AddrNotAvailable => {
            "\n  = help: this machine has no such address; 0.0.0.0 and [::] are all that it has"
        }
        ErrorKind::PermissionDenied => {
            "\n  = help: ports below 1024 are for root alone: take another, and a proxy before it"
        }
        _ => "",
    }
}

/// Serves a site until the process is asked to end. The port is open before the first generation is
/// ready, and answers that the server is starting; `announce` is told the address once clients can
/// connect.
///
/// # Errors
/// [`ServeError`]: the site has mistakes, or the address is taken.
pub async fn serve(
    site: Site,
    config: Config,
    demo: Demo,
    signals: Signals,
    announce: &mut (dyn Write + Send),
) -> Result<(), ServeError> {
    let Signals { mut hangup, stop } = signals;
    let api = Api::new(&config)?;
    let gate = Admission::open(config.access.clone(), &config.auth)?;
    let audience = Arc::new(Subscribers::default());
    let sandbox = Sandbox::new(config.sandbox_settings())?;
    let instance_memory = sandbox.memory();
    let services = Arc::clone(&audience) as Arc<dyn Audience>;
    let reloader = Arc::new(Reloader::new(site, config.clone(), sandbox, services));

    let realms: Vec<Arc<Realm>> = config.realms.iter().map(|name| realm(name, &config)).collect();
    // Nobody is connected yet, so nothing has been asked of the audience.
    let _first = audience.0.set(realms.clone());
    let dispatch = |(token, realm): (u64, &Arc<Realm>)| {
        let token = jackfield_sandbox::RealmId(token);
        let generations = reloader.generations();
        let allow = config.allow.clone();
        Arc::new(Dispatch::new(Arc::clone(realm), token, generations, config.unrouted, allow))
    };
    let dispatches: Vec<_> = (0..).zip(&realms).map(dispatch).collect();
    let by_name = |it: &Arc<Dispatch>| (it.realm().name().to_owned(), Arc::clone(it));
    let app = Arc::new(App {
        realms: dispatches.iter().map(by_name).collect(),
        default_realm: dispatches.first().map(Arc::clone).ok_or(ServeError::NoRealm)?,
        gate,
        reloader: Arc::clone(&reloader),
        instance_memory,
        totals: ConnectionTotals::new(&config.limits),
        stopping: watch::Sender::new(false),
        api,
        demo,
        config,
    });

    let limit = open_files::connections(app.config.limits.connections, open_files::raise_limit());
    let listen = app.config.listen;
    let failed = |error| ServeError::Listen(listen, error);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr()?;
    let accepting = tokio::spawn(listener::accept(Arc::clone(&app), listener, limit));
    info!(%address, "starting");
    let started = stop.or(reloader.start()).await;
    let Some(Ok(())) = started else {
        shutdown::drain(&app, accepting, app.config.shutdown_grace).await;
        return started.unwrap_or(Ok(())).map_err(ServeError::Site);
    };
    let watching = tokio::spawn({
        let (app, reloader) = (Arc::clone(&app), Arc::clone(&reloader));
        async move { reloader.run(|old, new| app.reloaded(&old, &new)).await }
    });
    // They end with this function.
    let mut beside: JoinSet<()> =
        dispatches.iter().map(|dispatch| Arc::clone(dispatch).run_timers()).collect();
    beside.spawn({
        let app = Arc::clone(&app);
        async move { app.gate.follow().await }
    });
    beside.spawn(async move {
        // The stream of a signal ends only with the runtime.
        while hangup.recv().await.is_some() {
            reloader.trigger();
        }
    });
    info!(%address, realms = ?list(&app.config.realms), "serving");
    if let Some(api) = &app.api {
        info!(tokens = ?list(api.names()), "the HTTP API is on: POST /api/publish, /api/call");
    } else {
        info!("the HTTP API is off: the configuration names no token under `api`");
    }
    if app.demo == Demo::On {
        info!("the demo is at http://{address}/demo/");
    }
    let announced = writeln!(announce, "listening on ws://{address}/");
    if let Err(error) = announced.and_then(|()| announce.flush()) {
        warn!("failed to announce the address on stdout: {error}");
    }

    stop.requested().await;
    watching.abort();
    shutdown::drain(&app, accepting, app.config.shutdown_grace).await;
    Ok(())
}

impl App {
    /// The realm of that name.
    pub(crate) fn realm(&self, name: &str) -> Option<Arc<Dispatch>> {
        self.realms.get(name).map(Arc::clone)
    }

    /// The realm of clients that cannot name one: those of WAMP v1.
    pub(crate) fn default_realm(&self) -> Arc<Dispatch> {
        Arc::clone(&self.default_realm)
    }

    /// Has every connection end, those that have no session yet among them.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
        let realms = self.realms.values().map(|dispatch| dispatch.realm());
        for session in realms.flat_map(jackfield_broker::Realm::sessions) {
            session.close(shutdown::closing());
        }
    }

    /// Whether there is no generation yet that could serve.
    pub(crate) fn is_starting(&self) -> bool {
        self.reloader.state().generation == 0
    }

    /// Whether the server is to end.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the server is to end.
    pub(crate) async fn stopping(&self) {
        // The sender is `self`, so it cannot be gone.
        let _stopping = self.stopping.subscribe().wait_for(|&stopping| stopping).await.is_ok();
    }

    /// How many sessions there are, in all realms.
    pub(crate) fn session_count(&self) -> usize {
        self.realms.values().map(|dispatch| dispatch.realm().session_count()).sum()
    }

    /// Brings every realm in line with a new generation.
    fn reloaded(&self, old: &Arc<Generation>, new: &Generation) {
        for dispatch in self.realms.values() {
            dispatch.reloaded(Arc::clone(old), new);
        }
    }

    /// What is being compiled now, the longest first.
    pub(crate) fn compiling(&self) -> Vec<Compiling> {
        self.reloader.compiling()
    }

    /// The generation that is served.
    pub(crate) fn generations(&self) -> Arc<CurrentGeneration> {
        self.reloader.generations()
    }

    /// The result of the last reload.
    pub(crate) fn reload_state(&self) -> Arc<ReloadState> {
        self.reloader.state()
    }
}

fn realm(name: &str, config: &Config) -> Arc<Realm> {
    let Limits {
        subscriptions, patterns, realm_subscriptions, client_percent, event_bytes, ..
    } = config.limits;
    let limits = RealmLimits { subscriptions, patterns, realm_subscriptions, client_percent };
    Arc::new(Realm::new(name.to_owned(), framing(event_bytes), limits))
}

/// What hooks may ask while they run. Plugins are loaded before the realms they will ask about
/// have anybody in them, hence the late filling.
#[derive(Default)]
struct Subscribers(OnceLock<Vec<Arc<Realm>>>);

impl Subscribers {
    fn realm(&self, token: jackfield_sandbox::RealmId) -> Option<&Arc<Realm>> {
        self.0.get()?.get(usize::try_from(token.0).ok()?)
    }
}

impl Audience for Subscribers {
    fn subscribers(&self, realm: jackfield_sandbox::RealmId, topic: &str) -> Vec<u64> {
        let subscribers = self.realm(realm).map(|realm| realm.subscribers(topic));
        subscribers.unwrap_or_default().into_iter().map(SessionId::get).collect()
    }

    fn count(&self, realm: jackfield_sandbox::RealmId, topic: &str) -> u32 {
        let count = self.realm(realm).map_or(0, |realm| realm.count(topic));
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}
