//! A rolling upgrade: one node after the other stops and comes back as one of the next release, which speaks
//! another version of the messages between nodes and sends records that the older nodes do not know.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;

use super::chaos::Group;
use super::history::{recover, recovered};
use super::member::Member;
use super::{Nats, config, join, site, status, until_peers};

/// A plugin with state, whose home moves when its node stops.
const ROUTES: &str = "call: { channel: 'call/{method}', handler: { callback: 'methods' } }\n";
const PLUGIN: &str = "methods";

/// The procedures that are called: of the plugin, and of a client on each node.
const PROCEDURES: [&str; 2] = ["call/echo", "long/answer"];

/// Clients that call and are called at a node. They connect again when it has come back.
struct Calls {
    may_run: Arc<AtomicBool>,
    results: [Arc<AtomicU64>; 2],
    callers: Vec<JoinHandle<BTreeMap<String, u64>>>,
    callee: JoinHandle<()>,
}

impl Calls {
    fn at(addr: SocketAddr) -> Self {
        let may_run = Arc::new(AtomicBool::new(true));
        let results: [Arc<AtomicU64>; 2] = Default::default();
        let callers = PROCEDURES.into_iter().zip(&results).map(|(procedure, results)| {
            tokio::spawn(call(addr, procedure, Arc::clone(results), Arc::clone(&may_run)))
        });
        let (callers, callee) = (callers.collect(), tokio::spawn(answer(addr)));
        Self { may_run, results, callers, callee }
    }

