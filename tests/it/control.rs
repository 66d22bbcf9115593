//! The control channel of a running server: its endpoints, and the audit of changes. `commands` is
//! about `status` and `reload`, `socket` about the socket as a file, `hostile` about clients that do harm, `admin` about the listener at an address, `sessions` and `trace` about
//! clients and their messages, `guide` runs `docs/control.md`.

pub(crate) mod admin;
mod admin_tls;
mod commands;
mod guide;
mod hostile;
mod sessions;
mod socket;
mod trace;

use std::path::Path;
use std::process::{Command, Stdio};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::compiler_process::{compiler_of, poll, signal};
use crate::reload::{component, reloading};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::{v1, within};
use jackfield_tests::heavy_component::slowed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const VERSIONED_ROUTES: &str =
    "test.versioned:\n    channel: 'v/{name}'\n    handler: { callback: 'versioned' }\n";

/// Exit code and output of a command.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Output {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// A command of `jackfield`, in the environment of the servers under test.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(build::jackfield());
    command.args(arguments).stdin(Stdio::null());
    command.env("XDG_RUNTIME_DIR", build::runtime()).env_remove("RUNTIME_DIRECTORY");
    command
}

pub(crate) fn run(mut command: Command) -> Output {
    let output = command.output().expect("the command runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Output { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `jackfield COMMAND SITE…`.
fn jackfield(name: &str, site: &Path, more: &[&str]) -> Output {
    run(command(&[&[name, site.to_str().unwrap()], more].concat()))
}

/// Sends bytes to the control socket, and reads until the end: status and body.
async fn exchange(socket: &Path, request: impl AsRef<[u8]>) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    // The server may answer before it has read everything.
    let _refused = stream.write_all(request.as_ref()).await;
    let mut answer = Vec::new();
    let _reset = within("the answer", stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|it| it.1.to_owned());
    (status.unwrap_or_else(|| panic!("{answer:?}")), body.unwrap_or_default())
}

/// Asks an endpoint: status and JSON.
pub(crate) async fn ask(socket: &Path, method: &str, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    let (status, text) = exchange(socket, request).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}")))
}

pub(crate) async fn status(server: &Server) -> Value {
    let (code, status) = ask(&server.control_socket(), "GET", "/v1/status", "").await;
    assert_eq!(code, 200);
    status
}

pub(crate) fn digest(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().expect("sha256sum runs");
    let text = String::from_utf8(output.stdout).unwrap();
    format!("sha256:{}", text.split(' ').next().unwrap())
}

