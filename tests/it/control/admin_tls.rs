//! TLS of the admin listener: certificates of clients beside tokens, renewal, and what is refused.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use jackfield_tests::build;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::admin::{CONSOLE, address};
use super::status;
use crate::remote::tls::certificate_for;
use crate::tls::authority::Authority;

/// A server whose admin listener has TLS.
struct Secure {
    _site: Site,
    server: Server,
    address: SocketAddr,
    folder: tempfile::TempDir,
    /// The certificate of the server.
    certificate: String,
}

impl Secure {
    /// `clients` are keys of `client_certificates`; empty asks for no certificate.
    async fn start(clients: &str, tokens: bool) -> Self {
        let (site, folder) = (Site::open(), tempfile::tempdir().unwrap());
        let [certificate, key] = certificate_for(folder.path(), "server", false, 60).await;
        Authority::new(folder.path());
        let authorities = folder.path().join("ca.crt").display().to_string();
        let clients = match clients {
            "" => String::new(),
            more => format!(", client_certificates: {{ authorities: {authorities}, {more} }}"),
        };
        let tokens = if tokens {
            format!("  tokens: [{{ name: console, token: {CONSOLE} }}]\n")
        } else {
            String::new()
        };
        let server = Server::configured(
            site.path(),
            &format!(
                "metrics: {{ enabled: true }}\nadmin:\n  listen: 127.0.0.1:0\n  tls: {{ certificate: \
                 {certificate}, key: {key}{clients} }}\n{tokens}"
            ),
        );
        let address = address(&server);
        Self { _site: site, server, address, folder, certificate }
    }

    fn stranger(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate).unwrap()).unwrap();
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    }

    async fn connect(&self, config: &ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config.clone()));
        connector.connect(name, TcpStream::connect(self.address).await?).await
    }

    /// Sends a request. The answer is its status and its JSON.
    async fn ask(&self, config: &ClientConfig, line: &str, more: &str) -> io::Result<(u16, Value)> {
        let mut stream = self.connect(config).await?;
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        within("the answer", stream.read_to_string(&mut answer)).await?;
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP response");
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        Ok((status, serde_json::from_str(body).expect("JSON")))
    }
}

