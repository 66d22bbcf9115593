//! Principals: the authentication methods of WAMP v2. Clients of others authenticate by each method in
//! `interop/matrix`.

mod channel_binding;

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, NoSession, Options};
use jackfield_tests::client::within;
use jackfield_tests::peer;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// The private key of `sensor`: the seed of an Ed25519 key.
const PRIVATE: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// The password of `phone` and `tablet` is `pencil`. The keys of `tablet` are those that Autobahn derives.
pub(crate) const PRINCIPALS: &str = "\
principals:
    billing:
        roles: [backend]
        ticket: letmein
        wampcra: { secret: shared }
    page:
        roles: [member]
        wampcra: { secret: 'a password', salt: salt123, iterations: 100, keylen: 32 }
    sensor:
        roles: [sensor]
        cryptosign: [ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c]
    phone:
        roles: [member]
        scram:
            kdf: pbkdf2
            iterations: 1000
            salt: MDEyMzQ1Njc4OWFiY2RlZg==
            stored_key: 00HMQcP94oybUdxP5mF5zetKdCD426CEtjHt9rCICu0=
            server_key: 4k4Ig/grIt53n2x2jmf8G3hv7fajxHhJo0C5Mtx1tyM=
    tablet:
        roles: [member]
        scram:
            kdf: argon2id13
            iterations: 2
            memory: 512
            salt: MDEyMzQ1Njc4OWFiY2RlZg==
            stored_key: L01B7ncbPGVfDyoQ6YUWV5IT+TZ2iBWsi8zNtl7QyVE=
            server_key: chgw5SsQBRn4U6AxLUtgVEvJfGDPcyqEwZcaA5jJ9dk=
    elsewhere: { realms: [realm2], ticket: letmein }
";

const ROUTES: &str = "\
open: { channel: 'open/{name}', handler: { callback: broadcast } }
measures:
    channel: 'measures/{name}'
    handler: { callback: broadcast }
    allow: { publish: [sensor], subscribe: [member] }
";

fn served(more: &str) -> (Site, Server) {
    let site = Site::new();
    site.bundle("routes", ROUTES, &[build::plugin("broadcast")]);
    site.write("principals.yml", PRINCIPALS);
    site.write("jackfield.yml", format!("auth: {{ principals: principals.yml }}\n{more}"));
    let server = Server::start(site.path());
    (site, server)
}

