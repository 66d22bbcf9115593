//! TLS of a listener: real clients, half-written records, hostile handshakes.

pub(crate) mod authority;
mod certificates;
mod clients;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::tls::Tunnel;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::{v2, within};
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::listeners::free;
use crate::remote::tls::certificate_for;

/// A server with a plain listener and one with TLS.
pub(crate) struct Secure {
    pub(crate) site: Site,
    pub(crate) server: Server,
    /// The address of the listener with TLS.
    pub(crate) addr: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
}

impl Secure {
    pub(crate) async fn start(more: &str) -> Self {
        Self::with(more, "").await
    }

    /// `more` are settings; `tls` are keys of TLS.
    pub(crate) async fn with(more: &str, tls: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = certificate_for(folder.path(), "server", false, 60).await;
        let (site, addr) = (Site::open(), free());
        let tls = format!("{{ certificate: {certificate}, key: {key}{tls} }}");
        let config = format!("{more}listeners: [{{ address: '{addr}', tls: {tls} }}]\n");
        let server = Server::configured(site.path(), &config);
        Self { site, server, addr, folder }
    }

    pub(crate) fn certificate(&self) -> std::path::PathBuf {
        self.folder.path().join("server-certificate.pem")
    }

    pub(crate) async fn tunnel(&self) -> Tunnel {
        let own = "127.0.0.1".parse().unwrap();
        Tunnel::open(self.addr, "localhost", &self.certificate(), own).await
    }
}

