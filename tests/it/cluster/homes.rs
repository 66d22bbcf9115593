//! Homes of plugins: one node runs the hooks of a plugin with state for all, and another one takes over.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use super::{Nats, Node, config, join, status, until_peers};

const ROUTES: &str = "\
room: { channel: 'room/{name}', handler: { callback: 'presence' } }
clock: { channel: 'clock/{name}', handler: { callback: 'clock' } }
call: { channel: 'call/{method}', handler: { callback: 'methods' } }
count: { channel: 'count/{name}', handler: { callback: 'acme.counter' } }
order: { channel: 'order/{name}', handler: { callback: 'outgoing' } }
";

/// Starts nodes, each with its own copy of the plugins.
async fn nodes<const N: usize>(nats: &Nats, names: [&str; N]) -> [Node; N] {
    let nodes = names.map(|name| start(nats, name));
    for node in &nodes {
        until_peers(node, N - 1).await;
    }
    until_homes(&nodes).await;
    nodes
}

fn start(nats: &Nats, name: &str) -> Node {
    let site = Site::new();
    let guests = ["methods", "counter", "outgoing"].map(build::guest);
    site.bundle("homes", ROUTES, &guests);
    let calls = "plugins: { named: { outgoing: { http: { allow: ['https://a.example'] }, calls: { allow: ['call/echo'] } } } }\n";
    let config = config(name, &[nats.url()], "") + calls;
    Node { server: Server::configured(site.path(), &config), site }
}

/// Returns the homes of plugins as a node knows them.
fn homes(server: &Server) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let state = status(server);
    let homes = state["homes"].as_array().unwrap().iter();
    homes.map(|home| (text(&home["plugin"]), text(&home["node"]))).collect()
}

