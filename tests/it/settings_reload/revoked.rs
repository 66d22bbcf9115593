//! Permissions and credentials that are revoked: subscriptions and registrations end, and sessions.

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::{changed, page};
use crate::access::{Guarded, in_query};
use crate::control::status;
use crate::limits::proxied;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// A client of version 2 that is told about revoked subscriptions and registrations.
async fn aware(server: &Server) -> Client {
    let mut options = Options::new(Codec::Json);
    let revocation = |feature: &str| json!({ "features": { feature: true } });
    options.details["roles"]["subscriber"] = revocation("subscription_revocation");
    options.details["roles"]["callee"] = revocation("registration_revocation");
    Client::connect_with(server.addr, Codec::Json, "realm1", options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_that_are_revoked_end_subscriptions_and_registrations() {
    let site = Site::open();
    let server = Server::configured(site.path(), "unrouted: broadcast\n");
    let mut client = aware(&server).await;
    let open = client.subscribe("open/a", json!({})).await;
    let free = client.subscribe("com.acme.free", json!({})).await;
    client.register("com.acme.add", json!({})).await.unwrap();
    let mut old = v1::Client::connect(server.addr).await;
    old.subscribe("open/a");
    old.round_trip().await;
    let before = status(&server).await["generation"]["number"].as_u64().unwrap();

    // Topics without a route.
    changed(&server, "unrouted: refuse\n", "settings changed: unrouted");
    let revoked = |id| (id, Some("jackfield.close.revoked".to_owned()));
    assert_eq!(client.revoked().await, revoked(free));
    let unregistered = client.message().await;
    assert_eq!((&unregistered[0], &unregistered[1]), (&json!(67), &json!(0)), "{unregistered}");
    let refused = client.try_subscribe("com.acme.free", json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "jackfield.error.no_route");
    assert_eq!(status(&server).await["generation"]["number"], before + 1);

    // Roles of routes without their own.
    changed(&server, "allow: { publish: [staff] }\n", "settings changed: allow.publish");
    let publish = async |client: &mut Client| {
        client.publish_acknowledged("open/a", json!({}), json!([1]), json!({})).await
    };
    assert_eq!(publish(&mut client).await.unwrap_err().uri, "wamp.error.not_authorized");
    changed(
        &server,
        "allow: { subscribe: [staff] }\n",
        "settings changed: allow.subscribe, allow.publish",
    );
    assert_eq!(client.revoked().await, revoked(open));
    publish(&mut client).await.unwrap();
    old.publish("open/a", &json!(2), &Reach::Plain);
    old.expect_no_event().await;

    changed(&server, "# nothing\n", "settings changed: allow.subscribe");
    client.subscribe("open/a", json!({})).await;
    old.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stricter_route_ends_subscriptions() {
    const ROUTE: &str = "a: { channel: 'a/{name}', handler: { callback: 'broadcast' } }\n";
    let site = Site::open();
    site.write("open/a/websocket_routing.yml", ROUTE);
    let server = Server::configured(site.path(), "watch: { settle: 20ms }\n");
    let mut client = aware(&server).await;
    let subscription = client.subscribe("a/1", json!({})).await;
    let strict = ROUTE.replace("broadcast' } }", "broadcast' }, allow: { subscribe: [staff] } }");
    site.rename_over("open/a/websocket_routing.yml", strict);
    assert_eq!(client.revoked().await.0, subscription);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_could_not_connect_any_more_are_ended() {
    let site = Site::open();
    let server = Server::configured(site.path(), "# open\n");
    let of_page = async |host: &str| {
        let mut options = v1::Options::default();
        options.handshake.origin = Some(format!("https://{host}"));
        v1::Client::connect_with(server.addr, options).await.unwrap()
    };
    let mut blocked = page(&server, 9).await.unwrap();
    let mut other = page(&server, 8).await.unwrap();
    changed(&server, "access: { blocked: [127.0.0.9] }\n", "settings changed: access.blocked");
    blocked.hangup().await;
    other.round_trip().await;

    let (mut shop, mut evil) = (of_page("shop.example").await, of_page("evil.example").await);
    let mut options = Options::new(Codec::Json);
    options.handshake.origin = None;
    let client = Client::connect_with(server.addr, Codec::Json, "realm1", options).await;
    let mut client = client.unwrap();
    changed(
        &server,
        "access: { origins: [shop.example] }\n",
        "settings changed: access.origins, access.blocked",
    );
    evil.hangup().await;
    // A program without credentials is not admitted beside pages of a list.
    assert!(matches!(client.ended().await, Ending::Lost(_)), "without GOODBYE and Close");
    shop.round_trip().await;
    // Pages of this machine are admitted always.
    other.round_trip().await;

    let auth = "auth: { jwt: { keys: { secret: 0123456789abcdef0123456789abcdef } } }\n";
    changed(&server, auth, "settings changed: access.origins, auth.jwt");
    shop.hangup().await;
    other.hangup().await;
    assert_eq!(page(&server, 8).await.err(), Some(Some(403)));
    let ended = status(&server).await["ended"].to_string();
    assert!(ended.contains("\"revoked\":5"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_users_and_another_secret_end_sessions() {
    let site = Site::open();
    site.write(
        "users.yml",
        "users: { ann: { id: 7, password: hash-of-ann, roles: [member] }, bob: { id: 8, password: hash-of-bob } }\n",
    );
    let settings = |secret: &str, more: &str| {
        format!("auth: {{ tickets: {{ secret: {secret}{more} }}, users: {{ file: users.yml }} }}\n")
    };
    let guarded = Guarded::with(site, &settings("one-secret", ""));
    let server = &guarded.server;
    let mut ann = guarded.page_of("ann").await;
    let mut bob = guarded.page_of("bob").await;
    let nobody = in_query(&guarded.ticket(None).await);
    let mut nobody = guarded.page(&nobody).await.unwrap();
    let replace = |name: &str, text: &str, expected: &str| {
        let logged = server.log().len();
        guarded.site.rename_over(name, text);
        server.logged_after(logged, expected);
    };
    // Claims change with each login.
    replace(
        "users.yml",
        "users: { ann: { id: 7, password: hash-of-ann, roles: [member], claims: { seen: now } }, bob: { id: 8, password: hash-of-bob } }\n",
        "the users have changed",
    );
    replace(
        "users.yml",
        "users: { ann: { id: 7, password: hash-of-ann, roles: [member] } }\n",
        "the users have changed",
    );
    bob.hangup().await;
    ann.round_trip().await;
    replace(
        "users.yml",
        "users: { ann: { id: 7, password: hash-of-ann, roles: [other] } }\n",
        "the users have changed",
    );
    ann.hangup().await;
    let mut ann = guarded.page_of("ann").await;

    replace(
        "jackfield.yml",
        &settings("one-secret", ", anonymous: false"),
        "settings changed: auth.tickets",
    );
    nobody.hangup().await;
    ann.round_trip().await;
    replace("jackfield.yml", &settings("another", ""), "settings changed: auth.tickets");
    ann.hangup().await;
    guarded.page_of("ann").await;
    let shown: Value = status(server).await["ended"].clone();
    assert!(shown.to_string().contains("\"revoked\":4"), "{shown}");
}

/// What it was judged by has changed: it connects again, and is judged anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_no_session_yet_ends_after_a_change() {
    let site = Site::open();
    let server = Server::configured(site.path(), "access: { blocked: [127.0.0.9] }\n");
    let handshake = Options::new(Codec::Json).handshake;
    let mut waiting = Client::open(server.addr, Codec::Json, handshake).await.unwrap();
    changed(&server, "access: { blocked: [127.0.0.8] }\n", "settings changed: access.blocked");
    waiting.send(&json!([1, "realm1", {"roles": {"publisher": {}}}]));
    assert!(matches!(waiting.ended().await, Ending::Lost(_)));
}

/// The address that its proxy does not know may be one of those that are blocked.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_an_unknown_address_ends_when_addresses_are_blocked() {
    let site = Site::open();
    let config =
        |blocked: &str| format!("access: {{ proxies: [127.0.0.1], blocked: [{blocked}] }}\n");
    let server = Server::configured(site.path(), &config(""));
    let (unknown, answer) = proxied(&server, "unknown").await;
    assert_eq!(answer.status, 101, "{answer:?}");
    let (_known, answer) = proxied(&server, "192.0.2.7").await;
    assert_eq!(answer.status, 101, "{answer:?}");
    changed(&server, &config("192.0.2.1"), "settings changed: access.blocked");
    let (mut socket, mut rest) = (unknown.into_tcp(), Vec::new());
    within("the end of the session", socket.read_to_end(&mut rest)).await.unwrap();
    server.until_health("sessions", 1);
}
