//! Control channel: HTTP/1.1 with JSON bodies over a Unix socket, for the operator of a running
//! server.
//!
//! [`socket`] makes the socket for the server's own user alone, [`listener`] accepts, checks the peer
//! and bounds each connection, [`router`] finds the endpoint by path and method. Each endpoint is a
//! file: [`status`], [`reload`], [`mod@versions`], [`candidates`], [`mod@record`], [`mod@shadow`], [`store`]; [`change`] is the common part of changes. The router knows its caller and no socket, so that another listener
//! can use it.
//!
//! Started by `server`; nothing else imports it. `docs/control.md` describes the API. See decision 30.

mod audit;
mod candidates;
mod change;
mod listener;
mod problem;
mod record;
mod reload;
mod result;
mod router;
mod shadow;
mod socket;
mod status;
mod store;
mod timestamp;
mod versions;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use jackfield_config::{ControlSocket, SocketEnvironment};
use tokio::sync::Semaphore;

use crate::connection_limit::ConnectionLimit;
use crate::server_state::ServerState;

pub(crate) use listener::{Listener, Running};
pub(crate) use socket::SocketError;

/// The maximum number of changes that are under way at a time.
const MAX_CHANGES: usize = 64;
/// The maximum number of recordings at a time.
const MAX_RECORDINGS: usize = 4;

/// What the control channel may reach.
pub(crate) struct Context {
    state: Arc<ServerState>,
    connections: ConnectionLimit,
    process: Process,
    /// The address of the WebSocket port.
    listen: SocketAddr,
    /// One for each change that is under way, until its audit line is written.
    changes: Arc<Semaphore>,
    /// One for each recording.
    recordings: Arc<Semaphore>,
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
        listen: SocketAddr,
    ) -> Self {
        let changes = Arc::new(Semaphore::new(MAX_CHANGES));
        let recordings = Arc::new(Semaphore::new(MAX_RECORDINGS));
        Self { state, connections, process, listen, changes, recordings }
    }
}

/// Makes the control socket of the setting, if there is one to be.
///
/// # Errors
/// When the setting names a path that cannot be used. A default place that cannot be used is a
/// warning.
pub(crate) fn open(
    setting: &ControlSocket,
    context: Context,
) -> Result<Option<Listener>, SocketError> {
    let from = |name| std::env::var(name).ok();
    let (service, login) = (from("RUNTIME_DIRECTORY"), from("XDG_RUNTIME_DIR"));
    let environment = SocketEnvironment {
        runtime_directory: service.as_deref(),
        xdg_runtime_dir: login.as_deref(),
        uid: socket::own_uid(),
    };
    let places = match setting {
        ControlSocket::Off => return Ok(None),
        ControlSocket::At(path) => socket::Places::Named(path.clone()),
        ControlSocket::Default => {
            let site = &context.process.site;
            socket::Places::Default(ControlSocket::places(site, &environment))
        }
    };
    Listener::open(places, Arc::new(context)).map(Some)
}

/// Ends the listener, and removes its socket.
pub(crate) async fn stop(running: Option<Running>) {
    if let Some(running) = running {
        running.stop().await;
    }
}