/// Authenticates with a client of others. Returns its report.
async fn report(server: &Server, client: &str, [method, authid, secret]: [&str; 3]) -> Value {
    let (name, library) = client.split_once(' ').unwrap();
    let mut command = if name == "node" {
        peer::node("authenticate.mjs")
    } else {
        let mut command = Command::new(peer::installed("python/bin/python"));
        command.arg(peer::script("python/authenticate.py"));
        command
    };
    command.arg(library).arg(format!("ws://{}/", server.addr)).args([method, authid, secret]);
    let output = within(client, command.kill_on_drop(true).output()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| {
        panic!("{client} {method}: {text}{}", String::from_utf8_lossy(&output.stderr))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_are_refused_without_a_reason() {
    let (_site, server) = served("");
    let other = PRIVATE.replace("07", "08");
    let cases: [(&str, [&str; 3]); 10] = [
        ("python autobahn", ["ticket", "billing", "letmeout"]),
        ("python autobahn", ["wampcra", "billing", "other"]),
        ("python autobahn", ["wampcra", "nobody", "shared"]),
        ("python autobahn", ["scram", "tablet", "pen"]),
        ("python autobahn", ["cryptosign", "sensor", &other]),
        ("node autobahn", ["wampcra", "nobody", "shared"]),
        ("node autobahn", ["cryptosign", "sensor", &other]),
        ("node wampy", ["wampcra", "billing", "other"]),
        ("node wampy", ["ticket", "nobody", "letmein"]),
        ("python autobahn", ["ticket", "elsewhere", "letmein"]),
    ];
    for (client, given) in cases {
        let report = report(&server, client, given).await;
        assert_eq!(
            report["refused"], "wamp.error.authentication_denied",
            "{client} {given:?} {report}"
        );
        let message = report["message"].as_str().unwrap_or_default();
        assert!(!message.contains("principal") && !message.contains("realm"), "{report}");
    }
    let log = server.logged("no principal has this name or key");
    assert!(log.contains("it does not answer the challenge of `wampcra`"), "{log}");
    assert!(log.contains("the principal may not join the realm"), "{log}");
    for secret in ["letmein", "letmeout", "shared"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// Opens a session by a ticket, with these authentication methods.
async fn join(server: &Server, details: Value, ticket: &str) -> Result<Client, String> {
    join_realm(server, "realm1", details, ticket).await
}

/// Opens a session in a realm by a ticket.
pub(crate) async fn join_realm(
    server: &Server,
    realm: &str,
    details: Value,
    ticket: &str,
) -> Result<Client, String> {
    let options = Options::new(Codec::Json);
    let mut client = Client::open(server.addr, Codec::Json, options.handshake).await.unwrap();
    let mut hello =
        json!({ "roles": { "publisher": {}, "subscriber": {}, "caller": {}, "callee": {} } });
    for (key, value) in details.as_object().unwrap() {
        hello[key] = value.clone();
    }
    client.send(&json!([1, realm, hello]));
    let mut answer = client.message().await;
    if answer[0] == 4 {
        client.send(&json!([5, ticket, {}]));
        answer = client.message().await;
    }
    match answer[0].as_u64() {
        Some(2) => Ok(client),
        _ => Err(format!("{} {}", answer[2].as_str().unwrap(), answer[1]["message"])),
    }
}

pub(crate) fn ticket_of(authid: &str) -> Value {
    json!({ "authmethods": ["ticket"], "authid": authid })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_method_of_the_client_that_can_be_used_is_taken() {
    let (_site, server) = served("access: { anonymous: true }\n");
    let check = async |methods: Value, expect: &str| {
        let options = Options::new(Codec::Json);
        let mut client = Client::open(server.addr, Codec::Json, options.handshake).await.unwrap();
        let hello =
            json!({ "roles": { "publisher": {} }, "authmethods": methods, "authid": "billing" });
        client.send(&json!([1, "realm1", hello]));
        let answer = client.message().await;
        let method = match answer[0].as_u64() {
            Some(2) => answer[2]["authmethod"].as_str().unwrap().to_owned(),
            Some(4) => answer[1].as_str().unwrap().to_owned(),
            _ => answer[2].as_str().unwrap().to_owned(),
        };
        assert_eq!(method, expect, "{methods}: {answer}");
    };
    check(json!(["wampcra", "ticket"]), "wampcra").await;
    check(json!(["ticket", "wampcra"]), "ticket").await;
    check(json!(["kerberos", "wampcra"]), "wampcra").await;
    check(json!(["anonymous", "wampcra"]), "anonymous").await;
    // Without a key, cryptosign cannot be used; the next method can.
    check(json!(["cryptosign", "wampcra"]), "wampcra").await;
    check(json!(["cryptosign"]), "wamp.error.authentication_denied").await;
    check(json!(["kerberos"]), "wamp.error.no_matching_auth_method").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_principals_authorize() {
    let (_site, server) = served("");
    let mut client = join(&server, ticket_of("billing"), "letmein").await.unwrap();
    client.subscribe("open/a", json!({})).await;
    let refused =
        client.publish_acknowledged("measures/a", json!({}), json!([1]), Value::Null).await;
    assert_eq!(refused.unwrap_err().uri, "wamp.error.not_authorized");
    // Without anonymous sessions, a program has to authenticate.
    let error = join(&server, json!({}), "").await.err().unwrap();
    assert!(error.starts_with("wamp.error.no_matching_auth_method"), "{error}");
    assert!(error.contains("`ticket` or `wampcra`"), "{error}");
    let refused = v1::Client::connect_with(server.addr, v1::Options::default()).await;
    assert_eq!(refused.err().unwrap().refused.status, Some(403), "version 1 has no challenges");
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_of_principals_and_of_the_application_do_not_get_mixed_up() {
    let site = Site::new();
    site.bundle("routes", ROUTES, &[build::plugin("broadcast")]);
    site.write("principals.yml", PRINCIPALS);
    site.write("users.yml", "users: { ann: { id: 7, password: hash-of-ann, roles: [member] } }");
    let auth = "auth:\n  principals: principals.yml\n  tickets: { secret: kernel-secret }\n  users: { file: users.yml }\n";
    let guarded = crate::access::Guarded::with(site, auth);
    let ticket = guarded.ticket(Some("ann")).await;
    let server = &guarded.server;
    join(server, ticket_of("billing"), "letmein").await.unwrap();
    join(server, ticket_of("ann"), &ticket).await.unwrap();
    for (authid, ticket) in
        [("billing", ticket.as_str()), ("ann", "letmein"), ("billing", "x"), ("nobody", "letmein")]
    {
        let error = join(server, ticket_of(authid), ticket).await.err().unwrap();
        assert!(error.starts_with("wamp.error.authentication_denied"), "{authid}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_and_changed_principals_end_their_sessions() {
    let (site, server) = served("");
    let mut ended = join(&server, ticket_of("billing"), "letmein").await.unwrap();
    let report_sensor = report(&server, "python xconn", ["cryptosign", "sensor", PRIVATE]).await;
    assert_eq!(report_sensor["authid"], "sensor");
    let logged = server.log().len();
    site.rename_over(
        "principals.yml",
        PRINCIPALS.replace("ticket: letmein\n        wamp", "ticket: other\n        wamp"),
    );
    server.logged_after(logged, "the principals have changed");
    assert!(matches!(ended.ended().await, Ending::Lost(_)), "the client comes back by itself");
    join(&server, ticket_of("billing"), "letmein").await.err().unwrap();
    join(&server, ticket_of("billing"), "other").await.unwrap();
    // A file with an error changes nothing.
    let logged = server.log().len();
    site.rename_over("principals.yml", "principals: { billing: {} }");
    let log = server.logged_after(logged, "the principals stay as they were");
    assert!(log.contains("principals.yml:1:15: error: `billing`: there is no credential"), "{log}");
    join(&server, ticket_of("billing"), "other").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_can_leave_principals_out() {
    let site = Site::new();
    site.bundle("routes", ROUTES, &[build::plugin("broadcast")]);
    site.write("principals.yml", PRINCIPALS);
    let socket = site.file("proxy.sock");
    let settings = format!(
        "auth: {{ principals: principals.yml, jwt: {{ keys: {{ secret: '{PRIVATE}' }} }} }}\n\
         listen: 127.0.0.1:0\n\
         listeners: [{{ socket: {}, auth: {{ methods: [principals] }} }}]\n",
        socket.display()
    );
    site.write("jackfield.yml", settings);
    let server = Server::start(site.path());
    assert!(Path::new(&socket).exists());
    join(&server, ticket_of("billing"), "letmein").await.unwrap();
    let options = Options::new(Codec::Json);
    let refused = Client::connect_with(server.addr, Codec::Json, "realm1", options).await;
    assert!(matches!(refused.err().unwrap(), NoSession::Aborted { .. }));
}
