//! RawSocket of WAMP v2: the handshake, frames and limits. `interop::matrix` has a client of others.

use std::io::ErrorKind;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::tls::Tunnel;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use crate::tls::Secure;

const SETTINGS: &str = "access: { rawsocket: true }\n";

/// Magic, the greatest maximum size with JSON, and two reserved bytes.
const JSON: [u8; 4] = [0x7f, 0xf1, 0, 0];

/// A client with JSON.
struct RawClient<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> RawClient<S> {
    /// Sends the handshake. Returns the client with the answer.
    async fn open(mut stream: S, handshake: [u8; 4]) -> (Self, [u8; 4]) {
        stream.write_all(&handshake).await.unwrap();
        let mut answer = [0; 4];
        within("a handshake", stream.read_exact(&mut answer)).await.unwrap();
        (Self { stream }, answer)
    }

    /// Opens a session. Returns its WELCOME, or another answer.
    async fn hello(&mut self, details: Value) -> Value {
        self.send(&json!([1, "realm1", details])).await;
        self.receive().await
    }

    async fn join(stream: S) -> Self {
        let (mut client, answer) = Self::open(stream, JSON).await;
        assert_eq!(answer, [0x7f, 0xb1, 0, 0], "1 MiB");
        let roles = json!({ "subscriber": {}, "publisher": {}, "caller": {} });
        let welcome = client.hello(json!({ "roles": roles })).await;
        assert_eq!(welcome[0], 2, "{welcome}");
        client
    }

    async fn send(&mut self, message: &Value) {
        self.frame(0, &serde_json::to_vec(message).unwrap()).await;
    }

    async fn frame(&mut self, kind: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let header = [kind, length[1], length[2], length[3]];
        self.stream.write_all(&[&header, payload].concat()).await.unwrap();
    }

    async fn next(&mut self) -> (u8, Vec<u8>) {
        let mut header = [0; 4];
        within("a frame", self.stream.read_exact(&mut header)).await.unwrap();
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let mut payload = vec![0; length];
        within("a payload", self.stream.read_exact(&mut payload)).await.unwrap();
        (header[0], payload)
    }

    async fn receive(&mut self) -> Value {
        let (kind, payload) = self.next().await;
        assert_eq!(kind, 0);
        serde_json::from_slice(&payload).unwrap()
    }

    /// Reads until the end of the connection.
    async fn end(&mut self) {
        let mut rest = Vec::new();
        match within("the end", self.stream.read_to_end(&mut rest)).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        assert_eq!(rest, b"");
    }
}

async fn tcp(server: &Server) -> TcpStream {
    TcpStream::connect(server.addr).await.unwrap()
}

