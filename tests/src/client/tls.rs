//! TLS tunnel for any of these clients: a local address whose connections are encrypted and
//! forwarded to a server. The clients use it like a server without TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The local end of a tunnel, closed when this is dropped.
pub struct Tunnel {
    /// The local address for clients.
    pub addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Tunnel {
    /// Opens a tunnel to the server at `addr`, whose certificate has to be this one for `name`. Its
    /// connections come from the address `from`.
    pub async fn open(addr: SocketAddr, name: &str, certificate: &Path, from: IpAddr) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).expect("a certificate")).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self::accept(addr, name, config, from).await
    }

    /// Opens a tunnel with a configuration, which may have a certificate of the client.
    pub async fn with(addr: SocketAddr, name: &str, config: ClientConfig) -> Self {
        Self::accept(addr, name, config, Ipv4Addr::LOCALHOST.into()).await
    }

    async fn accept(addr: SocketAddr, name: &str, config: ClientConfig, from: IpAddr) -> Self {
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(name.to_owned()).expect("the name of a host");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let entrance = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            loop {
                let (inside, _) = listener.accept().await.unwrap();
                inside.set_nodelay(true).unwrap();
                let (connector, name) = (connector.clone(), name.clone());
                tokio::spawn(async move {
                    let outside = connect(addr, from).await;
                    let Ok(outside) = connector.connect(name, outside).await else { return };
                    pass(inside, outside).await;
                });
            }
        });
        Self { addr: entrance, accepting }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connect(addr: SocketAddr, from: IpAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).expect("an address of this machine");
    let stream = socket.connect(addr).await.expect("the server listens");
    stream.set_nodelay(true).unwrap();
    stream
}

/// Copies until either side has ended; the end of TCP is forwarded as it is.
async fn pass(mut inside: TcpStream, mut outside: tokio_rustls::client::TlsStream<TcpStream>) {
    let _ended = copy_bidirectional(&mut inside, &mut outside).await;
}
