//! systemd: notifications, the watchdog, a restart that refuses no connection, credentials, and the
//! units of the documentation.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use jackfield_tests::build;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::{PATIENCE, v1, within};
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const SERVICE: &str = include_str!("../../docs/examples/jackfield.service");
const SOCKET: &str = include_str!("../../docs/examples/jackfield.socket");

/// The exposure of the unit, times ten, as `systemd-analyze security` of Debian 12 counts it. The
/// documentation has the same figure.
const MAX_EXPOSURE: u32 = 12;

/// The service manager's end of the notification socket.
struct Notifications {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Notifications {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    /// A server that notifies.
    fn server(&self, site: &Path, variables: &[(&str, &str)]) -> Server {
        let mut command = Command::new(build::jackfield());
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.env("RUST_LOG", "info,jackfield=debug").envs(variables.iter().copied());
        Server::launch(command, site, "", "127.0.0.1:0".parse().unwrap())
    }

    /// The next notification.
    fn next(&self) -> String {
        let mut buffer = [0; 512];
        let length = loop {
            match self.socket.recv(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received.expect("a notification"),
            }
        };
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Waits for a notification with this text, and returns it.
    fn until(&self, text: &str) -> String {
        loop {
            let next = self.next();
            if next.contains(text) {
                return next;
            }
        }
    }
}

#[test]
fn tells_the_service_manager_the_state() {
    let site = Site::open();
    let manager = Notifications::new();
    let mut server = manager.server(site.path(), &[]);
    assert_eq!(manager.next(), "STATUS=starting");
    manager.until("READY=1");
    let status = manager.until("STATUS=");
    assert_eq!(status, format!("STATUS=serving {}: generation 1, 2 routes", server.addr));

    server.signal("HUP");
    assert_eq!(manager.next(), "RELOADING=1");
    manager.until("READY=1");
    site.write("open/websocket_routing.yml", "a: 1\n");
    let status = manager.until("problem");
    let expect = "generation 1, 2 routes; the site has a problem, see `jackfield status`";
    assert!(status.ends_with(expect), "{status}");

    server.signal("TERM");
    let stopping = manager.until("STOPPING=1");
    // 0 s, 10 s and 10 s of the settings, and 5 s.
    assert_eq!(stopping, "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000\nSTATUS=ending sessions");
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn tells_the_watchdog_that_it_is_alive() {
    let site = Site::open();
    let manager = Notifications::new();
    let _server = manager.server(site.path(), &[("WATCHDOG_USEC", "300000")]);
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    // That of another process.
    let manager = Notifications::new();
    let others = [("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let mut server = manager.server(site.path(), &others);
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    let mut seen = Vec::new();
    manager.socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 512];
    while let Ok(length) = manager.socket.recv(&mut buffer) {
        seen.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    assert!(!seen.is_empty() && seen.iter().all(|it| !it.contains("WATCHDOG")), "{seen:?}");
}

/// Sends requests one after another, each over a connection of its own, until it is told to stop.
/// Returns the number of answers.
async fn load(addr: SocketAddr, stop: Arc<AtomicBool>, answers: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        let mut tcp = TcpStream::connect(addr).await.expect("the connection is not refused");
        let request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        tcp.write_all(request).await.expect("the request is taken");
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.expect("the connection is not reset");
        let status = answer.split(' ').nth(1);
        assert!(matches!(status, Some("200" | "503")), "{answer:?}");
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_refuses_no_connection() {
    let site = Site::open();
    // systemd's part: the socket is open all the time.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let mut server = Server::inheriting(&socket, site.path(), "");
    assert_eq!(server.addr, addr);
    server.logged("listening on a socket of the service manager");
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        tasks.spawn(load(addr, Arc::clone(&stop), Arc::clone(&answers)));
    }
    let more = async |than: usize| {
        within("answers", async {
            while answers.load(Ordering::Relaxed) < than {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    let mut before = v1::Client::connect(addr).await;
    for _ in 0..3 {
        more(answers.load(Ordering::Relaxed) + 50).await;
        server.signal("TERM");
        assert_eq!(server.exit_code(), Some(0));
        assert_eq!(before.session_hangup().await, v1::Hangup::Lost);
        // It waits in the queue.
        let after = tokio::spawn(v1::Client::connect(addr));
        server = Server::inheriting(&socket, site.path(), "");
        before = within("the session", after).await.unwrap();
        before.round_trip().await;
    }
    more(answers.load(Ordering::Relaxed) + 50).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = within("the load", tasks.join_next()).await {
        ended.unwrap();
    }
}

#[test]
fn refuses_sockets_that_it_cannot_listen_on() {
    let site = Site::open();
    let serve = |line: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).arg(build::jackfield()).arg("serve").arg(site.path());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = serve(r#"exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@""#);
    assert_eq!(code, Some(1));
    assert!(
        error.contains(
            "error: the socket of the service manager is not a TCP socket or a Unix socket"
        ),
        "{error}"
    );
    assert!(error.contains("= help: write an address and a port, or a path"), "{error}");
    // A connection, and no socket that listens.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut command = Command::new("sh");
    let line = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@""#;
    command.args(["-c", line]).arg(build::jackfield()).arg("serve").arg(site.path());
    let output = command.stdin(Stdio::from(OwnedFd::from(connected))).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the socket of the service manager does not listen"), "{error}");
}

/// The variables are those of the process that has started the server by a shell.
#[test]
fn ignores_sockets_of_another_process() {
    let site = Site::open();
    let mut command = Command::new(build::jackfield());
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let server = Server::launch(command, site.path(), "", "127.0.0.1:0".parse().unwrap());
    assert_eq!(server.health()["ok"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_secrets_from_credentials() {
    let site = Site::open();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("backend"), "0123456789abcdef\n").unwrap();
    let config = "api: { tokens: [{ name: shop, token: { credential: backend } }] }\n";
    let mut command = Command::new(build::jackfield());
    command.env("CREDENTIALS_DIRECTORY", folder.path());
    let addr = "127.0.0.1:0".parse().unwrap();
    let server = Server::launch(command, site.path(), config, addr);
    let body = json!({"topic": "open/a"}).to_string();
    for (token, status) in [("0123456789abcdef", 200), ("0123456789abcdeX", 401)] {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str())];
        let mut http = Http::connect(server.addr).await;
        assert_eq!(http.post("/api/publish", &headers, &body).await.status, status);
    }
    site.write("jackfield.yml", config);
    let mut command = Command::new(build::jackfield());
    let output = command.arg("serve").arg(site.path()).env_remove("CREDENTIALS_DIRECTORY").output();
    let error = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
    assert!(error.contains("LoadCredential=backend:FILE"), "{error}");
}

/// Writes the units into a folder, with the command that is built here.
fn units(folder: &Path) -> [std::path::PathBuf; 2] {
    let service = SERVICE.replace("/usr/local/bin/jackfield", build::jackfield().to_str().unwrap());
    let paths = ["jackfield.service", "jackfield.socket"].map(|name| folder.join(name));
    for (path, text) in paths.iter().zip([service.as_str(), SOCKET]) {
        std::fs::write(path, text).unwrap();
    }
    paths
}

fn analyze(arguments: &[&str], units: &[&Path]) -> (bool, String) {
    installed("systemd-analyze", "systemd");
    let output = Command::new("systemd-analyze").args(arguments).args(units).output();
    let output = output.expect("it is installed");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_units_are_valid_and_confined() {
    let folder = tempfile::tempdir().unwrap();
    let units = units(folder.path());
    let [service, socket] = [0, 1].map(|at| units[at].as_path());
    let (valid, output) = analyze(&["verify", "--man=no"], &[service, socket]);
    assert!(valid && output.is_empty(), "{output}");
    let threshold = format!("--threshold={MAX_EXPOSURE}");
    let arguments = ["security", "--offline=true", "--no-pager", &threshold];
    let (confined, output) = analyze(&arguments, &[service]);
    assert!(confined, "the unit is less confined than before:\n{output}");
    let page = std::fs::read_to_string(build::root().join("docs/deployment.md")).unwrap();
    let figure = format!("{}.{}", MAX_EXPOSURE / 10, MAX_EXPOSURE % 10);
    assert!(page.contains(&format!("exposure level of {figure}")), "{figure} is not in the docs");
    assert!(
        output.contains(&format!("{figure} OK")),
        "the figure in the docs is {figure}:\n{output}"
    );
}
