//! Sessions of other nodes: the meta API, and effects of handlers.

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use super::{Nats, config, heard_peers, join, until_peers};

const ROUTES: &str = "\
open: { channel: 'open/{name}', handler: { callback: 'broadcast' } }
methods: { channel: 'methods/{method}', handler: { callback: 'methods' } }
";

const RULES: &str = "\
rules:
  - { uri: wamp., match: prefix, allow: { call: everyone } }
";

fn node(nats: &Nats, name: &str) -> (Site, Server) {
    let site = Site::new();
    site.bundle("sessions", ROUTES, &[build::plugin("broadcast"), build::guest("methods")]);
    let config = format!("{}{RULES}", config(name, &[nats.url()], ""));
    let server = Server::configured(site.path(), &config);
    (site, server)
}

/// Calls a session meta procedure, and returns the first value and the keyword arguments.
async fn ask(client: &mut Client, procedure: &str, args: Value) -> (Value, Value) {
    let procedure = format!("wamp.session.{procedure}");
    let (args, kwargs) = client.call(&procedure, json!({}), args, Value::Null).await.unwrap();
    (args[0].clone(), kwargs)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_meta_api_shows_and_ends_sessions_of_all_nodes() {
    let nats = Nats::start();
    let nodes = ["web-1", "web-2", "web-3"].map(|name| node(&nats, name));
    let [(_, one), (_, two), (_, three)] = &nodes;
    let mut ops = join(one).await;
    let (mut second, mut third) = (join(two).await, join(three).await);
    assert_eq!(ask(&mut ops, "count", json!([])).await.0, 3);
    let (ids, kwargs) = ask(&mut ops, "list", json!([["anonymous"]])).await;
    let mut expected = [ops.session(), second.session(), third.session()];
    expected.sort_unstable();
    assert_eq!((ids, kwargs), (json!(expected), Value::Null));
    let (details, _) = ask(&mut ops, "get", json!([third.session()])).await;
    assert_eq!(details["session"], third.session());

    ask(&mut ops, "kill", json!([second.session()])).await;
    assert_eq!(second.dismissed().await, "wamp.close.killed");
    two.logged("a client has ended sessions");
    let gone = json!([second.session()]);
    let error = ops.call("wamp.session.kill", json!({}), gone, Value::Null).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.no_such_session");
    // Wrong arguments reach no other node.
    let wrong = ops.call("wamp.session.get", json!({}), json!(["x"]), Value::Null).await;
    assert_eq!(wrong.unwrap_err().uri, "wamp.error.invalid_argument");
    assert_eq!(ask(&mut ops, "kill_all", json!([])).await.0, 1);
    assert_eq!(third.dismissed().await, "wamp.close.killed");
    ops.round_trip().await;

    // A node that stands still does not answer.
    three.signal("STOP");
    let (count, kwargs) = ask(&mut ops, "count", json!([])).await;
    assert_eq!(count, 1);
    if kwargs.is_null() {
        // The machine is busy: the node counts as gone already.
        assert_eq!(heard_peers(one), 1);
    } else {
        assert_eq!(kwargs, json!({ "partial": true }));
        let unknown = json!([third.session()]);
        let got = ops.call("wamp.session.get", json!({}), unknown, Value::Null).await;
        let uri = got.unwrap_err().uri;
        let is_gone = uri == "wamp.error.no_such_session" && heard_peers(one) == 1;
        assert!(uri == "wamp.error.unavailable" || is_gone, "{uri}: the node may have it");
    }
    three.signal("KILL");
    until_peers(one, 1).await;
    assert_eq!(ask(&mut ops, "count", json!([])).await, (json!(1), Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_reach_sessions_of_other_nodes() {
    let nats = Nats::start();
    let nodes = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut caller = join(&nodes[0].1).await;
    let mut page = join(&nodes[1].1).await;
    let mut other = join(&nodes[1].1).await;
    page.subscribe("open/a", json!({})).await;
    other.subscribe("open/a", json!({})).await;
    let id = page.session();
    let reach = |what: &str| json!([what, id, "open/a"]);
    let call = async |caller: &mut Client, what: &str| {
        caller.call("methods/reach", json!({}), reach(what), Value::Null).await.unwrap();
    };
    call(&mut caller, "send").await;
    assert_eq!(page.event().await.args, json!(["for you alone"]));
    other.expect_no_event().await;
    call(&mut caller, "unsubscribe").await;
    // Each later event comes behind the end of the subscription.
    let published = caller.publish_acknowledged("open/a", json!({}), json!([1]), Value::Null);
    published.await.unwrap();
    assert_eq!(other.event().await.args, json!([1]));
    page.expect_no_event().await;
    call(&mut caller, "close").await;
    assert_eq!(page.dismissed().await, "acme.close.asked");
    other.round_trip().await;
}
