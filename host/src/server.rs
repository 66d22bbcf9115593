//! Composition root: every part of a running server, built on one page.
//!
//! Each part gets the parts that it may reach, and no more: [`Context`] is the list of a
//! connection, [`Http`] that of an HTTP request. Only the command `serve` imports this file.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield_config::{Config, Opened, Plugins};
use jackfield_sandbox::{Audience, Sandbox};
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::admission::{Admission, Files};
use crate::api::Api;
use crate::audience::Subscribers;
use crate::connection::Context;
use crate::connection_limit::ConnectionLimit;
use crate::control::{self, SocketError};
use crate::data_folder::{self, DataFolder, DataFolderError};
use crate::fetch::HttpClient;
use crate::generation::Generation;
use crate::http::{Demo, Health, Http};
use crate::log::list;
use crate::plugin_stores::StoreError;
use crate::realms::Realms;
use crate::reload::{ReloadCause, Reloader};
use crate::rollout::Rollout;
use crate::server_state::ServerState;
use crate::shadow::Shadows;
use crate::shutdown::Shutdown;
use crate::signals::Signals;
use crate::signatures::{HighestNumbers, NumbersError};
use crate::site::Site;
use crate::transport::ConnectionTotals;
use crate::versions::{self, FolderError, VersionSettings, Versions};
use crate::{compiler, open_files, plugin_stores};

mod drain;
mod listener;

use drain::drain;

