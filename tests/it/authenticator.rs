//! Authenticators: handlers of plugins that know the principals of clients of WAMP v2.
//!
//! The guest `guarding` knows all names that begin with `ann`: the rest of the name is what goes wrong. The
//! clients here compute their proofs with openssl.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::commands::jackfield;
use crate::control::ask;
use crate::reload::{patched, reloading};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const DENIED: &str = "wamp.error.authentication_denied";
const FAILED: &str = "wamp.error.authentication_failed";

/// Settings with the authenticator. A call has a second: machines with tests are busy.
const SETTINGS: &str = "\
realms: [realm1, shop]
auth: { authenticator: guarding.login }
plugins: { named: { guarding: { deadline: 1s } } }
";

fn guarded() -> Site {
    let site = Site::open();
    site.write("guarding/guarding.wasm", fs::read(build::guest("guarding")).unwrap());
    site
}

fn served(more: &str) -> (Site, Server) {
    let site = guarded();
    let server = Server::configured(site.path(), &format!("{SETTINGS}{more}"));
    (site, server)
}

/// Sends HELLO, and returns the answer.
async fn hello(server: &Server, realm: &str, details: Value) -> (Client, Value) {
    let options = Options::new(Codec::Json);
    let mut client = Client::open(server.addr, Codec::Json, options.handshake).await.unwrap();
    let mut hello = json!({ "roles": { "publisher": {}, "subscriber": {}, "caller": {} } });
    for (key, value) in details.as_object().unwrap() {
        hello[key] = value.clone();
    }
    client.send(&json!([1, realm, hello]));
    let answer = client.message().await;
    (client, answer)
}

