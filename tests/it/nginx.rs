//! nginx with the examples of `docs/nginx.md`: pages connect over `wss` at `/ws`, their own
//! addresses are used, and no other part of the server is reachable from outside. The admin listener
//! has a `server` of its own.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::control::admin;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::tls::Tunnel;
use jackfield_tests::client::v1::{self, Hangup, Reach, Unreachable};
use jackfield_tests::client::v2;
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Debian installs nginx in a folder that is not in every PATH.
const NGINX: &str = "/usr/sbin/nginx";
const EXAMPLE: &str = include_str!("../../docs/examples/nginx.conf");
const ADMIN_EXAMPLE: &str = include_str!("../../docs/examples/nginx-admin.conf");
pub(crate) const HOST: &str = "shop.example.com";
pub(crate) const ORIGIN: &str = "https://shop.example.com";
/// Loopback addresses that no other program on this machine uses.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// nginx in front of a server, on a port of its own, with a temporary folder.
struct Nginx {
    process: Child,
    addr: SocketAddr,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// Runs the example for pages.
    fn before(server: &Server) -> Self {
        let addr = server.addr;
        Self::with(EXAMPLE, HOST, &[("server 127.0.0.1:8080;", format!("server {addr};"))])
    }

    /// Runs an example for this host, with further changes.
    fn with(text: &str, host: &str, changes: &[(&str, String)]) -> Self {
        installed(NGINX, "nginx-light");
        installed("openssl", "openssl");
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        // Another program may take the port meanwhile; that is rare, and a second attempt works.
        for _ in 0..5 {
            let free = std::net::TcpListener::bind((HERE, 0)).unwrap();
            let addr = free.local_addr().unwrap();
            drop(free);
            let config = example(text, host, folder.path(), addr, changes);
            if let Some(process) = start(folder.path(), &config) {
                return Self { process, addr, folder };
            }
        }
        panic!("nginx finds no port");
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// Opens a TLS tunnel to nginx from this address.
    async fn tunnel(&self, from: IpAddr) -> Tunnel {
        Tunnel::open(self.addr, HOST, &self.certificate(), from).await
    }
}

impl Drop for Nginx {
    /// Ends nginx by SIGTERM, so that its workers end with it.
    fn drop(&mut self) {
        let ended = Command::new("kill").arg(self.process.id().to_string()).status();
        assert!(ended.expect("kill runs").success() || std::thread::panicking());
        let _ended = self.process.wait();
    }
}

/// Creates a certificate for the example's host, and its key.
pub(crate) fn certify(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", &format!("/CN={HOST}"), "-days", "2"])
        .args(["-addext", &format!("subjectAltName=DNS:{HOST}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Returns an example, with this test's values in the lines marked `# CHANGE`. Its host is replaced.
fn example(
    text: &str,
    host: &str,
    folder: &Path,
    addr: SocketAddr,
    changes: &[(&str, String)],
) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    let listen = text.lines().find_map(|it| it.trim().strip_prefix("listen ")?.split(' ').next());
    let common = [
        (format!("listen {}", listen.unwrap()), format!("listen {addr}")),
        (format!("server_name {host};"), format!("server_name {HOST};")),
        (format!("/etc/ssl/certs/{host}.pem"), file("certificate.pem")),
        (format!("/etc/ssl/private/{host}.key"), file("key.pem")),
    ];
    let more = changes.iter().map(|(from, to)| ((*from).to_owned(), to.clone()));
    let changes: Vec<(String, String)> = common.into_iter().chain(more).collect();
    assert_eq!(text.matches("# CHANGE\n").count(), changes.len());
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        let line = text.lines().find(|line| line.contains(from) && line.ends_with("# CHANGE"));
        let line = line.unwrap_or_else(|| panic!("`{from}` is not marked")).to_owned();
        text.replace(&line, &line.replace(from, to))
    })
}

/// Starts nginx and waits until it accepts connections; `None` if its port was taken.
fn start(folder: &Path, config: &str) -> Option<Child> {
    std::fs::write(folder.join("jackfield.conf"), config).unwrap();
    let here = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {here}/{name};\n"))
        .concat();
    let main = format!(
        "daemon off;\nworker_processes 1;\npid {here}/pid;\nerror_log stderr notice;\n\
         events {{ worker_connections 256; }}\n\
         http {{\naccess_log off;\n{temporary}include {here}/jackfield.conf;\n}}\n"
    );
    std::fs::write(folder.join("nginx.conf"), main).unwrap();
    let mut process = Command::new(NGINX)
        // Debian's default log file is not writable for every user.
        .args(["-e", "stderr", "-p"])
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nginx runs");
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for line in &mut lines {
        let line = line.expect("text");
        if line.contains("start worker process ") {
            // The pipe has to be read, or nginx would block.
            std::thread::spawn(move || lines.for_each(drop));
            return Some(process);
        }
        said.extend([&line, "\n"]);
    }
    let _ended = process.wait();
    assert!(said.contains("Address already in use"), "nginx did not start:\n{said}");
    None
}

/// Connects a page of this origin.
pub(crate) async fn page(tunnel: &Tunnel, origin: Option<&str>) -> Result<v1::Client, Unreachable> {
    let mut options = v1::Options::default();
    "/ws".clone_into(&mut options.handshake.path);
    options.handshake.origin = origin.map(str::to_owned);
    v1::Client::connect_with(tunnel.addr, options).await
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    let mut http = Http::connect(addr).await;
    http.send(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    http.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_both_versions_exchange_events() {
    let site = Site::open();
    let server = Server::configured(site.path(), "access: { proxies: [127.0.0.1] }");
    let nginx = Nginx::before(&server);
    let tunnel = nginx.tunnel(HERE).await;
    let mut old = page(&tunnel, Some(ORIGIN)).await.unwrap();
    old.session().await;
    old.subscribe("open/t");
    old.round_trip().await;
    let mut new = Vec::new();
    for codec in Codec::ALL {
        let mut options = v2::Options::new(codec);
        options.handshake.path = "/ws/?x=1".to_owned();
        let connected = v2::Client::connect_with(tunnel.addr, codec, "realm1", options).await;
        let mut client = connected.unwrap();
        client.subscribe("open/t", json!({})).await;
        new.push(client);
    }
    // The backend connects to the server directly.
    let mut backend = v1::Client::connect(server.addr).await;
    let large = json!("x".repeat(300_000));
    for event in [json!(1), large, json!({"a": "é"})] {
        backend.publish("open/t", &event, &Reach::Plain);
        assert_eq!(old.event().await.event, event);
        for client in &mut new {
            assert_eq!(client.event().await.args, json!([event]));
        }
    }
    old.publish("open/t", &json!("back"), &Reach::ExcludeMe(true));
    for client in &mut new {
        assert_eq!(client.event().await.args, json!(["back"]));
    }
    backend.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exposes_health_and_nothing_else() {
    let site = Site::open();
    let config = "api: { tokens: [{ name: shop, token: 0123456789abcdef0123456789abcdef }] }";
    let server = Server::configured(site.path(), config);
    let nginx = Nginx::before(&server);
    let tunnel = nginx.tunnel(HERE).await;
    let mut http = Http::connect(tunnel.addr).await;
    for _ in 0..3 {
        http.send(format!("GET /ws/health HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
        let answer = http.answer().await;
        assert_eq!((answer.status, &answer.json()["ok"]), (200, &json!(true)), "{answer:?}");
    }
    // The page for browsers.
    let answer = get(tunnel.addr, "/ws").await;
    assert!(answer.status == 200 && answer.body.contains("It is working"), "{answer:?}");
    // With a trailing slash.
    let answer = get(tunnel.addr, "/ws/").await;
    assert!(answer.status == 200 && answer.body.contains("It is working"), "{answer:?}");
    for path in ["/sync.js", "/sync.classic.js", "/sync/content.js", "/sync/model.classic.js"] {
        let answer = get(tunnel.addr, path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("text/javascript; charset=utf-8")),
            "{path}"
        );
    }
    // This path belongs to the application.
    assert_eq!(get(tunnel.addr, "/sync/ticket").await.status, 404);
    for path in ["/api/publish", "/ws/api/publish", "/health", "/ws/x", "/wss", "/ws/../api/call"] {
        assert_eq!(get(tunnel.addr, path).await.status, 404, "{path}");
    }
    // Nothing is served without TLS.
    let plain = get(nginx.addr, "/ws/health").await;
    assert_eq!(plain.status, 400, "{plain:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_is_for_operators() {
    let site = Site::open();
    let server = Server::configured(site.path(), &admin::settings());
    let changes = [
        (
            "proxy_pass http://127.0.0.1:9090;",
            format!("proxy_pass http://{};", admin::address(&server)),
        ),
        ("allow 10.0.0.0/24;", format!("allow {HERE};")),
        ("https://admin.example.com:9443", ORIGIN.to_owned()),
    ];
    let nginx = Nginx::with(ADMIN_EXAMPLE, "admin.example.com", &changes);
    let ask = async |from: IpAddr, path: &str, more: &str| {
        let tunnel = nginx.tunnel(from).await;
        let mut http = Http::connect(tunnel.addr).await;
        http.send(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{more}\r\n")).await;
        http.answer().await
    };
    let token = format!("Authorization: Bearer {}\r\n", admin::CONSOLE);
    let answer = ask(HERE, "/v1/status", &token).await;
    assert_eq!((answer.status, &answer.json()["pid"]), (200, &json!(server.pid())), "{answer:?}");
    assert_eq!(ask(HERE, "/v1/status", "").await.status, 401);
    assert_eq!(ask(ELSEWHERE, "/v1/status", &token).await.status, 403);
    // The console, whose pages send their own origin with changes.
    for (path, content) in [("/", "<!doctype html>"), ("/console/main.js", "import ")] {
        let answer = ask(HERE, path, "").await;
        assert!(answer.status == 200 && answer.body.contains(content), "{path}: {answer:?}");
        assert_eq!(ask(ELSEWHERE, path, "").await.status, 403, "{path}");
    }
    assert_eq!(ask(HERE, "/metrics", &token).await.status, 200);
    let console = format!("{token}Origin: {ORIGIN}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(ask(HERE, "/v1/status", &console).await.status, 200);
    // Other pages in an operator's browser.
    for page in ["Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        let page = format!("{token}{page}");
        assert_eq!(ask(HERE, "/v1/status", &page).await.status, 403, "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_origins() {
    let site = Site::open();
    let config = format!("access: {{ proxies: [127.0.0.1], origins: [{HOST}] }}");
    let server = Server::configured(site.path(), &config);
    let nginx = Nginx::before(&server);
    let tunnel = nginx.tunnel(HERE).await;
    for origin in [ORIGIN, "https://shop.example.com:8443", "http://localhost"] {
        page(&tunnel, Some(origin)).await.unwrap().session().await;
    }
    for origin in [Some("https://evil.example"), Some("https://a.shop.example.com"), None] {
        let logged = server.log().len();
        let Err(unreachable) = page(&tunnel, origin).await else { panic!("{origin:?} came in") };
        // Pages reconnect after this code only.
        assert_eq!(unreachable.hangup, Hangup::Unreachable);
        assert_eq!(unreachable.refused.status, Some(403), "{origin:?}: {unreachable:?}");
        server.logged_after(logged, origin.unwrap_or("the Origin header is missing"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_addresses_of_clients() {
    let site = Site::open();
    let server = Server::configured(site.path(), "access: { proxies: [127.0.0.1] }");
    let nginx = Nginx::before(&server);
    let mut client = page(&nginx.tunnel(ELSEWHERE).await, Some(ORIGIN)).await.unwrap();
    client.session().await;
    client.send_text("broken");
    client.ended().await;
    let log = server.logged("protocol violation");
    let line = log.lines().find(|line| line.contains("protocol violation")).unwrap();
    assert!(line.contains(&format!("client={ELSEWHERE}")), "{line}");
    // Without a proxy, the peer's address is used.
    let logged = server.log().len();
    let mut direct = v1::Client::connect(server.addr).await;
    direct.send_text("broken");
    direct.ended().await;
    let log = server.logged_after(logged, "protocol violation");
    assert!(log.contains("connection{peer=127.0.0.1:") && !log.contains("client="), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_addresses_of_clients() {
    let site = Site::open();
    let config = format!("access: {{ proxies: [127.0.0.1], blocked: [{ELSEWHERE}] }}");
    let server = Server::configured(site.path(), &config);
    let nginx = Nginx::before(&server);
    page(&nginx.tunnel(HERE).await, Some(ORIGIN)).await.unwrap().session().await;

    let tunnel = nginx.tunnel(ELSEWHERE).await;
    let Err(unreachable) = page(&tunnel, Some(ORIGIN)).await else { panic!("it is blocked") };
    assert_eq!(unreachable.refused.status, Some(403), "{unreachable:?}");
    let logged = server.logged("is blocked").len();
    assert!(server.log().contains(&format!("the address {ELSEWHERE} is blocked")));

    // Headers from the client are ignored.
    let mut http = Http::connect(tunnel.addr).await;
    http.send(format!(
        "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: wamp\r\n\
         Sec-WebSocket-Version: 13\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
    ))
    .await;
    assert_eq!(http.answer().await.status, 403);
    let log = server.logged_after(logged, "is blocked");
    assert!(log.contains(&ELSEWHERE.to_string()) && !log.contains("203.0.113.9"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn can_require_https() {
    let site = Site::open();
    let config = "access: { proxies: [127.0.0.1], https: true }";
    let server = Server::configured(site.path(), config);
    let nginx = Nginx::before(&server);
    page(&nginx.tunnel(HERE).await, Some(ORIGIN)).await.unwrap().session().await;
    let direct = v1::Client::connect_with(server.addr, v1::Options::default()).await;
    let Err(unreachable) = direct else { panic!("it came in without TLS") };
    assert_eq!(unreachable.refused.status, Some(403), "{unreachable:?}");
    server.logged("did not come through HTTPS");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_reconnect_after_a_restart() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    let nginx = Nginx::before(&server);
    let tunnel = nginx.tunnel(HERE).await;
    let mut client = page(&tunnel, Some(ORIGIN)).await.unwrap();
    client.session().await;
    server.signal("TERM");
    assert_eq!(client.session_hangup().await, Hangup::Lost, "a Close frame would be final");
    server.exit_code();
    let Err(unreachable) = page(&tunnel, Some(ORIGIN)).await else { panic!("the server is down") };
    assert_eq!(unreachable.hangup, Hangup::Unreachable);
    assert_eq!(unreachable.refused.status, Some(502), "{unreachable:?}");
    let server = Server::on(site.path(), server.addr);
    let mut client = page(&tunnel, Some(ORIGIN)).await.unwrap();
    client.session().await;
    server.until_health("sessions", 1);
}
