//! Several servers as nodes of one cluster, over real servers of NATS.

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

mod access;
mod calls;
mod chaos;
mod demo;
mod events;
mod failures;
mod faults;
mod history;
mod homes;
mod jetstream;
mod leases;
mod member;
mod moving;
mod nats;
mod once;
mod pages;
mod sessions;
mod sites;
mod stores;
mod traffic;
mod upgrade;

use nats::Nats;

/// Tokens of the HTTP API: of back ends that publish, and of one that reads.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const READER_TOKEN: &str = "fedcba9876543210fedcba9876543210";

const ROUTES: &str = "\
open: { channel: 'open/{name}', handler: { callback: 'broadcast' } }
kept: { channel: 'kept/{name}', handler: { callback: 'broadcast' }, history: { events: 100 } }
";

fn site() -> Site {
    let site = Site::new();
    site.bundle("cluster", ROUTES, &[build::plugin("broadcast")]);
    site
}

/// The configuration of a node.
fn config(name: &str, urls: &[String], more: &str) -> String {
    let urls: Vec<String> = urls.iter().map(|url| format!("'{url}'")).collect();
    let urls = urls.join(", ");
    format!(
        "cluster: {{ node: {name}, nats: {{ urls: [{urls}] }}{more} }}\n\
         api: {{ tokens: [{{ name: backend, token: '{TOKEN}' }}, {{ name: reader, token: '{READER_TOKEN}' }}] }}\n"
    )
}

/// A node with a site of its own, as on a machine of its own.
struct Node {
    server: Server,
    site: Site,
}

impl Node {
    fn start(config: &str) -> Self {
        let site = site();
        Self { server: Server::configured(site.path(), config), site }
    }
}

impl std::ops::Deref for Node {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl std::ops::DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// Starts a node, which serves when it has joined those before it.
fn node(nats: &Nats, name: &str) -> Node {
    Node::start(&config(name, &[nats.url()], ""))
}

async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Publishes numbers, each acknowledged.
async fn publish(publisher: &mut Client, topic: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let args = json!([number]);
        publisher.publish_acknowledged(topic, json!({}), args, Value::Null).await.unwrap();
    }
}

/// Publishes numbers until the subscriber gets one. Returns it: the nodes exchange events again.
async fn until_received(publisher: &mut Client, subscriber: &mut Client, topic: &str) -> u64 {
    within("an event of another node", async {
        for number in 1_000_000.. {
            publish(publisher, topic, number..number + 1).await;
            subscriber.round_trip().await;
            let wait = std::time::Duration::from_millis(100);
            if let Ok(event) = tokio::time::timeout(wait, subscriber.event()).await {
                return event.args[0].as_u64().unwrap();
            }
        }
        unreachable!("numbers do not end")
    })
    .await
}

/// Returns the state of the cluster in the server's status.
fn status(server: &Server) -> Value {
    let mut command = std::process::Command::new(build::jackfield());
    command.args(["status", "--json", "--socket"]).arg(server.control_socket());
    let output = command.output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["cluster"].clone()
}

/// Returns the number of other nodes that the node hears.
fn heard_peers(server: &Server) -> usize {
    let status = status(server);
    status["peers"].as_array().unwrap().iter().filter(|peer| peer["heard"] == true).count()
}

/// Waits until a node has so many peers that it exchanges events with.
async fn until_peers(server: &Server, count: usize) {
    within("peers", async {
        loop {
            let peers = status(server)["peers"].as_array().unwrap().clone();
            let is_good = |peer: &Value| peer["heard"] == true && peer["synced"] == true;
            if peers.len() == count && peers.iter().all(is_good) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}
