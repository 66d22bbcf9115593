//! 2 000 clients whose server is killed, and which return at the same moment; clients that connect
//! while the server has no CPU time.

use std::net::{TcpListener, TcpStream};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::limits::raise_open_files;
use jackfield_tests::client::PATIENCE;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const CLIENTS: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_clients_return_at_once_after_a_kill() {
    raise_open_files();
    let site = Site::open();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let all = || join_all((0..CLIENTS).map(|_| Client::connect(addr, Codec::Json, "realm1")));
    let server = Server::on(site.path(), addr);
    let mut before = all().await;
    server.until_health("sessions", CLIENTS);
    server.signal("KILL");
    for client in &mut before {
        assert!(matches!(client.ended().await, Ending::Lost(_)));
    }
    drop((server, before));
    let server = Server::on(site.path(), addr);
    let mut after = all().await;
    server.until_health("sessions", CLIENTS);
    join_all(after.iter_mut().map(|client| client.subscribe("open/a", json!({})))).await;
    let mut publisher = Client::connect(addr, Codec::Json, "realm1").await;
    publisher.publish_acknowledged("open/a", json!({}), json!([1]), Value::Null).await.unwrap();
    for client in &mut after {
        assert_eq!(client.event().await.args, json!([1]));
    }
}

/// The queue of the socket holds them all. Clients that a short queue does not hold connect again after
/// seconds, up to a minute.
#[test]
fn clients_connect_while_the_server_has_no_cpu_time() {
    raise_open_files();
    let longest = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let clients = CLIENTS.min(longest.trim().parse().unwrap());
    let site = Site::open();
    let server = Server::start(site.path());
    server.signal("STOP");
    let connect = |_| TcpStream::connect_timeout(&server.addr, PATIENCE);
    let connected: Vec<_> = (0..clients).map(connect).collect();
    server.signal("CONT");
    let refused = connected.iter().filter(|it| it.is_err()).count();
    assert_eq!(refused, 0, "of {clients}");
}