fn token() -> String {
    format!("Authorization: Bearer {CONSOLE}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_authority_stands_for_a_token() {
    let secure = Secure::start("required: true", false).await;
    let strangers = tempfile::tempdir().unwrap();
    let (own, strange) = (Authority::new(secure.folder.path()), Authority::new(strangers.path()));
    // The authority has been made again: the server has the earlier one until it looks.
    secure.server.logged("the certificate was loaded again");
    let ann = own.client("ann", "/CN=ann", &secure.certificate);
    let (code, caller) = secure.ask(&ann, "GET /v1/caller", "").await.unwrap();
    assert_eq!(
        (code, &caller["name"], &caller["kind"]),
        (200, &json!("ann"), &json!("certificate"))
    );
    assert_eq!((&caller["read_only"], &caller["files"]), (&json!(false), &json!(false)));
    let (code, done) = secure.ask(&ann, "POST /v1/reload", "").await.unwrap();
    assert_eq!(code, 200, "{done}");
    let log = secure.server.logged("jackfield::audit");
    assert!(log.contains(r#"certificate="ann" address="127.0.0.1""#), "{log}");

    // Without a certificate, with one of another authority, and without TLS.
    let eve = strange.client("eve", "/CN=ann", &secure.certificate);
    for config in [secure.stranger(), eve] {
        secure.ask(&config, "GET /v1/caller", "").await.unwrap_err();
    }
    secure.server.logged("a connection to the admin listener is refused");
    let mut http = Http::connect(secure.address).await;
    http.send("GET /v1/caller HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = http.answer().await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("this port accepts only TLS"), "{answer:?}");
    // A certificate has to name one client.
    for (name, subject) in [("nameless", "/O=acme"), ("several", "/CN=ann/CN=bob")] {
        let config = own.client(name, subject, &secure.certificate);
        let (code, denied) = secure.ask(&config, "GET /v1/status", "").await.unwrap();
        assert_eq!(code, 403, "{denied}");
    }
    // The browser of an operator has the certificate for every page that it shows.
    for page in ["Origin: https://evil.example\r\n", "Origin: http://localhost\r\n"] {
        let (code, denied) = secure.ask(&ann, "POST /v1/reload", page).await.unwrap();
        assert_eq!(code, 403, "{denied}");
    }
    let (code, denied) =
        secure.ask(&ann, "GET /v1/status", "Sec-Fetch-Site: cross-site\r\n").await.unwrap();
    assert_eq!(code, 403, "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_certificates_have_rights_of_their_own() {
    let secure = Secure::start("required: false, read_only: true", true).await;
    let own = Authority::new(secure.folder.path());
    secure.server.logged("the certificate was loaded again");
    let ann = own.client("ann", "/CN=ann", &secure.certificate);
    let stranger = secure.stranger();
    for (config, line, more, expect) in [
        (&ann, "GET /v1/status", "", 200),
        (&ann, "POST /v1/reload", "", 403),
        // The token takes precedence.
        (&ann, "POST /v1/reload", token().as_str(), 200),
        (&ann, "GET /v1/status", "Authorization: Bearer 0123456789abcdef0123456789abcdee\r\n", 401),
        (&ann, "GET /v1/status", "Authorization: Basic YW5uOmFubg==\r\n", 401),
        (&ann, "GET /v1/status", "Authorization:\r\n", 401),
        (&stranger, "GET /v1/status", "", 401),
        (&stranger, "POST /v1/reload", token().as_str(), 200),
    ] {
        let (code, body) = secure.ask(config, line, more).await.unwrap();
        assert_eq!(code, expect, "{line} {more} {body}");
    }
    let (_, denied) = secure.ask(&ann, "POST /v1/reload", "").await.unwrap();
    let message = denied["message"].as_str().unwrap();
    assert!(message.contains("the certificate `ann` is for reading alone"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_authority_ends_streams_and_refuses_new_connections() {
    let secure = Secure::start("required: true", false).await;
    let own = Authority::new(secure.folder.path());
    let seen = secure.server.logged("the certificate was loaded again").len();
    let ann = own.client("ann", "/CN=ann", &secure.certificate);
    let mut trace = secure.connect(&ann).await.unwrap();
    let body = r#"{"topic":"open/a"}"#;
    let head = format!(
        "POST /v1/trace HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    trace.write_all(head.as_bytes()).await.unwrap();
    let mut begin = [0; 12];
    within("the head", trace.read_exact(&mut begin)).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    // A new authority with the name of the earlier one.
    Authority::new(secure.folder.path());
    secure.server.logged_after(seen, "its token or certificate was revoked");
    let mut rest = Vec::new();
    let _end = within("the end of the trace", trace.read_to_end(&mut rest)).await;
    secure.ask(&ann, "GET /v1/caller", "").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_and_examined() {
    let secure = Secure::start("", true).await;
    let open = |certificate: &str| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    };
    let (code, _) =
        secure.ask(&open(&secure.certificate), "GET /v1/status", &token()).await.unwrap();
    assert_eq!(code, 200);
    let folder = secure.folder.path();
    let [next, key] = certificate_for(folder, "next", false, 3).await;
    // A half of the renewal changes nothing.
    fs::copy(&next, &secure.certificate).unwrap();
    secure.server.logged("listener admin: the certificates stay as they were");
    fs::copy(&key, folder.join("server-key.pem")).unwrap();
    let log = secure.server.logged("the certificate was loaded again");
    assert!(log.contains(r#"loaded again listener="admin""#), "{log}");
    secure.ask(&open(&next), "GET /v1/status", &token()).await.unwrap();

    let found = status(&secure.server).await;
    assert_eq!(found["admin"]["certificates"][0]["hosts"], json!(["localhost"]), "{found}");
    let mut http = Http::connect(secure.server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = http.answer().await.body;
    assert!(page.contains("jackfield_certificate_expiry_seconds{listener=\"admin\""), "{page}");
    assert!(
        page.contains("jackfield_certificate_reloads_total{listener=\"admin\",outcome=\"ok\"} 1\n")
    );
    let socket = secure.server.control_socket();
    let run = |arguments: &[&str]| {
        let output = Command::new(build::jackfield()).args(arguments).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let page = run(&["status", "--socket", socket.to_str().unwrap()]);
    assert!(page.contains("(admin; localhost; expires in 2 days)"), "{page}");
    let site = Site::open();
    let settings = |key: &Path| {
        let key = key.display();
        let text = format!(
            "listen: '{}'\nadmin:\n  listen: 0.0.0.0:0\n  tls: {{ certificate: {next}, key: {key} }}\n  \
             tokens: [{{ name: a, token: {CONSOLE} }}]\n",
            crate::listeners::free()
        );
        site.write("jackfield.yml", &text);
    };
    settings(&folder.join("next-key.pem"));
    let page = run(&["doctor", site.path().to_str().unwrap()]);
    assert!(
        page.contains("other machines can reach the admin listener at 0.0.0.0:0, with TLS"),
        "{page}"
    );
    assert!(page.contains("for localhost, expires in 2 days"), "{page}");
    settings(&folder.join("ca.key"));
    let page = run(&["check", site.path().to_str().unwrap()]);
    assert!(page.contains("jackfield.yml:4:"), "{page}");
    assert!(page.contains("`admin.tls.key`") && page.contains("is not that of"), "{page}");
}
