//! 10 000 sessions: the list stays a page long, and every request is answered.

use std::process::{Command, Stdio};

use super::*;

const SESSIONS: usize = 10_000;

/// The clients; they end with the test.
struct Clients(std::process::Child);

impl Drop for Clients {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_ten_thousand_sessions_in_pages() {
    let served = served(
        "limits:
  connections: 11000
  address_connections: 11000
  user_connections: 11000
  connection_rate: { enabled: false }
  address_connection_rate: { enabled: false }\n",
    );
    let bench = build::jackfield().with_file_name("jackfield-bench");
    let url = format!("ws://{}/", served.server.addr);
    let count = SESSIONS.to_string();
    let clients = Command::new(bench)
        .args(["connect", &url, "--bare", "--connections", &count, "--seconds", "300"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _clients = Clients(clients.expect("jackfield-bench runs"));
    let mut console = Console::open(served.address).await;
    console.go("sessions").await;
    console.shows("10,000 sessions").await;
    console.until("document.querySelectorAll('tbody tr').length === 100").await;
    console.shows("1 to 100 of 10,000").await;
    for first in ["101 to 200", "201 to 300", "301 to 400"] {
        console.click("text=Next").await;
        console.shows(first).await;
    }
    console.click("text=Previous").await;
    console.shows("201 to 300").await;
    let nodes = console.value("document.querySelectorAll('*').length").await;
    assert!(nodes.as_u64() < Some(4_000), "{nodes} elements");
    // The server searches.
    console.fill("[data-search]", "127.0.0.1").await;
    console.shows("1 to 100 of 10,000").await;
    let user = console.value("document.querySelector('td a').innerText").await;
    console.fill("[data-search]", user.as_str().unwrap()).await;
    console.until("document.querySelectorAll('tbody tr').length === 1").await;
    console.go("overview").await;
    console.shows("10,000 WAMP v2, json").await;
    let answered = "performance.getEntriesByType('resource').map((it) => it.responseStatus)";
    let failed = console.value(&format!("{answered}.filter((it) => it >= 400).length")).await;
    assert_eq!(failed, 0, "requests were refused");
    let answers = console.value(&format!("{answered}.filter((it) => it === 200).length")).await;
    assert!(answers.as_u64() > Some(30), "{answers} answers");
    console.is_quiet().await;
}
