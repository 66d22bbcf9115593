//! Client commands with servers behind TLS: certificate verification, and the messages of its
//! failures.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use super::{Answer, jackfield, run};

/// Creates a certificate for `localhost` and its key, in these files of the folder.
async fn certificate(folder: &Path, name: &str, authority: bool) -> [String; 2] {
    certificate_for(folder, name, authority, 2).await
}

/// Creates a certificate that expires after this number of days.
pub(crate) async fn certificate_for(
    folder: &Path,
    name: &str,
    authority: bool,
    days: u32,
) -> [String; 2] {
    installed("openssl", "openssl");
    let file = |end: &str| folder.join(format!("{name}-{end}.pem")).to_str().unwrap().to_owned();
    let (certificate, key) = (file("certificate"), file("key"));
    let constraints = if authority { "CA:TRUE" } else { "CA:FALSE" };
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-days", &days.to_string()])
        .args(["-addext", &format!("basicConstraints=critical,{constraints}")])
        .args(["-keyout", &key, "-out", &certificate])
        .output();
    let made = made.await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    [certificate, key]
}

/// Starts a proxy that terminates TLS in front of the server. Returns its port.
pub(crate) async fn behind_tls(server: &Server, [certificate, key]: &[String; 2]) -> (Child, u16) {
    installed("python3", "python3");
    let script = build::root().join("tests/peers/python/tls.py");
    let mut proxy = Command::new("python3")
        .arg(script)
        .args([certificate, key, &server.addr.port().to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(proxy.stdout.take().unwrap()).lines();
    let port = within("a port", lines.next_line()).await.unwrap().expect("the proxy listens");
    (proxy, port.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn verifies_the_certificate_of_a_server() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/a", json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path(), "server", false).await;
    let trusted = files[0].as_str();
    let (_proxy, port) = behind_tls(&server, &files).await;
    let url = format!("wss://localhost:{port}/ws");

    let arguments = ["publish", "--url", &url, "open/a", "17"];
    let by_flag = [&arguments[..], &["--ca", trusted]].concat();
    let nobody = folder.path().join("none.pem");
    std::fs::write(&nobody, "").unwrap();
    let nobody = nobody.to_str().unwrap();
    for (arguments, variables) in [
        (&arguments[..], &[("SSL_CERT_FILE", trusted)][..]),
        (&arguments, &[("JACKFIELD_CA", trusted)]),
        (&by_flag, &[]),
        // The named file replaces all others.
        (&by_flag, &[("JACKFIELD_CA", nobody), ("SSL_CERT_FILE", nobody)]),
    ] {
        let output = jackfield(arguments).envs(variables.iter().copied()).output();
        let output = within("the command", output).await.unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*err), (Some(0), "published to open/a\n"));
        assert_eq!(subscriber.event().await.args, json!([17]));
    }
    // Every command that connects has the flag.
    for command in [&["call", "nothing"][..], &["subscribe", "nowhere"], &["maintenance", "on"]] {
        let arguments = [command, &["--url", &url, "--ca", trusted]].concat();
        let Answer { code, err, .. } = run(&arguments).await;
        assert_eq!(code, Some(1), "refused by the server itself: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explains_tls_errors() {
    let site = Site::open();
    let server = Server::start(site.path());
    let folder = tempfile::tempdir().unwrap();
    let own = certificate(folder.path(), "server", false).await;
    let authority = certificate(folder.path(), "authority", true).await;
    let (_own, port) = behind_tls(&server, &own).await;
    let (_authority, authority_port) = behind_tls(&server, &authority).await;
    let check = async |url: &str, ca: Option<&str>, code: i32, expected: &str, help: &str| {
        for command in [&["publish", "t"][..], &["call", "t"], &["subscribe", "t"]] {
            let ca = ca.map(|file| ["--ca", file]).into_iter().flatten();
            let arguments: Vec<&str> =
                command.iter().copied().chain(["--url", url]).chain(ca).collect();
            let Answer { code: found, err, .. } = run(&arguments).await;
            assert_eq!(found, Some(code), "{arguments:?}: {err}");
            assert!(err.contains(expected), "{arguments:?}: {expected} is missing in {err}");
            assert!(err.contains(&format!("  = help: {help}")), "{help} is missing in {err}");
            assert!(!err.contains("Error(") && !err.contains("Other"), "{err}");
        }
    };
    check(
        &format!("wss://localhost:{port}/"),
        None,
        3,
        "its certificate is signed by an authority that is not trusted here",
        "if the server uses a private CA, pass the CA certificate with --ca FILE",
    )
    .await;
    for ca in [None, Some(authority[0].as_str())] {
        check(
            &format!("wss://localhost:{authority_port}/"),
            ca,
            3,
            "its certificate is that of an authority (CA:TRUE), which cannot be a server's own",
            "use a server certificate with CA:FALSE: openssl req",
        )
        .await;
    }
    check(
        &format!("wss://127.0.0.1:{port}/"),
        Some(&own[0]),
        3,
        "for other names than the one that was asked for: localhost",
        "use a host name or IP address that the certificate contains",
    )
    .await;
    check(
        &format!("wss://{}/", server.addr),
        None,
        3,
        "it does not speak TLS on this port",
        "use ws:// for a server without TLS",
    )
    .await;
    // Options without effect, or with files that cannot be read.
    for (arguments, expected) in [
        (["publish", "t", "--url", "wss://localhost:1/", "--ca", "/no/such"], "--ca: cannot read"),
        (["publish", "t", "--url", "ws://localhost:1/", "--ca", &own[0]], "--ca: a ws:// server"),
        (["publish", "t", "--url", "wss://localhost:1/", "--ca", &own[1]], "no certificate in PEM"),
    ] {
        let Answer { code, err, .. } = run(&arguments).await;
        assert!(code == Some(2) && err.contains(expected), "{err}");
    }
}