/// Waits until all nodes know the same homes.
async fn until_homes(nodes: &[Node]) {
    within("the same homes", async {
        loop {
            let all: BTreeSet<_> = nodes.iter().map(|node| homes(node)).collect();
            if all.len() == 1 && all.iter().all(|homes| homes.len() == 3) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

fn home_of(server: &Server, plugin: &str) -> String {
    let mut all = homes(server).into_iter();
    all.find(|(known, _)| known == plugin).map(|(_, node)| node).unwrap()
}

async fn call(client: &mut Client, procedure: &str, args: Value) -> Value {
    client.call(procedure, json!({}), args, Value::Null).await.unwrap().0
}

/// Returns the sessions that the handler of a room knows as members.
async fn members(client: &mut Client, room: &str) -> BTreeSet<u64> {
    let list = call(client, room, json!([])).await;
    list[0].as_array().unwrap().iter().map(|it| it["session"].as_u64().unwrap()).collect()
}

/// Waits until the handler of a room knows these members.
async fn until_members(client: &mut Client, room: &str, expected: &BTreeSet<u64>) {
    within("members", async {
        while members(client, room).await != *expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

fn ids<'a>(clients: impl IntoIterator<Item = &'a Client>) -> BTreeSet<u64> {
    clients.into_iter().map(Client::session).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_store_counts_the_publications_of_all_nodes() {
    let nats = Nats::start();
    let nodes = nodes(&nats, ["web-1", "web-2", "web-3"]).await;
    let mut subscriber = join(&nodes[0]).await;
    subscriber.subscribe("count/all", json!({})).await;
    let mut publishers = Vec::new();
    for node in &nodes {
        publishers.push(join(node).await);
    }
    for round in 0..20 {
        for (number, publisher) in publishers.iter_mut().enumerate() {
            let args = json!([format!("{round} of {number}")]);
            publisher
                .publish_acknowledged("count/all", json!({}), args, Value::Null)
                .await
                .unwrap();
        }
    }
    let mut counted = BTreeSet::new();
    let mut by_publisher = vec![Vec::new(); 3];
    for _ in 0..60 {
        let event = subscriber.event().await;
        assert!(counted.insert(event.args[0].as_u64().unwrap()), "{:?}", event.args);
        let said = event.args[1][0].as_str().unwrap();
        let (round, number) = said.split_once(" of ").unwrap();
        by_publisher[number.parse::<usize>().unwrap()].push(round.parse::<u64>().unwrap());
    }
    assert_eq!(counted, (1..=60).collect());
    for rounds in by_publisher {
        assert_eq!(rounds, (0..20).collect::<Vec<_>>(), "in the order of the publisher");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_knows_the_subscribers_of_all_nodes() {
    let nats = Nats::start();
    let mut nodes = nodes(&nats, ["web-1", "web-2", "web-3"]).await;
    let home = home_of(&nodes[0], "methods");
    // Clients of the home first, and of a node that is killed last.
    nodes.sort_by_key(|node| status(node)["node"] != json!(home));
    let mut clients = Vec::new();
    for node in &nodes {
        let mut client = join(node).await;
        client.subscribe("room/kitchen", json!({})).await;
        // Each one is told of those before it.
        let told = client.event().await;
        assert_eq!(told.args[0]["count"], clients.len() + 1, "{:?}", told.args);
        for earlier in &mut clients {
            let joined = Client::event(earlier).await;
            assert_eq!(joined.args[0]["member"]["session"], client.session(), "{:?}", joined.args);
        }
        clients.push(client);
    }
    let all = ids(&clients);
    for client in &mut clients {
        assert_eq!(members(client, "room/kitchen").await, all);
    }

    // One leaves, and a node dies.
    let mut last = clients.pop().unwrap();
    let mut second = join(&nodes[1]).await;
    second.subscribe("room/kitchen", json!({})).await;
    let all = ids(clients.iter().chain([&second, &last]));
    until_members(&mut clients[0], "room/kitchen", &all).await;
    let id = second.session();
    drop(second);
    heard(&mut clients[0], "left", id).await;
    let id = last.session();
    last.round_trip().await;
    nodes[2].signal("KILL");
    heard(&mut clients[0], "left", id).await;
    let remaining = ids(&clients);
    for client in &mut clients {
        assert_eq!(members(client, "room/kitchen").await, remaining);
    }
}

/// Waits until a client is told of a change of a session.
async fn heard(client: &mut Client, kind: &str, session: u64) {
    loop {
        let change = client.event().await.args[0].clone();
        if change["type"] == kind && change["member"]["session"] == session {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_takes_over_when_the_home_dies() {
    let nats = Nats::start();
    let mut nodes = nodes(&nats, ["web-1", "web-2", "web-3"]).await.into_iter().collect::<Vec<_>>();
    let home = home_of(&nodes[0], "methods");
    nodes.sort_by_key(|node| status(node)["node"] != json!(home));
    let mut clients = Vec::new();
    for node in &nodes {
        let mut client = join(node).await;
        client.subscribe("room/kitchen", json!({})).await;
        clients.push(client);
    }
    let dead = nodes.remove(0);
    dead.signal("KILL");
    drop(clients.remove(0));
    within("another home", async {
        while nodes.iter().any(|node| home_of(node, "methods") == home) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    until_homes(&nodes).await;
    // Its handler is asked about the subscribers of all nodes again.
    let remaining = ids(&clients);
    for client in &mut clients {
        until_members(client, "room/kitchen", &remaining).await;
    }
    // A node that comes back takes nothing away.
    let before = homes(&nodes[0]);
    nodes.push(start(&nats, &home));
    until_peers(&nodes[0], 2).await;
    until_homes(&nodes).await;
    assert_eq!(homes(&nodes[2]), before);
    let mut client = join(&nodes[2]).await;
    client.subscribe("room/kitchen", json!({})).await;
    assert_eq!(client.event().await.args[0]["count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_tick_once_in_the_cluster() {
    let nats = Nats::start();
    let nodes = nodes(&nats, ["web-1", "web-2", "web-3"]).await;
    let mut clients = Vec::new();
    for node in &nodes {
        let mut client = join(node).await;
        client.subscribe("clock/a", json!({})).await;
        clients.push(client);
    }
    for client in &mut clients {
        let first = client.event().await.args[0][0].as_u64().unwrap();
        for count in first + 1..first + 20 {
            let said = client.event().await.args[0].clone();
            assert_eq!((&said[0], &said[1]), (&json!(count), &json!(3)), "{said}");
        }
    }
    // The timer ends with the last subscriber, wherever it was.
    drop(clients);
    let mut asker = join(&nodes[0]).await;
    within("the end of the timer", async {
        loop {
            let before = call(&mut asker, "clock/a", json!([])).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            if call(&mut asker, "clock/a", json!([])).await == before {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_deferred_results_cross_nodes() {
    let nats = Nats::start();
    let nodes = nodes(&nats, ["web-1", "web-2"]).await;
    for node in &nodes {
        let mut client = join(node).await;
        let args = json!([1, "a", { "b": null }]);
        assert_eq!(call(&mut client, "call/echo", args.clone()).await, args);
        let who = call(&mut client, "call/who", json!([])).await;
        assert_eq!(who[1], "call/who", "{who}");
        let refused = client.call("call/refuse", json!({}), json!([]), Value::Null).await;
        assert_eq!(refused.unwrap_err().uri, "acme.error.busy");
        let failed = client.call("call/count_and_trap", json!({}), json!([]), Value::Null).await;
        assert_eq!(failed.unwrap_err().uri, "jackfield.error.handler_failed");
        // Deferred: the result comes with the answer to the handler's own call.
        let order = json!([{ "procedure": "call/echo", "args": ["later"] }]);
        let result = call(&mut client, "order/a", order).await;
        assert_eq!(result[0][0], "later", "{result}");
    }
    let counted = [
        call(&mut join(&nodes[0]).await, "call/count", json!([])).await,
        call(&mut join(&nodes[1]).await, "call/count", json!([])).await,
    ];
    assert_eq!(counted, [json!([1]), json!([2])], "one store");
}

/// Opens sessions in rooms of their own.
async fn crowd(node: &Node, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = join(node).await;
        client.subscribe(&format!("room/{number}"), json!({})).await;
        clients.push(client);
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_leave_together_are_all_forgotten() {
    let nats = Nats::start();
    let mut nodes = nodes(&nats, ["web-1", "web-2"]).await;
    let home = home_of(&nodes[0], "methods");
    nodes.sort_by_key(|node| status(node)["node"] != json!(home));
    let mut asker = join(&nodes[0]).await;
    let crowd_of = crowd(&nodes[1], 150).await;
    assert_eq!(members(&mut asker, "room/7").await.len(), 1);
    drop(crowd_of);
    for number in 0..150 {
        until_members(&mut asker, &format!("room/{number}"), &BTreeSet::new()).await;
    }
    // Also if their node dies meanwhile: the handler is free for the others.
    drop(crowd(&nodes[1], 50).await);
    nodes[1].signal("KILL");
    for number in 0..50 {
        until_members(&mut asker, &format!("room/{number}"), &BTreeSet::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_goes_on_at_the_next_home() {
    let nats = Nats::start();
    let mut nodes = nodes(&nats, ["web-1", "web-2", "web-3"]).await.into_iter().collect::<Vec<_>>();
    let home = home_of(&nodes[0], "methods");
    nodes.sort_by_key(|node| status(node)["node"] != json!(home));
    let mut clients = Vec::new();
    for node in &nodes[1..] {
        let mut client = join(node).await;
        client.subscribe(&format!("clock/{}", clients.len()), json!({})).await;
        client.event().await;
        clients.push(client);
    }
    nodes[0].signal("KILL");
    for client in &mut clients {
        // The store of the next home is empty: its clock begins anew.
        within("a tick of the next home", async { while client.event().await.args[0][0] != 2 {} })
            .await;
    }
}
