//! The admin listener: the API of the control channel at an address, its tokens, and requests of web
//! pages.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Output, ask, command, run, status};
use jackfield_tests::build;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

pub(crate) const CONSOLE: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const READER: &str = "fedcba9876543210fedcba9876543210";

/// The settings of a listener at a free port of the loopback device.
pub(crate) fn settings() -> String {
    format!(
        "admin:\n  listen: 127.0.0.1:0\n  tokens:\n    - {{ name: console, token: {CONSOLE} }}\n    \
         - {{ name: reader, token: {READER}, read_only: true }}\n"
    )
}

pub(crate) fn address(server: &Server) -> SocketAddr {
    let log = server.logged("the admin listener is open");
    let rest = log.split_once("the admin listener is open address=").unwrap().1;
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// Sends a request, and reads until the end: status, head and JSON.
async fn send(address: SocketAddr, request: &str) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP response");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    (status, head.to_owned(), serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
}

/// Asks an endpoint with these lines of the head.
async fn request(
    address: SocketAddr,
    line: &str,
    head: &[&str],
    body: &str,
) -> (u16, String, Value) {
    let length = body.len();
    let head = [head, &[&format!("Content-Length: {length}")]].concat().join("\r\n");
    let request = format!("{line} HTTP/1.1\r\n{head}\r\n\r\n{body}");
    send(address, &request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_the_api_to_holders_of_a_token() {
    let site = Site::open();
    let server = Server::configured(site.path(), &settings());
    let address = address(&server);
    let console = format!("Authorization: Bearer {CONSOLE}");
    let reader = format!("Authorization: Bearer {READER}");
    let host = format!("Host: {address}");

    let (code, head, found) = request(address, "GET /v1/status", &[&host, &console], "").await;
    assert_eq!((code, &found["pid"]), (200, &status(&server).await["pid"]), "{found}");
    let head = head.to_lowercase();
    assert!(head.contains("cache-control: no-store"), "{head}");
    assert!(!head.contains("access-control-"), "no page of another origin may read it: {head}");
    let (code, _, found) = request(address, "GET /v1/history", &[&host, &reader], "").await;
    assert_eq!((code, found["plugin_count"].is_u64()), (200, true), "{found}");

    let (code, _, denied) = request(address, "POST /v1/reload", &[&host, &reader], "").await;
    assert_eq!((code, &denied["error"]), (403, &json!("wamp.error.not_authorized")), "{denied}");
    assert!(denied["message"].as_str().unwrap().contains("`reader` is for reading"), "{denied}");
    assert!(!server.log().contains("jackfield::audit"));
    let (code, _, done) = request(address, "POST /v1/reload", &[&host, &console], "{}").await;
    assert_eq!((code, &done["result"]), (200, &json!("unchanged")), "{done}");
    let log = server.logged("jackfield::audit");
    let line = log.lines().find(|line| line.contains("jackfield::audit")).unwrap();
    assert!(line.contains(r#"action="reload""#), "{line}");
    assert!(line.contains(r#"token="console" address="127.0.0.1""#), "{line}");
    assert!(!line.contains("uid="), "{line}");

    // A token is no right to the files of the machine.
    for (endpoint, body) in [
        ("shadow", json!({ "plugin": "jackfield-broadcast", "file": "/etc/passwd" })),
        ("canary", json!({ "plugin": "jackfield-broadcast", "file": "/a", "share": "1%" })),
        ("store/backup", json!({ "file": site.file("stolen") })),
    ] {
        let line = format!("POST /v1/{endpoint}");
        let (code, _, denied) =
            request(address, &line, &[&host, &console], &body.to_string()).await;
        assert_eq!(code, 403, "{endpoint}: {denied}");
        assert!(denied["message"].as_str().unwrap().contains("control socket only"), "{denied}");
    }
    assert!(!site.file("stolen").exists());
    for token in [CONSOLE, READER] {
        assert!(!server.log().contains(token));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_strangers_and_web_pages() {
    let site = Site::open();
    let server = Server::configured(site.path(), &settings());
    let address = address(&server);
    let token = format!("Authorization: Bearer {CONSOLE}");
    let host = format!("Host: {address}");
    let cases: &[(&[&str], u16)] = &[
        (&[&host], 401),
        (&[&host, "Authorization: Bearer 0123456789abcdef0123456789abcdee"], 401),
        (&[&host, "Authorization: Bearer "], 401),
        (&[&host, "Authorization: Basic Y29uc29sZTo="], 401),
        // A page whose domain leads to 127.0.0.1, one that is open elsewhere, and an image of it.
        (&["Host: rebound.example", &token], 403),
        (&[&host, &token, "Origin: https://evil.example"], 403),
        (&[&host, &token, "Origin: null"], 403),
        (&[&host, &token, "Sec-Fetch-Site: cross-site"], 403),
        (&[&host, &host, &token], 400),
    ];
    for (head, expect) in cases {
        for line in ["GET /v1/status", "POST /v1/reload", "GET /v1/nothing"] {
            let (code, answered, problem) = request(address, line, head, "").await;
            assert_eq!(code, *expect, "{line} {head:?}: {problem}");
            assert!(problem["error"].is_string() && problem.get("pid").is_none(), "{problem}");
            let challenges = answered.to_lowercase().contains("www-authenticate: bearer");
            assert_eq!(challenges, code == 401, "{answered}");
        }
    }
    let log = server.logged("its token is unknown");
    assert!(log.contains("peer=127.0.0.1"), "{log}");
    assert!(!log.contains("jackfield::audit"), "{log}");
    // A page that the listener has served itself may ask.
    let own = format!("Origin: http://{address}");
    let (code, _, _) = request(
        address,
        "GET /v1/status",
        &[&host, &token, &own, "Sec-Fetch-Site: same-origin"],
        "",
    )
    .await;
    assert_eq!(code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_token_keep_no_operator_out() {
    let site = Site::open();
    let server = Server::configured(site.path(), &settings());
    let address = address(&server);
    let head = format!("Host: {address}\r\nAuthorization: Bearer {CONSOLE}");
    let mut silent = Vec::new();
    for _ in 0..3 {
        for _ in 0..100 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost").await.unwrap();
            silent.push(stream);
        }
        let (code, _, _) = request(address, "GET /v1/status", &[&head], "").await;
        assert_eq!(code, 200);
    }
    server.logged(
        "maximum admin connections reached: one that had sent no accepted request was closed",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_place_get_an_answer() {
    let site = Site::open();
    let server = Server::configured(site.path(), &settings());
    let address = address(&server);
    let head = format!("Host: {address}\r\nAuthorization: Bearer {CONSOLE}");
    let mut open = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        keep_open(&mut stream, &head).await;
        open.push(stream);
    }
    // The server reads and drops their requests, one of them larger than all buffers, so that their clients
    // read the answer.
    for bytes in [0, 64, 16 << 20] {
        let (code, _, answer) =
            request(address, "POST /v1/reload", &[&head], &"x".repeat(bytes)).await;
        assert_eq!((code, &answer["error"]), (503, &json!("jackfield.error.too_many_requests")));
    }
    // Without a body in time, each is answered and ended.
    for stream in &mut open {
        let mut rest = Vec::new();
        let _reset = within("its end", stream.read_to_end(&mut rest)).await;
    }
    drop(open);
    within("a place", async {
        while request(address, "GET /v1/status", &[&head], "").await.0 != 200 {}
    })
    .await;
    // A body that is too large is not read to its end before the answer.
    let (code, _, _) = request(address, "POST /v1/reload", &[&head], &"x".repeat(16 << 20)).await;
    assert_eq!(code, 413);
}

/// Sends a request whose body does not come, and waits until the server has accepted its head.
pub(super) async fn keep_open(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), head: &str) {
    let request = format!(
        "POST /v1/reload HTTP/1.1\r\n{head}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    within("the server asks for the body", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_token() {
    let site = Site::open();
    let server = Server::configured(site.path(), &settings());
    let address = address(&server);
    let host = format!("Host: {address}");
    for (path, key) in [("/livez", "live"), ("/readyz", "ready")] {
        let (code, _, answer) = request(address, &format!("GET {path}"), &[&host], "").await;
        assert_eq!((code, &answer[key]), (200, &json!(true)), "{path}: {answer}");
        let (code, answer) = super::ask(&server.control_socket(), "GET", path, "").await;
        assert_eq!((code, &answer[key]), (200, &json!(true)), "{path}: {answer}");
        let rebound = "Host: rebound.example";
        assert_eq!(request(address, &format!("GET {path}"), &[rebound], "").await.0, 403);
    }
    let (code, _, _) = request(address, "GET /v1/status", &[&host], "").await;
    assert_eq!(code, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn listens_on_a_unix_socket_for_its_own_user() {
    let site = Site::open();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let config = format!("control: {{ socket: off }}\nadmin: {{ listen: {} }}\n", path.display());
    let mut server = Server::configured(site.path(), &config);
    assert_eq!(server.control_socket(), path);
    let (code, found) = ask(&path, "GET", "/v1/status", "").await;
    assert_eq!((code, &found["pid"]), (200, &json!(server.pid())));
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_place_that_cannot_be_used_ends_the_start() {
    let site = Site::open();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    for (config, expect) in [
        (
            settings().replace("127.0.0.1:0", &address),
            format!("failed to listen on {address} (admin.listen)"),
        ),
        ("admin: { listen: '0.0.0.0:9' }\n".to_owned(), "there are no `admin.tokens`".to_owned()),
        (
            "admin: { listen: '0.0.0.0:9', tokens: [{ name: a, token: { file: /no/such } }] }\n"
                .to_owned(),
            "the token `a` is missing".to_owned(),
        ),
    ] {
        std::fs::write(file.path(), &config).unwrap();
        let site = site.path().to_str().unwrap();
        let config = file.path().to_str().unwrap();
        let mut serve = command(&["serve", site, "--listen", "127.0.0.1:0", "--config", config]);
        serve.env("XDG_CACHE_HOME", build::cache());
        let Output { code, err, .. } = run(serve);
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(&expect) && err.contains("= help: "), "{expect} is not in\n{err}");
    }
}