/// Connects with these versions of TLS.
pub(crate) async fn connect(
    addr: SocketAddr,
    certificate: &Path,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_protocol_versions(versions);
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, TcpStream::connect(addr).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_all_versions_meet_across_plain_and_encrypted_listeners() {
    let secure = Secure::start("").await;
    let tunnel = secure.tunnel().await;
    let mut plain = v1::Client::connect(secure.server.addr).await;
    let mut page = v1::Client::connect(tunnel.addr).await;
    let callback = page.subscribe("open/a");
    page.round_trip().await;
    let mut clients = Vec::new();
    for codec in [Codec::Json, Codec::MsgPack, Codec::Cbor] {
        let mut client = v2::Client::connect(tunnel.addr, codec, "realm1").await;
        client.subscribe("open/a", json!({})).await;
        clients.push(client);
    }
    for number in 0..50 {
        plain.publish("open/a", &json!([number]), &Reach::Plain);
    }
    for number in 0..50 {
        let event = page.event().await;
        assert_eq!((event.callback, event.event), (callback, json!([number])));
        for client in &mut clients {
            assert_eq!(client.event().await.args, json!([[number]]));
        }
    }
    page.close();
    secure.server.logged("closed by the client");
}

#[tokio::test(flavor = "multi_thread")]
async fn speaks_tls_1_2_and_1_3_and_serves_http() {
    let secure = Secure::start("").await;
    for version in [&TLS12, &TLS13] {
        let mut stream = connect(secure.addr, &secure.certificate(), &[version]).await.unwrap();
        // Two requests on one connection, then an upgrade in two parts.
        for _ in 0..2 {
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = vec![0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, b"HTTP/1.1 200");
            let mut rest = [0; 8192];
            let _count = stream.read(&mut rest).await.unwrap();
        }
        let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Protocol: wamp\r\n\r\n";
        let (first, second) = upgrade.split_at(40);
        stream.write_all(first.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(second.as_bytes()).await.unwrap();
        // A close frame, which the server answers; then its close_notify ends the stream in order.
        stream.write_all(b"\x88\x80\0\0\0\0").await.unwrap();
        let mut answer = Vec::new();
        within("the end", stream.read_to_end(&mut answer)).await.expect("close_notify");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("HTTP/1.1 101 ") && text.contains("[0,"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_every_byte_of_large_events() {
    let secure = Secure::start("limits: { message: 4 MiB, outbox: { bytes: 64 MiB } }\n").await;
    let tunnel = secure.tunnel().await;
    let mut slow = v2::Client::connect(tunnel.addr, Codec::Json, "realm1").await;
    slow.subscribe("open/a", json!({})).await;
    let mut plain = v2::Client::connect(secure.server.addr, Codec::Json, "realm1").await;
    let text = "x".repeat(1 << 20);
    for number in 0..16 {
        let args = json!([number, text]);
        plain.publish_acknowledged("open/a", json!({}), args, Value::Null).await.unwrap();
    }
    for number in 0..16 {
        let event = slow.event().await;
        assert_eq!(
            (&event.args[0], event.args[1].as_str().unwrap().len()),
            (&json!(number), 1 << 20)
        );
    }
    // What a client sends is as large.
    let args = json!([text]);
    slow.publish_acknowledged("open/b", json!({}), args, Value::Null).await.unwrap();
    slow.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_speak_tls_learn_it() {
    let secure = Secure::start("").await;
    let mut http = Http::connect(secure.addr).await;
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answer = http.answer().await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("this port accepts only TLS"), "{answer:?}");
    secure.server.logged("the client does not speak TLS");
    // And TLS at a port without it.
    let error = connect(secure.server.addr, &secure.certificate(), &[&TLS13]).await;
    assert!(error.is_err());
    secure.server.logged("the client speaks TLS, and the listener does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_the_time_of_a_handshake() {
    let secure = Secure::start("handshake_timeout: 200ms\n").await;
    let silent = TcpStream::connect(secure.addr).await.unwrap();
    let mut half = TcpStream::connect(secure.addr).await.unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
    // The handshake is complete, and no request follows.
    let mut without = connect(secure.addr, &secure.certificate(), &[&TLS13]).await.unwrap();
    for mut stream in [silent, half] {
        let mut end = Vec::new();
        let _reset = within("the end", stream.read_to_end(&mut end)).await;
    }
    let mut end = Vec::new();
    let _reset = within("the end", without.read_to_end(&mut end)).await;
    let log = secure.server.logged("it took too long");
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn https_alone_is_what_a_listener_with_tls_gives() {
    let secure = Secure::start("access: { https: true }\n").await;
    let tunnel = secure.tunnel().await;
    v1::Client::connect(tunnel.addr).await.round_trip().await;
    let refused = v1::Client::connect_with(secure.server.addr, v1::Options::default()).await;
    assert_eq!(refused.err().unwrap().refused.status, Some(403));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_records_end_their_connection_alone() {
    let secure = Secure::start("").await;
    let tunnel = secure.tunnel().await;
    let mut other = v1::Client::connect(tunnel.addr).await;
    let stream = connect(secure.addr, &secure.certificate(), &[&TLS13]).await.unwrap();
    let (mut tcp, _) = stream.into_inner();
    tcp.write_all(b"\x17\x03\x03\x00\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").await.unwrap();
    let mut alert = Vec::new();
    within("the end", tcp.read_to_end(&mut alert)).await.unwrap();
    other.round_trip().await;
}

/// Node's own client, which is that of browsers, and OpenSSL beneath it.
#[tokio::test(flavor = "multi_thread")]
async fn node_connects_with_the_authority_of_the_certificate_alone() {
    installed("node", "nodejs");
    let secure = Secure::start("").await;
    let script = format!(
        "const ws = new WebSocket('wss://localhost:{}/', ['wamp.2.json']);
         ws.onopen = () => ws.send('[1,\"realm1\",{{\"roles\":{{\"subscriber\":{{}}}}}}]');
         ws.onmessage = (message) => {{ console.log(message.data); process.exit(0); }};
         ws.onerror = () => process.exit(7);",
        secure.addr.port()
    );
    let node = |authority: &Path| {
        let mut node = Command::new("node");
        node.args(["--experimental-websocket", "-e", &script]).stdin(Stdio::null());
        node.env("NODE_EXTRA_CA_CERTS", authority).kill_on_drop(true).output()
    };
    let good = within("WELCOME", node(&secure.certificate())).await.unwrap();
    let welcome = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(welcome.starts_with("[2,"), "{good:?}");
    let [other, _] = certificate_for(secure.folder.path(), "other", false, 60).await;
    assert_eq!(within("the end", node(Path::new(&other))).await.unwrap().status.code(), Some(7));
}

/// A handshake of TLS costs more than all the rest of a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_address_gets_no_handshake() {
    let secure = Secure::start("access: { blocked: [127.0.0.9] }\n").await;
    let from = async |last: u8| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(secure.certificate()).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let stream = socket.connect(secure.addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    from(8).await.unwrap();
    within("a refusal", from(9)).await.unwrap_err();
    secure.server.logged("the address is blocked");
}
