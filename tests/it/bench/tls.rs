//! The load generator with a listener that has TLS.

use std::net::SocketAddr;

use jackfield_tests::build;
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::Site;

use super::{DIALECTS, ROUTE, bench, measured, measured_for};
use crate::listeners::free;
use crate::remote::tls::certificate_for;
use crate::tls::authority::Authority;

struct Secure {
    _site: Site,
    server: Server,
    addr: SocketAddr,
    folder: tempfile::TempDir,
}

impl Secure {
    fn start() -> Self {
        let (site, addr, folder) = (Site::new(), free(), tempfile::tempdir().unwrap());
        site.bundle("bench", ROUTE, &[build::plugin("broadcast")]);
        let [certificate, key] = Authority::new(folder.path()).server("server");
        let tls = format!("{{ certificate: {certificate}, key: {key} }}");
        let config =
            format!("limits: {{ {NO_RATES} }}\nlisteners: [{{ address: '{addr}', tls: {tls} }}]\n");
        let server = Server::configured(site.path(), &config);
        Self { _site: site, server, addr, folder }
    }

    fn url(&self) -> String {
        format!("wss://localhost:{}/", self.addr.port())
    }

    fn authority(&self) -> String {
        self.folder.path().join("ca.crt").display().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn measures_a_listener_with_tls() {
    let secure = Secure::start();
    let (url, authority) = (secure.url(), secure.authority());
    let ca = ["--ca", authority.as_str()];
    for dialect in DIALECTS {
        let options = [&ca[..], dialect, &["--subscribers", "3", "--topics", "2"]].concat();
        let json = measured("fan-out", &url, &options);
        assert!(json["deliveries"].as_u64().unwrap() > 0, "{json}");
        assert_eq!(json["url"], url);
    }
    let json = measured("publish", &url, &[&ca[..], &["--rate", "200"]].concat());
    assert!(json["publishes"].as_u64().unwrap() > 0, "{json}");
    let json = measured("connect", &url, &[&ca[..], &["--connections", "20"]].concat());
    assert_eq!((&json["connects"], &json["refused"]), (&20.into(), &0.into()), "{json}");
    // Larger than the buffers of TLS and of the sockets.
    let large = ["--payload", "60000", "--window", "64", "--protocol", "wamp1"];
    // On a busy machine, the events of the warm-up take longer than a second.
    let json = measured_for("5", "fan-out", &url, &[&ca[..], &large].concat());
    assert!(json["deliveries"].as_u64().unwrap() > 0, "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_tls_name_the_next_step() {
    let secure = Secure::start();
    let other = tempfile::tempdir().unwrap();
    let [stranger, _] = certificate_for(other.path(), "other", false, 2).await;
    let authority = secure.authority();
    let plain = format!("wss://localhost:{}/", secure.server.addr.port());
    let address = format!("wss://{}/", secure.addr);
    for (url, ca, code, expect) in [
        (
            secure.url(),
            Some(&stranger),
            1,
            "signed by an authority that is not trusted here\n  = help: if the server uses a private CA",
        ),
        (address, Some(&authority), 1, "its certificate is for other names"),
        (plain, Some(&authority), 1, "it does not speak TLS on this port\n  = help: use ws://"),
        (format!("ws://{}/", secure.addr), None, 1, "this port accepts only TLS"),
        (format!("ws://{}/", secure.addr), Some(&authority), 2, "--ca: a ws:// server has no"),
    ] {
        let options: Vec<&str> = ca.iter().flat_map(|ca| ["--ca", ca.as_str()]).collect();
        let (found, out, err) = bench("publish", &url, &options);
        assert!(err.contains(expect), "{url}\n{err}\ndoes not contain\n{expect}");
        assert_eq!((found, out.as_str()), (Some(code), ""), "{url} {err}");
    }
}
