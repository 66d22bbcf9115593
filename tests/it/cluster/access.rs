//! Access to NATS: passwords and TLS, and the log of a node that may not connect.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use tempfile::TempDir;

use jackfield_tests::packages::installed;

use super::{Nats, Node, join, publish, status, until_peers};
use crate::tls::authority::Authority;

/// A node with these settings of NATS.
fn node(name: &str, url: &str, more: &str) -> Node {
    Node::start(&format!("cluster: {{ node: {name}, nats: {{ urls: ['{url}'], {more} }} }}\n"))
}

/// Checks that two nodes exchange events.
async fn exchange([one, other]: [&Node; 2]) {
    until_peers(one, 1).await;
    let mut subscriber = join(one).await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut publisher = join(other).await;
    publish(&mut publisher, "open/a", 0..1).await;
    assert_eq!(subscriber.event().await.args, json!([0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_connect_with_a_password_and_name_a_wrong_one() {
    let nats = Nats::with_arguments(&["--user", "jackfield", "--pass", "right"]);
    let folder = TempDir::new().unwrap();
    let credentials = |content: &str| {
        let file = folder.path().join(content);
        fs::write(&file, format!("jackfield:{content}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        format!("credentials: {{ file: '{}' }}", file.display())
    };
    let [right, wrong] = ["right", "wrong"].map(credentials);
    let one = node("web-1", &nats.url(), &right);
    let other = node("web-2", &nats.url(), &right);
    exchange([&one, &other]).await;
    let stranger = node("web-3", &nats.url(), &wrong);
    let line = stranger.logged("NATS cannot be used");
    assert!(line.contains("authorization violation"), "{line}");
    assert!(!stranger.log().contains("jackfield:wrong"));
    assert_eq!(status(&stranger)["pipe"], "disconnected");
    until_peers(&one, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_connect_with_tls_and_name_a_wrong_authority() {
    installed("openssl", "openssl");
    let [folder, others] = [(); 2].map(|()| TempDir::new().unwrap());
    let [certificate, key] = Authority::new(folder.path()).server("nats");
    let nats = Nats::with_arguments(&["--tls", "--tlscert", &certificate, "--tlskey", &key]);
    let _other = Authority::new(others.path());
    let trusting =
        |folder: &TempDir| format!("tls: {{ ca: '{}' }}", folder.path().join("ca.crt").display());
    let one = node("web-1", &nats.tls_url(), &trusting(&folder));
    let other = node("web-2", &nats.tls_url(), &trusting(&folder));
    exchange([&one, &other]).await;
    let stranger = node("web-3", &nats.tls_url(), &trusting(&others));
    let line = stranger.logged("NATS cannot be used");
    assert!(line.contains("cluster.nats.tls"), "{line}");
    assert_eq!(status(&stranger)["pipe"], "disconnected");
}
