//! Hot reload: files of a site change while clients publish and receive, and nothing is lost.
//! `load` has fifty clients, `errors` invalid sites, `pending` slow compilation, `file_changes` the
//! ways in which tools replace files, `state` the plugin's store.

mod errors;
mod file_changes;
mod load;
mod pending;
mod state;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, Options, WampError};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Topics of the guest that adds its version to every event.
const VERSIONED_ROUTES: &str = "\
test.versioned:
    channel: 'v/{name}'
    handler: { callback: 'versioned' }
";
const VERSIONED_WASM: &str = "v/versioned.wasm";

/// Files settle quickly in these tests; slow writers are slower than this.
const SETTLE: &str = "watch: { settle: 20ms }\n";

#[tokio::test(flavor = "multi_thread")]
async fn serves_a_bundle_added_to_a_running_site() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut client = joined(&server).await;
    let refused = client.try_subscribe("v/ask", json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "jackfield.error.no_route");

    reloading(&server, || add_versioned(&site, 1));

    client.subscribe("v/ask", json!({})).await;
    assert_eq!(ask(&mut client).await, version(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_with_an_empty_site() {
    let site = Site::new();
    let server = Server::start(site.path());
    reloading(&server, || add_versioned(&site, 1));
    let mut client = asker(&server).await;
    assert_eq!(ask(&mut client).await, version(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_bundle_ends_its_subscriptions() {
    let site = versioned_site();
    let server = Server::start(site.path());
    let mut options = Options::new(Codec::Json);
    options.details["roles"]["subscriber"] = json!({"features": {"subscription_revocation": true}});
    let gone = Client::connect_with(server.addr, Codec::Json, "realm1", options).await;
    let mut gone = gone.unwrap();
    let subscription = gone.subscribe("v/ask", json!({})).await;
    let open = gone.subscribe("open/a", json!({})).await;
    let mut old = v1::Client::connect(server.addr).await;
    old.subscribe("v/ask");
    old.subscribe("open/a");
    old.round_trip().await;
    let mut unaware = joined(&server).await;
    unaware.subscribe("v/ask", json!({})).await;

    reloading(&server, || site.remove("v"));

    assert_eq!(gone.revoked().await, (subscription, Some("jackfield.close.revoked".to_owned())));
    let unknown = gone.unsubscribe(subscription).await.unwrap_err();
    assert_eq!(unknown.uri, "wamp.error.no_such_subscription");
    let refused = publish(&mut gone, "v/ask", json!(["late"])).await.unwrap_err();
    assert_eq!(refused.uri, "jackfield.error.no_route");
    // A client without the revocation feature gets no message, and version 1 has none.
    unaware.send(&json!([34, 100, 1]));
    assert_eq!(unaware.message().await[0], 8);
    old.publish("v/ask", &json!("late"), &Reach::Plain);
    old.expect_no_event().await;
    assert_eq!(old.page_errors(), [] as [&str; 0]);

    publish(&mut gone, "open/a", json!(["still here"])).await.unwrap();
    let event = gone.event().await;
    assert_eq!((event.subscription, event.args), (open, json!(["still here"])));
    assert_eq!(old.event().await.event, json!("still here"));

    reloading(&server, || add_versioned(&site, 2));
    gone.subscribe("v/ask", json!({})).await;
    assert_eq!(ask(&mut gone).await, version(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_keeps_the_generation_of_an_unchanged_site() {
    let site = versioned_site();
    let mut server = Server::start(site.path());
    let mut client = asker(&server).await;
    let before = generation(&server);
    server.signal("HUP");
    server.logged(&format!("the site has not changed generation={before}"));
    assert_eq!(generation(&server), before);
    assert_eq!(ask(&mut client).await, version(1));
    assert!(server.is_alive());
}

/// Returns a site with open topics and version 1 of the versioned guest.
fn versioned_site() -> Site {
    let site = Site::open();
    add_versioned(&site, 1);
    site
}

/// Adds the bundle at once, so that there is one reload.
fn add_versioned(site: &Site, number: u32) {
    site.write(".v/versioned.wasm", component(number));
    site.write(".v/websocket_routing.yml", VERSIONED_ROUTES);
    std::fs::rename(site.file(".v"), site.file("v")).unwrap();
}

/// Returns the text that version `number` adds to events.
fn version(number: u32) -> String {
    format!("@@VERSION-{number:06}")
}

/// Returns version `number` of the versioned guest.
pub(crate) fn component(number: u32) -> Vec<u8> {
    patched("versioned", &version(1), &version(number))
}

/// Returns a guest in which one text is replaced by another of the same length.
pub(crate) fn patched(guest: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(build::guest(guest)).unwrap();
    let places: Vec<usize> =
        (0..bytes.len()).filter(|place| bytes[*place..].starts_with(from.as_bytes())).collect();
    let [place] = places[..] else { panic!("{guest} has {from} at {places:?}") };
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

/// Makes a change, and waits until the resulting generation serves.
#[track_caller]
pub(crate) fn reloading(server: &Server, change: impl FnOnce()) {
    let (logged, before) = (server.log().len(), generation(server));
    change();
    server.logged_after(logged, "generation ready");
    // The log line comes a moment before the generation serves.
    while generation(server) == before {}
}

fn generation(server: &Server) -> Value {
    server.health()["generation"].clone()
}

async fn joined(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Returns a client for `ask`.
async fn asker(server: &Server) -> Client {
    let mut client = joined(server).await;
    client.subscribe("v/ask", json!({})).await;
    client
}

/// Returns the version that answers. The client is subscribed to `v/ask`.
async fn ask(client: &mut Client) -> String {
    publish(client, "v/ask", json!(["which"])).await.unwrap();
    let args = client.event().await.args;
    assert_eq!(args[0], "which");
    args[1].as_str().unwrap().to_owned()
}

/// Asks until the new version answers; until then only the old one may.
async fn ask_until(client: &mut Client, old: u32, new: u32) {
    within(format!("version {new}"), async {
        loop {
            let answer = ask(client).await;
            if answer == version(new) {
                return;
            }
            assert_eq!(answer, version(old), "waiting for version {new}");
        }
    })
    .await;
}

/// Publishes, with delivery to the publisher itself.
async fn publish(client: &mut Client, topic: &str, args: Value) -> Result<u64, WampError> {
    client.publish_acknowledged(topic, json!({"exclude_me": false}), args, Value::Null).await
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_a_site_again_after_its_parent_returns() {
    let site = Site::new();
    let deploy = |version: u32| {
        site.write("app/site/v/versioned.wasm", component(version));
        site.write("app/site/v/websocket_routing.yml", VERSIONED_ROUTES);
    };
    deploy(1);
    let server = Server::start(&site.file("app/site"));
    site.remove("app");
    server.logged("failed to read the site");
    let logged = server.log().len();
    deploy(2);
    server.logged_after(logged, "generation ready generation=2");
}
