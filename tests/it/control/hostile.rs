//! Clients of the control socket that send too much, too slowly, or read nothing.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{Compiling, ask, exchange, status};
use crate::compiler_process::{poll, signal};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn rejects_what_is_too_large() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    let socket = server.control_socket();
    let long = "x".repeat(100_000);
    for head in [
        format!("GET /v1/{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
        format!("{long}\r\n\r\n"),
    ] {
        let (code, _) = exchange(&socket, head).await;
        assert!([400, 414, 431].contains(&code), "{code}");
    }
    let many = "x: 1\r\n".repeat(500);
    let (code, _) = exchange(&socket, format!("GET /v1/status HTTP/1.1\r\n{many}\r\n")).await;
    assert!([400, 431].contains(&code), "{code}");
    let (code, problem) = ask(&socket, "POST", "/v1/reload", &long).await;
    assert_eq!((code, &problem["error"]), (413, &json!("wamp.error.payload_size_exceeded")));
    let endless = format!(
        "POST /v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        format!("ffff\r\n{}\r\n", "x".repeat(0xffff)).repeat(3)
    );
    let (code, _) = exchange(&socket, endless).await;
    assert_eq!(code, 413);
    for garbage in ["\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "{\"json\":1}\n\n\r\n\r\n"] {
        let (code, _) = exchange(&socket, garbage).await;
        assert_eq!(code, 400, "{garbage:?}");
    }
    assert!(server.is_alive());
    assert!(!server.log().contains("jackfield::audit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_clients_that_are_slow() {
    let site = Site::open();
    let server = Server::start(site.path());
    let socket = server.control_socket();
    // Without a whole head, without a body, and without reading.
    let mut slow = Vec::new();
    for request in [
        "",
        "GET /v1/status HT",
        "POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
    ] {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        slow.push((request, stream));
    }
    let mut deaf = UnixStream::connect(&socket).await.unwrap();
    deaf.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(status(&server).await["state"], "serving");
    for (request, mut stream) in slow {
        let mut answer = Vec::new();
        let _reset = within("the end", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8(answer).unwrap();
        let is_answered = answer.starts_with("HTTP/1.1 408 ");
        assert!(answer.is_empty() || is_answered, "{request:?}: {answer}");
        assert_eq!(is_answered, request.starts_with("POST"), "{request:?}: {answer}");
    }
    assert!(!server.log().contains("jackfield::audit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_the_connections() {
    let site = Site::open();
    let server = Server::start(site.path());
    let socket = server.control_socket();
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        super::admin::keep_open(&mut stream, "Host: x").await;
        open.push(stream);
    }
    let (code, problem) = ask(&socket, "GET", "/v1/status", "").await;
    assert_eq!((code, &problem["error"]), (503, &json!("jackfield.error.too_many_requests")));
    drop(open);
    within("a place", async { while ask(&socket, "GET", "/v1/status", "").await.0 != 200 {} })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_the_changes_under_way() {
    let site = Site::open();
    let Compiling { server, compiler, _cache } = Compiling::stopped(&site);
    let socket = server.control_socket();
    let no_wait = r#"{"wait_seconds":0}"#;
    for number in 0..64 {
        let (code, answer) = ask(&socket, "POST", "/v1/reload", no_wait).await;
        assert_eq!((code, &answer["result"]), (202, &json!("running")), "{number}");
    }
    let (code, problem) = ask(&socket, "POST", "/v1/reload", no_wait).await;
    assert_eq!((code, &problem["error"]), (429, &json!("jackfield.error.too_many_requests")));
    signal("CONT", compiler);
    // Each has a line: an audit has no gaps.
    poll(|| (server.log().matches("jackfield::audit").count() == 64).then_some(()));
    let (code, _) = ask(&socket, "POST", "/v1/reload", "").await;
    assert_eq!(code, 200);
}
