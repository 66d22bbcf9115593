//! Pages with `sync.js` and back ends at the nodes of a cluster: a process of Node, which knows what was
//! published and what each page has seen. `tests/browser/traffic.mjs` says what it checks.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;

use jackfield_tests::client::within;
use jackfield_tests::peer;

use super::member::Member;
use super::{READER_TOKEN, TOKEN};
use crate::browser::script;

/// Pages and back ends. They end with the test.
pub(super) struct Traffic {
    // Held so that the process ends with it.
    _process: Child,
    stdin: ChildStdin,
    lines: mpsc::UnboundedReceiver<Value>,
    complaints: Arc<Mutex<String>>,
    /// The last numbers of [`Self::settled`].
    last: Value,
}

impl Traffic {
    /// Starts pages and back ends of these nodes, and waits until all pages are subscribed.
    pub(super) async fn of(members: &[Member]) -> Self {
        let servers: Vec<_> = members.iter().map(|it| it.server().addr).collect();
        let mut command = script("traffic.mjs");
        command.arg(
            json!({ "servers": servers, "token": TOKEN, "readerToken": READER_TOKEN }).to_string(),
        );
        let (process, stdin, lines, complaints) = peer::spawn(command);
        let mut traffic = Self { _process: process, stdin, lines, complaints, last: Value::Null };
        let first = traffic.line("the pages").await;
        assert_eq!(first, json!({ "ready": true }), "{}", traffic.complaints.lock().unwrap());
        traffic.last = traffic.tell("settle", "the first events").await;
        traffic
    }

    /// Waits until each page has the next events of all back ends, and was told of each hole before.
    /// Returns the numbers before and now.
    pub(super) async fn settled(&mut self, after: &str) -> [Value; 2] {
        let numbers = self.tell("settle", after).await;
        let before = std::mem::replace(&mut self.last, numbers.clone());
        [before, numbers]
    }

    /// Ends the back ends, and waits until each page has their last events. Returns the numbers.
    pub(super) async fn end(mut self) -> Value {
        self.tell("end", "the last events").await
    }

    #[expect(clippy::print_stderr, reason = "the numbers are for people")]
    async fn tell(&mut self, command: &str, what: &str) -> Value {
        let line = format!("{}\n", json!({ "do": command }));
        self.stdin.write_all(line.as_bytes()).await.expect("Node reads");
        let answer = self.line(what).await;
        let Some(numbers) = answer.get("done") else {
            let failed = answer["failed"].as_str().unwrap_or_default();
            panic!("{what}:\n{failed}\n{}", self.complaints.lock().unwrap());
        };
        let number = |name: &str| numbers[name].as_u64().unwrap();
        eprintln!(
            "{what}: {} events published and {} not acknowledged; {} received, {} of them again from another node, with {} connections; {} visits; {} gaps, which cover {} missing events",
            number("acknowledged"),
            number("unacknowledged"),
            number("received"),
            number("again"),
            number("connections"),
            number("visits"),
            number("gaps"),
            number("covered"),
        );
        numbers.clone()
    }

    async fn line(&mut self, what: &str) -> Value {
        let line = within(what, self.lines.recv()).await;
        line.unwrap_or_else(|| panic!("{what}: Node ended: {}", self.complaints.lock().unwrap()))
    }
}
