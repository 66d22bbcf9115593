//! Nodes with different routes and plugins, as during a rollout: a plugin still has one home, which is a node that
//! has it, and the status shows which nodes differ.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use jackfield_tests::build;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;

use super::{Nats, Node, config, join, site, status, until_peers};
use crate::reload::component;

const ROUTES: &str = "v: { channel: 'v/{name}', handler: { callback: 'versioned' } }\n";

/// Starts a node whose site has this version of the plugin, or does not have the plugin.
fn start(nats: &Nats, name: &str, version: Option<u32>) -> Node {
    let site = site();
    if let Some(version) = version {
        add(&site, version);
    }
    let config = config(name, &[nats.url()], "") + "metrics: { enabled: true }\n";
    Node { server: Server::configured(site.path(), &config), site }
}

fn add(site: &jackfield_tests::site::Site, version: u32) {
    site.write("v/versioned.wasm", component(version));
    site.write("v/websocket_routing.yml", ROUTES);
}

/// Returns the home of the plugin as a node knows it.
fn home(server: &Server) -> Option<String> {
    let homes = status(server)["homes"].as_array().unwrap().clone();
    let home = homes.into_iter().find(|it| it["plugin"] == "versioned");
    home.map(|it| it["node"].as_str().unwrap().to_owned())
}

/// Waits until these nodes know the same home. Returns its name.
async fn until_home(nodes: &[&Node]) -> String {
    within("one home", async {
        loop {
            let homes: Vec<_> = nodes.iter().map(|it| home(it)).collect();
            if let Some(first) = &homes[0]
                && homes.iter().all(|it| it.as_ref() == Some(first))
            {
                return first.clone();
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// Waits until a node sees so many others with another site.
async fn until_others(node: &Node, count: usize) {
    within("other sites", async {
        loop {
            let peers = status(node)["peers"].as_array().unwrap().clone();
            let is_known = peers.iter().all(|it| it["other_site"].is_boolean());
            if is_known && peers.iter().filter(|it| it["other_site"] == true).count() == count {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Returns the page of `jackfield status`.
fn page(server: &Server) -> String {
    let mut command = std::process::Command::new(build::jackfield());
    command.args(["status", "--socket"]).arg(server.control_socket());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// Returns the metric of the nodes with another site.
async fn metric(server: &Server) -> String {
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = http.answer().await.body;
    let line = page.lines().find_map(|it| it.strip_prefix(METRIC));
    line.expect("the metric").trim().to_owned()
}

const METRIC: &str = "jackfield_cluster_different_peers{kind=\"site\"}";

/// Publishes an event, and returns the version of the plugin that has seen it.
async fn published(publisher: &mut Client, subscriber: &mut Client) -> Value {
    let args = json!(["x"]);
    publisher.publish_acknowledged("v/a", json!({}), args, Value::Null).await.unwrap();
    subscriber.event().await.args[1].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_home_runs_a_plugin_of_which_nodes_have_different_versions() {
    let nats = Nats::start();
    let [one, other] =
        [("web-1", 1), ("web-2", 2)].map(|(name, version)| start(&nats, name, Some(version)));
    let without = start(&nats, "web-3", None);
    for node in [&one, &other, &without] {
        until_peers(node, 2).await;
        until_others(node, 2).await;
        assert_eq!(metric(node).await, "2");
        assert_eq!(page(node).matches("other routes or plugins").count(), 2, "{}", page(node));
    }
    // The home is a node that has the plugin, and decides for both of them.
    let first = until_home(&[&one, &other]).await;
    assert!(["web-1", "web-2"].contains(&first.as_str()), "{first}");
    assert_eq!(home(&without), None);
    let expected =
        |home: &str| if home == "web-1" { "@@VERSION-000001" } else { "@@VERSION-000002" };
    let mut subscriber = join(&one).await;
    subscriber.subscribe("v/a", json!({})).await;
    for node in [&one, &other] {
        let mut publisher = join(node).await;
        assert_eq!(published(&mut publisher, &mut subscriber).await, expected(&first));
    }
    // A node without the route refuses its clients.
    let mut refused = join(&without).await;
    let error = refused.try_subscribe("v/a", json!({})).await.unwrap_err();
    assert_eq!(error.uri, "jackfield.error.no_route");

    // The home stops: the other node with the plugin is the next one.
    let (mut home, rest) = if first == "web-1" { (one, other) } else { (other, one) };
    let mut publisher = join(&rest).await;
    let mut subscriber = join(&rest).await;
    subscriber.subscribe("v/a", json!({})).await;
    home.signal("TERM");
    assert_eq!(home.exit_code(), Some(0));
    let next = within("the next home", async {
        loop {
            let next = until_home(&[&rest]).await;
            if next != first {
                return next;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(next, if first == "web-1" { "web-2" } else { "web-1" });
    assert_eq!(published(&mut publisher, &mut subscriber).await, expected(&next));

    // A home is claimed a second later, with the next HELLO: until then, another node that gets the plugin may
    // take it. No output shows the claim.
    sleep(Duration::from_secs(4)).await;

    // The rollout ends: both have the same files, and the home stays.
    let version = if next == "web-1" { 1 } else { 2 };
    add(&without.site, version);
    for node in [&rest, &without] {
        until_others(node, 0).await;
        assert_eq!(metric(node).await, "0");
        assert!(!page(node).contains("other routes"), "{}", page(node));
    }
    assert_eq!(until_home(&[&rest, &without]).await, next);
    let mut late = join(&without).await;
    assert_eq!(published(&mut late, &mut subscriber).await, expected(&next));
}