/// Publishes from a RawSocket to a WebSocket, and back.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut RawClient<S>, server: &Server) {
    let mut client = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    client.subscribe("open.a", json!({})).await;
    raw.send(&json!([32, 1, {}, "open.a"])).await;
    let subscribed = raw.receive().await;
    assert_eq!(subscribed[0], 33, "{subscribed}");
    raw.send(&json!([16, 2, { "acknowledge": true }, "open.a", ["ünï", 1]])).await;
    assert_eq!(raw.receive().await[0], 17);
    assert_eq!(client.event().await.args, json!(["ünï", 1]));
    let long = "x".repeat(300_000);
    for text in ["short", &long] {
        let args = json!([text]);
        client.publish_acknowledged("open.a", json!({}), args, Value::Null).await.unwrap();
        assert_eq!(raw.receive().await[4], json!([text]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_transports_share_a_port() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    let mut raw = RawClient::join(tcp(&server).await).await;
    exchange(&mut raw, &server).await;
    // A ping has its payload back, and between two messages.
    raw.frame(1, b"are you there").await;
    assert_eq!(raw.next().await, (2, b"are you there".to_vec()));
    raw.send(&json!([6, {}, "wamp.close.close_realm"])).await;
    assert_eq!(raw.receive().await[0], 6);
    raw.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_with_tls_and_at_a_unix_socket() {
    let secure = Secure::start(SETTINGS).await;
    let from = std::net::Ipv4Addr::LOCALHOST.into();
    let tunnel = Tunnel::open(secure.addr, "localhost", &secure.certificate(), from).await;
    let stream = TcpStream::connect(tunnel.addr).await.unwrap();
    exchange(&mut RawClient::join(stream).await, &secure.server).await;

    let site = Site::open();
    let socket = site.file("raw.sock");
    let listener = format!("{{ socket: '{}', rawsocket: true }}", socket.display());
    let config = format!("listen: 127.0.0.1:0\nlisteners: [{listener}]\n");
    let server = Server::configured(site.path(), &config);
    let stream = UnixStream::connect(&socket).await.unwrap();
    exchange(&mut RawClient::join(stream).await, &server).await;
    // The other listener does not speak it: it answers as to any text that is no HTTP.
    let mut stream = tcp(&server).await;
    stream.write_all(&JSON).await.unwrap();
    let mut answer = Vec::new();
    within("an answer", stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_handshakes_with_the_errors_of_the_specification() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    for (handshake, error) in [
        ([0x7f, 0xf4, 0, 0], 1),
        ([0x7f, 0xf0, 0, 0], 1),
        ([0x7f, 0xf1, 0, 1], 3),
        ([0x7f, 0xf1, 1, 0], 3),
    ] {
        let (mut client, answer) = RawClient::open(tcp(&server).await, handshake).await;
        assert_eq!(answer, [0x7f, error << 4, 0, 0], "{handshake:x?}");
        client.end().await;
    }
    // Half a handshake, and one in single bytes.
    let mut half = tcp(&server).await;
    half.write_all(&JSON[..2]).await.unwrap();
    half.shutdown().await.unwrap();
    let mut stream = tcp(&server).await;
    stream.set_nodelay(true).unwrap();
    for byte in JSON {
        stream.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut answer = [0; 4];
    within("a handshake", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, [0x7f, 0xb1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violation_is_answered_and_ends_the_connection() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    // A reserved bit; an unknown kind; more than the server takes; a long ping; no UTF-8; no message.
    let too_long = [0, 0x20, 0, 0];
    for frame in [
        &[0x10, 0, 0, 0][..],
        &[3, 0, 0, 0],
        &too_long,
        &[1, 0, 0, 126],
        &[0, 0, 0, 1, 0xff],
        &[0, 0, 0, 2, b'{', b'}'],
    ] {
        let mut client = RawClient::join(tcp(&server).await).await;
        client.stream.write_all(frame).await.unwrap();
        let abort = client.receive().await;
        assert_eq!(
            (&abort[0], &abort[2]),
            (&json!(3), &json!("wamp.error.protocol_violation")),
            "{abort}"
        );
        client.end().await;
    }
    // The server lives.
    let mut client = RawClient::join(tcp(&server).await).await;
    exchange(&mut client, &server).await;
}

/// A message that is longer than a client takes is refused or dropped, and the client stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_no_message_that_it_does_not_take() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    // 4 KiB.
    let (mut client, _) = RawClient::open(tcp(&server).await, [0x7f, 0x31, 0, 0]).await;
    let roles = json!({ "subscriber": {}, "callee": {}, "caller": {} });
    let welcome = client.hello(json!({ "roles": roles })).await;
    assert_eq!(welcome[0], 2, "{welcome}");
    client.send(&json!([32, 1, {}, "open.a"])).await;
    assert_eq!(client.receive().await[0], 33);
    client.send(&json!([64, 2, {}, "open.p"])).await;
    assert_eq!(client.receive().await[0], 65);
    let mut other = Client::connect(server.addr, Codec::Json, "realm1").await;
    for length in [4_000, 4_096, 5] {
        let args = json!(["x".repeat(length)]);
        other.publish_acknowledged("open.a", json!({}), args, Value::Null).await.unwrap();
    }
    for length in [4_000, 5] {
        assert_eq!(client.receive().await[4][0].as_str().unwrap().len(), length);
    }
    // A call of it …
    let long = json!(["x".repeat(5_000)]);
    let refused = other.call("open.p", json!({}), long.clone(), Value::Null).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.payload_size_exceeded");
    // … and a result for it.
    other.register("open.q", json!({})).await.unwrap();
    client.send(&json!([48, 3, {}, "open.q"])).await;
    let invocation = other.invocation().await;
    other.send(&json!([70, invocation[1], {}, long]));
    let error = client.receive().await;
    let expected = (&json!(8), &json!("wamp.error.payload_size_exceeded"));
    assert_eq!((&error[0], &error[4]), expected, "{error}");
}

/// A RawSocket names no page, so it is a program.
#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_programs_hold() {
    let site = Site::open();
    let settings = "access: { rawsocket: true, origins: [shop.example], path: /ws }\n";
    let server = Server::configured(site.path(), settings);
    let (mut client, answer) = RawClient::open(tcp(&server).await, JSON).await;
    // Without a method to prove who it is: no session, ever.
    assert_eq!(answer, [0x7f, 0x40, 0, 0]);
    client.end().await;
    server.logged("connection refused");
    // Beyond the limit of connections.
    let settings = "access: { rawsocket: true, path: /ws }\nlimits: { connections: 1 }\n";
    let site = Site::open();
    let server = Server::configured(site.path(), settings);
    let _first = RawClient::join(tcp(&server).await).await;
    let (mut second, answer) = RawClient::open(tcp(&server).await, JSON).await;
    assert_eq!(answer, [0x7f, 0x40, 0, 0]);
    second.end().await;
}
