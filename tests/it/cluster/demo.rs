//! The script that serves a site on three nodes of this machine.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::nats::free_port;
use super::site;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::packages::installed;

/// Returns the first of three free ports.
fn three_free_ports() -> u16 {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    std::iter::repeat_with(free_port)
        .find(|first| (0..3).all(|more| first.checked_add(more).is_some_and(is_free)))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_of_a_cluster_starts_and_ends() {
    installed("nats-server", "nats-server");
    let (site, folder) = (site(), tempfile::tempdir().unwrap());
    let first = three_free_ports();
    let mut script = Command::new(build::root().join("docs/demo/cluster.sh"));
    script.args([site.path(), folder.path()]).stdout(Stdio::piped()).stderr(Stdio::inherit());
    script.env("JACKFIELD", build::jackfield()).env("PORT", first.to_string());
    script.env("NATS_PORT", free_port().to_string());
    let mut running = script.spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let told = within("the nodes", async {
        let mut told = String::new();
        loop {
            let line = lines.next_line().await.unwrap().expect("the script runs");
            told += &line;
            if line.contains("Ctrl-C") {
                return told;
            }
        }
    })
    .await;
    assert!(told.contains(&format!("http://127.0.0.1:{first}/demo/")), "{told}");
    let addr = |more| SocketAddr::from((Ipv4Addr::LOCALHOST, first + more));
    let mut reader = Client::connect(addr(0), Codec::Json, "realm1").await;
    let mut writer = Client::connect(addr(2), Codec::Json, "realm1").await;
    reader.subscribe("open/a", json!({})).await;
    let event = json!(["hello"]);
    writer.publish_acknowledged("open/a", json!({}), event.clone(), Value::Null).await.unwrap();
    assert_eq!(reader.event().await.args, event);
    // As Ctrl-C does, but to the script alone.
    let process = running.id().unwrap().to_string();
    assert!(Command::new("kill").arg(process).status().await.unwrap().success());
    within("the end of the script", running.wait()).await.unwrap();
    for more in 0..3 {
        assert!(TcpStream::connect(addr(more)).is_err(), "node {more} has ended");
    }
}
