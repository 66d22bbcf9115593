//! HAProxy with the example of `docs/examples`: pages connect over `wss` at `/ws` with their own
//! addresses, and no other part of the server is reachable.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::nginx::{HERE, HOST, ORIGIN, certify, get, page};
use jackfield_tests::client::tls::Tunnel;
use jackfield_tests::client::v1::Reach;
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const HAPROXY: &str = "/usr/sbin/haproxy";
const EXAMPLE: &str = include_str!("../../docs/examples/haproxy.cfg");
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// HAProxy in front of a server, ended by its process id.
struct Haproxy {
    process: Child,
    addr: SocketAddr,
    folder: tempfile::TempDir,
}

impl Haproxy {
    async fn before(server: SocketAddr) -> Self {
        installed(HAPROXY, "haproxy");
        installed("openssl", "openssl");
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        let both = ["certificate.pem", "key.pem"]
            .map(|name| std::fs::read_to_string(folder.path().join(name)).unwrap());
        let pair = folder.path().join("pair.pem");
        std::fs::write(&pair, both.concat()).unwrap();
        // Another program may take the port meanwhile; that is rare, and a second attempt works.
        for _ in 0..5 {
            let addr = TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap();
            let config = config(server, addr, &pair);
            let file = folder.path().join("haproxy.cfg");
            std::fs::write(&file, config).unwrap();
            let checked = Command::new(HAPROXY).args(["-c", "-f"]).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&checked.stderr).into_owned();
            assert!(checked.status.success() && !said.contains("WARNING"), "{said}");
            let mut command = Command::new(HAPROXY);
            command.args(["-db", "-f"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
            let mut process = command.spawn().expect("haproxy runs");
            while process.try_wait().unwrap().is_none() {
                if tokio::net::TcpStream::connect(addr).await.is_ok() {
                    return Self { process, addr, folder };
                }
                tokio::task::yield_now().await;
            }
        }
        panic!("HAProxy finds no port");
    }

    async fn tunnel(&self, from: IpAddr) -> Tunnel {
        Tunnel::open(self.addr, HOST, &self.folder.path().join("certificate.pem"), from).await
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Returns the example with this test's values in the lines marked `# CHANGE`.
fn config(server: SocketAddr, addr: SocketAddr, certificate: &Path) -> String {
    assert_eq!(EXAMPLE.matches("# CHANGE\n").count(), 2);
    let pair = certificate.display().to_string();
    let changes = [
        // A higher number needs more open files than a container has.
        ("maxconn 20000", "maxconn 100".to_owned()),
        ("bind :443 ", format!("bind {addr} ")),
        ("/etc/haproxy/certs/shop.example.com.pem", pair),
        ("127.0.0.1:8080", server.to_string()),
    ];
    changes.iter().fold(EXAMPLE.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_connect_with_their_addresses_and_reach_nothing_else() {
    let site = Site::open();
    let server = Server::configured(site.path(), "access: { proxies: [127.0.0.1] }");
    let haproxy = Haproxy::before(server.addr).await;
    let tunnel = haproxy.tunnel(ELSEWHERE).await;
    let mut client = page(&tunnel, Some(ORIGIN)).await.unwrap();
    client.session().await;
    client.subscribe("open/t");
    client.publish("open/t", &json!("through"), &Reach::ExcludeMe(false));
    assert_eq!(client.event().await.event, json!("through"));
    let health = get(tunnel.addr, "/ws/health").await;
    assert_eq!((health.status, &health.json()["ok"]), (200, &json!(true)), "{health:?}");
    for path in ["/api/publish", "/ws/api/publish", "/health", "/metrics", "/ws/x"] {
        assert_eq!(get(tunnel.addr, path).await.status, 503, "{path}");
    }
    client.send_text("broken");
    client.ended().await;
    let log = server.logged("protocol violation");
    assert!(log.contains(&format!("client={ELSEWHERE}")), "{log}");
}
