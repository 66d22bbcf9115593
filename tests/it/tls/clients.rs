//! Clients of others over `wss`: autobahn-python, autobahn-js and Chromium, each with the authority of
//! the certificate and with another one.

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::{Value, json};

use super::authority::Authority;
use crate::browser::Browser;
use crate::listeners::free;

/// A server whose listener has a certificate of the authority in the folder.
struct Secure {
    _site: Site,
    server: Server,
    addr: std::net::SocketAddr,
    folder: tempfile::TempDir,
}

impl Secure {
    fn start() -> Self {
        let (site, addr, folder) = (Site::open(), free(), tempfile::tempdir().unwrap());
        let [certificate, key] = Authority::new(folder.path()).server("server");
        let tls = format!("{{ certificate: {certificate}, key: {key} }}");
        let config = format!("listeners: [{{ address: '{addr}', tls: {tls} }}]\n");
        let server = Server::configured(site.path(), &config);
        Self { _site: site, server, addr, folder }
    }

    fn authority(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.crt")
    }
}

/// Events in both directions between the library over TLS and a client without it.
async fn meets_clients_without_tls(library: Library) {
    let secure = Secure::start();
    let mut peer = Peer::start_with_tls(library, secure.addr, &secure.authority());
    peer.until("to join", |line| line.get("joined").is_some()).await;
    peer.subscribe("open.a", json!({})).await;
    let mut plain = Client::connect(secure.server.addr, Codec::Json, "realm1").await;
    plain.subscribe("open.b", json!({})).await;
    // Larger than a record of TLS.
    let text = "ü".repeat(40_000);
    for number in 0..20 {
        plain.publish("open.a", json!({}), json!([number, text]), Value::Null);
        assert_eq!(peer.event().await.1, json!([number, text]), "{library:?}");
        let options = json!({ "acknowledge": true });
        peer.publish("open.b", json!([number, text]), json!({}), options).await;
        assert_eq!(plain.event().await.args, json!([number, text]), "{library:?}");
    }
    peer.leave().await;
    // The certificate has to be of an authority that the client knows.
    let others = tempfile::tempdir().unwrap();
    Authority::new(others.path());
    let mut stranger = Peer::start_with_tls(library, secure.addr, &others.path().join("ca.crt"));
    stranger.until("to fail", |line| line.get("joined").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn autobahn_python_connects_over_tls() {
    meets_clients_without_tls(Library::AutobahnPython(Codec::Cbor)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn autobahn_js_connects_over_tls() {
    meets_clients_without_tls(Library::AutobahnJs(Codec::MsgPack)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_connects_over_tls() {
    let secure = Secure::start();
    let name = format!("localhost:{}", secure.addr.port());
    let mut browser = Browser::trusting(&secure.authority()).await;
    // The page is of another origin, as that of a shop; its scripts come over TLS, too.
    browser.v2_at("page", &format!("https://{name}"), "").await;
    let code = "globalThis.heard = [];
                await sync.subscribe('open.a', (value) => heard.push(value)).ready;";
    browser.run("page", code).await;
    let mut plain = Client::connect(secure.server.addr, Codec::Json, "realm1").await;
    plain.subscribe("open.b", json!({})).await;
    plain.publish("open.a", json!({}), json!(["from afar"]), Value::Null);
    browser.until("page", "JSON.stringify(heard).includes('from afar')").await;
    browser.run("page", "await sync.publish('open.b', 'from the page');").await;
    assert_eq!(plain.event().await.args, json!(["from the page"]));
    let sockets = browser.sockets("page").await;
    assert!(sockets.iter().all(|url| url.starts_with(&format!("wss://{name}/"))), "{sockets:?}");

    // Without the authority, the browser refuses the certificate.
    let others = tempfile::tempdir().unwrap();
    Authority::new(others.path());
    let mut stranger = Browser::trusting(&others.path().join("ca.crt")).await;
    stranger.page("page").await;
    let code = format!(
        "return await new Promise((done) => {{ const socket = new WebSocket('wss://{name}/', ['wamp.2.json']);
         socket.onopen = () => done('open'); socket.onerror = () => done('refused'); }});"
    );
    assert_eq!(stranger.run("page", &code).await, json!("refused"));
}