/// Answers the challenge of a method, and returns the client with WELCOME, or the URI of ABORT with its
/// message.
async fn proven(
    mut client: Client,
    challenge: Value,
    proof: impl FnOnce(&Value) -> String,
) -> Result<(Client, Value), (String, String)> {
    let mut answer = challenge;
    if answer[0] == 4 {
        client.send(&json!([5, proof(&answer[2]), {}]));
        answer = client.message().await;
    }
    if answer[0] == 2 {
        return Ok((client, answer[2].clone()));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Err((text(&answer[2]), text(&answer[1]["message"])))
}

async fn by_ticket(
    server: &Server,
    realm: &str,
    name: &str,
    ticket: &str,
) -> Result<(Client, Value), (String, String)> {
    let details = json!({ "authmethods": ["ticket"], "authid": name });
    let (client, challenge) = hello(server, realm, details).await;
    proven(client, challenge, |_| ticket.to_owned()).await
}

async fn by_secret(
    server: &Server,
    name: &str,
    secret: &str,
) -> Result<(Client, Value), (String, String)> {
    let details = json!({ "authmethods": ["wampcra"], "authid": name });
    let (client, challenge) = hello(server, "realm1", details).await;
    let sign = |extra: &Value| {
        let key = format!("key:{secret}");
        let text = extra["challenge"].as_str().unwrap();
        let options = ["dgst", "-sha256", "-mac", "hmac", "-macopt", &key, "-binary"];
        STANDARD.encode(openssl(&options, text.as_bytes()))
    };
    proven(client, challenge, sign).await
}

fn openssl(options: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("openssl runs");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {options:?}");
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_verifies_tickets() {
    let (_site, server) = served("");
    let (_ann, welcome) = by_ticket(&server, "realm1", "ann", "ticket of ann").await.unwrap();
    assert_eq!(welcome["authid"], "ann");
    assert_eq!(welcome["authrole"], "member");
    assert_eq!(welcome["authmethod"], "ticket");
    by_ticket(&server, "shop", "ann", "ticket of ann").await.unwrap();
    by_ticket(&server, "realm1", "ann_id", "ticket of ann_id").await.unwrap();
    // A wrong ticket and an unknown name are the same.
    let wrong = by_ticket(&server, "realm1", "ann", "ticket of bob").await.err().unwrap();
    let unknown = by_ticket(&server, "realm1", "bob", "ticket of bob").await.err().unwrap();
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.0, DENIED);
    // Without the method of the server: anonymous sessions need a setting.
    let (_client, refused) = hello(&server, "realm1", json!({})).await;
    assert_eq!(refused[2], "wamp.error.no_matching_auth_method");
    let message = refused[1]["message"].as_str().unwrap();
    assert!(message.contains("`ticket`") && message.contains("`cryptosign`"), "{message}");
    // Roles and claims are those that handlers and operators see.
    let (_, sessions) = ask(&server.control_socket(), "GET", "/v1/sessions", "").await;
    let ann = &sessions["sessions"][0];
    assert_eq!(ann["roles"], json!(["member", "version-00000001"]), "{sessions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_verifies_signatures_with_the_secrets_of_a_plugin() {
    let (_site, server) = served("");
    let (_ann, welcome) = by_secret(&server, "ann", "secret of ann").await.unwrap();
    assert_eq!((&welcome["authid"], &welcome["authrole"]), (&json!("ann"), &json!("member")));
    assert_eq!(welcome["authmethod"], "wampcra");
    by_secret(&server, "ann_salted", "derived").await.unwrap();
    for (name, secret) in [
        ("ann", "secret of bob"),
        ("bob", "secret of bob"),
        // The credentials of models are never accepted.
        ("model", "secret of nobody"),
        ("model 1", "secret of nobody"),
        ("", "x"),
    ] {
        assert_eq!(by_secret(&server, name, secret).await.err().unwrap().0, DENIED, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_cryptosign_name_their_principal() {
    let (site, server) = served("");
    // PKCS 8 of the seed.
    let mut key = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    key.extend([7; 32]);
    fs::write(site.file("key.der"), key).unwrap();
    let known = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
    let other = "1398f62c6d1a457c51ba6a4b5f3dbd2f69fca93216218dc8997e416bd17d93ca";
    let sign = |extra: &Value| {
        let challenge = extra["challenge"].as_str().unwrap();
        let digits = challenge.as_bytes().chunks(2);
        let bytes: Vec<u8> = digits
            .map(|it| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap())
            .collect();
        let file = site.file("challenge");
        fs::write(&file, &bytes).unwrap();
        let key = site.file("key.der");
        let options = ["pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey"];
        let more = [key.to_str().unwrap(), "-in", file.to_str().unwrap()];
        let signature = openssl(&[&options[..], &more[..]].concat(), b"");
        let hex = signature.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("{hex}{challenge}")
    };
    let join = async |details: Value| {
        let (client, challenge) = hello(&server, "realm1", details).await;
        assert_eq!(challenge[0], 4, "{challenge}");
        proven(client, challenge, sign).await.map(|(_, welcome)| welcome["authid"].clone())
    };
    let details = |key: &str, name: Option<&str>| json!({ "authmethods": ["cryptosign"], "authid": name, "authextra": { "pubkey": key } });
    assert_eq!(join(details(known, None)).await.unwrap(), "sensor");
    assert_eq!(join(details(known, Some("sensor"))).await.unwrap(), "sensor");
    assert_eq!(join(details(known, Some("ann"))).await.err().unwrap().0, DENIED);
    assert_eq!(join(details(other, None)).await.err().unwrap().0, DENIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_get_challenges_of_the_same_form() {
    let (_site, server) = served("");
    let challenge = async |method: &str, name: &str| {
        let nonce = STANDARD.encode([9; 16]);
        let details =
            json!({ "authmethods": [method], "authid": name, "authextra": { "nonce": nonce } });
        let (_client, answer) = hello(&server, "realm1", details).await;
        assert_eq!((&answer[0], &answer[1]), (&json!(4), &json!(method)), "{answer}");
        answer[2].clone()
    };
    let keys = |it: &Value| it.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let (known, unknown) = (challenge("wampcra", "ann").await, challenge("wampcra", "bob").await);
    assert_eq!(keys(&known), keys(&unknown));
    let text =
        |it: &Value| serde_json::from_str::<Value>(it["challenge"].as_str().unwrap()).unwrap();
    assert_eq!(keys(&text(&known)), keys(&text(&unknown)));
    assert_eq!(text(&known)["authrole"], text(&unknown)["authrole"]);
    let (known, unknown) = (challenge("scram", "ann").await, challenge("scram", "bob").await);
    assert_eq!(keys(&known), keys(&unknown));
    for key in ["kdf", "iterations"] {
        assert_eq!(known[key], unknown[key]);
    }
    assert_eq!(known["salt"].as_str().unwrap().len(), unknown["salt"].as_str().unwrap().len());
    assert_eq!(unknown["salt"], challenge("scram", "bob").await["salt"]);
    assert_ne!(unknown["salt"], challenge("scram", "carl").await["salt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_hello_does_not_ask_the_plugin() {
    let (_site, server) = served("");
    for (method, lacking) in [("scram", "authextra.nonce"), ("wamp-scram", "authextra.nonce")] {
        let details = json!({ "authmethods": [method], "authid": "ann_trap" });
        let (_client, refused) = hello(&server, "realm1", details).await;
        assert_eq!(refused[2], DENIED, "{refused}");
        assert!(refused.to_string().contains(lacking), "{refused}");
    }
    for (extra, lacking) in [
        (json!({}), "pubkey"),
        (json!({ "pubkey": "0".repeat(64), "channel_binding": "tls-unique" }), "tls-unique"),
    ] {
        let details =
            json!({ "authmethods": ["cryptosign"], "authid": "ann_trap", "authextra": extra });
        let (_client, refused) = hello(&server, "realm1", details).await;
        assert!(refused.to_string().contains(lacking), "{refused}");
    }
    assert!(!server.log().contains("this is a trap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_methods_open_no_anonymous_session() {
    let (_site, server) = served("access: { anonymous: true }\n");
    for methods in [json!("ticket"), json!([7]), json!(["ticket", null]), json!(true)] {
        let (_client, refused) = hello(&server, "realm1", json!({ "authmethods": methods })).await;
        assert_eq!(refused[2], "wamp.error.protocol_violation", "{refused}");
    }
    // As PHP writes a list without its first item.
    let (_client, asked) =
        hello(&server, "realm1", json!({ "authmethods": { "1": "ticket" }, "authid": "ann" }))
            .await;
    assert_eq!((&asked[0], &asked[1]), (&json!(4), &json!("ticket")));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_refuse_and_delay_no_other_client() {
    let (_site, server) = served("access: { anonymous: true }\n");
    let (mut anonymous, welcome) =
        hello(&server, "realm1", json!({ "authmethods": ["anonymous"] })).await;
    assert_eq!(welcome[0], 2);
    for (name, logged) in [
        ("ann_trap", "this is a trap"),
        ("ann_effect", "gave more than its 0 effects"),
        ("ann_hang", "did not return within 1000 ms"),
    ] {
        let ticket = format!("ticket of {name}");
        assert_eq!(by_ticket(&server, "realm1", name, &ticket).await.err().unwrap().0, FAILED);
        let secret = format!("secret of {name}");
        assert_eq!(by_secret(&server, name, &secret).await.err().unwrap().0, FAILED, "{name}");
        let log =
            server.logged(&format!("authenticate of handler guarding.login for topic {name}"));
        assert!(log.contains(logged), "{log}");
    }
    // While one client waits, an open session and a new one are served.
    let details = json!({ "authmethods": ["ticket"], "authid": "ann_hang" });
    let (mut hanging, challenge) = hello(&server, "realm1", details).await;
    assert_eq!(challenge[0], 4);
    hanging.send(&json!([5, "ticket of ann_hang", {}]));
    anonymous.subscribe("open/1", json!({})).await;
    by_ticket(&server, "realm1", "ann", "ticket of ann").await.unwrap();
    assert_eq!(hanging.message().await[2], FAILED);
    // A refusal of the hook is no fault, however often it comes.
    for _ in 0..12 {
        let refused = by_ticket(&server, "realm1", "ann_refused", "wrong").await;
        assert_eq!(refused.err().unwrap().0, DENIED);
    }
    // Answers of the plugin that cannot be used are refusals.
    for (name, logged) in [
        ("ann_other", "its name is not the one that was asked for"),
        ("ann_invalid", "a key of `cryptosign` is not one"),
        ("ann_many", "`roles` has more than 64 roles"),
    ] {
        let ticket = format!("ticket of {name}");
        assert_eq!(by_ticket(&server, "realm1", name, &ticket).await.err().unwrap().0, DENIED);
        let secret = format!("secret of {name}");
        assert_eq!(by_secret(&server, name, &secret).await.err().unwrap().0, DENIED, "{name}");
        for method in ["ticket", "wampcra"] {
            server.logged(&format!("cannot be used (`{method}` of `{name}`): {logged}"));
        }
    }
    let log = server.log();
    for name in ["ann", "ann_trap", "ann_other"] {
        let (ticket, secret) = (format!("ticket of {name}"), format!("secret of {name}"));
        assert!(!log.contains(&ticket) && !log.contains(&secret), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_the_time_of_its_principal() {
    let (_site, server) = served("");
    let brief = by_ticket(&server, "realm1", "ann_brief", "ticket of ann_brief").await;
    let (mut client, _) = brief.unwrap();
    assert_eq!(
        client.message().await,
        json!([
            6,
            { "message": "the time of the login has ended; log in again" },
            "jackfield.close.authentication_expired"
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_authenticates_the_next_client() {
    let (site, server) = served("");
    by_ticket(&server, "realm1", "ann", "ticket of ann").await.unwrap();
    let next = patched("guarding", "version-00000001", "version-00000002");
    reloading(&server, || site.write("guarding/guarding.wasm", &next));
    let (_ann, _) = by_ticket(&server, "realm1", "ann", "ticket of ann").await.unwrap();
    let (_, sessions) = ask(&server.control_socket(), "GET", "/v1/sessions", "").await;
    assert!(sessions.to_string().contains("version-00000002"), "{sessions}");
    // Without the plugin, no client is authenticated.
    reloading(&server, || site.remove("guarding"));
    let refused = by_ticket(&server, "realm1", "ann", "ticket of ann").await.err().unwrap();
    assert_eq!(refused.0, FAILED);
    server.logged("the authenticator `guarding.login` is not in service; its clients are refused");
}

#[test]
fn wrong_settings_are_reported() {
    let site = Site::open();
    let check = |auth: &str, expected: &str| {
        site.write("jackfield.yml", format!("auth:\n  {auth}\n"));
        let answer = jackfield("check", site.path(), &[]);
        let all = format!("{}{}", answer.out, answer.err);
        assert!(all.contains(expected), "{auth}: {all}");
    };
    check("authenticator: ''", "jackfield.yml:2:18: error: `auth.authenticator` is empty");
    check("authenticator: [x]", "jackfield.yml:2:18: error");
    let unknown = "no plugin of the site has the authenticator `no.such`";
    check("authenticator: no.such", unknown);
    site.write("principals.yml", "principals: {}\n");
    let both = "there are `auth.principals` and `auth.authenticator`";
    check("authenticator: x\n  principals: principals.yml", both);
}
