//! Durable histories: no restart contradicts what clients have seen, nothing is delivered that could not be
//! saved, and the file has no more than the memory.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v2::{Client, Event};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{NO_RATES, TOKEN, TOKENS, join, publish, stream};
use crate::durable_store::Mounted;

mod copies;
mod size;

const ROUTES: &str = "\
durable:
    channel: 'durable/{name}'
    handler: { callback: 'broadcast' }
    history: { events: 10000, age: 1h, durable: true }
kept:
    channel: 'kept/{name}'
    handler: { callback: 'broadcast' }
    history: { events: 10000, age: 1h }
";
/// Kills, unless the variable `JACKFIELD_KILLS` has another number.
const DEFAULT_KILLS: u64 = 15;
const TOPICS: [&str; 3] = ["durable/a", "durable/b", "durable/c"];
const PUBLISHERS: usize = 4;
/// The name of the route file of the site.
const FILE: &str = "durable/websocket_routing.yml";

fn site() -> Site {
    let site = Site::new();
    site.bundle("durable", ROUTES, &[build::plugin("broadcast")]);
    site
}

fn serve(site: &Site, data: &Path, more: &str) -> Server {
    Server::configured(site.path(), &settings(data, more))
}

fn settings(data: &Path, more: &str) -> String {
    format!("data: '{}'\nshutdown: {{ spread: 0 }}\n{more}{NO_RATES}{TOKENS}", data.display())
}

/// What all clients have seen of a topic, over all lives of the server.
#[derive(Default)]
struct Seen {
    epoch: Option<String>,
    /// The position of the reader.
    offset: u64,
    /// Publication and content, by offset.
    events: HashMap<u64, (u64, Value)>,
    texts: HashSet<String>,
    wrong: Vec<String>,
}

impl Seen {
    fn take(&mut self, event: &Event) {
        let Some(offset) = event.details["_offset"].as_u64() else {
            return self.wrong.push(format!("no offset: {}", event.details));
        };
        if offset != self.offset + 1 {
            self.wrong.push(format!("{offset} came after {}", self.offset));
        }
        self.offset = offset;
        let known = (event.publication, event.args.clone());
        let before = self.events.insert(offset, known.clone());
        if before.is_some_and(|before| before != known) {
            self.wrong.push(format!("{offset} is another event now: {known:?}"));
        }
        let text = event.args[0].as_str().unwrap_or_default().to_owned();
        if !self.texts.insert(text.clone()) {
            self.wrong.push(format!("{text} came twice"));
        }
    }
}

/// Subscribes with the position, and compares the answer with what is known.
async fn resume(server: &Server, topic: &str, seen: &Mutex<Seen>) -> Client {
    let mut client = join(server, Codec::Json).await;
    let since = {
        let seen = seen.lock().unwrap();
        let position = |epoch: &String| json!({ "epoch": epoch, "offset": seen.offset });
        seen.epoch.as_ref().map_or(json!({}), position)
    };
    client.subscribe(topic, json!({ "_since": since })).await;
    let answer = stream(&mut client).await;
    if answer["recovered"] == true {
        assert_eq!(answer["epoch"], since["epoch"]);
        for _ in 0..answer["replayed"].as_u64().unwrap() {
            let event = client.event().await;
            seen.lock().unwrap().take(&event);
        }
    } else {
        // A position before the first event is the only one that a restart may not know.
        let mut seen = seen.lock().unwrap();
        assert_eq!((seen.offset, &answer["offset"]), (0, &json!(0)), "{topic}");
        seen.epoch = Some(answer["epoch"].as_str().unwrap().to_owned());
    }
    client
}

async fn listen(mut client: Client, seen: Arc<Mutex<Seen>>, count: watch::Sender<u64>) {
    loop {
        let event = client.event().await;
        seen.lock().unwrap().take(&event);
        count.send_modify(|count| *count += 1);
    }
}

