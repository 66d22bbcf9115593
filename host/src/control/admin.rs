//! Admin listener: the API of the control channel at an address, for clients with a token.
//!
//! It serves HTTP without TLS, a bounded number of connections. [`super::access`] checks requests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_config::OpenAdminToken;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::access::{AdminTokens, TokenAccess};
use super::connection::{self, Accepting, Authentication, ConnectionPlaces};
use super::{Context, RunningListener};
use crate::log::DIAGNOSIS;

/// The maximum number of connections at a time.
const MAX_CONNECTIONS: usize = 64;
/// The time without traffic after which TCP asks whether the client still exists.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A listener at an address.
pub(super) struct AdminListener {
    listener: TcpListener,
    context: Arc<Context>,
    access: Arc<TokenAccess>,
}

impl AdminListener {
    /// Listens at the address.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(super) async fn open(
        listen: SocketAddr,
        tokens: Vec<OpenAdminToken>,
        context: Arc<Context>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let names: Vec<&str> = tokens.iter().map(|token| token.name.as_str()).collect();
        info!(name: "admin.opened", %address, tokens = ?crate::log::list(&names), "the admin listener is open");
        if !address.ip().to_canonical().is_loopback() {
            warn!(
                name: "admin.not_encrypted",
                target: DIAGNOSIS,
                "the admin listener at {address} is not encrypted, and other machines can reach it\n  \
                 = help: listen on 127.0.0.1 behind a proxy with TLS, or on a private network"
            );
        }
        let access = Arc::new(TokenAccess::new(address, &tokens));
        Ok(Self { listener, context, access })
    }

    pub(super) fn tokens(&self) -> AdminTokens {
        AdminTokens(Arc::clone(&self.access))
    }

    /// Serves in a task of its own, until the handle's owner ends it.
    pub(super) fn start(self) -> RunningListener {
        RunningListener::spawn(|stopped| self.run(stopped))
    }

    async fn run(mut self, stopped: oneshot::Receiver<()>) {
        let places = ConnectionPlaces::new("admin", MAX_CONNECTIONS);
        connection::accept_until(&mut self, &places, stopped).await;
        drop(self.listener);
        places.end().await;
    }
}

impl Accepting for AdminListener {
    type Connection = (TcpStream, SocketAddr);

    async fn accept(&mut self) -> Option<Self::Connection> {
        match self.listener.accept().await {
            Ok(accepted) => Some(accepted),
            Err(error) => {
                warn!(name: "admin.accept_failed", "failed to accept an admin connection: {error}");
                None
            }
        }
    }

    fn serve(&self, (stream, peer): Self::Connection, places: &ConnectionPlaces) {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&keepalive) {
            debug!("failed to set SO_KEEPALIVE of an admin connection: {error}");
        }
        let peer = peer.ip().to_canonical();
        let authentication = Authentication::Token(Arc::clone(&self.access), peer);
        places.serve(stream, Arc::clone(&self.context), authentication);
    }
}
