//! Process and environment: other signals, unwritable output, the limit of open files, and floods
//! that would fill the disk.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v2::{Client, NoSession, Options};
use jackfield_tests::client::{PATIENCE, v1, within};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// A server that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Starts a server by a line of shell, in which `$@` is the command, and waits until it listens.
async fn start(line: &str, site: &Path) -> (Process, SocketAddr) {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", line, "sh"]).arg(build::jackfield()).arg("serve").arg(site);
    command.args(["--listen", &addr.to_string()]).stdin(Stdio::null());
    command.env("XDG_CACHE_HOME", build::cache()).env("RUST_LOG", "info,jackfield=debug");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process(command.spawn().expect("sh runs"));
    // Its output may be closed, so its port is polled.
    within("the server", async {
        while !serves(addr).await {
            assert_eq!(process.0.try_wait().unwrap(), None, "{line}: the server has ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    (process, addr)
}

async fn serves(addr: SocketAddr) -> bool {
    let Ok(mut tcp) = TcpStream::connect(addr).await else { return false };
    let _gone = tcp.write_all(b"GET /health HTTP/1.0\r\n\r\n").await;
    let mut text = String::new();
    let read = tokio::io::AsyncReadExt::read_to_string(&mut tcp, &mut text).await;
    read.is_ok() && text.contains(r#""status":"serving""#)
}

async fn health(addr: SocketAddr) -> u16 {
    let mut http = Http::connect(addr).await;
    http.send("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    http.answer().await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn ignores_other_signals() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    for signal in [
        "USR1", "USR2", "ALRM", "VTALRM", "PROF", "PIPE", "POLL", "PWR", "XFSZ", "WINCH", "URG",
        "CHLD", "CONT",
    ] {
        server.signal(signal);
        assert_eq!(server.health()["ok"], true, "{signal}");
    }
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn unwritable_output_does_not_stop_the_server() {
    let site = Site::open();
    for line in [
        r#"exec "$@" >&-"#,
        r#"exec "$@" 2>&-"#,
        r#"exec "$@" >&- 2>&- <&-"#,
        r#"exec "$@" >/dev/full"#,
        r#"exec "$@" 2>/dev/full"#,
        r#"exec "$@" >/dev/full 2>/dev/full"#,
    ] {
        let (mut process, addr) = start(line, site.path()).await;
        let mut client = Client::connect(addr, Codec::Json, "realm1").await;
        client.subscribe("open/a", json!({})).await;
        client.round_trip().await;
        assert_eq!(health(addr).await, 200, "{line}");
        let term = Command::new("kill").arg(process.0.id().to_string()).status();
        assert!(term.unwrap().success());
        drop(client);
        let code = within("the end", async {
            loop {
                if let Some(status) = process.0.try_wait().unwrap() {
                    return status.code();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert_eq!(code.await, Some(0), "{line}");
    }
}

/// A reader that has ended, such as `| head`, or that of a restarted supervisor.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_does_not_stop_the_server() {
    let site = Site::open();
    let (mut process, addr) = start(r#"exec "$@""#, site.path()).await;
    drop(process.0.stderr.take());
    drop(process.0.stdout.take());
    for _ in 0..3 {
        let mut client = v1::Client::connect(addr).await;
        client.round_trip().await;
    }
    assert_eq!(health(addr).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_the_number_of_lost_log_lines() {
    let site = Site::open();
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    // As on a full disk: a file is limited to 2 048 blocks of 512 bytes, and has 4 KiB left. The
    // memory images of plugins are files too, so the limit has room for them. `>>`, so that the
    // log can be emptied.
    std::fs::write(&log, vec![b'\n'; (1 << 20) - 4096]).unwrap();
    let line = format!(r#"ulimit -f 2048; exec "$@" 2>>{}"#, log.display());
    let (_process, addr) = start(&line, site.path()).await;
    let length = || std::fs::metadata(&log).unwrap().len();
    let knock = async || {
        let mut http = Http::connect(addr).await;
        http.send("garbage\r\n\r\n").await;
        assert_eq!(http.answer().await.status, 400);
    };
    within("a full file", async {
        while length() < 1 << 20 {
            knock().await;
        }
    })
    .await;
    for _ in 0..20 {
        knock().await;
    }
    // One connection closes.
    std::fs::File::options().write(true).truncate(true).open(&log).unwrap();
    within("the notice", async {
        while !std::fs::read_to_string(&log).unwrap().contains(" log lines lost: ") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(health(addr).await, 200);
}

/// Runs a server with this limit of open files.
pub(crate) fn limited(limit: &str, site: &Site, config: &str) -> Server {
    let mut command = Command::new("sh");
    let line = format!(r#"ulimit {limit} && exec "$0" "$@""#);
    command.args(["-c", &line]).arg(build::jackfield());
    command.env("RUST_LOG", "info,jackfield=debug");
    Server::launch(command, site.path(), config, "127.0.0.1:0".parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn raises_the_soft_limit_of_open_files() {
    let site = Site::open();
    let server = limited("-Sn 300", &site, "limits: { connections: 200 }\n");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut words = files.split_whitespace().skip(3);
    assert_eq!(words.next(), words.next(), "soft and hard: {files}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_health_and_pages_with_too_few_files() {
    let site = Site::open();
    let server = limited("-n 220", &site, "");
    let log = server.logged("open file limit 220 is too low");
    assert!(log.contains("limits.connections = 10000; accepting at most 28 connections"), "{log}");
    assert!(log.contains("allow 10192 files (LimitNOFILE="), "{log}");
    let mut clients = Vec::new();
    for _ in 0..28 {
        clients.push(v1::Client::connect(server.addr).await);
    }
    let options = Options::new(Codec::Json);
    let refused = Client::connect_with(server.addr, Codec::Json, "realm1", options).await;
    assert!(matches!(&refused, Err(NoSession::Refused(it)) if it.status == Some(503)));
    assert_eq!(health(server.addr).await, 200);
    clients[0].round_trip().await;
    assert!(!server.log().contains("failed to accept"), "{}", server.log());
}

/// With 45 files, fewer connections can be open than the limit and its reserve allow.
#[tokio::test(flavor = "multi_thread")]
async fn goes_on_accepting_after_it_has_run_out_of_files() {
    let site = Site::open();
    let server = limited("-n 45", &site, "");
    let mut crowd = Vec::new();
    for _ in 0..45 {
        crowd.push(TcpStream::connect(server.addr).await.unwrap());
    }
    server.logged("failed to accept a connection: Too many open files");
    drop(crowd);
    within("an answer", async { while !serves(server.addr).await {} }).await;
    v1::Client::connect(server.addr).await.round_trip().await;
    // It pauses between two attempts, and does not log every one of them.
    let log = server.log();
    let lines = log.matches("failed to accept a connection").count();
    assert!(lines < 50, "{lines} lines:\n{log}");
}

/// Connections that do not complete a request make room in the reserve.
#[tokio::test(flavor = "multi_thread")]
async fn many_refused_connections_neither_fill_the_log_nor_stop_health_checks() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { connections: 1 }\n");
    let _only = v1::Client::connect(server.addr).await;
    for _ in 0..300 {
        let refused = v1::Client::connect_with(server.addr, v1::Options::default()).await;
        assert_eq!(refused.map(drop).unwrap_err().refused.status, Some(503));
    }
    assert_eq!(health(server.addr).await, 200);
    let log =
        server.logged(" similar lines suppressed in the last 10 s: maximum connections reached");
    let lines = log.lines().filter(|line| line.contains("WARN")).count();
    // One more line for each further second.
    assert!((20..100).contains(&lines), "{lines} lines:\n{log}");

    let mut crowd = Vec::new();
    for _ in 0..200 {
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        let _gone = tcp.write_all(b"GET / HT").await;
        crowd.push(tcp);
    }
    let mut answered = false;
    let until = tokio::time::Instant::now() + PATIENCE;
    while !answered {
        assert!(tokio::time::Instant::now() < until, "health is not answered");
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        let _gone = tcp.write_all(b"GET /health HTTP/1.0\r\n\r\n").await;
        let mut text = String::new();
        let read = tokio::io::AsyncReadExt::read_to_string(&mut tcp, &mut text).await;
        answered = read.is_ok() && text.contains(" 200 OK");
    }
    drop(crowd);
}
