//! The WebSocket handshake as bytes: what one segment may carry, and how requests are refused that
//! no library sends.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use jackfield_tests::client::http::Http;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// The response to [`upgrade`]; the key is the example of RFC 6455, section 1.3. Some clients compare
/// header names with case.
const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: wamp\r\n\r\n";
const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";

fn upgrade(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: wamp\r\n\r\n"
    )
}

/// A text frame of a client, masked with a key of zeroes.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|it| *it < 126).expect("a short frame");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// Reads until the text arrives, and returns everything read.
async fn read_until(tcp: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    within(text, async {
        while !String::from_utf8_lossy(&read).contains(text) {
            let count = tcp.read_buf(&mut read).await.unwrap();
            assert!(count > 0, "ended: {}", String::from_utf8_lossy(&read));
        }
    })
    .await;
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_an_upgrade_and_welcomes_in_one_read_at_every_target() {
    let site = Site::open();
    let server = Server::start(site.path());
    for target in [
        "/",
        "/ws?ticket=x%3D",
        "ws://127.0.0.1:1/ws?ticket=x%3D",
        "ws://other",
        "ws://other?ticket=x",
        // None of these is a URI; PHP clients check nothing.
        "?ticket=x",
        "/ws?ticket=\"<x>\"",
        "/\u{fc}|{}",
    ] {
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        tcp.write_all(upgrade(target).as_bytes()).await.unwrap();
        let mut answer = vec![0; 8192];
        let length = within(target, tcp.read(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        let behind = answer.strip_prefix(RESPONSE);
        assert!(behind.is_some_and(|it| it.contains("[0,\"")), "{target}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_frames_that_arrive_with_the_request() {
    let site = Site::open();
    let server = Server::start(site.path());
    let frames = [frame(r#"[5,"open/a"]"#), frame(r#"[7,"open/a",1]"#)].concat();
    // The request may be the first of its connection, or follow others.
    for before in ["", HEALTH, &HEALTH.repeat(3)] {
        let request = [before.as_bytes(), upgrade("/").as_bytes(), &frames].concat();
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        tcp.write_all(&request).await.unwrap();
        let answer = read_until(&mut tcp, r#"[8,"open/a",1]"#).await;
        let (others, behind) = answer.split_once(RESPONSE).expect("the upgrade is answered");
        assert_eq!(others.matches("HTTP/1.1 200 ").count(), before.matches("GET").count());
        assert!(behind.find("[0,\"") < behind.find("[8,"), "{behind}");
    }
    // In two segments, at each place that matters to a parser.
    let request = [upgrade("/").as_bytes(), &frames].concat();
    let head = request.len() - frames.len();
    for cut in [1, head - 3, head - 1, head, head + 1, head + 7] {
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.write_all(&request[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        tcp.write_all(&request[cut..]).await.unwrap();
        let answer = read_until(&mut tcp, r#"[8,"open/a",1]"#).await;
        assert!(answer.starts_with(RESPONSE), "cut at {cut}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explains_why_a_first_request_is_malformed() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { handshake: 2 KiB }\n");
    let fields = "X: x\r\n".repeat(64);
    let long = "x".repeat(2100);
    for (request, status, reason) in [
        ("garbage\r\n\r\n".to_owned(), 400, "not an HTTP request"),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), 400, "HTTP version"),
        ("GET / HTTP/1.1\r\nHo st: x\r\n\r\n".to_owned(), 400, "header name"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"), 431, "64 header fields"),
        (format!("GET / HTTP/1.1\r\nX: {long}"), 431, "longer than 2048 bytes"),
        (upgrade("/").replace("GET", "POST"), 405, "GET"),
        (upgrade("/").replace("Version: 13", "Version: 8"), 426, "13"),
        (upgrade("/").replace("wamp", "soap"), 400, "wamp.2.json"),
    ] {
        let mut http = Http::connect(server.addr).await;
        http.send(&request).await;
        let answer = http.answer().await;
        assert_eq!(answer.status, status, "{request:.40} {answer:?}");
        assert!(answer.body.contains(reason), "{request:.40} {answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{request:.40}");
        assert_eq!(answer.header("connection"), Some("close"), "{request:.40}");
        http.ended().await;
    }
    let mut tcp = TcpStream::connect(server.addr).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    tcp.shutdown().await.unwrap();
    let answer = read_until(&mut tcp, "cut short\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
