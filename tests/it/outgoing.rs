//! Effects with an answer: requests of HTTP, calls of procedures, and deferred results, with servers
//! and callees that misbehave.

pub(crate) mod backend;
mod calls;
mod fetch;
mod http;
mod later;
mod stopping;
mod totals;

use std::path::Path;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::{Value, json};

const ROUTES: &str = "\
out:
    channel: 'out/{name}'
    handler: { callback: 'outgoing' }
";
const VERSION: &str = "@@VERSION-000001";

/// A site with the plugin.
pub(crate) fn site() -> Site {
    let site = Site::open();
    site.bundle("out", ROUTES, &[build::guest("outgoing")]);
    site
}

/// Serves the site with these settings of the plugin, in the flow style of YAML, and with both
/// grants that the plugin needs to load.
pub(crate) fn serve(site: &Path, settings: &str) -> Server {
    serve_with(site, settings, "")
}

/// As [`serve`], with further settings of the server.
fn serve_with(site: &Path, policy: &str, more: &str) -> Server {
    Server::configured(site, &settings(policy, more))
}

/// The settings of a server with this policy of the plugin.
pub(crate) fn settings(policy: &str, more: &str) -> String {
    let mut settings = policy.to_owned();
    for (key, grant) in [("calls:", "['out/*']"), ("http:", "['https://unused.example']")] {
        if !settings.contains(key) {
            settings = format!("{settings}, {key} {{ allow: {grant} }}");
        }
    }
    // Clients register procedures that no route has.
    let plugins = format!("plugins: {{ named: {{ outgoing: {{ {settings} }} }} }}");
    format!("unrouted: broadcast\n{plugins}\n{more}")
}

/// A client that is subscribed to `out/a`.
pub(crate) async fn member(server: &Server) -> Client {
    let mut client = join(server).await;
    client.subscribe("out/a", json!({})).await;
    client
}

async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Publishes an order to the plugin.
pub(crate) async fn order(client: &mut Client, order: Value) {
    client.publish_acknowledged("out/a", json!({}), json!([order]), Value::Null).await.unwrap();
}

/// What the plugin publishes next, without its version.
pub(crate) async fn report(client: &mut Client) -> Value {
    let event = client.event().await;
    assert_eq!(event.args[0][0], VERSION, "{event:?}");
    Value::Array(event.args[0].as_array().unwrap()[1..].to_vec())
}

/// The numbers of the plugin's effects of a kind.
async fn count(server: &Server, kind: &str) -> Value {
    let status = crate::control::status(server).await;
    let plugins = status["plugins"].as_array().unwrap();
    let plugin = plugins.iter().find(|plugin| plugin["name"] == "outgoing").unwrap();
    plugin["outgoing"][kind].clone()
}
