//! Startup until the first generation is ready: signals are obeyed, and the port answers.

use crate::compiler_process::{compiler_of, ended, poll, signal};
use jackfield_tests::build;
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::v1;
use jackfield_tests::heavy_component::slowed;
use jackfield_tests::server::Server;
use jackfield_tests::site::{OPEN_ROUTES, Site};

/// A server that compiles as long as its compiler is stopped.
struct Starting {
    server: Server,
    compiler: u32,
    site: Site,
    _files: (tempfile::TempDir, tempfile::NamedTempFile),
}

impl Starting {
    fn new(config: &str) -> Self {
        let site = Site::new();
        let plugin = std::fs::read(build::plugin("broadcast")).unwrap();
        site.write("open/broadcast.wasm", slowed(&plugin, 20));
        site.write("open/websocket_routing.yml", OPEN_ROUTES);
        let cache = tempfile::tempdir().unwrap();
        let (server, file) = Server::begin(site.path(), config, cache.path());
        let compiler = poll(|| compiler_of(server.pid()));
        signal("STOP", compiler);
        Self { server, compiler, site, _files: (cache, file) }
    }

    async fn ask(&self, request: &str) -> Answer {
        let mut http = Http::connect(self.server.addr).await;
        http.send(request).await;
        http.answer().await
    }
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_it_is_starting_and_then_serves_on_the_same_connection() {
    let mut starting = Starting::new("");
    let addr = starting.server.addr;
    let mut kept = Http::connect(addr).await;
    kept.send(HEALTH).await;
    let health = kept.answer().await;
    assert_eq!(health.status, 200, "{health:?}");
    assert_eq!(health.json()["status"], "starting");
    assert_eq!(health.json()["generation"], 0);

    let ready = starting.ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let expect = ("starting", "the first generation is not ready");
    let ready = ready.json();
    assert_eq!(
        (ready["status"].as_str(), ready["reason"].as_str()),
        (Some(expect.0), Some(expect.1))
    );
    let live = starting.ask("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(live.status, 200, "{live:?}");

    for path in ["/", "/sync.js", "/no/such"] {
        let answer = starting.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    }
    let answer = Http::connect(addr).await.post("/api/publish", &[], "{}").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert_eq!(answer.json()["error"], "wamp.error.unavailable");

    let early = v1::Client::connect_with(addr, v1::Options::default()).await;
    let refused = early.map(drop).unwrap_err().refused;
    assert_eq!(refused.status, Some(503));
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: wamp\r\n\r\n";
    let answer = starting.ask(upgrade).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));

