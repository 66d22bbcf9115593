//! Leases of homes: JetStream grants a plugin's home to one node, whatever happens to nodes and servers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use super::{Nats, TOKEN, join, status};

const ROUTES: &str = "\
count: { channel: 'count/{name}', handler: { callback: 'acme.counter' } }
call: { channel: 'call/{method}', handler: { callback: 'methods' } }
";

/// The plugins of these nodes.
pub(super) const COUNTER: &str = "acme-counter";

/// A node whose files stay when it is killed.
pub(super) struct Place {
    site: Site,
    data: tempfile::TempDir,
    config: String,
}

impl Place {
    pub(super) fn new(nats: &[&Nats], name: &str, cluster: &str) -> Self {
        Self::with(nats, name, "", cluster)
    }

    /// A node with a user of NATS.
    fn with_login(nats: &Nats, login: &str) -> Self {
        let mut place = Self::with(&[nats], "web-1", "LOGIN", "");
        let file = place.site.path().join("login");
        std::fs::write(&file, login).unwrap();
        let credentials = format!(", credentials: {{ file: '{}' }}", file.display());
        place.config = place.config.replace("LOGIN", &credentials);
        place
    }

    fn with(nats: &[&Nats], name: &str, login: &str, cluster: &str) -> Self {
        let site = Site::new();
        site.bundle("leases", ROUTES, &["counter", "methods"].map(build::guest));
        let data = tempfile::tempdir().unwrap();
        let urls: Vec<_> = nats.iter().map(|it| format!("'{}'", it.url())).collect();
        let leases = if cluster.contains("leases:") { "" } else { ", leases: auto" };
        let config = format!(
            "data: {}\ncluster: {{ node: {name}, nats: {{ urls: [{}]{login} }}{cluster}{leases} }}\n\
             api: {{ tokens: [{{ name: backend, token: '{TOKEN}' }}] }}\nshutdown: {{ grace: 2s }}\n",
            data.path().join("data").display(),
            urls.join(", ")
        );
        Self { site, data, config }
    }

    /// Sets `cluster.leases` of a node that has the setting.
    pub(super) fn set_leases(&mut self, leases: &str) {
        let begin = self.config.find("leases: ").unwrap() + "leases: ".len();
        let end = begin + self.config[begin..].find(' ').unwrap();
        self.config.replace_range(begin..end, leases);
    }

    /// The folder of its stores.
    pub(super) fn stores(&self) -> std::path::PathBuf {
        self.data.path().join("data/store")
    }

    pub(super) fn start(&self) -> Server {
        assert!(self.data.path().is_dir());
        Server::configured(self.site.path(), &self.config)
    }
}

/// Starts nodes, and waits until all know the same homes.
pub(super) async fn started<const N: usize>(places: &[Place; N]) -> [Server; N] {
    let servers = places.each_ref().map(Place::start);
    until_home(&servers.each_ref(), COUNTER).await;
    servers
}

/// Returns the home of a plugin as a node knows it.
pub(super) fn home(server: &Server, plugin: &str) -> Option<String> {
    let state = status(server);
    let all = state["homes"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|it| it["plugin"] == plugin);
    found.and_then(|it| it["node"].as_str().map(str::to_owned))
}