    /// Waits until a call of each procedure, made from now on, has a result.
    async fn until_results(&self) {
        for (results, procedure) in self.results.iter().zip(PROCEDURES) {
            // One may be on its way.
            let before = results.load(Ordering::Relaxed) + 1;
            within(format!("a result of {procedure}"), async {
                while results.load(Ordering::Relaxed) <= before {
                    sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
    }

    /// Ends the callers, whose last calls end as well. Returns the number of calls that ended with each error.
    async fn end(&mut self) -> BTreeMap<String, u64> {
        self.may_run.store(false, Ordering::Relaxed);
        let mut errors = BTreeMap::new();
        for caller in self.callers.drain(..) {
            for (uri, count) in caller.await.unwrap() {
                *errors.entry(uri).or_default() += count;
            }
        }
        assert!(!self.callee.is_finished(), "the callee has failed");
        errors
    }
}

async fn connect(addr: SocketAddr) -> Option<Client> {
    let mut options = Options::new(Codec::Json);
    options.details["roles"] = json!({ "caller": {}, "callee": {} });
    let client = Client::connect_with(addr, Codec::Json, "realm1", options).await;
    if client.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    client.ok()
}

/// Calls a procedure, one call after the other. Each one ends with its result, with an error, or with the
/// connection to the node that stops: a test fails whose call does not end.
async fn call(
    addr: SocketAddr,
    procedure: &str,
    results: Arc<AtomicU64>,
    may_run: Arc<AtomicBool>,
) -> BTreeMap<String, u64> {
    let mut errors = BTreeMap::new();
    let mut number = 0_u64;
    while may_run.load(Ordering::Relaxed) {
        let Some(mut client) = connect(addr).await else { continue };
        while may_run.load(Ordering::Relaxed) {
            number += 1;
            let request = client.next_request();
            client.send(&json!([48, request, {}, procedure, [number]]));
            let Ok(message) = client.message_or_end().await else { break };
            match message[0].as_u64() {
                Some(50) => {
                    assert_eq!(message, json!([50, request, {}, [number]]));
                    results.fetch_add(1, Ordering::Relaxed);
                }
                Some(8) => {
                    assert_eq!((&message[1], &message[2]), (&json!(48), &json!(request)));
                    let uri = message[4].as_str().unwrap().to_owned();
                    *errors.entry(uri).or_default() += 1;
                    sleep(Duration::from_millis(20)).await;
                }
                // GOODBYE of the node that stops.
                Some(6) => break,
                _ => panic!("{message}"),
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
    errors
}

/// Registers a procedure that clients of all nodes share, and answers its calls.
async fn answer(addr: SocketAddr) {
    let options = json!({ "invoke": "roundrobin" });
    loop {
        let Some(mut client) = connect(addr).await else { continue };
        client.send(&json!([64, 1, options, PROCEDURES[1]]));
        loop {
            match client.message_or_end().await {
                Ok(message) if message[0] == 68 => {
                    client.send(&json!([70, message[1], {}, message[4]]));
                }
                // REGISTERED, and INTERRUPT of a call whose caller is gone.
                Ok(message) if message[0] == 65 || message[0] == 69 => {}
                Ok(message) => {
                    assert_eq!(message[0], 6, "{message}");
                    break;
                }
                Err(_ended) => break,
            }
        }
    }
}

/// Returns the nodes on which the plugin runs, as each node knows it.
fn homes(members: &[Member]) -> Vec<Value> {
    let home = |member: &Member| {
        let homes = status(member.server())["homes"].clone();
        homes.as_array().unwrap().iter().find(|it| it["plugin"] == PLUGIN).cloned()
    };
    members.iter().filter_map(home).map(|home| home["id"].clone()).collect()
}

/// Waits until all nodes know the same home, which is one of them. Returns its place and its id.
async fn until_one_home(members: &[Member]) -> (usize, Value) {
    within("one home", async {
        loop {
            let ids: Vec<_> = members.iter().map(|it| status(it.server())["id"].clone()).collect();
            let homes = homes(members);
            if homes.len() == members.len()
                && homes.iter().all(|home| *home == homes[0])
                && let Some(place) = ids.iter().position(|id| *id == homes[0])
            {
                return (place, homes[0].clone());
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// Returns the versions of the messages to the other nodes, and the number of records that were skipped.
fn exchanged(member: &Member) -> (Vec<u64>, u64) {
    let peers = status(member.server())["peers"].as_array().unwrap().clone();
    let protocols = peers.iter().map(|it| it["protocol"].as_u64().unwrap()).collect();
    (protocols, peers.iter().map(|it| it["skipped"].as_u64().unwrap()).sum())
}

/// Starts a node that speaks the versions of this release, or the next one alone.
fn node_of(nats: &Nats, name: &str, is_next_alone: bool) -> Server {
    let site = site();
    let config = config(name, &[nats.url()], ", when_alone: refuse");
    let mut command = Command::new(build::jackfield());
    command.env("RUST_LOG", "info");
    if is_next_alone {
        command.env("JACKFIELD_TEST_NEXT_RELEASE", "alone");
    }
    Server::launch(command, site.path(), &config, "127.0.0.1:0".parse().unwrap())
}

/// Waits until a node answers to `/readyz` with this status.
async fn until_ready(server: &Server, expect: u16) {
    within(format!("{expect}"), async {
        loop {
            let mut http = Http::connect(server.addr).await;
            http.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            if http.answer().await.status == expect {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_common_version_is_named_and_takes_no_clients() {
    let nats = Nats::start();
    let nodes = [("web-1", false), ("web-2", false), ("web-3", true)]
        .map(|(name, is_next_alone)| node_of(&nats, name, is_next_alone));
    let [one, other, next] = &nodes;
    for node in [one, other] {
        until_peers(node, 1).await;
        node.logged("they exchange nothing");
        let incompatible = status(node)["incompatible"].clone();
        assert_eq!(
            (incompatible[0]["node"].as_str(), incompatible.as_array().unwrap().len()),
            (Some("web-3"), 1)
        );
        assert_eq!(incompatible[0]["protocols"], json!([2, 2]));
        until_ready(node, 200).await;
    }
    // It has no other node, so it does not act alone.
    next.logged("they exchange nothing");
    until_ready(next, 503).await;
    until_peers(next, 0).await;
    let mut command = Command::new(build::jackfield());
    command.args(["status", "--socket"]).arg(next.control_socket());
    let page = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let line = "incompatible, exchanges nothing; it speaks version 1 of the messages between nodes, this one version 2";
    assert_eq!(page.matches(line).count(), 2, "{page}");
    // Its events are missing, so no client is told that it has missed nothing, until it is gone.
    let mut client = join(one).await;
    let begin = recover(&mut client, "kept/a", json!({})).await;
    let since = json!({ "epoch": begin["epoch"], "offset": begin["offset"] });
    let mut client = join(one).await;
    assert_eq!(recover(&mut client, "kept/a", since.clone()).await["recovered"], json!(false));
    assert_eq!(status(one)["incompatible"][0]["node"], "web-3", "while it is heard");
    for node in &nodes {
        // Of each node once, however long it is heard.
        let times = node.log().matches("they exchange nothing").count();
        assert_eq!(times, if std::ptr::eq(node, next) { 2 } else { 1 }, "{}", node.log());
    }
    // A position of the time when events were missing is good for nothing, also afterwards.
    let mut client = join(one).await;
    let begin = recover(&mut client, "kept/a", json!({})).await;
    let since = json!({ "epoch": begin["epoch"], "offset": begin["offset"] });
    next.signal("KILL");
    one.logged("an incompatible node is not heard any more");
    let mut client = join(one).await;
    assert_eq!(recover(&mut client, "kept/a", since).await["recovered"], json!(false));
    let begin = recover(&mut join(one).await, "kept/a", json!({})).await;
    let since = json!({ "epoch": begin["epoch"], "offset": begin["offset"] });
    within("a client that has recovered", recovered(one, since)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_upgrade_loses_nothing_unnoticed() {
    let mut group = Group::start().await;
    for member in &group.members {
        member.add("calls", ROUTES, &[build::guest(PLUGIN)]);
    }
    let (first_home, mut home) = until_one_home(&group.members).await;
    let mut calls: Vec<_> = group.members.iter().map(|it| Calls::at(it.server().addr)).collect();
    for of_node in &calls {
        of_node.until_results().await;
    }
    // The home last, then its plugin moves once.
    let mut order = [0, 1, 2];
    order.sort_by_key(|index| *index == first_home);
    let mut upgraded = Vec::new();
    for index in order {
        group.members[index].upgrade();
        upgraded.push(index);
        group.settled(&format!("node {index} upgraded")).await;
        // It moves with its node alone; a node that is back at once is the home again, as another process.
        let (_, moved) = until_one_home(&group.members).await;
        assert_eq!(moved != home, index == first_home, "from {home} to {moved} with node {index}");
        home = moved;
        for of_node in &calls {
            of_node.until_results().await;
        }
        for (place, member) in group.members.iter().enumerate() {
            let (mut protocols, skipped) = exchanged(member);
            protocols.sort_unstable();
            let others = |it: &&usize| **it != place;
            let new = upgraded.iter().filter(others).count();
            let expect: &[u64] = match (upgraded.contains(&place), new) {
                (true, 1) => &[1, 2],
                (true, 2) => &[2, 2],
                _ => &[1, 1],
            };
            assert_eq!(protocols, expect, "node {place} after {upgraded:?}");
            assert_eq!(skipped > 0, new > 0, "node {place} after {upgraded:?}");
            assert_eq!(status(member.server())["incompatible"], json!([]));
        }
    }
    let mut errors = BTreeMap::new();
    // The callees answer the last calls of all nodes.
    for of_node in &mut calls {
        for (uri, count) in of_node.end().await {
            *errors.entry(uri).or_insert(0) += count;
        }
    }
    // The callee or the home has stopped, and the next one may not be known yet.
    let expected = [
        "wamp.error.canceled",
        "wamp.error.no_such_procedure",
        "wamp.error.no_available_callee",
        "jackfield.error.home_unreachable",
        "jackfield.error.no_route",
    ];
    for uri in errors.keys() {
        assert!(expected.contains(&uri.as_str()), "{errors:?}");
    }
    for member in &group.members {
        let log = member.server().log();
        for unexpected in ["cannot be read", "exchange nothing", "messages of a node are lost"] {
            assert!(!log.contains(unexpected), "{unexpected}: {log}");
        }
    }
    group.end().await;
}