    signal("CONT", starting.compiler);
    starting.server.listens();
    kept.send(HEALTH).await;
    assert_eq!(kept.answer().await.json()["status"], "serving");
    kept.send(upgrade).await;
    assert_eq!(kept.answer().await.status, 101);
    assert_eq!(starting.server.addr, addr);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_bounds_while_it_starts() {
    let config = "access: { blocked: [127.0.0.1] }\nlimits: { handshake: 2 KiB }\n\
                  handshake_timeout: 1s\n";
    let starting = Starting::new(config);
    let answer = starting.ask(HEALTH).await;
    assert_eq!(answer.status, 403);
    let answer = starting.ask(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(4096))).await;
    assert_eq!(answer.status, 431);
    let mut silent = Http::connect(starting.server.addr).await;
    silent.send("GET / HT").await;
    silent.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_compiling() {
    for name in ["TERM", "INT"] {
        let mut starting = Starting::new("");
        starting.server.signal(name);
        assert_eq!(starting.server.exit_code(), Some(0), "{name}");
        // The compiler is killed, or ends by itself when it can run and its answer is not needed.
        poll(|| ended(starting.compiler));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_before_the_first_generation_makes_a_reload_after_it() {
    let mut starting = Starting::new("");
    for _ in 0..3 {
        starting.server.signal("HUP");
    }
    assert_eq!(starting.ask(HEALTH).await.json()["status"], "starting");
    signal("CONT", starting.compiler);
    starting.server.listens();
    starting.server.logged("the site has not changed generation=1");
}

/// The signal is sent as soon as the process handles it.
#[test]
fn signals_count_from_the_start() {
    let site = Site::open();
    let cache = tempfile::tempdir().unwrap();
    let (mut server, _file) = Server::begin(site.path(), "", cache.path());
    poll(|| catches(server.pid(), 1));
    server.signal("HUP");
    server.listens();
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

/// A settings file that blocks does not delay a signal.
#[test]
fn sigterm_ends_reading_the_settings() {
    let site = Site::open();
    let pipe = site.file("secret");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    let config =
        format!("auth: {{ jwt: {{ keys: {{ secret: {{ file: {} }} }} }} }}", pipe.display());
    let cache = tempfile::tempdir().unwrap();
    let (mut server, _file) = Server::begin(site.path(), &config, cache.path());
    poll(|| catches(server.pid(), 15));
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

/// Returns whether a process has a handler for the signal.
fn catches(pid: u32, signal: u32) -> Option<()> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(line.trim(), 16).unwrap();
    (caught >> (signal - 1) & 1 == 1).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_server_at_once() {
    let site = Site::open();
    for (first, second, code) in [("TERM", "TERM", 143), ("TERM", "INT", 130)] {
        let config = format!(
            "shutdown: {{ grace: 1h }}\n\
             api: {{ tokens: [{{ name: slow, token: '{TOKEN}' }}], body_timeout: 1h }}\n"
        );
        let mut server = Server::configured(site.path(), &config);
        // Its body never arrives, so the request is pending until the grace period ends.
        let mut http = Http::connect(server.addr).await;
        http.send(format!(
            "POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: 5\r\n\
             Expect: 100-continue\r\n\r\n"
        ))
        .await;
        assert_eq!(http.answer().await.status, 100);
        server.signal(first);
        server.logged("shutting down");
        server.signal(second);
        assert_eq!(server.exit_code(), Some(code), "{first} {second}");
        server.logged("again: ending at once");
    }
}

#[test]
fn a_site_with_mistakes_ends_the_start() {
    let site = Site::open();
    site.write("open/websocket_routing.yml", "a: 1\n");
    let cache = tempfile::tempdir().unwrap();
    let (mut server, _file) = Server::begin(site.path(), "", cache.path());
    assert_eq!(server.exit_code(), Some(1));
    assert!(server.log().contains("websocket_routing.yml:1:"), "{}", server.log());
}

#[test]
fn reports_a_broken_routing_file_while_a_plugin_is_compiled() {
    let site = Site::new();
    let plugin = std::fs::read(build::plugin("broadcast")).unwrap();
    site.write("open/broadcast.wasm", slowed(&plugin, 20));
    site.write("open/websocket_routing.yml", "a: 1\n");
    let cache = tempfile::tempdir().unwrap();
    let (mut server, _file) = Server::begin(site.path(), "", cache.path());
    let compiler = poll(|| compiler_of(server.pid()));
    // The compiler never ends by itself.
    signal("STOP", compiler);
    assert_eq!(server.exit_code(), Some(1));
    let log = server.log();
    assert!(log.contains("websocket_routing.yml:1:"), "{log}");
    assert!(!log.contains("stopped"), "{log}");
    poll(|| ended(compiler));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_file_that_is_removed_does_not_hold_the_start() {
    let mut starting = Starting::new("");
    let health = starting.ask(HEALTH).await.json();
    let file = health["compiling"][0]["file"].as_str().unwrap();
    assert!(file.ends_with("open/broadcast.wasm"), "{health}");
    starting.site.remove("open");
    starting.server.listens();
    poll(|| ended(starting.compiler));
    // The task that started it ends a moment later.
    poll(|| (starting.server.health()["compiling"] == serde_json::json!([])).then_some(()));
}
