//! Composition root: builds the [`parts`] of a server, opens its listeners, runs its [`background`]
//! tasks, and drains it ([`mod@drain`]).
//!
//! Each part gets the parts that it may reach, and no more: [`crate::connection::Context`] is the list
//! of a connection, [`crate::http::Http`] that of an HTTP request. Only the command `serve` imports this
//! file.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield_config::{Config, Opened};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::admission::Files;
use crate::client_listener::ClientListener;
use crate::control::{self, AdminInfo, ListenError, Listeners};
use crate::data_folder::{self, DataFolder, DataFolderError};
use crate::history_log::OpenLogError;
use crate::http::Demo;
use crate::inherited_sockets::{InheritedError, InheritedSockets};
use crate::listener_tls::ListenerTls;
use crate::log::{PluginLog, list};
use crate::plugin_stores::OpenStoresError;
use crate::saved_histories;
use crate::service_manager::ServiceManager;
use crate::settings::SettingsOrigin;
use crate::signals::Signals;
use crate::signatures::NumbersError;
use crate::site::Site;
use crate::versions::FolderError;

mod background;
mod cluster;
mod drain;
mod histories;
mod listener;
mod listening;
mod live;
mod parts;
mod plugins;
mod supervision;

use background::{BackgroundTasks, SETTINGS};
use drain::drain;
use listening::OpenListener;
use live::LiveParts;
use parts::{Inputs, Parts};

/// The input of a server: its settings, and the parts that they refer to.
pub(crate) struct Startup {
    pub(crate) config: Config,
    /// The file of the configuration, if there is one.
    pub(crate) config_file: Option<PathBuf>,
    /// The opened parts of the settings: users, keys, tokens.
    pub(crate) opened: Opened,
    /// The state of the files of users and keys before they were opened.
    pub(crate) files: Files,
    /// The origin of the settings, for their changes.
    pub(crate) settings: SettingsOrigin,
    /// The listening sockets that the service manager has passed.
    pub(crate) sockets: InheritedSockets,
    /// The last log lines of plugins.
    pub(crate) plugin_log: PluginLog,
}

impl Startup {
    /// Serves plugins without signatures, whatever the settings say.
    pub(crate) fn ignore_signatures(&mut self) {
        self.config.plugins.verify.clear();
        self.config.plugins.refuse_downgrades = false;
    }
}

