//! Channel binding of `cryptosign`: a client whose TLS is that of OpenSSL, in Node.

use std::path::PathBuf;

use serde_json::Value;

use jackfield_tests::client::within;
use jackfield_tests::peer;

use super::{PRINCIPALS, PRIVATE};
use crate::tls::Secure;

const EXPORTER: &str = "tls-exporter";

/// Authenticates, and returns CHALLENGE, if there was one, and the last answer.
async fn answers(
    port: u16,
    [binding, channel]: [&str; 2],
    tls: Option<(PathBuf, &str)>,
) -> (Option<Value>, Value) {
    let mut command = peer::node("channel_binding.mjs");
    command.args([&port.to_string(), PRIVATE, binding, channel]);
    if let Some((certificate, version)) = tls {
        command.arg(certificate).arg(version);
    }
    let output = within("the client", command.kill_on_drop(true).output()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let complaints = String::from_utf8_lossy(&output.stderr);
    let last = lines.next_back().unwrap_or_else(|| panic!("{binding} {channel}: {complaints}"));
    (lines.next(), last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_signature_counts_on_its_own_connection_alone() {
    let folder = tempfile::tempdir().unwrap();
    let principals = folder.path().join("principals.yml");
    std::fs::write(&principals, PRINCIPALS).unwrap();
    let more = format!(
        "auth: {{ principals: {} }}\naccess: {{ rawsocket: true }}\n",
        principals.display()
    );
    let secure = Secure::start(&more).await;
    let tls = |version| Some((secure.certificate(), version));
    let port = secure.addr.port();

    let (challenge, welcome) = answers(port, [EXPORTER, "own"], tls("TLSv1.3")).await;
    assert_eq!(challenge.unwrap()[2]["channel_binding"], EXPORTER);
    assert_eq!((&welcome[0], &welcome[2]["authid"]), (&2.into(), &"sensor".into()), "{welcome}");
    // A proxy between the client and the server has two connections, each with an id of its own.
    for channel in ["other", "none"] {
        let (challenge, abort) = answers(port, [EXPORTER, channel], tls("TLSv1.3")).await;
        assert_eq!(challenge.unwrap()[2]["channel_binding"], EXPORTER);
        assert_eq!(abort[2], "wamp.error.authentication_denied", "{channel}: {abort}");
    }
    let refused = async |port, binding, tls, expected: &str| {
        let (challenge, abort) = answers(port, [binding, "own"], tls).await;
        assert!(challenge.is_none(), "{binding}: {challenge:?}");
        assert_eq!(abort[2], "wamp.error.authentication_denied", "{abort}");
        let message = abort[1]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    };
    refused(port, "tls-unique", tls("TLSv1.3"), "use `tls-exporter`").await;
    refused(port, "tls-unique", tls("TLSv1.2"), "use `tls-exporter`").await;
    refused(port, EXPORTER, tls("TLSv1.2"), "it needs TLS 1.3").await;
    let plain = secure.server.addr.port();
    refused(plain, EXPORTER, None, "this server does not encrypt the connection").await;
}
