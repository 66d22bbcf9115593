//! Control channel: HTTP/1.1 with JSON bodies over a Unix socket, for the operator of a running
//! server; and the same API at an address, for clients with a token.
//!
//! [`socket`] makes the socket for the server's own user alone, [`listener`] accepts and checks the
//! peer; [`admin`] listens at an address, and [`access`] checks tokens. [`connection`] bounds each
//! connection, [`mod@body`] each body, [`router`] finds the endpoint by path and method. Each endpoint
//! is a file: [`status`], [`reload`], [`mod@versions`], [`candidates`], [`mod@record`], [`mod@shadow`],
//! [`store`], [`sessions`], [`topics`], [`mod@ended`], [`mod@trace`], [`routes`], [`plugins`],
//! [`publish`]; [`settings`] writes their part of answers, [`console`] has the pages for browsers. [`change`] is the common part of changes,
//! [`unsaved`] remembers those that could not be saved, [`plugin_lookup`] finds plugins by name.
//! The router knows its caller and no socket.
//!
//! Started by `server`; nothing else imports it. `docs/control.md` describes the API. See decisions 30
//! and 43.

mod access;
mod admin;
mod audit;
mod body;
mod candidates;
mod change;
mod cluster;
mod connection;
mod console;
mod ended;
mod listener;
mod plugin_lookup;
mod plugins;
mod problem;
mod publish;
mod query;
mod record;
mod reload;
mod result;
mod router;
mod routes;
mod sessions;
mod settings;
mod shadow;
mod sized_list;
mod socket;
mod status;
mod store;
mod topics;
mod trace;
mod unsaved;
mod versions;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use jackfield_config::{
    Admin, AdminPlace, AdminTls as AdminTlsSettings, ControlSocket, OpenAdminToken,
    SocketEnvironment,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::client_listener::ClientListener;
use crate::connection::LiveSettings;
use crate::connection_limit::ConnectionLimit;
use crate::listener_tls::ListenerTls;
use crate::scrape::Scrape;
use crate::server_state::ServerState;
use crate::shutdown::Shutdown;

pub(crate) use access::AdminTokens;
use admin::{AdminListener, AdminTls};
use listener::Listener;
use problem::Problem;
use socket::{Places, SocketError};
use unsaved::UnsavedChanges;

/// The maximum size of a text that selects: a topic, a name of a user.
const MAX_FILTER_BYTES: usize = 4 << 10;
/// The maximum size of a name that is shown: in an answer, in an error or in an audit line.
const MAX_SHOWN_BYTES: usize = 256;

/// The maximum number of changes that are under way at a time.
const MAX_CHANGES: usize = 64;
/// The maximum number of recordings at a time.
const MAX_RECORDINGS: usize = 4;
/// The maximum number of traces at a time.
const MAX_TRACES: usize = 4;

/// The maximum number of exports of stores at a time. Each keeps the values of its moment, and waits
/// for its reader as long as that is connected.
const MAX_EXPORTS: usize = 4;
/// The maximum number of imports into stores at a time. Each has its entries in memory, up to the
/// quota of its store.
const MAX_IMPORTS: usize = 2;

/// The parts that the control API may reach.
pub(crate) struct Context {
    state: Arc<ServerState>,
    connections: ConnectionLimit,
    scrape: Arc<Scrape>,
    process: Process,
    /// The listeners for clients.
    listeners: Vec<Arc<ClientListener>>,
    admin: AdminInfo,
    /// A place for each change that is under way, until its audit line is written.
    changes: WorkPlaces,
    /// Changes of versions that were made, and could not be saved.
    unsaved: Arc<UnsavedChanges>,
    recordings: WorkPlaces,
    exports: WorkPlaces,
    imports: WorkPlaces,
    traces: WorkPlaces,
    settings: Arc<LiveSettings>,
}

/// The admin listener, as the status shows it.
pub(crate) struct AdminInfo {
    /// The place of the settings; `None` without a listener.
    pub(crate) listen: Option<AdminPlace>,
    /// TLS, if it is encrypted.
    pub(crate) tls: Option<Arc<ListenerTls>>,
}

/// A bounded number of places for work of one kind.
struct WorkPlaces {
    places: Arc<Semaphore>,
    /// The name of the work in messages.
    name: &'static str,
    max: usize,
}

impl WorkPlaces {
    fn new(name: &'static str, max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max)), name, max }
    }

    /// Takes a place until the permit is dropped.
    ///
    /// # Errors
    /// 503 while the server ends, 429 if all places are taken.
    fn take(&self, shutdown: &Shutdown) -> Result<OwnedSemaphorePermit, Problem> {
        if shutdown.is_requested() {
            return Err(Problem::stopping());
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_full| Problem::too_many(self.name, self.max))
    }
}

/// Facts of the process that do not change while it runs.
pub(crate) struct Process {
    site: PathBuf,
    config_file: Option<PathBuf>,
    started: SystemTime,
    began: Instant,
}

impl Process {
    /// A process that starts now.
    pub(crate) fn new(site: &Path, config_file: Option<&Path>) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            site: absolute(site),
            config_file: config_file.map(absolute),
            started: SystemTime::now(),
            began: Instant::now(),
        }
    }
}

