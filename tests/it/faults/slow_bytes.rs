//! Clients that send one byte a second: each costs its own connection, and delays no other.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                       Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n";

/// Sends a byte a second until the server ends the connection. Returns the time.
async fn drip(mut stream: TcpStream, bytes: Vec<u8>) -> Duration {
    let began = Instant::now();
    let mut answer = [0; 1_024];
    for byte in bytes {
        if stream.write_all(&[byte]).await.is_err() {
            return began.elapsed();
        }
        let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut answer)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            return began.elapsed();
        }
    }
    panic!("the server has read all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_a_second_costs_its_own_connection_alone() {
    let site = Site::open();
    let server = Server::configured(site.path(), "handshake_timeout: 3s\n");
    let connect = || async { TcpStream::connect(server.addr).await.unwrap() };
    // A head, and a HELLO in a frame.
    let head = UPGRADE.as_bytes().to_vec();
    let mut slow = vec![tokio::spawn(drip(connect().await, head))];
    let mut stream = connect().await;
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let mut frame = vec![0x81, 0x80 | 0x64, 0, 0, 0, 0];
    frame.resize(106, b' ');
    slow.push(tokio::spawn(drip(stream, frame)));
    let mut publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/a", json!({})).await;
    let traffic = async {
        let mut number = 0;
        loop {
            number += 1;
            let publication =
                publisher.publish_acknowledged("open/a", json!({}), json!([number]), Value::Null);
            publication.await.unwrap();
            assert_eq!(subscriber.event().await.args, json!([number]));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = async {
        for client in slow {
            assert!(client.await.unwrap() >= Duration::from_secs(2));
        }
    };
    within("the ends of slow clients", async {
        tokio::select! {
            () = traffic => {}
            () = ended => {}
        }
    })
    .await;
}
