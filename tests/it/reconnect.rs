//! Reconnects of third-party libraries after a server restart: they receive later publications.
//! Pages with `sync.js` are in `browser/outages.rs`.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::peer;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TOPIC: &str = "open.reconnect";

struct Library {
    name: &'static str,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Library {
    fn start(name: &'static str, url: &str) -> Self {
        let mut command = if name == "autobahn-python" {
            let mut command = Command::new(peer::installed("python/bin/python"));
            command.arg(peer::script("python/reconnect.py"));
            command
        } else {
            let mut command = Command::new("node");
            command.env("JACKFIELD_NODE_PEERS", peer::installed("node"));
            command
                .arg("--experimental-websocket")
                .arg(peer::script("node/reconnect.mjs"))
                .arg(name);
            command
        };
        command.args([url, "realm1", TOPIC]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { name, lines, _child: child }
    }

    /// Waits for a line, and skips the library's own output.
    async fn until(&mut self, expected: Value) {
        let what = format!("{expected} of {}", self.name);
        within(what, async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the library goes on");
                if serde_json::from_str::<Value>(&line).is_ok_and(|line| line == expected) {
                    return;
                }
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_library_reconnects_after_a_restart() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    let url = format!("ws://{}/", server.addr);
    let names = ["autobahn", "autobahn22", "wampy", "autobahn-python"];
    let mut libraries = names.map(|name| Library::start(name, &url));
    for library in &mut libraries {
        library.until(json!({"joined": 1})).await;
    }
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    let server = Server::on(site.path(), server.addr);
    for library in &mut libraries {
        library.until(json!({"joined": 2})).await;
    }
    let mut backend = Client::connect(server.addr, Codec::Json, "realm1").await;
    backend.publish_acknowledged(TOPIC, json!({}), json!(["again"]), Value::Null).await.unwrap();
    for library in &mut libraries {
        library.until(json!({"event": "again"})).await;
    }
}
