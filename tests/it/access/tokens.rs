//! JSON Web Tokens of other applications, signed by Node's own cryptography, and keys that are
//! rotated while the server runs.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::{Guarded, ROUTES, owns};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v2;
use jackfield_tests::client::within;
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::site::Site;

/// Generates a key pair of the given kind, and a token signed with it.
const SCRIPT: &str = r"
const crypto = require('node:crypto');
const [kind, kid, claims] = process.argv.slice(1);
const pair = {
  EdDSA: () => crypto.generateKeyPairSync('ed25519'),
  ES256: () => crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: () => crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }),
}[kind]();
const text = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const head = `${text({ alg: kind, kid, typ: 'JWT' })}.${text(JSON.parse(claims))}`;
const hash = kind === 'EdDSA' ? null : 'sha256';
const key = { key: pair.privateKey, dsaEncoding: 'ieee-p1363' };
const signature = crypto.sign(hash, Buffer.from(head), key).toString('base64url');
const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid, alg: kind, use: 'sig' };
console.log(JSON.stringify({ jwk, token: `${head}.${signature}` }));
";

/// Returns a key of the issuer, and a token of Ann signed with it.
async fn issue(kind: &str, name: &str) -> (Value, String) {
    issue_until(kind, name, 4_000_000_000).await
}

