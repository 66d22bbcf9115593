//! Third-party WAMP clients, each in a process of its own: autobahn-python, xconn, autobahn-js,
//! wampy, and for WAMP v1 autobahn 0.8.15 and wamp.io. The scripts below `tests/peers` drive them.
//!
//! The protocol between test and script is one JSON object a line. Commands to the peer:
//!
//! * `{"do": "subscribe", "topic", "options"}`, `{"do": "unsubscribe", "topic"}`
//! * `{"do": "publish", "topic", "args", "kwargs", "options"}`
//! * `{"do": "call", "procedure", "args", "kwargs", "options"}`
//! * `{"do": "stream", "procedure", "parts"}`: one call with its arguments in parts
//! * `{"do": "register", "procedure"}`: the procedure returns its arguments
//! * `{"do": "leave"}`
//!
//! Reports from the peer, in this order:
//!
//! * `{"joined", "protocol"}` or `{"refused", "message"}`
//! * for each command `{"done", …}` or `{"failed", "error", "message"}`
//! * between them `{"event", "args", "kwargs", "details"}`; a v1 event is `args[0]`
//! * at the end `{"left"}` and `{"disconnected"}`
//!
//! Binary is a string of NUL and base64.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::client::codec::Codec;
use crate::client::within;

/// A client library and its serializer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    AutobahnPython(Codec),
    /// Messages in batches, WAMP v2's `.batched` subprotocols.
    AutobahnPythonBatched(Codec),
    /// Offers every serializer that it has, in its own order.
    AutobahnPythonDefault,
    XconnPython(Codec),
    AutobahnJs(Codec),
    Wampy(Codec),
    /// WAMP v1, on Python 2.7; `Library::runs` tells whether it is installed.
    AutobahnV1,
    /// WAMP v1, on Node.
    WampIo,
}

/// A running peer. Dropping it kills its process.
pub struct Peer {
    library: Library,
    // Held so that the process ends with it.
    _child: Child,
    stdin: ChildStdin,
    lines: mpsc::UnboundedReceiver<Value>,
    unread: VecDeque<Value>,
    complaints: Arc<Mutex<String>>,
}

impl Library {
    /// Returns every v2 client with every serializer that it has.
    pub fn all_v2() -> impl Iterator<Item = Self> {
        let libraries = [
            Self::AutobahnPython,
            Self::AutobahnPythonBatched,
            Self::XconnPython,
            Self::AutobahnJs,
            Self::Wampy,
        ];
        let each = libraries.into_iter().flat_map(|library| Codec::ALL.map(library));
        each.chain([Self::AutobahnPythonDefault])
    }

    /// Returns whether this machine can run it. Only Python 2.7 may be missing.
    pub fn runs(self) -> bool {
        self != Self::AutobahnV1
            || installed("python2.stamp").with_file_name("python2/python").exists()
    }

    fn command(self) -> Command {
        let python = |client: &str, serializer: &str| {
            let mut command = Command::new(installed("python/bin/python"));
            command.arg(script("python/peer.py")).args(["--client", client]);
            command.args(["--serializer", serializer]);
            command
        };
        let node = |client: &str, codec: Codec| {
            let mut command = node("peer.mjs");
            command.args(["--client", client, "--serializer", codec.name()]);
            command
        };
        match self {
            Self::AutobahnPython(codec) => python("autobahn", codec.name()),
            Self::AutobahnPythonBatched(codec) => {
                python("autobahn", &format!("{}.batched", codec.name()))
            }
            Self::AutobahnPythonDefault => python("autobahn", "default"),
            Self::XconnPython(codec) => python("xconn", codec.name()),
            Self::AutobahnJs(codec) => node("autobahn", codec),
            Self::Wampy(codec) => node("wampy", codec),
            Self::WampIo => node("wampio", Codec::Json),
            Self::AutobahnV1 => {
                let mut command = Command::new(installed("python2/python"));
                command.arg("-u").arg(script("python/wamp1.py"));
                command.env("JACKFIELD_PYTHON2_PEERS", installed("python2"));
                command
            }
        }
    }
}

impl Peer {
    /// Starts the client and waits until it has joined `realm1`.
    pub async fn join(library: Library, addr: SocketAddr) -> Self {
        let mut peer = Self::start(library, addr, "realm1", "/");
        let answer =
            peer.until("to join", |line| has(line, "joined") || has(line, "refused")).await;
        assert!(
            has(&answer, "joined"),
            "{library:?} could not join: {answer}; {}",
            peer.complaints()
        );
        peer
    }

    /// Starts the client; the test reads the result. `target` is path and query; v1 clients have no
    /// realm.
    pub fn start(library: Library, addr: SocketAddr, realm: &str, target: &str) -> Self {
        Self::start_with(library, addr, realm, target, &[])
    }

    /// Starts the client as the user ann, with a ticket or token if the server asks for one.
    pub fn start_as_ann(library: Library, addr: SocketAddr, target: &str, ticket: &str) -> Self {
        Self::start_with(library, addr, "realm1", target, &["--ticket", ticket])
    }

    fn start_with(
        library: Library,
        addr: SocketAddr,
        realm: &str,
        target: &str,
        more: &[&str],
    ) -> Self {
        let mut command = library.command();
        command.args(more);
        Self::run(library, command, realm, &format!("ws://{addr}{target}"))
    }

    /// Starts the client with a server that has TLS, for the name `localhost`. `authority` is the file
    /// with its authority, which Python and Node take from these variables.
    pub fn start_with_tls(library: Library, addr: SocketAddr, authority: &Path) -> Self {
        let mut command = library.command();
        command.env("SSL_CERT_FILE", authority).env("NODE_EXTRA_CA_CERTS", authority);
        Self::run(library, command, "realm1", &format!("wss://localhost:{}/", addr.port()))
    }

