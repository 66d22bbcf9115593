//! Compression of messages (permessage-deflate): the negotiation, events for mixed subscribers, hostile
//! messages, and clients of others.

use std::fmt::Write as _;
use std::net::SocketAddr;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::peer;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;

pub(crate) const SETTINGS: &str = "access: { compression: true }\nmetrics: { enabled: true }\n";
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// The first bytes of frames: text, and the bit of compressed messages.
const TEXT: u8 = 0x81;
const COMPRESSED: u8 = 0x40;

/// A client that reads and writes frames as they are.
struct RawClient<S> {
    stream: S,
    requests: u64,
}

/// Opens a WebSocket of WAMP v2 with this offer. Returns the answer to it.
async fn open<S>(mut stream: S, offer: &str) -> (RawClient<S>, Option<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: wamp.2.json\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a response", stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let answer = fields.find(|(name, _)| *name == "Sec-WebSocket-Extensions");
    (RawClient { stream, requests: 0 }, answer.map(|(_, value)| value.to_owned()))
}

async fn tcp(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

impl RawClient<TcpStream> {
    /// Opens a session that has negotiated compression.
    async fn join(server: &Server) -> Self {
        let (mut client, answer) = open(tcp(server.addr).await, OFFER).await;
        assert_eq!(answer.as_deref(), Some(ANSWER));
        client.hello().await;
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> RawClient<S> {
    async fn hello(&mut self) {
        let roles = json!({ "publisher": {}, "subscriber": {} });
        self.send(&json!([1, "realm1", { "roles": roles }])).await;
        assert_eq!(self.message().await[0], 2);
    }

    async fn subscribe(&mut self, topic: &str) {
        self.requests += 1;
        self.send(&json!([32, self.requests, {}, topic])).await;
        assert_eq!(self.message().await[0], 33);
    }

    /// Sends a compressed message.
    async fn send(&mut self, message: &Value) {
        self.frame(TEXT | COMPRESSED, &deflate(message.to_string().as_bytes())).await;
    }

    async fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match u16::try_from(payload.len()) {
            Ok(length @ 0..126) => frame.push(0x80 | u8::try_from(length).unwrap()),
            Ok(length) => {
                frame.push(0xfe);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(0xff);
                frame.extend((payload.len() as u64).to_be_bytes());
            }
        }
        // The key is zero.
        frame.extend([0; 4]);
        frame.extend(payload);
        // A server that refuses a message may not read all of it.
        let _written = self.stream.write_all(&frame).await;
    }

    /// Returns the first byte and the payload of the next frame, but of no ping.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        within("a frame", async {
            loop {
                let first = self.stream.read_u8().await.unwrap();
                let length = match self.stream.read_u8().await.unwrap() {
                    126 => u64::from(self.stream.read_u16().await.unwrap()),
                    127 => self.stream.read_u64().await.unwrap(),
                    length => length.into(),
                };
                let mut payload = vec![0; usize::try_from(length).unwrap()];
                self.stream.read_exact(&mut payload).await.unwrap();
                if first != 0x89 {
                    return (first, payload);
                }
            }
        })
        .await
    }

    /// Returns the next message, inflated if it is compressed.
    async fn message(&mut self) -> Value {
        let (first, payload) = self.next().await;
        let payload = match first {
            TEXT => payload,
            _ if first == TEXT | COMPRESSED => inflate(&payload),
            _ => panic!("{first:x}: {}", payload.escape_ascii()),
        };
        serde_json::from_slice(&payload).unwrap()
    }

    /// Returns the code with which the server closes the connection.
    async fn close_code(&mut self) -> u16 {
        loop {
            let (first, payload) = self.next().await;
            if first == 0x88 {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(content.len() + 100);
    let mut compressor = Compress::new(Compression::default(), false);
    compressor.compress_vec(content, &mut compressed, FlushCompress::Sync).unwrap();
    assert!(compressed.ends_with(&[0, 0, 0xff, 0xff]));
    compressed.truncate(compressed.len() - 4);
    compressed
}

fn inflate(message: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(1 << 20);
    let mut decompressor = Decompress::new(false);
    for part in [message, &[0, 0, 0xff, 0xff]] {
        decompressor.decompress_vec(part, &mut content, FlushDecompress::Sync).unwrap();
    }
    content
}

/// A text that compresses about as an event in JSON.
fn long_text(bytes: usize) -> String {
    let mut text = String::new();
    for number in 0_usize.. {
        if text.len() >= bytes {
            break;
        }
        write!(text, "order {} of ünï, ", number * 7919 % 1000).unwrap();
    }
    text
}

/// Returns the bytes that were sent to clients of WAMP v2 with JSON.
pub(crate) async fn sent_bytes(server: &Server) -> usize {
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = http.answer().await;
    let mut lines = page.body.lines().filter(|line| line.starts_with("jackfield_bytes_total{"));
    let line = lines.find(|line| line.contains("\"sent\"") && line.contains("\"json\""));
    let line = line.unwrap_or_else(|| panic!("{}", page.body));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_negotiated_where_it_is_on() {
    let site = Site::open();
    let socket = site.file("plain.sock");
    let listener = format!("{{ socket: '{}', compression: false }}", socket.display());
    let config = format!("listen: 127.0.0.1:0\nlisteners: [{listener}]\n{SETTINGS}");
    let server = Server::configured(site.path(), &config);
    let with_window = format!("{ANSWER}; server_max_window_bits=12");
    for (offer, expected) in [
        (OFFER, Some(ANSWER)),
        (
            "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8, permessage-deflate",
            Some(ANSWER),
        ),
        ("permessage-deflate; server_max_window_bits=15", Some(&with_window[..])),
        ("permessage-deflate; unknown", None),
        ("permessage-bzip2", None),
    ] {
        let (mut client, answer) = open(tcp(server.addr).await, offer).await;
        assert_eq!(answer.as_deref(), expected, "{offer}");
        if answer.is_none() {
            client.frame(TEXT | COMPRESSED, &deflate(b"[]")).await;
            assert_eq!(client.close_code().await, 1002);
        }
    }
    let (_, answer) = open(UnixStream::connect(&socket).await.unwrap(), OFFER).await;
    assert_eq!(answer, None, "the listener has it off");

    // A change is for new connections.
    let mut open_before = RawClient::join(&server).await;
    server.reconfigure(&config.replace("compression: true", "compression: false"));
    within("the new setting", async {
        while open(tcp(server.addr).await, OFFER).await.1.is_some() {}
    })
    .await;
    open_before.subscribe("open.a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_by_default() {
    let site = Site::open();
    let server = Server::start(site.path());
    let (_, answer) = open(tcp(server.addr).await, OFFER).await;
    assert_eq!(answer, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_with_and_without_it_get_the_same_events() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    let mut plain = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut binary = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    let mut publisher = Client::connect(server.addr, Codec::MsgPack, "realm1").await;
    for client in [&mut plain, &mut binary] {
        client.subscribe("open.a", json!({})).await;
    }
    let mut compressed = Vec::new();
    for _ in 0..3 {
        let mut client = RawClient::join(&server).await;
        client.subscribe("open.a").await;
        compressed.push(client);
    }
    for (text, is_compressed) in
        [("short".to_owned(), false), (long_text(20_000), true), (long_text(900_000), true)]
    {
        let before = sent_bytes(&server).await;
        let args = json!([text]);
        publisher
            .publish_acknowledged("open.a", json!({}), args.clone(), Value::Null)
            .await
            .unwrap();
        assert_eq!(plain.event().await.args, args);
        assert_eq!(binary.event().await.args, args);
        let mut frames = Vec::new();
        for client in &mut compressed {
            frames.push(client.next().await);
        }
        let (first, payload) = &frames[0];
        assert!(frames.iter().all(|frame| *frame == frames[0]), "one frame for all");
        assert_eq!(*first == TEXT | COMPRESSED, is_compressed);
        let content = if is_compressed { inflate(payload) } else { payload.clone() };
        let event: Value = serde_json::from_slice(&content).unwrap();
        assert_eq!((&event[0], &event[4]), (&json!(36), &args));
        if is_compressed {
            assert!(payload.len() < text.len() / 3, "{} of {}", payload.len(), text.len());
            // Bytes are counted as they were sent: one plain frame, and three compressed ones.
            let sent = sent_bytes(&server).await - before;
            let expected = content.len() + 3 * payload.len();
            assert!((expected..expected + 100).contains(&sent), "{sent}, {expected}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_may_be_compressed_in_fragments() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open.a", json!({})).await;
    let mut publisher = RawClient::join(&server).await;
    let args = json!([long_text(500_000)]);
    let message = json!([16, 1, { "acknowledge": true }, "open.a", args]).to_string();
    let message = deflate(message.as_bytes());
    let (begin, rest) = message.split_at(100);
    let (middle, end) = rest.split_at(rest.len() / 2);
    publisher.frame(0x01 | COMPRESSED, begin).await;
    publisher.frame(0x89, b"within").await;
    publisher.frame(0x00, middle).await;
    publisher.frame(0x00, b"").await;
    publisher.frame(0x80, end).await;
    assert_eq!(publisher.next().await, (0x8a, b"within".to_vec()));
    assert_eq!(publisher.message().await[0], 17);
    assert_eq!(subscriber.event().await.args, args);
    // A plain message may follow.
    let message = json!([16, 2, { "acknowledge": true }, "open.a", [1]]).to_string();
    publisher.frame(TEXT, message.as_bytes()).await;
    assert_eq!(publisher.message().await[0], 17);
    assert_eq!(subscriber.event().await.args, json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_end_their_connection_alone() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    let mut other = RawClient::join(&server).await;
    // 64 MiB of spaces.
    let bomb = deflate(&vec![b' '; 1 << 26]);
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let before = server.memory();
    for _ in 0..20 {
        let mut client = RawClient::join(&server).await;
        client.frame(TEXT | COMPRESSED, &bomb).await;
        assert_eq!(client.close_code().await, 1009);
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes");
    let mut not_utf_8 = vec![0x00, 0x01, 0x00, 0xfe, 0xff, 0xc3, 0x00];
    for (first, payload, code) in [
        (TEXT | COMPRESSED, &[0x07][..], 1007),
        (TEXT | COMPRESSED, &not_utf_8[..], 1007),
        (TEXT | COMPRESSED, &[0x03, 0x00].repeat(10_000), 1007),
        // Controls and continuations, and the other reserved bits.
        (0x89 | COMPRESSED, b"", 1002),
        (0x80 | COMPRESSED, b"", 1002),
        (TEXT | 0x20, b"", 1002),
    ] {
        let mut client = RawClient::join(&server).await;
        client.frame(first, payload).await;
        assert_eq!(client.close_code().await, code, "{first:x} {payload:x?}");
    }
    not_utf_8.clear();
    other.subscribe("open.a").await;
}

/// Returns the answers to the offers of each client of a script.
async fn answers(mut command: Command, server: &Server) -> Vec<(String, String)> {
    command.arg(format!("ws://{}/", server.addr)).arg("open.own").kill_on_drop(true);
    let output = within("a script", command.output()).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("client"), text("extensions"))
    };
    lines.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_use_it() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    let window = format!("{ANSWER}; server_max_window_bits=12");
    let mut python = Command::new(peer::installed("python/bin/python"));
    python.arg(peer::script("python/compression.py"));
    let before = sent_bytes(&server).await;
    let python = answers(python, &server).await;
    let python: Vec<_> = python.iter().map(|(client, it)| (&client[..], &it[..])).collect();
    assert_eq!(
        python,
        [
            ("websockets", &window[..]),
            ("any window", ANSWER),
            ("small window of the client", ANSWER),
            ("contexts", ANSWER),
            ("small window of the server", ""),
            ("second offer", ANSWER),
            ("autobahn", ANSWER),
        ]
    );
    // Two of 13 events of 40 kB were not compressed.
    let sent = sent_bytes(&server).await - before;
    assert!((80_000..240_000).contains(&sent), "{sent}");
    let node = answers(peer::node("compression.mjs"), &server).await;
    let node: Vec<_> = node.iter().map(|(client, it)| (&client[..], &it[..])).collect();
    assert_eq!(
        node,
        [("ws", ANSWER), ("small windows", &window[..]), ("contexts", ANSWER), ("off", "")]
    );
}
