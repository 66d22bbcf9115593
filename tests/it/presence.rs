//! Presence and rate limits of plugins, with real clients of both versions.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::reload::reloading;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::{v1, v2, within};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const ROOM: &str = "acme/chat/kitchen";
const CHAT_ROUTES: &str = "\
acme.chat:
    channel: 'acme/chat/{room}'
    handler: { callback: 'chat', args: { burst: 2 } }
    allow: { publish: [member] }
";
const USERS: &str = "\
users:
    ann: { id: 7, password: hash-of-ann, roles: [member] }
    bob: { id: 8, password: hash-of-bob, roles: [member] }
";
const SETTINGS: &str =
    "auth:\n  tickets: { secret: kernel-secret }\n  users: { file: users.yml }\n";
const PRESENCE_ROUTES: &str =
    "test.presence: { channel: 'presence/{room}', handler: { callback: 'presence' } }\n";

/// A chat whose clients are users with tickets.
fn chat() -> (Site, Server) {
    let site = Site::new();
    site.bundle("chat", CHAT_ROUTES, &[build::plugin("chat")]);
    site.write("users.yml", USERS);
    site.write("jackfield.yml", SETTINGS);
    let server = Server::start(site.path());
    (site, server)
}

/// Returns the path of a handshake with a ticket of the user.
async fn path_of(site: &Site, user: &str) -> String {
    let mut command = Command::new(build::jackfield());
    command.arg("ticket").arg(site.path()).args(["--user", user]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = within("jackfield ticket", command.output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ticket = String::from_utf8(output.stdout).unwrap();
    let ticket = ticket.trim().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("/?ticket={ticket}")
}

async fn modern(site: &Site, server: &Server, user: &str) -> Client {
    let mut options = v2::Options::new(Codec::Json);
    options.handshake.path = path_of(site, user).await;
    Client::connect_with(server.addr, Codec::Json, "realm1", options).await.unwrap()
}

async fn page(site: &Site, server: &Server, user: &str) -> v1::Client {
    let mut options = v1::Options::default();
    options.handshake.path = path_of(site, user).await;
    let mut page = v1::Client::connect_with(server.addr, options).await.unwrap();
    page.session().await;
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_pages_of_both_versions_is_one_member_across_a_reload() {
    let (site, server) = chat();
    let mut bob = modern(&site, &server, "bob").await;
    bob.subscribe(ROOM, json!({})).await;
    assert_eq!(bob.event().await.args[0]["type"], "history");

    let mut old = page(&site, &server, "ann").await;
    old.subscribe(ROOM);
    assert_eq!(old.event().await.event["you"], "ann");
    assert_eq!(bob.event().await.args[0], json!({"type": "joined", "who": "ann"}));
    let mut new = modern(&site, &server, "ann").await;
    new.subscribe(ROOM, json!({})).await;
    assert_eq!(new.event().await.args[0]["you"], "ann");
    let (members, _) = bob.call(ROOM, json!({}), json!([]), json!({})).await.unwrap();
    assert_eq!(members, json!([["ann", "bob"]]));

    let wasm = "chat/jackfield_chat.wasm";
    // The same component with an empty section: another version.
    let mut component = fs::read(site.file(wasm)).unwrap();
    component.extend(b"\0\x05\x04same");
    reloading(&server, || site.rename_over(wasm, component));

    drop(old);
    server.until_health("sessions", 2);
    let message = json!([{"text": "still here"}]);
    new.publish_acknowledged(ROOM, json!({}), message, Value::Null).await.unwrap();
    // No member has left before the message.
    assert_eq!(bob.event().await.args[0]["text"], "still here");
    drop(new);
    assert_eq!(bob.event().await.args[0], json!({"type": "left", "who": "ann"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_refuses_with_the_time_to_wait() {
    let (site, server) = chat();
    let mut ann = modern(&site, &server, "ann").await;
    ann.subscribe(ROOM, json!({})).await;
    let mut refused = None;
    // A token comes back every five seconds: a slow machine may let a few more through.
    for number in 0..20 {
        let args = json!([{ "text": number.to_string() }]);
        refused = ann.publish_acknowledged(ROOM, json!({}), args, Value::Null).await.err();
        if refused.is_some() {
            assert!(number >= 2, "two messages at once are allowed");
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.uri, "acme.chat.error.flood");
    let text = refused.args[0].as_str().unwrap();
    assert!(text.starts_with("Too many requests; try again in "), "{text}");
}

/// Clients that come and go at the same time. In the end, each that is still here knows exactly the
/// others: the list that it got when it joined, and all changes since.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_who_join_at_the_same_time_know_one_another() {
    let site = Site::new();
    site.bundle("methods", PRESENCE_ROUTES, &[build::guest("methods")]);
    let server = Server::start(site.path());
    let addr = server.addr;
    let mut tasks = JoinSet::new();
    for number in 0..36 {
        tasks.spawn(async move {
            let mut client = Client::connect(addr, Codec::Json, "realm1").await;
            let subscription = client.subscribe("presence/a", json!({})).await;
            if number % 3 == 0 {
                client.unsubscribe(subscription).await.unwrap();
                client.subscribe("presence/a", json!({})).await;
            }
            (number % 3 != 1).then_some(client)
        });
    }
    let mut clients: Vec<Client> = tasks.join_all().await.into_iter().flatten().collect();
    let expected: BTreeSet<u64> = clients.iter().map(Client::session).collect();
    server.until_health("sessions", clients.len());
    // The hooks of those who left may still run.
    loop {
        let answer = clients[0].call("presence/a", json!({}), json!([]), json!({})).await.unwrap();
        if sessions(&answer.0[0]) == expected {
            break;
        }
    }
    for client in &mut clients {
        client.round_trip().await;
        assert_eq!(view(client), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn realms_have_members_of_their_own() {
    let site = Site::new();
    site.bundle("methods", PRESENCE_ROUTES, &[build::guest("methods")]);
    let server = Server::configured(site.path(), "realms: [realm1, shop]\n");
    let mut clients = Vec::new();
    for realm in ["realm1", "shop"] {
        let mut client = Client::connect(server.addr, Codec::Json, realm).await;
        client.subscribe("presence/a", json!({})).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.round_trip().await;
        let own = BTreeSet::from([client.session()]);
        assert_eq!(view(client), own);
    }
}

/// Returns the members that a client knows from its events.
fn view(client: &mut Client) -> BTreeSet<u64> {
    let mut members = BTreeSet::new();
    while let Some(message) = client.try_message() {
        let change = &message[4][0];
        let member = || change["member"]["session"].as_u64().unwrap();
        match change["type"].as_str() {
            Some("members") => members = sessions(&change["members"]),
            Some("joined") => assert!(members.insert(member()), "{change}"),
            Some("left") => {
                members.remove(&member());
            }
            _ => {}
        }
    }
    members
}

fn sessions(members: &Value) -> BTreeSet<u64> {
    let members = members.as_array().unwrap();
    members.iter().map(|member| member["session"].as_u64().unwrap()).collect()
}
