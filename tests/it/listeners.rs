//! Several listeners: addresses and Unix sockets, each with rules of its own.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::socket::Refused;
use jackfield_tests::client::v2::{self, NoSession};
use jackfield_tests::client::{v1, within};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// An address that is free at the moment.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Sends a request, and returns the answer to the end of the connection.
async fn ask(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    within("the answer", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn status(connecting: impl Future<Output = Result<v2::Client, NoSession>>) -> Option<u16> {
    match connecting.await {
        Ok(_) => None,
        Err(NoSession::Refused(Refused { status, .. })) => status,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_has_its_own_rules() {
    let site = Site::open();
    let addr = free();
    let listener = "path: /ws, origins: [shop.example.com], protocols: [wamp.2.json]";
    let config = format!("listeners: [{{ name: shop, address: '{addr}', {listener} }}]\n");
    let server = Server::configured(site.path(), &config);
    let at = |addr, codec, path: &str, origin: &str| {
        let mut options = v2::Options::new(codec);
        options.handshake.path = path.to_owned();
        options.handshake.origin = Some(origin.to_owned());
        v2::Client::connect_with(addr, codec, "realm1", options)
    };
    let shop = "https://shop.example.com";
    let mut page = at(addr, Codec::Json, "/ws", shop).await.unwrap();
    let mut other = at(server.addr, Codec::Cbor, "/", "https://evil.example").await.unwrap();
    let subscription = page.subscribe("open/a", json!({})).await;
    other.publish("open/a", json!({}), json!([7]), Value::Null);
    assert_eq!(page.event().await.subscription, subscription);
    assert_eq!(status(at(addr, Codec::Json, "/", shop)).await, Some(404));
    assert_eq!(status(at(addr, Codec::Json, "/ws", "https://evil.example")).await, Some(403));
    assert_eq!(status(at(addr, Codec::Cbor, "/ws", shop)).await, Some(400));
    // HTTP is that of the server.
    let mut http = Http::connect(addr).await;
    http.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(http.answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_on_a_unix_socket_alone() {
    let site = Site::open();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("ws.sock");
    let config = format!(
        "listeners: [{{ socket: {}, mode: '0600' }}]\nhealth: {{ probe: {{ interval: 50ms }} }}\n",
        socket.display()
    );
    site.write("jackfield.yml", &config);
    let mut server = Command::new(build::jackfield())
        .arg("serve")
        .arg(site.path())
        .env("XDG_CACHE_HOME", build::cache())
        .env("XDG_STATE_HOME", folder.path())
        .env("XDG_RUNTIME_DIR", build::runtime())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = server.stdout.take().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    assert_eq!(line, format!("listening on unix:{}\n", socket.display()));
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Protocol: wamp\r\n\r\n";
    // A close frame follows, so that the connection ends.
    let upgrade = [upgrade.as_bytes(), b"\x88\x80\0\0\0\0"].concat();
    let answer = ask(&socket, &upgrade).await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("[0,"), "{answer}");
    // The probe goes in from the inside.
    let ready = async {
        let request = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        loop {
            let answer = ask(&socket, request).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            if !answer.contains("\"took_ms\":null") {
                return assert!(answer.contains("\"failures\":0"), "{answer}");
            }
        }
    };
    within("a result of the probe", ready).await;
    let mut health = Command::new(build::jackfield());
    let health = health.arg("health").arg(site.path()).output().unwrap();
    assert!(health.status.success(), "{health:?}");
    let pid = server.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(server.wait().unwrap().success());
    assert!(!socket.exists(), "the socket is removed at the end");
}

#[test]
fn announces_each_listener_with_its_path() {
    let (site, [first, second, third]) = (Site::open(), [free(), free(), free()]);
    let listeners = format!("[{{ address: '{second}', path: /ws }}, {{ address: '{third}' }}]");
    let config = format!("listen: '{first}'\naccess: {{ path: /sync }}\nlisteners: {listeners}\n");
    site.write("jackfield.yml", config);
    let mut server = serve(&site).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    for (address, path) in [(first, "/sync"), (second, "/ws"), (third, "/sync")] {
        let line = lines.next().unwrap().unwrap();
        assert_eq!(line, format!("listening on ws://{address}{path}"));
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn names_the_missing_folder_of_a_socket() {
    let site = Site::open();
    let folder = site.file("missing");
    let socket = folder.join("ws.sock");
    site.write("jackfield.yml", format!("listeners: [{{ socket: '{}' }}]\n", socket.display()));
    let expect = format!("the folder {} does not exist", folder.display());
    for command in &mut [serve(&site), doctor(&site)] {
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&expect) && text.contains("make the folder"), "{text}");
    }
}

fn serve(site: &Site) -> Command {
    let mut command = Command::new(build::jackfield());
    command.arg("serve").arg(site.path()).env("XDG_CACHE_HOME", build::cache());
    command.env("XDG_STATE_HOME", build::cache()).env("XDG_RUNTIME_DIR", build::runtime());
    command
}

fn doctor(site: &Site) -> Command {
    let mut command = Command::new(build::jackfield());
    command.arg("doctor").arg(site.path()).env("XDG_RUNTIME_DIR", build::runtime());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_of_other_pages_take_nothing_of_the_rate() {
    let site = Site::open();
    let config = "access: { origins: [shop.example.com], path: /ws, anonymous: true }\n\
                  limits: { connection_rate: { per_second: 1, burst: 2 } }\n";
    let server = Server::configured(site.path(), config);
    let visit = |path: &str, origin: &str| {
        let mut options = v1::Options::default();
        options.handshake.path = path.to_owned();
        options.handshake.origin = Some(origin.to_owned());
        v1::Client::connect_with(server.addr, options)
    };
    for _ in 0..20 {
        let refused = visit("/ws", "https://evil.example").await.err().unwrap();
        assert_eq!(refused.refused.status, Some(403));
        let refused = visit("/other", "https://shop.example.com").await.err().unwrap();
        assert_eq!(refused.refused.status, Some(404));
    }
    visit("/ws", "https://shop.example.com").await.unwrap();
    visit("/ws", "https://shop.example.com").await.unwrap();
}
