//! Certificates of a listener that change while the server runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::tls::Tunnel;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use tokio::io::AsyncReadExt as _;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::version::TLS13;

use super::authority::Authority;
use super::{Secure, connect};
use crate::listeners::free;
use crate::remote::tls::certificate_for;

/// Whether the server at the address has this certificate.
async fn has(addr: std::net::SocketAddr, certificate: &str) -> bool {
    connect(addr, Path::new(certificate), &[&TLS13]).await.is_ok()
}

async fn metrics(server: &Server) -> String {
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    http.answer().await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_ends_no_connection() {
    let secure = Secure::start("metrics: { enabled: true }\n").await;
    let tunnel = secure.tunnel().await;
    let mut old = v1::Client::connect(tunnel.addr).await;
    let [certificate, key] = certificate_for(secure.folder.path(), "next", false, 3).await;
    let own = |name: &str| secure.folder.path().join(format!("server-{name}.pem"));
    fs::rename(&key, own("key")).unwrap();
    fs::copy(&certificate, own("certificate")).unwrap();
    let log = secure.server.logged("the certificate was loaded again");
    assert!(!log.contains("the certificates stay as they were"), "{log}");
    assert!(has(secure.addr, &certificate).await);
    old.round_trip().await;
    secure.server.logged("a certificate expires");
    let page = metrics(&secure.server).await;
    let line = page.lines().find(|it| it.starts_with("jackfield_certificate_expiry_seconds{"));
    let left: u64 = line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!((2 * 86_400..=3 * 86_400).contains(&left), "{left}");
    assert!(page.contains("outcome=\"ok\"} 1\n"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_keep_the_certificate() {
    let secure = Secure::start("metrics: { enabled: true }\n").await;
    let folder = secure.folder.path();
    let own = |name: &str| folder.join(format!("server-{name}.pem"));
    let first = folder.join("first.pem").display().to_string();
    fs::copy(own("certificate"), &first).unwrap();
    let [certificate, key] = certificate_for(folder, "next", false, 9).await;
    // Half of a pair, half of a file, and nothing.
    let texts = [
        fs::read_to_string(&certificate).unwrap(),
        "-----BEGIN CERTIFICATE-----\n".to_owned(),
        String::new(),
    ];
    let mut seen = 0;
    for text in texts {
        fs::write(own("certificate"), text).unwrap();
        seen += secure.server.logged_after(seen, "the certificates stay as they were").len();
        assert!(has(secure.addr, &first).await && !has(secure.addr, &certificate).await);
    }
    assert!(metrics(&secure.server).await.contains("outcome=\"failed\"} 3\n"));
    fs::copy(&certificate, own("certificate")).unwrap();
    fs::copy(&key, own("key")).unwrap();
    secure.server.logged("the certificate was loaded again");
    assert!(has(secure.addr, &certificate).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_not_loaded() {
    let secure = Secure::start("").await;
    let folder = secure.folder.path();
    let own = |name: &str| folder.join(format!("server-{name}.pem"));
    let configuration = "[ca]\ndefault_ca = a\n[a]\nnew_certs_dir = .\ndatabase = index.txt\n\
                         rand_serial = yes\ndefault_md = sha256\npolicy = p\nx509_extensions = v\n\
                         [p]\ncommonName = supplied\n[v]\nbasicConstraints = CA:FALSE\n";
    fs::write(folder.join("ca.cnf"), configuration).unwrap();
    fs::write(folder.join("index.txt"), "").unwrap();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
                   -keyout old-key.pem -out old.csr";
    openssl(&request.split(' ').collect::<Vec<_>>());
    let sign = "ca -selfsign -batch -notext -config ca.cnf -keyfile old-key.pem -in old.csr \
                -startdate 20200101000000Z -enddate 20210101000000Z -out old.pem";
    openssl(&sign.split(' ').collect::<Vec<_>>());
    fs::copy(folder.join("old.pem"), own("certificate")).unwrap();
    fs::copy(folder.join("old-key.pem"), own("key")).unwrap();
    secure.server.logged("the certificate has expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_the_links_of_kubernetes() {
    let (site, addr, folder) = (Site::open(), free(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    let mut certificates = Vec::new();
    for version in ["1", "2"] {
        fs::create_dir(path(&format!("..{version}"))).unwrap();
        let [certificate, key] = certificate_for(folder.path(), version, false, 60).await;
        let at = |name: &str| path(&format!("..{version}")).join(name);
        fs::copy(&certificate, at("tls.crt")).unwrap();
        fs::copy(key, at("tls.key")).unwrap();
        certificates.push(certificate);
    }
    symlink("..1", path("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), path(name)).unwrap();
    }
    let pair = format!("{{ certificate: {0}/tls.crt, key: {0}/tls.key }}", folder.path().display());
    let config = format!("listeners: [{{ address: '{addr}', tls: {pair} }}]\n");
    let server = Server::configured(site.path(), &config);
    assert!(has(addr, &certificates[0]).await);
    symlink("..2", path("..data_tmp")).unwrap();
    fs::rename(path("..data_tmp"), path("..data")).unwrap();
    server.logged("the certificate was loaded again");
    assert!(has(addr, &certificates[1]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_examine_certificates() {
    let secure = Secure::start("").await;
    let folder = secure.folder.path();
    let [certificate, key] = certificate_for(folder, "server", false, 5).await;
    let [_, other] = certificate_for(folder, "other", false, 5).await;
    let run = |command: &str, key: &str| {
        let pair = format!("{{ certificate: {certificate}, key: {key} }}");
        let config = format!("listeners: [{{ address: '{}', tls: {pair} }}]\n", secure.addr);
        secure.site.write("jackfield.yml", &config);
        let output = Command::new(build::jackfield()).arg(command).arg(secure.site.path()).output();
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let (is_good, text) = run("check", &other);
    assert!(!is_good && text.contains("the key is not that of the certificate in"), "{text}");
    assert!(text.contains("`listeners.0.tls.key`") && text.contains("jackfield.yml:1:"), "{text}");
    let (is_good, text) = run("check", &key);
    assert!(is_good, "{text}");
    let (_, text) = run("doctor", &key);
    assert!(text.contains("for localhost, expires in "), "{text}");
    // One of an authority, which clients refuse.
    let [authority, its_key] = certificate_for(folder, "authority", true, 5).await;
    let pair = format!("{{ certificate: {authority}, key: {its_key} }}");
    let config = format!("listeners: [{{ address: '{}', tls: {pair} }}]\n", secure.addr);
    secure.site.write("jackfield.yml", &config);
    for command in ["check", "doctor"] {
        let output = Command::new(build::jackfield()).arg(command).arg(secure.site.path()).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(text.contains("an authority (CA:TRUE)") && text.contains("warning"), "{text}");
    }
    let address = secure.addr.to_string();
    let output = Command::new(build::jackfield()).args(["health", "--listen", &address]).output();
    let text = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(text.contains("accepts only TLS\n  = help: leave out --listen"), "{text}");
    // With the certificate of the file alone, over TLS.
    secure.server.logged("the certificate was loaded again");
    let (is_good, text) = run("health", &key);
    assert!(is_good && text.contains("\"ok\":true"), "{text}");
    let status = Command::new(build::jackfield())
        .args(["status", "--socket"])
        .arg(secure.server.control_socket())
        .output()
        .unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("localhost; expires in "), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn selects_the_certificate_by_the_name_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let [first, key] = certificate_for(folder.path(), "first", false, 60).await;
    // A certificate for another host; `openssl` of the tests makes those of `localhost` alone.
    let other = folder.path().join("other.pem");
    let other_key = folder.path().join("other-key.pem");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=x", "-addext", "subjectAltName=DNS:*.example.org"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&other_key)
        .arg("-out")
        .arg(&other)
        .output();
    assert!(made.unwrap().status.success());
    let (site, addr) = (Site::open(), free());
    let more = format!("[{{ certificate: {}, key: {} }}]", other.display(), other_key.display());
    let tls = format!("{{ certificate: {first}, key: {key}, certificates: {more} }}");
    let config = format!("listeners: [{{ address: '{addr}', tls: {tls} }}]\n");
    let _server = Server::configured(site.path(), &config);
    let own = "127.0.0.1".parse().unwrap();
    for (name, file) in [("localhost", Path::new(&first)), ("shop.example.org", &other)] {
        let tunnel = Tunnel::open(addr, name, file, own).await;
        Client::connect(tunnel.addr, Codec::Json, "realm1").await.round_trip().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_clients_are_users() {
    let (folder, strangers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (own, strange) = (Authority::new(folder.path()), Authority::new(strangers.path()));
    let clients = |required: bool| {
        let authorities = folder.path().join("ca.crt").display().to_string();
        format!(
            ", client_certificates: {{ authorities: {authorities}, required: {required}, \
             roles: [member] }}"
        )
    };
    let secure = Secure::with("metrics: { enabled: true }\n", &clients(true)).await;
    let server = secure.certificate().display().to_string();
    let ann = own.client("ann", "/CN=ann", &server);
    let tunnel = Tunnel::with(secure.addr, "localhost", ann.clone()).await;
    let client = Client::connect(tunnel.addr, Codec::Json, "realm1").await;
    assert_eq!(client.welcome()["authid"], "ann");
    assert_eq!(client.welcome()["authrole"], "member");
    let mut page = v1::Client::connect(tunnel.addr).await;
    page.round_trip().await;
    // No certificate, one of others, one without a name.
    let refused = |config: ClientConfig| async move {
        let tunnel = Tunnel::with(secure.addr, "localhost", config).await;
        let options = Options::new(Codec::Json);
        Client::connect_with(tunnel.addr, Codec::Json, "realm1", options).await.err().unwrap()
    };
    let stranger = strange.client("eve", "/CN=ann", &server);
    let nameless = own.client("nameless", "/O=acme", &server);
    let several = own.client("several", "/CN=ann/CN=bob", &server);
    for config in [nameless, several] {
        let refused = format!("{:?}", refused(config).await);
        assert!(refused.contains("status: Some(403)"), "{refused}");
    }
    refused(stranger).await;
    assert!(
        !has(secure.addr, &server).await || {
            // TLS 1.3 tells a client of its missing certificate after the handshake.
            let mut stream = connect(secure.addr, Path::new(&server), &[&TLS13]).await.unwrap();
            stream.read_u8().await.is_err()
        }
    );
    let page = metrics(&secure.server).await;
    let line = "jackfield_connections_total{outcome=\"client_certificate\"} ";
    let count = page.lines().find_map(|it| it.strip_prefix(line)).unwrap();
    assert!(count.parse::<u64>().unwrap() >= 2, "{count}");
    // Other authorities, with the same certificate of the server.
    let logged = secure.server.log().len();
    fs::copy(strangers.path().join("ca.crt"), folder.path().join("ca.crt")).unwrap();
    secure.server.logged_after(logged, "the certificate was loaded again");
    refused(ann).await;
    let secure = Secure::with("", &clients(false)).await;
    assert!(has(secure.addr, &secure.certificate().display().to_string()).await);
    let tunnel = secure.tunnel().await;
    let client = Client::connect(tunnel.addr, Codec::Json, "realm1").await;
    assert_ne!(client.welcome()["authid"], "ann");
}
