//! Tokens of today's applications, made by Node's own cryptography, and keys that are exchanged while
//! the server runs.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::{Guarded, ROUTES, owns};
use crate::build;
use crate::client::codec::Codec;
use crate::client::http::Http;
use crate::client::v2;
use crate::client::within;
use crate::site::Site;

/// Makes a key pair of the kind that is named, and a token that is signed by it.
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

/// A key of the issuer's, and a token of Ann's by it.
async fn issue(kind: &str, name: &str) -> (Value, String) {
    let claims = json!({
        "iss": "https://id.example", "aud": "jackfield", "exp": 4_000_000_000_u64,
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
async fn keys_are_exchanged_while_it_runs() {
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
    assert!(owns(&mut ann, 7).await, "whoever is in stays in");
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
            (&json!("ann"), &json!("member"), &json!("jwt"))
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

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_in_a_header_too() {
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