    fn run(library: Library, mut command: Command, realm: &str, url: &str) -> Self {
        command.args(["--url", url]);
        if library != Library::AutobahnV1 {
            command.args(["--realm", realm]);
        }
        let (child, stdin, lines, complaints) = spawn(command);
        Self { library, _child: child, stdin, lines, unread: VecDeque::new(), complaints }
    }

    pub async fn subscribe(&mut self, topic: &str, options: Value) -> Value {
        self.done(json!({"do": "subscribe", "topic": topic, "options": options})).await
    }

    pub async fn unsubscribe(&mut self, topic: &str) -> Value {
        self.done(json!({"do": "unsubscribe", "topic": topic})).await
    }

    /// Publishes; with `{"acknowledge": true}`, waits for the router's acknowledgement.
    pub async fn publish(
        &mut self,
        topic: &str,
        args: Value,
        kwargs: Value,
        options: Value,
    ) -> Value {
        self.done(json!({
            "do": "publish", "topic": topic, "args": args, "kwargs": kwargs, "options": options,
        }))
        .await
    }

    /// Calls a procedure, and returns `args` and `kwargs` of the result.
    pub async fn call(&mut self, procedure: &str, args: Value, kwargs: Value) -> Value {
        self.done(json!({"do": "call", "procedure": procedure, "args": args, "kwargs": kwargs}))
            .await
    }

    /// Leaves, and returns when the connection is closed on the peer's side.
    pub async fn leave(&mut self) {
        self.done(json!({"do": "leave"})).await;
        self.until("to disconnect", |line| has(line, "disconnected")).await;
    }

    /// Sends a command that must succeed, and returns its report.
    pub async fn done(&mut self, command: Value) -> Value {
        let report = self.tell(command).await;
        assert!(has(&report, "done"), "{:?}: {report}; {}", self.library, self.complaints());
        report
    }

    /// Sends a command, and returns `{"done"}` or `{"failed"}`.
    pub async fn tell(&mut self, command: Value) -> Value {
        let what = format!("to answer {command}");
        let line = format!("{command}\n");
        self.stdin.write_all(line.as_bytes()).await.expect("the peer still reads");
        let subject = command["do"].clone();
        self.until(&what, |line| line["done"] == subject || line["failed"] == subject).await
    }

    /// Returns the next event: topic, args, kwargs.
    pub async fn event(&mut self) -> (String, Value, Value) {
        let mut event = self.until("to report an event", |line| has(line, "event")).await;
        let topic = event["event"].as_str().expect("a topic").to_owned();
        (topic, event["args"].take(), event["kwargs"].take())
    }

    /// Returns the first line that is `wanted`, including earlier skipped ones.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.unread.iter().position(&wanted) {
            return self.unread.remove(place).unwrap();
        }
        within(format!("{:?} {what}", self.library), async {
            loop {
                let Some(line) = self.lines.recv().await else {
                    let (library, complaints) = (self.library, self.complaints());
                    panic!(
                        "{library:?} ended instead of {what}; unread: {:?}; {complaints}",
                        self.unread
                    );
                };
                if wanted(&line) {
                    return line;
                }
                self.unread.push_back(line);
            }
        })
        .await
    }

    fn complaints(&self) -> String {
        format!("its standard error: {}", self.complaints.lock().unwrap())
    }
}

/// Spawns a process with a JSON dialogue on its standard input and output.
pub fn spawn(
    mut command: Command,
) -> (Child, ChildStdin, mpsc::UnboundedReceiver<Value>, Arc<Mutex<String>>) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().expect("the peer starts");
    let (deliver, lines) = mpsc::unbounded_channel();
    let complaints = Arc::new(Mutex::new(String::new()));
    let stdin = child.stdin.take().unwrap();
    let (errors, noise) = (Arc::clone(&complaints), Arc::clone(&complaints));
    each_line(child.stdout.take().unwrap(), move |line| match serde_json::from_str(&line) {
        // The receiver may be gone.
        Ok(report) => drop(deliver.send(report)),
        // Some libraries print log messages to standard output.
        Err(_) => note(&noise, &format!("(printed) {line}")),
    });
    each_line(child.stderr.take().unwrap(), move |line| {
        note(&errors, &line);
    });
    (child, stdin, lines, complaints)
}

fn note(complaints: &Mutex<String>, line: &str) {
    let mut complaints = complaints.lock().unwrap();
    complaints.push_str(line);
    complaints.push('\n');
}

/// Returns the command that runs a script of `tests/peers/node` in Node.
pub fn node(name: &str) -> Command {
    let mut command = Command::new("node");
    command.env("JACKFIELD_NODE_PEERS", installed("node"));
    command.arg(script(&format!("node/{name}")));
    command
}

fn each_line(
    output: impl AsyncRead + Send + Unpin + 'static,
    mut take: impl FnMut(String) + Send + 'static,
) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            take(line);
        }
    });
}

/// Returns the path of a file that `make peers` installed.
pub fn installed(path: &str) -> PathBuf {
    let path = repository().join("target/peers").join(path);
    assert!(
        path.exists(),
        "{} is missing: run `make peers` in {}",
        path.display(),
        repository().display()
    );
    path
}

pub fn script(path: &str) -> PathBuf {
    repository().join("tests/peers").join(path)
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

fn has(line: &Value, key: &str) -> bool {
    line.get(key).is_some()
}