/// The input of a server: its settings, and the parts that they refer to.
pub(crate) struct Startup {
    pub(crate) config: Config,
    /// The file of the configuration, if there is one.
    pub(crate) config_file: Option<PathBuf>,
    /// The opened parts of the settings: users, keys, tokens.
    pub(crate) opened: Opened,
    /// The state of the files of users and keys before they were opened.
    pub(crate) files: Files,
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
    /// The control socket of the configuration cannot be made.
    #[error("{0}")]
    Control(#[from] SocketError),
    /// The data folder of the configuration cannot be used.
    #[error("{0}")]
    Data(#[from] DataFolderError),
    /// The versions of plugins cannot be read.
    #[error("{0}")]
    Versions(#[from] FolderError),
    /// The stores of plugins cannot be saved.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The releases of signed plugins cannot be read.
    #[error("{0}")]
    Numbers(#[from] NumbersError),
    /// There is no data folder for the releases of signed plugins.
    #[error(
        "`plugins.refuse_downgrades` needs a data folder, and there is none\n  = help: set `data` to a folder \
         that the server can write to"
    )]
    NoNumbers,
    /// The configuration names no realm.
    #[error("the configuration names no realm")]
    NoRealm,
    /// The operating system cannot provide random bytes for ids.
    #[error("the system has no randomness to give: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The operating system refused a resource that the server needs.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Returns the help for a failure to listen.
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

/// Serves a site until the process receives a signal to stop. The port is open before the first
/// generation is ready, and answers that the server is starting; `announce` gets the address when
/// clients can connect.
///
/// # Errors
/// [`ServeError`]: the site has problems, or the address is in use.
pub(crate) async fn serve(
    site: Site,
    startup: Startup,
    demo: Demo,
    signals: Signals,
    announce: &mut (dyn Write + Send),
) -> Result<(), ServeError> {
    let Signals { hangup, stop } = signals;
    let Startup { config, config_file, opened, files } = startup;
    let process = control::Process::new(site.path(), config_file.as_deref());
    let Opened { auth, tokens } = opened;
    let admission = Arc::new(Admission::new(config.access.clone(), auth, files));
    let audience = Arc::new(Subscribers::default());
    let sandbox = Sandbox::new(compiler::sandbox_settings(&config.plugins))?;
    let (instance_memory, observers) = (sandbox.memory(), sandbox.observers());
    let services = Arc::clone(&audience) as Arc<dyn Audience>;
    // Until the end of the server, as it has the lock.
    let data = open_data(&config, site.path()).await?;
    let stores = data.as_ref().map(|data| data.part(plugin_stores::PART));
    let sandbox = plugin_stores::open(sandbox, &config.plugins, stores).await?;
    let store_backup = sandbox.store_backup();
    let versions = versions(&config, site.path(), data.as_ref()).await?;
    let highest = highest_numbers(&config, data.as_ref()).await?;
    let reloader = Reloader::new(site, config.clone(), sandbox, services, versions, highest);
    let reloader = Arc::new(reloader);
    let shutdown = Arc::new(Shutdown::new());
    let Config { limits, keepalive, handshake_timeout, shutdown_grace, .. } = config;
    let totals = ConnectionTotals::new(&limits);

    let realms = Realms::of(&config, &reloader.generations(), &audience);
    let realms = Arc::new(realms.ok_or(ServeError::NoRealm)?);

    let totals_of_api = Arc::clone(&totals);
    let api = Api::new(tokens, &config, Arc::clone(&realms), totals_of_api, Arc::clone(&shutdown))?;
    let tokens = api.as_ref().map(Api::names);
    let shadows = Arc::new(Shadows::new(Arc::clone(&reloader)));
    let state = Arc::new(ServerState {
        reloader: Arc::clone(&reloader),
        rollout: Rollout::new(Arc::clone(&reloader), Arc::clone(&shadows)),
        realms: Arc::clone(&realms),
        instance_memory,
        observers,
        store_backup,
        totals: Arc::clone(&totals),
        shutdown: Arc::clone(&shutdown),
    });
    let http = Http {
        admission: Arc::clone(&admission),
        api,
        demo,
        health: Health(Arc::clone(&state)),
        shutdown: Arc::clone(&shutdown),
        idle_timeout: config.api.idle_timeout,
        max_head_bytes: limits.handshake_bytes,
    };
    let context = Arc::new(Context {
        admission: Arc::clone(&admission),
        http,
        realms: Arc::clone(&realms),
        generations: reloader.generations(),
        totals,
        shutdown: Arc::clone(&shutdown),
        limits,
        keepalive,
        handshake_timeout,
    });

    let connections = open_files::connections(limits.connections, open_files::raise_limit());
    let listen = config.listen;
    let failed = |error| ServeError::Listen(listen, error);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr()?;
    let limit = ConnectionLimit::new(connections);
    let control = control::Context::new(Arc::clone(&state), limit.clone(), process, address);
    let control = control::open(&config.control.socket, control)?.map(control::Listener::start);
    let accepting = listener::accept(context, listener, limit);
    let accepting = tokio::spawn(accepting);
    info!(%address, "starting");
    let started = stop.or(reloader.start()).await;
    let Some(Ok(())) = started else {
        drain(&shutdown, &realms, accepting, shutdown_grace).await;
        control::stop(control).await;
        return started.unwrap_or(Ok(())).map_err(ServeError::Site);
    };
    let watching = tokio::spawn({
        let (realms, reloader) = (Arc::clone(&realms), Arc::clone(&reloader));
        let shadows = Arc::clone(&shadows);
        let committed = move |old, new: Arc<Generation>| {
            realms.reloaded(&old, &new);
            shadows.notify();
        };
        async move { reloader.run(committed).await }
    });
    // These tasks end with this function.
    let mut beside = beside(&realms, admission, state, shadows);
    beside.spawn(reload_at(hangup, reloader));
    info!(%address, realms = ?list(&config.realms), "serving");
    report(address, tokens.as_deref(), demo);
    let announced = writeln!(announce, "listening on ws://{address}/");
    if let Err(error) = announced.and_then(|()| announce.flush()) {
        warn!("failed to announce the address on stdout: {error}");
    }

    stop.requested().await;
    watching.abort();
    drain(&shutdown, &realms, accepting, shutdown_grace).await;
    control::stop(control).await;
    Ok(())
}

/// The tasks beside those of connections: timers, what plugins send, files of tokens, and the versions
/// that are tried or watched.
fn beside(
    realms: &Realms,
    admission: Arc<Admission>,
    state: Arc<ServerState>,
    shadows: Arc<Shadows>,
) -> JoinSet<()> {
    let mut tasks: JoinSet<()> =
        realms.iter().map(|dispatch| Arc::clone(dispatch).run_timers()).collect();
    let client = Arc::new(HttpClient::new());
    for dispatch in realms.iter() {
        tasks.spawn(Arc::clone(dispatch).run_outgoing(Arc::clone(&client)));
    }
    tasks.spawn(async move { admission.follow().await });
    tasks.spawn(async move { shadows.run().await });
    tasks.spawn(async move {
        tokio::join!(state.rollout.resume_canaries(), state.rollout.watch());
    });
    tasks
}

/// Reloads the site at each SIGHUP. The stream of a signal ends only with the runtime.
async fn reload_at(mut hangup: Signal, reloader: Arc<Reloader>) {
    while hangup.recv().await.is_some() {
        reloader.trigger(ReloadCause::Signal);
    }
}

/// Opens the data folder, on a thread of its own.
async fn open_data(config: &Config, site: &Path) -> Result<Option<DataFolder>, ServeError> {
    let (setting, site) = (config.data.clone(), site.to_owned());
    let opening = tokio::task::spawn_blocking(move || data_folder::open(&setting, &site));
    Ok(opening.await.map_err(std::io::Error::other)??)
}

/// Opens the versions of plugins, on a thread of its own: it reads the data folder.
async fn versions(
    config: &Config,
    site: &Path,
    data: Option<&DataFolder>,
) -> Result<Arc<Versions>, ServeError> {
    let Plugins { keep_versions: keep, take_back, .. } = config.plugins;
    let settings = VersionSettings { keep, take_back };
    let (site, folder) = (site.to_owned(), data.map(|data| data.part(versions::PART)));
    let opening = tokio::task::spawn_blocking(move || Versions::open(&site, folder, settings));
    Ok(Arc::new(opening.await.map_err(std::io::Error::other)??))
}

/// Opens the releases of signed plugins so far, where downgrades are refused, on a thread of its own.
async fn highest_numbers(
    config: &Config,
    data: Option<&DataFolder>,
) -> Result<Option<Arc<HighestNumbers>>, ServeError> {
    if !config.plugins.refuse_downgrades {
        return Ok(None);
    }
    let folder = data.ok_or(ServeError::NoNumbers)?.part("signatures");
    let opening = tokio::task::spawn_blocking(move || HighestNumbers::open(&folder));
    Ok(Some(Arc::new(opening.await.map_err(std::io::Error::other)??)))
}

/// Logs which parts of HTTP are on.
fn report(address: SocketAddr, tokens: Option<&[String]>, demo: Demo) {
    if let Some(tokens) = tokens {
        info!(tokens = ?list(tokens), "the HTTP API is on: POST /api/publish, /api/call");
    } else {
        info!("the HTTP API is off: the configuration names no token under `api`");
    }
    if demo == Demo::On {
        info!("the demo is at http://{address}/demo/");
    }
}