/// The reason why a server does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The site has problems; each text is complete with its place.
    #[error("the site is not served; fix the problems above")]
    Site(Vec<String>),
    /// The sandbox cannot be made.
    #[error("failed to {0}")]
    Sandbox(#[from] jackfield_sandbox::SandboxError),
    /// Listening on the address failed.
    #[error("failed to listen on {0}: {1}{hint}", hint = listening_hint(.1))]
    Listen(SocketAddr, std::io::Error),
    /// Listening on a Unix socket failed.
    #[error("failed to listen on {path}: {1}{hint}", path = .0.display(), hint = listening_hint(.1))]
    ListenAtPath(PathBuf, std::io::Error),
    /// The folder of a Unix socket is missing.
    #[error(
        "failed to listen on {path}: the folder {folder} does not exist\n  = help: make the folder, or name \
         another path in `listeners[].socket`",
        path = .0.display(),
        folder = .1.display()
    )]
    NoSocketFolder(PathBuf, PathBuf),
    /// A socket of the service manager has no listener.
    #[error("{0}")]
    Inherited(#[from] InheritedError),
    /// The control socket or the admin listener of the configuration cannot be opened.
    #[error("{0}")]
    Control(#[from] ListenError),
    /// The data folder of the configuration cannot be used.
    #[error("{0}")]
    Data(#[from] DataFolderError),
    /// The versions of plugins cannot be read.
    #[error("{0}")]
    Versions(#[from] FolderError),
    /// The stores of plugins cannot be saved.
    #[error("{0}")]
    Store(#[from] OpenStoresError),
    /// Durable histories cannot be opened.
    #[error("{0}")]
    Histories(#[from] OpenLogError),
    /// The releases of signed plugins cannot be read.
    #[error("{0}")]
    Numbers(#[from] NumbersError),
    /// There is no data folder for the releases of signed plugins.
    #[error(
        "`plugins.refuse_downgrades` needs a data folder, and there is none\n  = help: set `data` to a folder \
         that the server can write to"
    )]
    NoNumbers,
    /// The export of spans cannot be opened.
    #[error("{0}")]
    Traces(#[from] jackfield_otlp::OpenError),
    /// The connection to the other nodes of a cluster cannot be opened.
    #[error("{0}")]
    Cluster(#[from] jackfield_cluster::OpenError),
    /// The configuration names no realm.
    #[error("the configuration names no realm")]
    NoRealm,
    /// The operating system cannot provide random bytes for ids.
    #[error("cannot read random bytes from the operating system: {0}")]
    Randomness(#[from] getrandom::Error),
    /// A background task, of this name, has ended early; the log has the reason.
    #[error("the background task `{0}` has ended early")]
    Task(&'static str),
    /// The operating system refused a resource that the server needs.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Returns the help for a failure to listen.
fn listening_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "\n  = help: something is listening there already: stop it, or listen on another port, for \
             example with --listen 127.0.0.1:8081"
        }
        ErrorKind::AddrNotAvailable => {
            "\n  = help: this machine has no such address; write 0.0.0.0 or [::] to listen on all addresses"
        }
        ErrorKind::PermissionDenied => {
            "\n  = help: ports below 1024 are for root alone: take another, and a proxy before it"
        }
        _ => "",
    }
}

/// Checks whether an address can be listened on now.
///
/// # Errors
/// [`ServeError::Listen`], as [`serve`] would return it.
pub(crate) async fn check_address(address: SocketAddr) -> Result<(), ServeError> {
    let listener = TcpListener::bind(address).await;
    listener.map(drop).map_err(|error| ServeError::Listen(address, error))
}

/// Serves a site until the process receives a signal to stop. The port is open before the first
/// generation is ready, and answers that the server is starting; `announce` gets the address when
/// clients can connect.
///
/// # Errors
/// [`ServeError`]: the site has problems, the address is in use, or a background task has ended early.
pub(crate) async fn serve(
    site: Site,
    startup: Startup,
    demo: Demo,
    Signals { hangup, stop }: Signals,
    announce: &mut (dyn Write + Send),
) -> Result<(), ServeError> {
    let Startup { config, config_file, mut opened, files, settings, sockets, plugin_log } = startup;
    let manager = Arc::new(ServiceManager::of_environment());
    let process = control::Process::new(site.path(), config_file.as_deref());
    check_site(&site).await?;
    // Until the end of the server, as it has the lock.
    let data = open_data(&config, site.path()).await?;
    let admin_tokens = std::mem::take(&mut opened.admin_tokens);
    let tls = ListenerTls::all(&config, std::mem::take(&mut opened.tls));
    let admin_tls = ListenerTls::of_admin(&config.admin, opened.admin_tls.take());
    let all_tls: Vec<_> = tls.iter().flatten().chain(&admin_tls).cloned().collect();
    let data_folder = data.as_ref();
    let credentials = opened.cluster_credentials.take();
    let inputs =
        Inputs { site, opened, files, plugin_log, demo, data: data_folder, tls: all_tls.clone() };
    let parts = Parts::build(&config, inputs).await?;
    let Parts { state, limit, scrape, context, .. } = &parts;
    let listeners = listening::open(&config, &tls, sockets)?;
    let places = Places::of(&listeners);
    let scrape = Arc::clone(scrape);
    let control = control::Context::new(
        Arc::clone(state),
        limit.clone(),
        process,
        (places.clients.clone(), AdminInfo { listen: config.admin.listen.clone(), tls: admin_tls }),
        scrape,
        Arc::clone(&context.settings),
    );
    let (place, admin) = (&config.control.socket, &config.admin);
    let control = Listeners::open(place, admin, admin_tokens, control).await?;
    // Only a start that goes on takes them: they are saved again at its end.
    saved_histories::take(&state.realms, data.as_ref()).await;
    let opened_cluster = cluster::open(state, &parts.admission, credentials).await?;
    let live = LiveParts::new(&parts, control.tokens());
    let control = control.start();
    let mut tasks = BackgroundTasks::default();
    let reloads = state.reloader.reloads();
    let accepting = listener::accept(Arc::clone(context), listeners, limit.clone(), reloads);
    let connections = tasks.spawn_with_result("accept connections", accepting);
    let notifying = Arc::clone(&manager);
    tasks.spawn("notify the service manager", async move { notifying.run().await });
    let address = places.first.as_str();
    info!(name: "server.starting", address, "starting");
    let cluster = opened_cluster.map(|opened| cluster::spawn(&mut tasks, opened));
    let start = async {
        if let Some(cluster) = &cluster {
            cluster.join().await;
        }
        state.reloader.start().await.map_err(ServeError::Site)?;
        histories::remove_in_cluster(&config, data.as_ref()).await?;
        state.realms.started(&state.reloader.generations().current());
        Ok(())
    };
    let started = stop.or(start).await;
    let result = match started {
        Some(Ok(())) => {
            background::spawn(&mut tasks, &parts);
            let follower = settings.follower(Arc::clone(&state.settings), config.clone());
            tasks.spawn(SETTINGS, live.follow(follower));
            for tls in all_tls {
                tasks.spawn("follow certificates", async move { tls.follow().await });
            }
            supervision::spawn(&mut tasks, &manager, &parts, hangup, &places);
            info!(name: "server.serving", address, realms = ?list(&config.realms), "serving");
            report(&places, parts.api_tokens.as_deref(), demo, announce);
            tasks.run_until(&stop).await
        }
        stopped => {
            // No load balancer sends clients to a server that has never served.
            state.shutdown.request();
            stopped.unwrap_or(Ok(()))
        }
    };
    manager.stopping(state.shutdown.times().total());
    if let Some(cluster) = &cluster {
        cluster.hand_over().await;
    }
    drain(&state.shutdown, &state.realms, connections, &tasks).await;
    if let Some(cluster) = cluster {
        cluster.leave().await;
    }
    saved_histories::save(&state.realms, data.as_ref()).await;
    if let Some(log) = &state.history_log {
        log.close().await;
    }
    control.stop().await;
    let traces = Arc::clone(&state.traces);
    // A panic is logged by the runtime.
    let _closed = tokio::task::spawn_blocking(move || traces.close_export()).await;
    result
}

/// The places where clients connect.
struct Places {
    /// The first one, as settings name it.
    first: String,
    clients: Vec<Arc<ClientListener>>,
    /// The address at which the probe connects; `None` if there is no listener without rules.
    probe: Option<SocketAddr>,
}

impl Places {
    fn of(listeners: &[OpenListener]) -> Self {
        Self {
            first: listeners.first().map(OpenListener::place).unwrap_or_default(),
            clients: listeners.iter().map(|it| Arc::clone(&it.listener)).collect(),
            probe: listeners.iter().find_map(OpenListener::address_of_probe),
        }
    }
}

/// Writes the URLs for the program that has started the server, in one write.
fn announce_places(announce: &mut (dyn Write + Send), places: &Places) {
    let lines = places.clients.iter().map(|it| format!("listening on {}\n", it.url));
    let announced = announce.write_all(lines.collect::<String>().as_bytes());
    if let Err(error) = announced.and_then(|()| announce.flush()) {
        warn!(name: "server.announce_failed", "failed to announce the address on stdout: {error}");
    }
}

/// Checks that the site is there, on a thread of its own, before anything is made for it: a mistyped
/// name leaves no data folder behind.
async fn check_site(site: &Site) -> Result<(), ServeError> {
    let site = site.clone();
    let listing = tokio::task::spawn_blocking(move || {
        // Its content is read later, when the port is open.
        if site.path().is_dir() { Ok(()) } else { site.directories().map(drop) }
    });
    let listed = listing.await.map_err(std::io::Error::other)?;
    listed.map_err(|error| ServeError::Site(vec![error.to_string()]))
}

/// Opens the data folder, on a thread of its own.
async fn open_data(config: &Config, site: &Path) -> Result<Option<DataFolder>, ServeError> {
    let (setting, site) = (config.data.clone(), site.to_owned());
    let opening = tokio::task::spawn_blocking(move || data_folder::open(&setting, &site));
    Ok(opening.await.map_err(std::io::Error::other)??)
}

/// Logs which parts of HTTP are on, and announces the address.
fn report(
    places: &Places,
    tokens: Option<&[String]>,
    demo: Demo,
    announce: &mut (dyn Write + Send),
) {
    if let Some(tokens) = tokens {
        info!(name: "api.on", tokens = ?list(tokens), "the HTTP API is on: POST /api/publish, /api/call");
    } else {
        info!(name: "api.off", "the HTTP API is off: the configuration names no token under `api`");
    }
    let mut at_addresses = places.clients.iter().filter(|it| it.url.starts_with("ws"));
    if demo == Demo::On
        && let Some(listener) = at_addresses.next()
    {
        let scheme = if listener.is_encrypted() { "https" } else { "http" };
        info!(name: "demo.on", "the demo is at {scheme}://{}/demo/", listener.place());
    }
    announce_places(announce, places);
}