/// Publishes to random topics, and notes what was acknowledged.
async fn write(
    mut client: Client,
    name: String,
    mut random: u64,
    acknowledged: Arc<Mutex<Vec<(usize, String)>>>,
) {
    for number in 0_u64.. {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = usize::try_from(random >> 33).unwrap() % TOPICS.len();
        let text = format!("{name}-{number:06}");
        publish(&mut client, TOPICS[at], json!([text])).await;
        acknowledged.lock().unwrap().push((at, text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_leaves_no_hole_and_changes_no_event() {
    let kills = std::env::var("JACKFIELD_KILLS").ok();
    let kills = kills.map_or(DEFAULT_KILLS, |kills| kills.parse().expect("a number"));
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let data = data.path().join("data");
    let seen: [Arc<Mutex<Seen>>; 3] = Default::default();
    let acknowledged = Arc::<Mutex<Vec<(usize, String)>>>::default();
    for life in 0..=kills {
        let more = if life % 3 == 2 { "history: { durable: synced }\n" } else { "" };
        let server = serve(&site, &data, more);
        let count = watch::Sender::new(0);
        let mut watched = count.subscribe();
        let mut clients = Vec::new();
        for (topic, seen) in TOPICS.iter().zip(&seen) {
            let client = resume(&server, topic, seen).await;
            clients.push(tokio::spawn(listen(client, Arc::clone(seen), count.clone())));
        }
        for (at, text) in &*acknowledged.lock().unwrap() {
            let seen = seen[*at].lock().unwrap();
            assert!(seen.texts.contains(text), "life {life}: {text} was acknowledged, and is lost");
        }
        for number in 0..PUBLISHERS {
            let client = join(&server, Codec::ALL[number % Codec::ALL.len()]).await;
            let (name, random) = (format!("{life}-{number}"), life * 31 + number as u64);
            let acknowledged = Arc::clone(&acknowledged);
            clients.push(tokio::spawn(write(client, name, random, acknowledged)));
        }
        // Another moment in each life.
        let until = 1 + (life * 37) % 101;
        watched.wait_for(|count| *count >= until).await.unwrap();
        server.signal("KILL");
        for client in clients {
            // Each fails with its connection.
            client.await.unwrap_err();
        }
        for seen in &seen {
            assert_eq!(seen.lock().unwrap().wrong, Vec::<String>::new(), "life {life}");
        }
    }
    // Each publisher's events of a topic have kept their order.
    for seen in &seen {
        let seen = seen.lock().unwrap();
        let mut last: HashMap<&str, &str> = HashMap::new();
        for offset in 1..=seen.offset {
            let text = seen.events[&offset].1[0].as_str().unwrap();
            let (name, number) = text.rsplit_once('-').unwrap();
            assert!(last.insert(name, number).is_none_or(|before| before < number), "{text}");
        }
    }
}

async fn refused(client: &mut Client, topic: &str, args: Value) -> String {
    let sent = client.publish_acknowledged(topic, json!({}), args, Value::Null).await;
    sent.unwrap_err().uri
}

/// Needs root, as the tests that install packages do.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_events_and_delivers_none() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let _mounted = Mounted::at(data.path());
    let folder = data.path().join("data");
    let server = serve(&site, &folder, "metrics: { enabled: true }\n");
    let (mut client, mut reader) =
        (join(&server, Codec::Json).await, join(&server, Codec::Json).await);
    reader.subscribe("durable/a", json!({})).await;
    publish(&mut client, "durable/a", json!([1])).await;
    assert_eq!(reader.event().await.details, json!({ "_offset": 1 }));

    let filler = data.path().join("filler");
    let full = std::fs::write(&filler, vec![0; 8 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let large = json!(["x".repeat(900_000)]);
    for topic in ["durable/a", "durable/new"] {
        let uri = refused(&mut client, topic, large.clone()).await;
        assert_eq!(uri, "jackfield.error.history_failed");
    }
    server.logged("cannot save durable histories: the disk is full");
    assert_eq!(server.health()["histories"], "failed");
    let mut backend = Http::connect(server.addr).await;
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", &*token)];
    let body = json!({ "topic": "durable/a", "args": large }).to_string();
    assert_eq!(backend.post("/api/publish", &headers, &body).await.status, 503);
    // Other topics go on.
    publish(&mut client, "kept/a", json!(["other"])).await;
    reader.expect_no_event().await;

    std::fs::remove_file(&filler).unwrap();
    let body = json!({ "topic": "durable/a", "args": [2] }).to_string();
    assert_eq!(backend.post("/api/publish", &headers, &body).await.status, 200);
    let event = reader.event().await;
    assert_eq!((event.args, event.details), (json!([2]), json!({ "_offset": 2 })));
    server.logged("durable histories can be saved again");
    assert_eq!(server.health()["histories"], "ok");
    server.signal("KILL");
    drop(server);
    let server = serve(&site, &folder, "");
    let mut client = join(&server, Codec::Json).await;
    let (args, _) = history(&mut client, "durable/a").await;
    assert_eq!(args, json!([[1], [2]]));
    // The event that was refused is in no history.
    let (args, _) = history(&mut client, "durable/new").await;
    assert_eq!(args, json!([]));
}

/// Returns the arguments of all events of a topic, and its position.
async fn history(client: &mut Client, topic: &str) -> (Value, Value) {
    let (args, _) =
        client.call("jackfield.history", json!({}), json!([topic]), Value::Null).await.unwrap();
    let page = &args[0];
    let events: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|it| it["args"].clone()).collect();
    (json!(events), json!({ "epoch": page["epoch"], "offset": page["offset"] }))
}

/// Kills the server, and returns the next one.
fn again(server: Server, site: &Site, data: &Path) -> Server {
    server.signal("KILL");
    drop(server);
    serve(site, data, "")
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_without_durable_begin_anew() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let data = data.path().join("data");
    let server = serve(&site, &data, "");
    let mut client = join(&server, Codec::Json).await;
    let options = json!({ "retain": true });
    for topic in ["durable/a", "kept/a"] {
        let (first, second) = (json!(["first"]), json!(["second"]));
        client.publish_acknowledged(topic, options.clone(), first, Value::Null).await.unwrap();
        publish(&mut client, topic, second).await;
    }
    let (_, durable) = history(&mut client, "durable/a").await;
    let server = again(server, &site, &data);
    let mut client = join(&server, Codec::Json).await;
    assert_eq!(
        history(&mut client, "durable/a").await,
        (json!([["first"], ["second"]]), durable.clone())
    );
    assert_eq!(history(&mut client, "kept/a").await.0, json!([]));
    // The retained event as well.
    client.subscribe("durable/a", json!({ "get_retained": true })).await;
    let event = client.event().await;
    assert_eq!((event.args, event.details), (json!(["first"]), json!({ "retained": true })));

    // A clean stop keeps both, and durable ones once.
    publish(&mut client, "kept/a", json!(["third"])).await;
    let (_, kept) = history(&mut client, "kept/a").await;
    let mut server = server;
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    let server = serve(&site, &data, "");
    let mut client = join(&server, Codec::Json).await;
    assert_eq!(history(&mut client, "kept/a").await, (json!([["third"]]), kept));
    assert_eq!(history(&mut client, "durable/a").await.1, durable);

    // A reload that takes `durable` away ends the histories, and tells those who have a position.
    let mut reader = join(&server, Codec::Json).await;
    reader.subscribe("durable/a", json!({ "_since": {} })).await;
    assert_eq!(stream(&mut reader).await["epoch"], durable["epoch"]);
    site.write(FILE, ROUTES.replace(", durable: true", ""));
    server.until_health("generation", 2);
    let (events, plain) = history(&mut client, "durable/a").await;
    assert_eq!(events, json!([]));
    assert_ne!(plain["epoch"], durable["epoch"]);
    let told = stream(&mut reader).await;
    assert_eq!((&told["epoch"], &told["recovered"]), (&plain["epoch"], &json!(false)));
    publish(&mut client, "durable/a", json!(["lost"])).await;
    // One that gives it back begins again.
    site.write(FILE, ROUTES);
    server.until_health("generation", 3);
    publish(&mut client, "durable/a", json!(["saved"])).await;
    let (_, position) = history(&mut client, "durable/a").await;
    let server = again(server, &site, &data);
    let mut client = join(&server, Codec::Json).await;
    assert_eq!(history(&mut client, "durable/a").await, (json!([["saved"]]), position.clone()));
    let since = json!({ "_since": { "epoch": position["epoch"], "offset": 3 } });
    client.subscribe("durable/a", since.clone()).await;
    let answer = stream(&mut client).await;
    let answered = (&answer["recovered"], &answer["replayed"]);
    assert_eq!(answered, (&json!(true), &json!(1)), "the event behind 3 is the only one");
    assert_eq!(client.event().await.args, json!(["saved"]));

    // So does one that takes the history away while the server is down.
    server.signal("KILL");
    drop(server);
    site.write(FILE, ROUTES.replace(", durable: true", ""));
    let server = serve(&site, &data, "");
    let mut client = join(&server, Codec::Json).await;
    client.subscribe("durable/a", since).await;
    assert_eq!(stream(&mut client).await["recovered"], false);
}

/// An effect of a handler, and an event that a handler has changed.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_handlers_are_saved() {
    let (site, data) = (Site::new(), tempfile::tempdir().unwrap());
    let data = data.path().join("data");
    let routes = "\
sample: { channel: 'sample/{method}', handler: { callback: 'methods' } }
open: { channel: 'open/{name}', handler: { callback: 'broadcast' }, history: { durable: true } }
";
    let plugins = [build::plugin("broadcast"), build::guest("methods")];
    site.bundle("durable", routes, &plugins);
    let server = serve(&site, &data, "");
    let (mut client, mut reader) =
        (join(&server, Codec::Json).await, join(&server, Codec::Json).await);
    reader.subscribe("open/news", json!({})).await;
    for number in 1..=3 {
        let call = client.call("sample/announce", json!({}), json!([number]), Value::Null).await;
        call.unwrap();
        let event = reader.event().await;
        let expect = (json!([number]), json!({ "_offset": number }));
        assert_eq!((event.args, event.details), expect);
    }
    let (events, position) = history(&mut client, "open/news").await;
    assert_eq!(events, json!([[1], [2], [3]]));
    let server = again(server, &site, &data);
    let mut client = join(&server, Codec::Json).await;
    assert_eq!(history(&mut client, "open/news").await, (events, position));
}

#[tokio::test(flavor = "multi_thread")]
async fn needs_a_data_folder_and_no_cluster() {
    let site = site();
    let check = |settings: &str| {
        let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
        std::fs::write(file.path(), settings).unwrap();
        let mut command = Command::new(build::jackfield());
        command.arg("check").arg(site.path()).arg("--config").arg(file.path());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (is_good, out) = check("data: off\n");
    let text =
        "`durable` of `history` of the route `durable` needs a data folder, and there is none";
    assert!(!is_good && out.contains(text) && out.contains("= help: set `data`"), "{out}");
    let (is_good, out) =
        check("data: /tmp/x\ncluster: { nats: { urls: ['nats://127.0.0.1:1'] } }\n");
    assert!(!is_good && out.contains("is not possible in a cluster"), "{out}");
    assert!(check("data: /tmp/x\n").0);
    let (mut server, _config) = Server::begin(site.path(), "data: off\n", &build::cache());
    assert_eq!(server.exit_code(), Some(1));
    assert!(server.log().contains(text), "{}", server.log());
}

/// Runs a server that saves one event, and stops.
async fn save_one(site: &Site, data: &Path) {
    let mut server = serve(site, data, "");
    publish(&mut join(&server, Codec::Json).await, "durable/a", json!([1])).await;
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

/// A cluster that was set by mistake is refused, and takes no history.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_refused_keeps_the_file() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let data = data.path().join("data");
    save_one(&site, &data).await;
    let cluster = settings(&data, "cluster: { nats: { urls: ['nats://127.0.0.1:1'] } }\n");
    let (mut server, _config) = Server::begin(site.path(), &cluster, &build::cache());
    assert_eq!(server.exit_code(), Some(1));
    assert!(server.log().contains("is not possible in a cluster"), "{}", server.log());
    let server = serve(&site, &data, "");
    let mut client = join(&server, Codec::Json).await;
    assert_eq!(history(&mut client, "durable/a").await.0, json!([[1]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_start_with_a_file_that_it_cannot_use() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let data = data.path().join("data");
    save_one(&site, &data).await;
    let file = data.join("history/history.sqlite3");
    let mut newer = std::fs::read(&file).unwrap();
    // The number of the version, `user_version`, is in the bytes 60 to 63 of a file of SQLite.
    newer[63] = 200;
    for (content, text) in [
        (newer, "it is of version 200, and this server knows versions up to 1"),
        (vec![7; 9_000], "it is no file of this server"),
    ] {
        std::fs::write(&file, content).unwrap();
        let (mut server, _config) =
            Server::begin(site.path(), &settings(&data, ""), &build::cache());
        assert_eq!(server.exit_code(), Some(1));
        let log = server.log();
        assert!(log.contains(text) && log.contains("= help: "), "{log}");
    }
}
