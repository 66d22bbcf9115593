//! Reconnects of third-party libraries after a server restart: they receive later publications. After
//! GOODBYE, they would stay away; decision 18. Pages with `sync.js` are in `browser/outages.rs`.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

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
    child: Child,
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
        Self { name, lines, child }
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

/// A router that ends each session as earlier versions of the server did at a shutdown: with GOODBYE.
/// Counts the sessions.
async fn router_with_goodbye() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sessions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sessions);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve_with_goodbye(tcp));
        }
    });
    (addr, sessions)
}

async fn serve_with_goodbye(tcp: TcpStream) {
    #[expect(clippy::result_large_err, reason = "the type of the library's callback")]
    let choose = |_request: &Request, mut response: Response| {
        let chosen = "wamp.2.json".parse().unwrap();
        response.headers_mut().insert("Sec-WebSocket-Protocol", chosen);
        Ok(response)
    };
    let mut socket = accept_hdr_async(tcp, choose).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        let answers = match message[0].as_u64() {
            Some(1) => vec![json!([2, 7, {"roles": {"broker": {}, "dealer": {}}}])],
            Some(32) => vec![
                json!([33, message[1], 1]),
                json!([6, {"message": "restarting"}, "wamp.close.system_shutdown"]),
            ],
            // The client has answered GOODBYE.
            _ => break,
        };
        for answer in answers {
            socket.send(Message::text(answer.to_string())).await.unwrap();
        }
    }
    let _closed = socket.close(None).await;
}

/// The reason of decision 18. A process of Node ends when nothing is pending any more: no further
/// attempt will follow.
#[tokio::test(flavor = "multi_thread")]
async fn libraries_in_browsers_never_return_after_goodbye() {
    for name in ["autobahn", "autobahn22", "wampy"] {
        let (addr, sessions) = router_with_goodbye().await;
        let mut library = Library::start(name, &format!("ws://{addr}/"));
        within(format!("the end of {name}"), library.child.wait()).await.unwrap();
        assert_eq!(sessions.load(Ordering::Relaxed), 1, "{name}");
    }
}
