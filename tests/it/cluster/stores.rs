//! Copies of stores: the next home of a plugin has what the last one has acknowledged.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;

use super::leases::{
    COUNTER, Place, count, counting, home, started, until_counted, until_home, until_other_home,
};
use super::{Nats, status};

/// Runs `jackfield store` at a node.
fn store(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(build::jackfield());
    command.arg("store").args(arguments).arg("--socket").arg(server.control_socket());
    command.output().unwrap()
}

#[track_caller]
fn stored(server: &Server, arguments: &[&str]) -> String {
    let output = store(server, arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn refused(server: &Server, arguments: &[&str]) -> String {
    let output = store(server, arguments);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// Splits the home of the counter off.
fn split(servers: Vec<(Server, Place)>, home: &str) -> ((Server, Place), Vec<(Server, Place)>) {
    let mut servers = servers;
    let index = servers.iter().position(|it| status(&it.0)["node"] == json!(home)).unwrap();
    (servers.remove(index), servers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_older_store_has_the_newest_when_it_is_the_home_again() {
    let nats = Nats::with_jetstream();
    let places = ["web-1", "web-2"].map(|name| Place::new(&[&nats], name, ""));
    let servers: Vec<_> = started(&places).await.into_iter().zip(places).collect();
    let first = until_home(&[&servers[0].0, &servers[1].0], COUNTER).await;
    let ((killed, place), mut others) = split(servers, &first);
    let mut client = counting(&others[0].0).await;
    for number in 1..=3 {
        assert_eq!(count(&mut client).await, Ok(number));
    }
    killed.signal("KILL");
    drop(killed);
    let second = until_other_home(&others[0].0, COUNTER, &first).await;
    assert_eq!(until_counted(&mut client).await, 4);
    assert_eq!(until_counted(&mut client).await, 5);
    // Its file has 3.
    let again = place.start();
    assert_eq!(until_home(&[&again, &others[0].0], COUNTER).await, second);
    let (other, _place) = others.remove(0);
    drop(client);
    let told = refused(&again, &["get", COUNTER, "count/all"]);
    assert!(told.contains("the home of the plugin is web-"), "{told}");
    assert!(told.contains(&second), "{told}");
    let told = refused(&again, &["set", COUNTER, "count/all", "99"]);
    assert!(told.contains(&second), "{told}");
    let local = stored(&again, &["get", COUNTER, "count/all", "--base64", "--here"]);
    let now = stored(&other, &["get", COUNTER, "count/all", "--base64"]);
    assert_ne!(local, now, "its copy is an older one");
    other.signal("KILL");
    drop(other);
    assert_eq!(until_other_home(&again, COUNTER, &second).await, first);
    let mut client = counting(&again).await;
    assert_eq!(until_counted(&mut client).await, 6);
    assert_ne!(stored(&again, &["get", COUNTER, "count/all", "--base64"]), now);
}

/// Returns the bytes of a stream, by the monitoring of NATS.
fn stream_bytes(port: u16, stream: &str) -> u64 {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.write_all(b"GET /jsz?streams=1 HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let shown: Value = serde_json::from_str(body).unwrap();
    let accounts = shown["account_details"].as_array().unwrap().iter();
    let mut streams = accounts.flat_map(|it| it["stream_detail"].as_array().unwrap().iter());
    let found = streams.find(|it| it["name"] == stream).unwrap();
    found["state"]["bytes"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn long_commits_are_whole_and_long_logs_become_short() {
    let nats = Nats::with_small_messages();
    let places = ["web-1", "web-2"].map(|name| Place::new(&[&nats], name, ""));
    let servers: Vec<_> = started(&places).await.into_iter().zip(places).collect();
    let first = until_home(&[&servers[0].0, &servers[1].0], COUNTER).await;
    let ((killed, _place), others) = split(servers, &first);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("value");
    let mut longest = 0;
    // Each one is longer than three messages of NATS.
    for round in 0..12 {
        std::fs::write(&file, format!("{round} {}", "x".repeat(400_000))).unwrap();
        stored(&killed, &["set", COUNTER, "long", "--file", file.to_str().unwrap()]);
        longest = longest.max(stream_bytes(nats.monitor(), "jf1_jackfield_stores"));
    }
    assert!((1 << 20..3 << 20).contains(&longest), "{longest}");
    let mut client = counting(&others[0].0).await;
    assert_eq!(count(&mut client).await, Ok(1));
    killed.signal("KILL");
    drop(killed);
    let second = until_other_home(&others[0].0, COUNTER, &first).await;
    assert_eq!(until_counted(&mut client).await, 2);
    assert_eq!(home(&others[0].0, COUNTER), Some(second));
    let value = stored(&others[0].0, &["get", COUNTER, "long"]);
    assert!(value.starts_with("11 xxx") && value.trim_end().len() == 400_003, "{}", value.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_acknowledgement_is_late_is_found() {
    let nats = Nats::with_jetstream();
    let place = Place::new(&[&nats], "web-1", "");
    let server = place.start();
    until_home(&[&server], COUNTER).await;
    let mut client = counting(&server).await;
    assert_eq!(count(&mut client).await, Ok(1));
    nats.signal("STOP");
    let counted = tokio::spawn(async move { (count(&mut client).await, client) });
    // Longer than the client of NATS waits for an answer.
    tokio::time::sleep(Duration::from_secs(6)).await;
    nats.signal("CONT");
    let (number, mut client) = counted.await.unwrap();
    assert_eq!(number, Ok(2));
    assert_eq!(count(&mut client).await, Ok(3));
    assert!(!server.log().contains("is not saved on this node any more"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_the_cluster_has_never_had_is_saved_before_it_is_replaced() {
    let nats = Nats::with_jetstream();
    let mut places = ["web-1", "web-2"].map(|name| Place::new(&[&nats], name, ", leases: off"));
    for (place, value) in places.iter().zip(["one", "two"]) {
        let server = place.start();
        until_home(&[&server], COUNTER).await;
        stored(&server, &["set", COUNTER, "who", value]);
    }
    for place in &mut places {
        place.set_leases("auto");
    }
    let servers: Vec<_> = started(&places).await.into_iter().zip(places).collect();
    let first = until_home(&[&servers[0].0, &servers[1].0], COUNTER).await;
    let ((stopped, _place), others) = split(servers, &first);
    let value = stored(&stopped, &["get", COUNTER, "who"]);
    assert_eq!(value.trim_end(), if first == "web-1" { "one" } else { "two" });
    stopped.signal("TERM");
    let (server, place) = &others[0];
    until_other_home(server, COUNTER, &first).await;
    assert_eq!(stored(server, &["get", COUNTER, "who"]), value);
    let log = server.logged("is replaced by the one of the cluster");
    let folder = place.stores().join("replaced");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(files.len() == 1 && log.contains(files[0].to_str().unwrap()), "{log} {files:?}");
    stored(server, &["import", COUNTER, files[0].to_str().unwrap()]);
    let other = if first == "web-1" { "two" } else { "one" };
    assert_eq!(stored(server, &["get", COUNTER, "who"]).trim_end(), other);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_wait_for_jetstream_and_are_refused_without_it() {
    let mut nats = Nats::with_jetstream();
    let place = Place::new(&[&nats], "web-1", "");
    let server = place.start();
    until_home(&[&server], COUNTER).await;
    let mut client = counting(&server).await;
    assert_eq!(count(&mut client).await, Ok(1));
    nats.kill();
    let refused = count(&mut client).await.unwrap_err();
    assert!(refused == "jackfield.error.store_failed", "{refused}");
    server.logged("the store of a plugin is not saved on this node any more");
    // Nothing runs on a store that may be another one elsewhere.
    assert_eq!(count(&mut client).await.unwrap_err(), "jackfield.error.home_unreachable");
    nats.restart();
    let number = within("a home", until_counted(&mut client)).await;
    // The refused one may have been saved.
    assert!((2..=3).contains(&number), "{number}");
    assert_eq!(count(&mut client).await, Ok(number + 1));
}