/// As [`issue`], with the given `exp` in seconds since 1970.
async fn issue_until(kind: &str, name: &str, until: u64) -> (Value, String) {
    let claims = json!({
        "iss": "https://id.example", "aud": "jackfield", "exp": until,
        "sub": "7", "preferred_username": "ann", "roles": ["member"],
    });
    let mut node = Command::new("node");
    node.args(["-e", SCRIPT, kind, name, &claims.to_string()]).stdin(Stdio::null());
    let output = within("node", node.kill_on_drop(true).output()).await.expect("node is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    (made["jwk"].clone(), made["token"].as_str().unwrap().to_owned())
}

fn jwks(keys: &[&Value]) -> String {
    json!({"keys": keys}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_rotated_keys() {
    let (old, olds) = issue("EdDSA", "2025").await;
    let (new, news) = issue("ES256", "2026").await;
    let (other, others) = issue("RS256", "rsa").await;
    let site = Site::new();
    site.bundle("routes", ROUTES, &[build::plugin("broadcast"), build::plugin("secured")]);
    site.write("keys.json", jwks(&[&old]));
    let settings = "auth: { jwt: { keys: { jwks: keys.json }, issuers: ['https://id.example'], \
                    audiences: [jackfield] } }";
    let guarded = Guarded::with(site, settings);
    let enters = async |token: &str| {
        let page = guarded.page(&format!("access_token={token}")).await;
        page.map_err(|(status, _)| status)
    };
    let mut ann = enters(&olds).await.unwrap();
    assert!(owns(&mut ann, 7).await && !owns(&mut ann, 8).await);
    assert_eq!(enters(&news).await.err(), Some(Some(403)));
    guarded.server.logged("signed by ES256, for which there is no key here");

    let logged = guarded.server.log().len();
    guarded.site.rename_over("keys.json", jwks(&[&old, &new, &other]));
    guarded.server.logged_after(logged, "the keys have changed");
    for token in [&olds, &news, &others] {
        enters(token).await.unwrap();
    }
    let logged = guarded.server.log().len();
    guarded.site.rename_over("keys.json", "{");
    guarded.server.logged_after(logged, "the keys stay as they were");
    enters(&news).await.unwrap();
    let logged = guarded.server.log().len();
    guarded.site.rename_over("keys.json", jwks(&[&new]));
    guarded.server.logged_after(logged, "the keys have changed");
    assert_eq!(enters(&olds).await.err(), Some(Some(403)));
    enters(&news).await.unwrap();
    ann.hangup().await;
    assert!(!guarded.server.log().contains(&news), "no token is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn version_2_sends_a_token_as_its_ticket() {
    let (key, token) = issue("ES256", "1").await;
    let (_, others) = issue("ES256", "1").await;
    let site = Site::new();
    site.bundle("routes", ROUTES, &[build::plugin("broadcast"), build::plugin("secured")]);
    site.write("keys.json", jwks(&[&key]));
    let settings = "auth: { jwt: { keys: { jwks: keys.json }, audiences: [jackfield] } }";
    let guarded = Guarded::with(site, settings);
    let answer = async |codec: Codec, token: &str, authid: &str| {
        let mut options = v2::Options::new(codec);
        options.details["authmethods"] = json!(["ticket"]);
        options.details["authid"] = json!(authid);
        let client = v2::Client::open(guarded.server.addr, codec, options.handshake).await;
        let mut client = client.unwrap();
        client.send(&json!([1, "realm1", options.details]));
        assert_eq!(client.message().await, json!([4, "ticket", {}]));
        client.send(&json!([5, token, {}]));
        client
    };
    for codec in Codec::ALL {
        let mut ann = answer(codec, &token, "ann").await;
        let welcome = ann.message().await;
        assert_eq!(welcome[0], 2, "{welcome}");
        assert_eq!(
            (&welcome[2]["authid"], &welcome[2]["authrole"], &welcome[2]["authmethod"]),
            (&json!("ann"), &json!("member"), &json!("ticket"))
        );
        assert!(ann.try_subscribe("inbox/7", json!({})).await.is_ok());
        let refused = ann.try_subscribe("inbox/8", json!({})).await.unwrap_err();
        assert_eq!(refused.uri, "wamp.error.not_authorized");
    }
    for (token, authid) in [(others.as_str(), "ann"), ("a.b.c", "ann"), (token.as_str(), "bob")] {
        let mut refused = answer(Codec::Json, token, authid).await;
        assert_eq!(refused.aborted().await.0, "wamp.error.authentication_denied", "{authid}");
    }
    let log = guarded.server.logged("the token's signature is wrong");
    assert!(!log.contains(&token) && !log.contains(&others), "{log}");
}

/// Returns a server that accepts tokens, and a token of Ann with the given `exp`.
async fn guarded(until: u64, more: &str) -> (Guarded, String) {
    let (key, token) = issue_until("EdDSA", "1", until).await;
    let site = Site::new();
    site.bundle("routes", ROUTES, &[build::plugin("broadcast"), build::plugin("secured")]);
    site.write("keys.json", jwks(&[&key]));
    // Without a rate of messages: a client that never pauses is closed by its token, not by its rate.
    let settings = format!(
        "auth: {{ jwt: {{ keys: {{ jwks: keys.json }}, audiences: [jackfield], leeway: 1s{more} }} }}\n\
         limits: {{ message_rate: {{ enabled: false }} }}\n"
    );
    (Guarded::with(site, &settings), token)
}

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// WELCOME repeats the method that the client has named, independent of where the token was sent.
#[tokio::test(flavor = "multi_thread")]
async fn welcome_repeats_the_method_that_the_client_offers() {
    let (guarded, token) = guarded(4_000_000_000, "").await;
    for codec in Codec::ALL {
        for (in_query, authmethods, expect) in [
            (true, json!(null), "jwt"),
            (true, json!([]), "jwt"),
            (true, json!(["ticket"]), "ticket"),
            (true, json!({"1": "ticket"}), "ticket"),
            (true, json!(["anonymous"]), "anonymous"),
            (true, json!(["wampcra", "ticket"]), "ticket"),
            (true, json!(["wampcra"]), "wampcra"),
            (true, json!(["x".repeat(1000)]), "jwt"),
            (false, json!(["ticket"]), "ticket"),
            (false, json!(["wampcra", "ticket", "anonymous"]), "ticket"),
        ] {
            let mut options = v2::Options::new(codec);
            options.details["authmethods"] = authmethods.clone();
            if in_query {
                options.handshake.path = format!("/?access_token={token}");
            }
            let client = v2::Client::open(guarded.server.addr, codec, options.handshake).await;
            let mut client = client.unwrap();
            client.send(&json!([1, "realm1", options.details]));
            let mut answer = client.message().await;
            if !in_query {
                assert_eq!(answer, json!([4, "ticket", {}]), "{authmethods}");
                client.send(&json!([5, token, {}]));
                answer = client.message().await;
            }
            assert_eq!(answer[0], 2, "{authmethods}: {answer}");
            assert_eq!(answer[2]["authmethod"], expect, "{authmethods}");
            assert_eq!(answer[2]["authid"], "ann", "{authmethods}");
        }
    }
}

/// Third-party clients look for the code of the method that WELCOME names.
#[tokio::test(flavor = "multi_thread")]
async fn every_v2_client_joins_with_a_token_as_its_ticket() {
    let (guarded, token) = guarded(4_000_000_000, "").await;
    let in_query = format!("/?ticket={token}");
    for library in Library::all_v2() {
        for target in ["/", in_query.as_str()] {
            let mut peer = Peer::start_as_ann(library, guarded.server.addr, target, &token);
            let joined = peer.until("to join or not", |line| {
                line.get("joined").is_some() || line.get("refused").is_some()
            });
            let joined = joined.await;
            assert!(joined.get("joined").is_some(), "{library:?} at {target}: {joined}");
            peer.leave().await;
        }
    }
}

/// A session ends with its token. Version 2 receives the reason; version 1 reconnects by itself
/// after a bare end of TCP, with a new ticket.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_token_expires() {
    let (guarded, token) = guarded(now() + 15, "").await;
    let mut clients = Vec::new();
    for codec in Codec::ALL {
        for in_query in [true, false] {
            let mut options = v2::Options::new(codec);
            options.details["authmethods"] = json!(["ticket"]);
            if in_query {
                options.handshake.path = format!("/?access_token={token}");
            }
            let client = v2::Client::open(guarded.server.addr, codec, options.handshake).await;
            let mut client = client.unwrap();
            client.send(&json!([1, "realm1", options.details]));
            if !in_query {
                client.message().await;
                client.send(&json!([5, token, {}]));
            }
            assert_eq!(client.message().await[0], 2, "{codec:?} {in_query}");
            client.subscribe("inbox/7", json!({})).await;
            clients.push(client);
        }
    }
    let mut page = guarded.page(&format!("access_token={token}")).await.unwrap();
    assert!(owns(&mut page, 7).await);
    for client in &mut clients {
        assert_eq!(client.dismissed().await, "jackfield.close.authentication_expired");
        client.send(&json!([6, {}, "wamp.close.goodbye_and_out"]));
        client.ended().await;
    }
    assert!(matches!(page.ended().await, Ending::Lost(_)), "no Close frame");
    // Not before its time; after it, the token opens no session.
    assert!(now() >= page_until(&token));
    let (status, _) = guarded.page(&format!("access_token={token}")).await.err().unwrap();
    assert_eq!(status, Some(403));
}

/// Returns `exp` and the leeway, from the token itself.
fn page_until(token: &str) -> u64 {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["exp"].as_u64().unwrap() + 1
}

/// A client that never pauses is disconnected, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_session_ends_when_its_token_expires() {
    let (guarded, token) = guarded(now() + 10, "").await;
    let mut options = v2::Options::new(Codec::Json);
    options.handshake.path = format!("/?access_token={token}");
    let client = v2::Client::connect_with(guarded.server.addr, Codec::Json, "realm1", options);
    let mut client = client.await.unwrap();
    let dismissed = async {
        loop {
            for _ in 0..100 {
                client.publish("open/t", json!({}), json!([1]), json!(null));
            }
            let request = client.next_request();
            client.send(&json!([34, request, 1_u64 << 53]));
            let answer = client.message().await;
            if answer[0] == 6 {
                return answer;
            }
            assert_eq!(answer[0], 8, "{answer}");
        }
    };
    let goodbye = within("the end of the session", dismissed).await;
    assert_eq!(goodbye[2], "jackfield.close.authentication_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_outlive_its_token() {
    let until = now() + 8;
    let (guarded, token) = guarded(until, ", expiry: ignore").await;
    let mut page = guarded.page(&format!("access_token={token}")).await.unwrap();
    // An expired token is refused, and the session that it opened continues.
    let refused = async {
        while guarded.page(&format!("access_token={token}")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("the end of the token", refused).await;
    assert!(owns(&mut page, 7).await);
}

/// Programs other than browsers send no `Origin`; they are admitted by their credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_needs_no_origin() {
    for anonymous in [false, true] {
        let (key, token) = issue("ES256", "1").await;
        let site = Site::open();
        site.write("keys.json", jwks(&[&key]));
        let settings = format!(
            "auth: {{ jwt: {{ keys: {{ jwks: keys.json }}, audiences: [jackfield] }} }}\n\
             access: {{ origins: [shop.example], anonymous: {anonymous} }}"
        );
        let guarded = Guarded::with(site, &settings);
        let good = format!("?access_token={token}");
        for (origin, query, protocol, expect) in [
            (None, good.as_str(), "wamp", 101),
            (None, good.as_str(), "wamp.2.json", 101),
            // Version 2 may authenticate later.
            (None, "", "wamp.2.json", 101),
            (None, "", "wamp", 403),
            (None, "?access_token=a.b.c", "wamp", 403),
            (None, "?access_token=a.b.c", "wamp.2.json", 403),
            // A page is admitted by its origin, independent of its credentials.
            (Some("https://evil.example"), good.as_str(), "wamp", 403),
            (Some("null"), good.as_str(), "wamp", 403),
            (Some("https://shop.example"), good.as_str(), "wamp", 101),
            (Some("https://shop.example"), "", "wamp", if anonymous { 101 } else { 403 }),
        ] {
            let mut stream = Http::connect(guarded.server.addr).await;
            let origin = origin.map(|it| format!("Origin: {it}\r\n")).unwrap_or_default();
            let head = format!(
                "GET /{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Protocol: {protocol}\r\n{origin}\r\n"
            );
            stream.send(head).await;
            assert_eq!(stream.answer().await.status, expect, "{origin} {query} {protocol}");
        }
        // A client without an origin needs a credential, even if pages do not.
        for (authmethods, is_asked) in [(json!(["anonymous"]), false), (json!(["ticket"]), true)] {
            let mut options = v2::Options::new(Codec::Json);
            options.handshake.origin = None;
            options.details["authmethods"] = authmethods;
            let client =
                v2::Client::open(guarded.server.addr, Codec::Json, options.handshake).await;
            let mut client = client.unwrap();
            client.send(&json!([1, "realm1", options.details]));
            if is_asked {
                assert_eq!(client.message().await, json!([4, "ticket", {}]));
                client.send(&json!([5, token, {}]));
                assert_eq!(client.message().await[0], 2);
            } else {
                assert_eq!(client.aborted().await.0, "wamp.error.no_matching_auth_method");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_a_token_in_a_header() {
    let (key, token) = issue("RS256", "1").await;
    let site = Site::open();
    site.write("keys.json", jwks(&[&key]));
    let settings = "auth: { jwt: { keys: { jwks: keys.json }, audiences: [jackfield] } }";
    let guarded = Guarded::with(site, settings);
    for (header, status) in
        [(format!("Authorization: Bearer {token}\r\n"), 101), (String::new(), 403)]
    {
        let mut stream = Http::connect(guarded.server.addr).await;
        let head = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: wamp\r\n{header}\r\n"
        );
        stream.send(head).await;
        assert_eq!(stream.answer().await.status, status, "{header}");
    }
}