fn versioned(site: &Site, number: u32) {
    site.write(".v/versioned.wasm", component(number));
    site.write(".v/websocket_routing.yml", VERSIONED_ROUTES);
    std::fs::rename(site.file(".v"), site.file("v")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn status_agrees_with_the_server() {
    let site = Site::open();
    versioned(&site, 1);
    let server = Server::configured(
        site.path(),
        "limits: { connections: 123, realm_subscriptions: 77 }\nrealms: [realm1, shop]\n",
    );
    let before = status(&server).await;
    assert_eq!(before["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(before["pid"], server.pid());
    assert_eq!(before["state"], "serving");
    assert_eq!(before["listen"], server.addr.to_string());
    assert_eq!(before["site"], site.path().to_str().unwrap());
    let config = Path::new(before["config_file"].as_str().unwrap());
    assert_eq!(config.extension().unwrap(), "yml", "{before}");
    assert_eq!(before["generation"]["number"], 1);
    assert_eq!(before["generation"]["routes"], 3);
    assert_eq!(before["connections"], json!({ "open": 0, "limit": 123 }));
    assert_eq!(before["sessions"]["open"], 0);
    assert_eq!((&before["loading"], &before["compiling"]), (&json!([]), &json!([])));
    let reload = &before["reloads"][0];
    assert_eq!((&reload["cause"], &reload["result"]), (&json!("start"), &json!("ok")));

    let mut old = v1::Client::connect(server.addr).await;
    old.subscribe("open/a");
    old.round_trip().await;
    let mut new = Vec::new();
    for (codec, realm) in [(Codec::Json, "realm1"), (Codec::Cbor, "realm1"), (Codec::Cbor, "shop")]
    {
        let mut client = Client::connect(server.addr, codec, realm).await;
        client.subscribe("open/a", json!({})).await;
        client.subscribe("open/b", json!({})).await;
        new.push(client);
    }
    server.until_health("sessions", 4);
    // The connection of `/health` ends a moment after its answer.
    let with_sessions = within("four connections", async {
        loop {
            let status = status(&server).await;
            if status["connections"]["open"] == 4 {
                break status;
            }
        }
    })
    .await;
    assert_eq!(
        with_sessions["sessions"],
        json!({ "open": 4, "by_protocol":
            { "wamp": 1, "wamp.2.cbor": 2, "wamp.2.json": 1, "wamp.2.msgpack": 0 } })
    );
    let realms = with_sessions["realms"].as_array().unwrap();
    let shop = realms.iter().find(|realm| realm["name"] == "shop").unwrap();
    let shop_facts = json!({
        "name": "shop", "sessions": 1, "subscriptions": 2, "subscription_limit": 77,
        "topics": 2, "topic_limit": 250_000
    });
    assert_eq!(*shop, shop_facts);
    let first = realms.iter().find(|realm| realm["name"] == "realm1").unwrap();
    assert_eq!((&first["sessions"], &first["subscriptions"]), (&json!(3), &json!(5)));

    let plugin = |status: &Value, name: &str| {
        let mut plugins = status["plugins"].as_array().unwrap().iter();
        plugins.find(|it| it["file"].as_str().unwrap().ends_with(name)).unwrap().clone()
    };
    let one = plugin(&before, "v/versioned.wasm");
    assert_eq!(one["digest"], digest(&site.file("v/versioned.wasm")));
    assert_eq!((&one["handlers"], &one["instances"]), (&json!(["versioned"]), &json!(1)));
    assert_eq!((&one["contract"], &one["schema"]), (&json!("0.2"), &json!(0)));
    assert_eq!((&one["stateless"], &one["recycled"]), (&json!(false), &json!(0)));
    assert_eq!(one["circuit_breaker"]["state"], "closed");
    let bytes = |plugin: &Value| plugin["memory"]["bytes"].as_u64().unwrap();
    assert!((1..=64 << 20).contains(&bytes(&one)), "{one}");
    assert_eq!(one["memory"]["limit_per_instance"], 64 << 20);
    let other = plugin(&before, "open/jackfield_broadcast.wasm");
    assert_eq!(bytes(&one) + bytes(&other), before["memory"]["instances"]["bytes"]);

    reloading(&server, || site.rename_over("v/versioned.wasm", component(2)));
    // A reload is recorded a moment after its generation serves.
    let replaced = within("the record of the reload", async {
        loop {
            let status = status(&server).await;
            if status["reloads"][0]["cause"] == "change" {
                break status;
            }
        }
    })
    .await;
    let two = plugin(&replaced, "v/versioned.wasm");
    assert_ne!(two["digest"], one["digest"]);
    assert_eq!(two["digest"], digest(&site.file("v/versioned.wasm")));
    assert_eq!(replaced["plugin_count"], 2);
    assert_eq!(replaced["generation"]["number"], 2);
    let reload = &replaced["reloads"][0];
    assert_eq!(reload["result"], "ok");
    assert_eq!(replaced["sessions"]["open"], 4);

    drop((old, new));
    server.until_health("sessions", 0);
    assert!(!server.log().contains("jackfield::audit"), "reading is not audited");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_shown_for_people_and_for_programs() {
    let site = Site::open();
    let server = Server::start(site.path());
    let _client = Client::connect(server.addr, Codec::Json, "realm1").await;
    server.until_health("sessions", 1);
    let Output { code, out, err } = jackfield("status", site.path(), &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let pid = server.pid();
    for line in [
        format!("server       serving, version {}, pid {pid}\n", env!("CARGO_PKG_VERSION")),
        "connections  1 of 10000\n".to_owned(),
        "sessions     1 (wamp.2.json 1)\n".to_owned(),
        "waiting      0 B of 256 MiB\n".to_owned(),
    ] {
        assert!(out.contains(&line), "{line:?} is not in\n{out}");
    }
    let rows: Vec<&str> = out.lines().skip_while(|line| !line.starts_with("PLUGIN")).collect();
    let column = rows[0].find("VERSION").unwrap();
    assert_eq!(rows[1].find("0.1.0"), Some(column), "{out}");
    let shown = jackfield("status", site.path(), &["--json"]).json();
    assert_eq!(shown["pid"], pid);
    assert_eq!(shown.as_object().unwrap().keys().next().unwrap(), "version");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_has_one_audit_line() {
    let site = Site::open();
    let server = Server::configured(site.path(), "log: { format: json }\n");
    let socket = server_socket(&server);
    let (code, _) = ask(&socket, "POST", "/v1/reload", "").await;
    assert_eq!(code, 200);
    site.write("b/websocket_routing.yml", "a: 1\n");
    let (code, failed) = ask(&socket, "POST", "/v1/reload", "{}").await;
    assert_eq!((code, &failed["result"]), (422, &json!("failed")));
    // Many at once are answered by few reloads, and each has its line.
    let all = (0..10).map(|_| ask(&socket, "POST", "/v1/reload", "{}"));
    for (code, _) in join_all(all).await {
        assert_eq!(code, 422);
    }
    let lines = poll(|| {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("jackfield::audit"));
        let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() >= 12).then_some(lines)
    });
    assert_eq!(lines.len(), 12, "{lines:?}");
    let fields = &lines[0]["fields"];
    let uid: u32 = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_eq!((&fields["action"], &fields["result"]), (&json!("reload"), &json!("unchanged")));
    assert_eq!((&fields["uid"], &fields["pid"]), (&json!(uid), &json!(std::process::id())));
    assert_eq!(lines[1]["fields"]["result"], "failed");
}

/// The socket, of a server that logs JSON.
fn server_socket(server: &Server) -> std::path::PathBuf {
    let log = server.logged("the control channel is open");
    let line = log.lines().find(|line| line.contains("the control channel is open")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    line["fields"]["socket"].as_str().unwrap().into()
}

/// A server whose compiler is stopped in the middle of a new component.
struct Compiling {
    server: Server,
    compiler: u32,
    _cache: tempfile::TempDir,
}

impl Compiling {
    fn stopped(site: &Site) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let (mut server, file) =
            Server::begin(site.path(), "watch: { settle: 20ms }\n", cache.path());
        server.listens();
        server.keep(file);
        site.write(".v/versioned.wasm", slowed(&component(1), 20));
        site.write(".v/websocket_routing.yml", VERSIONED_ROUTES);
        std::fs::rename(site.file(".v"), site.file("v")).unwrap();
        let compiler = poll(|| compiler_of(server.pid()));
        signal("STOP", compiler);
        Self { server, compiler, _cache: cache }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_compiler_does_not_hold_a_reload_for_ever() {
    let site = Site::open();
    let Compiling { server, compiler, _cache } = Compiling::stopped(&site);

    let running = jackfield("reload", site.path(), &["--wait", "1s", "--json"]);
    assert_eq!(running.code, Some(4), "{running:?}");
    let running = running.json();
    assert_eq!(running["result"], "running");
    let file = running["compiling"][0]["file"].as_str().unwrap();
    assert!(file.ends_with("v/versioned.wasm"), "{running}");
    let Output { code, out, .. } = jackfield("reload", site.path(), &["--wait", "1s"]);
    assert_eq!(code, Some(4), "{out}");
    assert!(out.contains("v/versioned.wasm, ") && out.contains("the reload goes on"), "{out}");
    let now = status(&server).await;
    assert!(now["compiling"][0]["seconds"].is_u64(), "{now}");
    // Its other problems are told at once.
    site.write("b/websocket_routing.yml", "a: 1\n");
    let failed = jackfield("reload", site.path(), &["--json"]);
    assert_eq!((failed.code, &failed.json()["result"]), (Some(1), &json!("failed")));
    site.remove("b");

    let waiting = {
        let socket = server.control_socket();
        tokio::spawn(async move { ask(&socket, "POST", "/v1/reload", "").await })
    };
    signal("CONT", compiler);
    let (code, done) = within("the reload", waiting).await.unwrap();
    assert_eq!((code, &done["result"]), (200, &json!("ok")), "{done}");
    let loaded = status(&server).await;
    assert_eq!(loaded["plugin_count"], 2);
    // The lines of those that did not wait come with the result.
    poll(|| (server.log().matches("jackfield::audit").count() == 4).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starting_server_answers() {
    let site = Site::new();
    versioned(&site, 1);
    site.write("v/versioned.wasm", slowed(&component(1), 20));
    let cache = tempfile::tempdir().unwrap();
    let (mut server, _file) = Server::begin(site.path(), "", cache.path());
    let compiler = poll(|| compiler_of(server.pid()));
    signal("STOP", compiler);
    let starting = status(&server).await;
    assert_eq!(
        (&starting["state"], &starting["generation"]["number"]),
        (&json!("starting"), &json!(0))
    );
    assert!(starting["compiling"][0]["file"].is_string(), "{starting}");
    let Output { code, out, err } = jackfield("status", site.path(), &[]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("\ncompiling    ") && out.contains("server       starting,"), "{out}");
    let socket = server.control_socket();
    let reload = tokio::spawn(async move { ask(&socket, "POST", "/v1/reload", "").await });
    signal("CONT", compiler);
    server.listens();
    let (code, done) = within("the reload", reload).await.unwrap();
    // The site has not changed since the first generation.
    assert_eq!((code, &done["generation"]), (200, &json!(1)), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_says_so() {
    let site = Site::open();
    let config = "shutdown: { grace: 1h }\napi: { tokens: [{ name: a, token: 0123456789abcdef }], \
                  body_timeout: 1h }\n";
    let mut server = Server::configured(site.path(), config);
    let mut http = jackfield_tests::client::http::Http::connect(server.addr).await;
    http.send(
        "POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 0123456789abcdef\r\n\
         Content-Type: application/json\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    )
    .await;
    assert_eq!(http.answer().await.status, 100);
    let socket = server.control_socket();
    server.signal("TERM");
    server.logged("shutting down");
    within("the shutdown", async { while status(&server).await["state"] != "stopping" {} }).await;
    let (code, refused) = ask(&socket, "POST", "/v1/reload", "").await;
    assert_eq!((code, &refused["error"]), (503, &json!("wamp.close.system_shutdown")));
    let Output { code, err, .. } = jackfield("reload", site.path(), &[]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("the server refuses: the server is shutting down"), "{err}");
    drop(http);
    assert_eq!(server.exit_code(), Some(0));
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_requests_are_answered_with_a_problem() {
    let site = Site::open();
    let server = Server::start(site.path());
    let socket = server.control_socket();
    for (method, path, body, code, error) in [
        ("GET", "/", "", 404, "jackfield.error.not_found"),
        ("GET", "/v1", "", 404, "jackfield.error.not_found"),
        ("GET", "/v1/nothing", "", 404, "jackfield.error.not_found"),
        ("GET", "/v1/status/", "", 404, "jackfield.error.not_found"),
        ("GET", "/v1/../v1/status", "", 404, "jackfield.error.not_found"),
        ("GET", "/V1/status", "", 404, "jackfield.error.not_found"),
        ("GET", "/v2/status", "", 404, "jackfield.error.unknown_version"),
        ("POST", "/v99999999999999999999/reload", "", 404, "jackfield.error.unknown_version"),
        ("POST", "/v1/status", "", 405, "jackfield.error.method_not_allowed"),
        ("GET", "/v1/reload", "", 405, "jackfield.error.method_not_allowed"),
        ("BREW", "/v1/reload", "", 405, "jackfield.error.method_not_allowed"),
        ("POST", "/v1/reload", "no JSON", 400, "wamp.error.invalid_argument"),
        ("POST", "/v1/reload", "[1]", 400, "wamp.error.invalid_argument"),
        ("POST", "/v1/reload", "{\"wait\":1}", 400, "wamp.error.invalid_argument"),
        ("POST", "/v1/reload", "{\"wait_seconds\":-1}", 400, "wamp.error.invalid_argument"),
        ("POST", "/v1/reload", "{\"wait_seconds\":601}", 400, "wamp.error.invalid_argument"),
        ("POST", "/v1/reload", "\u{0}", 400, "wamp.error.invalid_argument"),
    ] {
        let (status, problem) = ask(&socket, method, path, body).await;
        assert_eq!((status, &problem["error"]), (code, &json!(error)), "{method} {path} {body}");
        assert!(problem["message"].is_string(), "{problem}");
    }
    // It lists what there is.
    let (_, unknown) = ask(&socket, "GET", "/v1/nothing", "").await;
    for endpoint in ["/v1/shadow,", "/v1/shadow/stop,", "/v1/canary/stop,", "/v1/promote,"] {
        assert!(unknown["message"].as_str().unwrap().contains(endpoint), "{endpoint}: {unknown}");
    }
    let (_, unknown) = ask(&socket, "GET", "/v2/status", "").await;
    assert_eq!(unknown["versions"], json!(["v1"]));
    assert!(!server.log().contains("jackfield::audit"), "nothing was changed");
    let (status, body) = exchange(&socket, "HEAD /v1/status HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((status, body.as_str()), (200, ""));
}

#[test]
fn durations_of_the_wait_are_checked() {
    for wrong in ["0s", "11m", "x", "500ms"] {
        let output = run(command(&["reload", "/nowhere", "--wait", wrong]));
        assert_eq!(output.code, Some(2), "{wrong}: {output:?}");
    }
}