/// Waits until nodes know the same home of a plugin, and returns it.
pub(super) async fn until_home(servers: &[&Server], plugin: &str) -> String {
    within("one home", async {
        loop {
            let all: BTreeSet<_> = servers.iter().map(|it| home(it, plugin)).collect();
            if let (1, Some(Some(home))) = (all.len(), all.first()) {
                return home.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// Waits until a node knows another home of a plugin than this one.
pub(super) async fn until_other_home(server: &Server, plugin: &str, last: &str) -> String {
    within("another home", async {
        loop {
            match home(server, plugin) {
                Some(now) if now != last => return now,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await
}

/// Splits the home of the counter off.
fn split<const N: usize>(servers: [Server; N], home: &str) -> (Server, Vec<Server>) {
    let mut servers: Vec<_> = servers.into_iter().collect();
    servers.sort_by_key(|it| status(it)["node"] != json!(home));
    let first = servers.remove(0);
    (first, servers)
}

/// Counts once: returns the number that the counter has told its subscribers.
pub(super) async fn count(client: &mut Client) -> Result<u64, String> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let tag = LAST.fetch_add(1, Ordering::Relaxed);
    let options = json!({ "exclude_me": false });
    let published = client.publish_acknowledged("count/all", options, json!([tag]), Value::Null);
    published.await.map_err(|error| error.uri)?;
    loop {
        let event = client.event().await;
        if event.args[1][0] == tag {
            return Ok(event.args[0].as_u64().unwrap());
        }
    }
}

pub(super) async fn counting(server: &Server) -> Client {
    let mut client = join(server).await;
    client.subscribe("count/all", json!({})).await;
    client
}

/// Counts until it succeeds.
pub(super) async fn until_counted(client: &mut Client) -> u64 {
    within("a count", async {
        loop {
            match count(client).await {
                Ok(number) => return number,
                Err(uri) => assert_eq!(uri, "jackfield.error.home_unreachable"),
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_home_has_every_number_that_was_told() {
    let nats = Nats::with_jetstream();
    let places = ["web-1", "web-2", "web-3"].map(|name| Place::new(&[&nats], name, ""));
    let servers = started(&places).await;
    let first = until_home(&servers.each_ref(), COUNTER).await;
    let state = status(&servers[0]);
    let shown = state["homes"].as_array().unwrap().iter().find(|it| it["plugin"] == COUNTER);
    assert_eq!(
        (&shown.unwrap()["lease"], &shown.unwrap()["store_copied"]),
        (&json!(true), &json!(true))
    );
    let (killed, others) = split(servers, &first);
    // Publications at two nodes, without a pause, while their home is killed.
    let publish = |mut client: Client| async move {
        let (mut acknowledged, mut is_killed, mut after) = (0, false, 0);
        while after < 20 {
            let args = json!(["x"]);
            match client.publish_acknowledged("count/all", json!({}), args, Value::Null).await {
                Ok(_) => {
                    acknowledged += 1;
                    after += usize::from(is_killed);
                }
                Err(error) => {
                    assert_eq!(error.uri, "jackfield.error.home_unreachable");
                    is_killed = true;
                }
            }
        }
        acknowledged
    };
    let mut watcher = join(&others[0]).await;
    watcher.subscribe("count/all", json!({})).await;
    let mut tasks = Vec::new();
    for server in &others {
        tasks.push(tokio::spawn(publish(join(server).await)));
    }
    let mut numbers = Vec::new();
    while numbers.len() < 600 {
        numbers.push(watcher.event().await.args[0].as_u64().unwrap());
    }
    killed.signal("KILL");
    let mut acknowledged = 0;
    for task in tasks {
        acknowledged += task.await.unwrap();
    }
    // Each acknowledged publication was told to the watcher, with a number of its own.
    let mut last = counting(&others[0]).await;
    let end = until_counted(&mut last).await;
    while numbers.last() != Some(&end) {
        numbers.push(watcher.event().await.args[0].as_u64().unwrap());
    }
    let distinct: BTreeSet<_> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "no number twice");
    assert_eq!(numbers.len(), acknowledged + 1);
    assert_ne!(until_home(&others.iter().collect::<Vec<_>>(), COUNTER).await, first);
}

/// Waits until a stopped process does nothing any more: a busy machine stops its threads one by one.
async fn until_all_threads_stand(server: &Server) {
    within("the stop of all threads", async {
        loop {
            let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
            let is_stopped = |it: std::fs::DirEntry| {
                let stat = std::fs::read_to_string(it.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
            };
            if threads.map(Result::unwrap).all(is_stopped) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_stood_still_answers_nothing_as_home() {
    let nats = Nats::with_jetstream();
    let places = ["web-1", "web-2", "web-3"].map(|name| Place::new(&[&nats], name, ""));
    let servers = started(&places).await;
    let first = until_home(&servers.each_ref(), COUNTER).await;
    let (stopped, others) = split(servers, &first);
    let (mut early, mut other) = (counting(&stopped).await, counting(&others[0]).await);
    assert_eq!(count(&mut early).await, Ok(1));
    assert_eq!(other.event().await.args[0], 1);
    stopped.signal("STOP");
    until_all_threads_stand(&stopped).await;
    // It waits in the socket of the stopped node.
    let waiting = tokio::spawn(async move {
        let number = until_counted(&mut early).await;
        (early, number)
    });
    let second = until_other_home(&others[0], COUNTER, &first).await;
    let mut numbers = vec![1, until_counted(&mut other).await, until_counted(&mut other).await];
    assert_eq!(numbers, [1, 2, 3]);
    stopped.signal("CONT");
    let (_early, late) = waiting.await.unwrap();
    assert!(late > 3, "the next home has counted it: {late}");
    numbers.extend([late, until_counted(&mut other).await]);
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(until_home(&[&stopped, &others[0], &others[1]], COUNTER).await, second);
    stopped.logged("this node has lost the home of a plugin");
    assert!(status(&stopped)["incidents"]["lease_lost"].as_u64().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_gives_its_homes_away() {
    let nats = Nats::with_jetstream();
    let places = ["web-1", "web-2", "web-3"].map(|name| Place::new(&[&nats], name, ""));
    let mut servers: Vec<_> = started(&places).await.into_iter().zip(places).collect();
    let mut expected = 0;
    for _round in 0..3 {
        let all: Vec<_> = servers.iter().map(|it| &it.0).collect();
        let first = until_home(&all, COUNTER).await;
        let (mut stopping, place) = {
            let is_home = |it: &(Server, Place)| status(&it.0)["node"] == json!(first);
            let index = servers.iter().position(is_home).unwrap();
            servers.remove(index)
        };
        let mut client = counting(&servers[0].0).await;
        expected += 1;
        assert_eq!(until_counted(&mut client).await, expected);
        stopping.signal("TERM");
        assert_eq!(stopping.exit_code(), Some(0));
        assert!(stopping.log().contains("this node is no longer the home of a plugin"));
        expected += 1;
        assert_eq!(until_counted(&mut client).await, expected);
        servers.push((place.start(), place));
    }
}

/// Publishes to the counter, and returns whether a home has counted.
async fn is_served(client: &mut Client) -> bool {
    let sent = client.publish_acknowledged("count/all", json!({}), json!([]), Value::Null).await;
    match sent {
        Ok(_) => true,
        Err(error) => {
            let expected = ["jackfield.error.home_unreachable", "jackfield.error.store_failed"];
            assert!(expected.contains(&error.uri.as_str()), "{}", error.uri);
            false
        }
    }
}

async fn until_served(client: &mut Client, expected: bool) {
    within("the state of a part of the cluster", async {
        while is_served(client).await != expected {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_part_with_a_quorum_has_homes() {
    let nats = Nats::three_with_jetstream();
    // Each node is at the same place as one server.
    let names = ["web-1", "web-2", "web-3"];
    let places = [0, 1, 2].map(|it| Place::new(&[&nats[it]], names[it], ""));
    let servers = started(&places).await;
    let mut clients = Vec::new();
    for server in &servers {
        clients.push(join(server).await);
    }
    for client in &mut clients {
        until_served(client, true).await;
    }
    // One server and its node are cut off.
    nats[2].signal("STOP");
    until_served(&mut clients[2], false).await;
    until_served(&mut clients[0], true).await;
    until_served(&mut clients[1], true).await;
    assert!(!is_served(&mut clients[2]).await, "still not");
    nats[2].signal("CONT");
    until_served(&mut clients[2], true).await;
    // Two of three are away: no part has a quorum, also where NATS answers.
    nats[0].signal("STOP");
    nats[1].signal("STOP");
    until_served(&mut clients[2], false).await;
    within("no home", async {
        while home(&servers[2], COUNTER).is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    nats[0].signal("CONT");
    nats[1].signal("CONT");
    for client in &mut clients {
        until_served(client, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_that_are_required_need_jetstream() {
    let nats = Nats::start();
    let place = Place::new(&[&nats], "web-1", ", leases: required");
    let server = place.start();
    server.logged("cluster.leases is `required`, and there is no JetStream");
    let mut client = join(&server).await;
    let refused = client.publish_acknowledged("count/all", json!({}), json!([]), Value::Null);
    assert_eq!(refused.await.unwrap_err().uri, "jackfield.error.home_unreachable");
    assert_eq!(home(&server, COUNTER), None);
    // `auto` and `off` are as without it.
    drop(server);
    for leases in ["auto", "off"] {
        let place = Place::new(&[&nats], "web-2", &format!(", leases: {leases}"));
        let server = place.start();
        assert_eq!(until_home(&[&server], COUNTER).await, "web-2");
        assert_eq!(count(&mut counting(&server).await).await, Ok(1));
        let state = status(&server);
        assert_eq!((&state["leases"], &state["homes"][0]["lease"]), (&json!("off"), &json!(false)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_different_leases_run_no_plugin() {
    let nats = Nats::with_jetstream();
    let place = Place::new(&[&nats], "web-1", "");
    let first = place.start();
    assert_eq!(until_home(&[&first], COUNTER).await, "web-1");
    let other_place = Place::new(&[&nats], "web-2", ", leases: off");
    let second = other_place.start();
    for (server, peer) in [(&first, "web-2"), (&second, "web-1")] {
        let log = server.logged("a node has other leases, so plugins with state run nowhere");
        assert!(log.contains(peer), "{log}");
        within("no home", async {
            while home(server, COUNTER).is_some() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let mut client = join(server).await;
        let refused = client.publish_acknowledged("count/all", json!({}), json!([]), Value::Null);
        assert_eq!(refused.await.unwrap_err().uri, "jackfield.error.home_unreachable");
    }
    drop(second);
    assert_eq!(until_home(&[&first], COUNTER).await, "web-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_permissions_of_the_documentation_are_enough() {
    let docs = include_str!("../../../docs/cluster.md");
    let begin = docs.find("{ user: jackfield, password: SECRET").expect("the user of the example");
    let user = &docs[begin..];
    let end = user.find("} }").expect("the end of the user") + 3;
    let config = |user: &str| format!("authorization {{ users: [ {user} ] }}\n");
    let user = user[..end].replace("_shop_", "_jackfield_");
    let nats = Nats::with_config(&config(&user));
    let place = Place::with_login(&nats, "jackfield:SECRET");
    let server = place.start();
    assert_eq!(until_home(&[&server], COUNTER).await, "web-1");
    assert_eq!(status(&server)["leases"], "on");
    assert_eq!(count(&mut counting(&server).await).await, Ok(1));
    assert!(!server.log().contains("ermissions"), "{}", server.log());
    drop(server);
    // Without those of JetStream, a node is as without JetStream.
    let user = "{ user: jackfield, password: SECRET, permissions: { publish: \"jf1.>\", subscribe: \"jf1.>\" } }";
    let nats = Nats::with_config(&config(user));
    let place = Place::with_login(&nats, "jackfield:SECRET");
    let server = place.start();
    assert_eq!(until_home(&[&server], COUNTER).await, "web-1");
    assert_eq!(status(&server)["leases"], "off");
}
