//! Control listener: opens the socket, opens it again if it was removed, and serves a bounded
//! number of connections of the server's own user and root.
//!
//! A second server of a site waits until the socket is free; meanwhile it serves without a control
//! channel.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::audit::Caller;
use super::connection::{self, Accepting, Authentication, ConnectionPlaces};
use super::socket::{self, ControlSocket, Places, SocketError};
use super::{Context, RunningListener};
use crate::log::DIAGNOSIS;

/// The maximum number of connections at a time.
const MAX_CONNECTIONS: usize = 16;
/// The interval of checks for a removed socket, and of attempts to open one in use.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The control listener of a server.
pub(crate) struct Listener {
    places: Places,
    /// None while another server of the site has it, or while it cannot be made.
    socket: Option<ControlSocket>,
    context: Arc<Context>,
    /// For the socket, which may be removed or become free.
    checks: Interval,
}

impl Listener {
    /// Opens the socket, or begins to wait for it if another server uses it.
    pub(super) fn open(places: Places, context: Arc<Context>) -> Result<Self, SocketError> {
        let mut checks = interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listener = Self { places, socket: None, context, checks };
        if let Err(error) = listener.try_open() {
            let is_named = matches!(listener.places, Places::Named(_));
            match error {
                SocketError::InUse { .. } => warn!(
                    name: "control.in_use",
                    target: DIAGNOSIS,
                    "{error}; this server has no control channel until that one ends, and then \
                     takes its place\n  = help: `control.socket` gives each server its own"
                ),
                error if is_named => return Err(error),
                error => {
                    warn!(name: "control.unavailable", target: DIAGNOSIS, "no control channel: {error}");
                }
            }
        }
        Ok(listener)
    }

    fn try_open(&mut self) -> Result<(), SocketError> {
        let socket = self.places.open()?;
        info!(name: "control.opened", socket = %socket.path.display(), "the control channel is open");
        self.socket = Some(socket);
        Ok(())
    }

    /// Serves in a task of its own, until the handle's owner ends it.
    pub(super) fn start(self) -> RunningListener {
        RunningListener::spawn(|stopped| self.run(stopped))
    }

    async fn run(mut self, stopped: oneshot::Receiver<()>) {
        let places = ConnectionPlaces::new("control", MAX_CONNECTIONS);
        connection::accept_until(&mut self, &places, stopped).await;
        if let Some(socket) = self.socket {
            socket.remove();
        }
        places.end().await;
    }

    /// Opens the socket again if it is lost: some folders are emptied when a user logs out.
    fn check(&mut self) {
        if self.socket.as_ref().is_some_and(ControlSocket::is_there) {
            return;
        }
        if let Some(lost) = self.socket.take() {
            warn!(name: "control.removed", socket = %lost.path.display(), "the control socket was removed; opening it again");
        }
        if let Err(error) = self.try_open() {
            debug!("the control socket is still not open: {error}");
        }
    }
}

impl Accepting for Listener {
    type Connection = UnixStream;

    async fn accept(&mut self) -> Option<Self::Connection> {
        loop {
            tokio::select! {
                accepted = accept(self.socket.as_ref()) => return accepted,
                _ = self.checks.tick() => self.check(),
            }
        }
    }

    fn serve(&self, stream: Self::Connection, places: &ConnectionPlaces) {
        if let Some(authentication) = authenticate(&stream) {
            places.serve(stream, Arc::clone(&self.context), authentication);
        }
    }
}

/// Accepts one connection; waits for ever without a socket. Cancel-safe.
async fn accept(socket: Option<&ControlSocket>) -> Option<UnixStream> {
    let Some(socket) = socket else { return std::future::pending().await };
    match socket.listener.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            warn!(name: "control.accept_failed", "failed to accept a control connection: {error}");
            None
        }
    }
}

/// The peer of a connection, as the operating system names it.
fn authenticate(stream: &UnixStream) -> Option<Authentication> {
    let caller = match stream.peer_cred() {
        Ok(credentials) => Caller::process(credentials.uid(), credentials.pid()),
        Err(error) => {
            debug!("a control connection has no peer: {error}");
            return None;
        }
    };
    if caller.is_one_of([0, socket::own_uid()]) {
        return Some(Authentication::Peer(caller));
    }
    warn!(name: "control.denied", %caller, "a control connection of another user is refused");
    Some(Authentication::OtherUser)
}