impl Context {
    pub(crate) fn new(
        state: Arc<ServerState>,
        connections: ConnectionLimit,
        process: Process,
        (listeners, admin): (Vec<Arc<ClientListener>>, AdminInfo),
        scrape: Arc<Scrape>,
        settings: Arc<LiveSettings>,
    ) -> Self {
        Self {
            state,
            connections,
            scrape,
            process,
            listeners,
            admin,
            changes: WorkPlaces::new("changes", MAX_CHANGES),
            unsaved: Arc::default(),
            recordings: WorkPlaces::new("recordings", MAX_RECORDINGS),
            exports: WorkPlaces::new("exports", MAX_EXPORTS),
            imports: WorkPlaces::new("imports", MAX_IMPORTS),
            traces: WorkPlaces::new("traces", MAX_TRACES),
            settings,
        }
    }
}

/// A listener of the configuration cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The socket of `control.socket` or `admin.listen` cannot be made.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// The address of `admin.listen` cannot be used.
    #[error(
        "failed to listen on {0} (admin.listen): {1}\n  = help: the address may be in use, or no address \
         of this machine"
    )]
    Address(SocketAddr, std::io::Error),
}

/// The listeners of a server's operator.
#[derive(Default)]
pub(crate) struct Listeners {
    sockets: Vec<Listener>,
    address: Option<AdminListener>,
}

impl Listeners {
    /// Opens the listeners of the settings.
    ///
    /// # Errors
    /// When a setting names a place that cannot be used. A default place of the control socket that
    /// cannot be used is a warning.
    pub(crate) async fn open(
        control: &ControlSocket,
        admin: &Admin,
        tokens: Vec<OpenAdminToken>,
        context: Context,
    ) -> Result<Self, ListenError> {
        let context = Arc::new(context);
        let clients = |tls: &AdminTlsSettings| tls.clients.clone();
        let tls = context
            .admin
            .tls
            .clone()
            .map(|tls| AdminTls { tls, clients: admin.tls.as_ref().and_then(clients) });
        let mut listeners = Self::default();
        if let Some(AdminPlace::Address(address)) = admin.listen {
            let opened = AdminListener::open(address, tokens, tls, Arc::clone(&context)).await;
            listeners.address = Some(opened.map_err(|error| ListenError::Address(address, error))?);
        }
        if let Some(places) = places(control, &context.process.site) {
            listeners.sockets.push(Listener::open(places, Arc::clone(&context))?);
        }
        if let Some(AdminPlace::Socket(path)) = &admin.listen {
            let places = Places::Named(path.clone());
            listeners.sockets.push(Listener::open(places, context)?);
        }
        Ok(listeners)
    }

    /// The tokens of the admin listener, if it listens at an address.
    pub(crate) fn tokens(&self) -> Option<AdminTokens> {
        self.address.as_ref().map(AdminListener::tokens)
    }

    /// Serves, each in a task of its own.
    pub(crate) fn start(self) -> RunningListeners {
        let sockets = self.sockets.into_iter().map(Listener::start);
        RunningListeners(sockets.chain(self.address.map(AdminListener::start)).collect())
    }
}

/// The places of the control socket; `None` without one.
fn places(setting: &ControlSocket, site: &Path) -> Option<Places> {
    let from = |name| std::env::var(name).ok();
    let (service, login) = (from("RUNTIME_DIRECTORY"), from("XDG_RUNTIME_DIR"));
    let environment = SocketEnvironment {
        runtime_directory: service.as_deref(),
        xdg_runtime_dir: login.as_deref(),
        uid: socket::own_uid(),
    };
    match setting {
        ControlSocket::Off => None,
        ControlSocket::At(path) => Some(Places::Named(path.clone())),
        ControlSocket::Default => Some(Places::Default(ControlSocket::places(site, &environment))),
    }
}

/// The listeners, while they serve.
pub(crate) struct RunningListeners(Vec<RunningListener>);

impl RunningListeners {
    /// Ends them, and removes their sockets.
    pub(crate) async fn stop(self) {
        futures_util::future::join_all(self.0.into_iter().map(RunningListener::stop)).await;
    }
}

/// A listener that serves.
struct RunningListener {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl RunningListener {
    /// Runs a listener until its end is asked for.
    fn spawn<F>(run: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(run(stopped)) }
    }

    async fn stop(self) {
        // It has ended already if this fails.
        let _ended = self.stop.send(());
        let _ended = self.task.await;
    }
}
