//! New versions that the server takes back by itself.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Fixture, plugin, relabelled, until_version};
use crate::control::{digest, status};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

pub(crate) const AUCTION: &str =
    "test.auction:\n    channel: 'auction/{lot}'\n    handler: { callback: 'effects' }\n";

/// Waits for longer than the server takes to notice a failing version. A slower server makes a test
/// less strict, and never fail.
async fn watched() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

pub(crate) async fn bid(client: &mut Client, lot: usize, bid: &str) -> Result<u64, String> {
    let topic = format!("auction/{lot}");
    let done = client.publish_acknowledged(&topic, json!({}), json!([bid]), Value::Null).await;
    done.map_err(|error| error.uri)
}

/// Clients of different addresses.
pub(crate) async fn clients(server: &Server, count: u8) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 1..=count {
        let mut options = Options::new(Codec::Json);
        options.handshake.source = Some(Ipv4Addr::new(127, 0, 0, number).into());
        let joined = Client::connect_with(server.addr, Codec::Json, "realm1", options).await;
        clients.push(joined.unwrap());
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_back_a_new_version_that_fails_for_several_clients() {
    let fixture = Fixture { site: Site::open(), data: tempfile::tempdir().unwrap() };
    fixture.site.bundle("a", AUCTION, &[]);
    fixture.deploy("a/hostile.wasm", fs::read(build::guest("hostile")).unwrap());
    let server = fixture.start("");
    let file = fixture.site.file("a/hostile.wasm");
    fixture.until_kept("hostile", &[true]).await;
    let mut clients = clients(&server, 5).await;

    // Two good versions, of which the older one would be next if a version were taken back twice.
    fixture.deploy("a/hostile.wasm", relabelled(&build::guest("hostile"), 1));
    let second = digest(&file);
    until_version(&server, "hostile", &second).await;
    fixture.until_kept("hostile", &[true, true]).await;
    fixture.deploy("a/hostile.wasm", relabelled(&build::guest("hostile"), 2));
    until_version(&server, "hostile", &digest(&file)).await;
    // One client alone cannot cause it.
    for lot in 0..20 {
        bid(&mut clients[0], lot, "trap").await.unwrap_err();
    }
    watched().await;
    assert_eq!(plugin(&server, "hostile").await["digest"], digest(&file));
    for (lot, client) in clients.iter_mut().enumerate() {
        for lot in [lot, lot + 10] {
            let _refused = bid(client, lot, "trap").await.unwrap_err();
        }
    }
    until_version(&server, "hostile", &second).await;
    let log = server.logged("was rolled back automatically");
    assert!(log.contains(&second) && log.contains("sha256:"), "{log}");
    let ends: Vec<Value> = fixture.history("hostile").into_iter().map(|it| it.1).collect();
    assert_eq!(ends, [Value::Null, json!("taken_back"), json!("replaced"), json!("replaced")]);
    assert_eq!(status(&server).await["reloads"][0]["cause"], "take_back");
    bid(&mut clients[4], 99, "ok").await.unwrap();

    // Once: the version before is not taken back in turn.
    for (lot, client) in clients.iter_mut().enumerate() {
        for lot in [lot, lot + 10, lot + 20] {
            let _refused = bid(client, lot, "trap").await;
        }
    }
    watched().await;
    let entry = plugin(&server, "hostile").await;
    assert_eq!(entry["digest"], second);
    assert!(entry["circuit_breaker"]["opened"].as_u64().unwrap() > 0, "it has failed too: {entry}");
}

/// The promise of ten minutes holds across a restart.
#[tokio::test(flavor = "multi_thread")]
async fn takes_back_a_version_that_begins_to_fail_after_a_restart() {
    let fixture = Fixture { site: Site::open(), data: tempfile::tempdir().unwrap() };
    fixture.site.bundle("a", AUCTION, &[]);
    fixture.deploy("a/hostile.wasm", fs::read(build::guest("hostile")).unwrap());
    let server = fixture.start("");
    let file = fixture.site.file("a/hostile.wasm");
    let first = digest(&file);
    fixture.until_kept("hostile", &[true]).await;
    fixture.deploy("a/hostile.wasm", relabelled(&build::guest("hostile"), 1));
    until_version(&server, "hostile", &digest(&file)).await;
    fixture.until_kept("hostile", &[true, true]).await;
    drop(server);
    let server = fixture.start("");
    let mut clients = clients(&server, 5).await;
    for (lot, client) in clients.iter_mut().enumerate() {
        for lot in [lot, lot + 10] {
            let _refused = bid(client, lot, "trap").await.unwrap_err();
        }
    }
    until_version(&server, "hostile", &first).await;
    server.logged("was rolled back automatically");
}
