//! Admin listener: the API of the control channel at an address, for clients with a token or a
//! certificate.
//!
//! It serves HTTP, with TLS if the settings have certificates, to a bounded number of connections.
//! [`super::access`] checks requests.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jackfield_config::{AdminCertificates, OpenAdminToken};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::access::{AdminAccess, AdminTokens, CertificateHolder};
use super::connection::{self, Accepting, Authentication, ConnectionPlaces};
use super::{Context, RunningListener};
use crate::client_socket::ClientSocket;
use crate::client_stream::ClientStream;
use crate::connection::{FailedHandshake, secure};
use crate::listener_tls::ListenerTls;
use crate::log::DIAGNOSIS;

/// The maximum number of connections at a time.
const MAX_CONNECTIONS: usize = 64;
/// The time without traffic after which TCP asks whether the client still exists.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A listener at an address.
pub(super) struct AdminListener {
    listener: TcpListener,
    context: Arc<Context>,
    access: Arc<AdminAccess>,
    tls: Option<AdminTls>,
}

/// TLS of the listener, and the clients with a certificate.
#[derive(Clone)]
pub(super) struct AdminTls {
    pub(super) tls: Arc<ListenerTls>,
    pub(super) clients: Option<AdminCertificates>,
}

impl AdminListener {
    /// Listens at the address.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(super) async fn open(
        listen: SocketAddr,
        tokens: Vec<OpenAdminToken>,
        tls: Option<AdminTls>,
        context: Arc<Context>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let names: Vec<&str> = tokens.iter().map(|token| token.name.as_str()).collect();
        info!(name: "admin.opened", %address, tls = tls.is_some(), tokens = ?crate::log::list(&names), "the admin listener is open");
        if tls.is_none() && !address.ip().to_canonical().is_loopback() {
            warn!(
                name: "admin.not_encrypted",
                target: DIAGNOSIS,
                "the admin listener at {address} is not encrypted, and other machines can reach it\n  \
                 = help: add `admin.tls`, listen on 127.0.0.1 behind a proxy with TLS, or on a private network"
            );
        }
        let access = Arc::new(AdminAccess::new(address, &tokens, tls.is_some()));
        Ok(Self { listener, context, access, tls })
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
        let (access, context) = (Arc::clone(&self.access), Arc::clone(&self.context));
        match self.tls.clone() {
            None => places.serve(stream, context, Authentication::Remote(access, peer, None)),
            Some(tls) => {
                let handshake = async move {
                    let (stream, certificate) = tls.secure(stream, peer).await?;
                    Some((stream, Authentication::Remote(access, peer, certificate)))
                };
                places.serve_after(handshake, context);
            }
        }
    }
}

impl AdminTls {
    /// Makes the handshake of TLS, and reads the client's certificate.
    async fn secure(
        &self,
        stream: TcpStream,
        peer: IpAddr,
    ) -> Option<(ClientStream, Option<CertificateHolder>)> {
        // Before the handshake: those of a reload in the middle of it end the streams of this client.
        let authorities = self.tls.authorities();
        match secure(ClientSocket::Tcp(stream), &self.tls).await {
            Ok(stream) => {
                let stream = stream?;
                let certificate = self.clients.as_ref().zip(stream.certificate());
                let certificate = certificate
                    .map(|(settings, der)| CertificateHolder::read(settings, der, authorities));
                Some((stream, certificate))
            }
            Err(FailedHandshake { ended, .. }) => {
                warn!(name: "admin.handshake_failed", %peer, "a connection to the admin listener is refused: {ended}");
                None
            }
        }
    }
}
