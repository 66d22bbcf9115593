//! State that survives: what clients have seen of a plugin's store is there after a kill of the
//! server, and nothing is answered that could not be saved.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::{Value, json};
use tokio::sync::watch;

const ROUTES: &str = "\
counts:
    channel: 'counts/{room}'
    handler: { callback: 'counts' }
echo:
    channel: 'echo/{room}'
    handler: { callback: 'echo' }
writes:
    channel: 'writes/{room}'
    handler: { callback: 'writes' }
";
const TOPIC: &str = "counts/a";
/// Publishers at once; each waits for its acknowledgement.
const PUBLISHERS: usize = 4;
/// Kills, unless the variable `JACKFIELD_KILLS` has another number.
const DEFAULT_KILLS: u64 = 20;

fn site() -> Site {
    let site = Site::open();
    site.bundle("hostile", ROUTES, &[build::guest("hostile")]);
    site
}

fn serve(site: &Site, data: &Path, settings: &str) -> Server {
    Server::configured(site.path(), &format!("data: '{}'\n{settings}", data.display()))
}

async fn connect(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// The count in the store.
async fn count(server: &Server) -> u64 {
    let mut client = connect(server).await;
    let (args, _) = client.call(TOPIC, json!({}), json!([]), Value::Null).await.unwrap();
    number(&args)
}

fn number(args: &Value) -> u64 {
    args[0].as_str().unwrap().parse().unwrap()
}

/// What all clients have seen, over all lives of the server.
#[derive(Default)]
struct Seen {
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

async fn publish(mut client: Client, seen: Arc<Seen>) {
    loop {
        seen.sent.fetch_add(1, Ordering::SeqCst);
        client.publish_acknowledged(TOPIC, json!({}), json!([]), Value::Null).await.unwrap();
        seen.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// Passes on each count, which has to be one more than the last.
async fn listen(mut client: Client, latest: watch::Sender<u64>, wrong: watch::Sender<String>) {
    loop {
        let (count, before) = (number(&client.event().await.args), *latest.borrow());
        if count != before + 1 {
            wrong.send_replace(format!("{count} came after {before}"));
        }
        latest.send_replace(count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_restart_contradicts_what_clients_have_seen() {
    let kills = std::env::var("JACKFIELD_KILLS").ok();
    let kills = kills.map_or(DEFAULT_KILLS, |kills| kills.parse().expect("a number"));
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let data = data.path().join("data");
    let seen = Arc::new(Seen::default());
    let wrong = watch::Sender::new(String::new());
    let mut highest = 0;
    for life in 0..kills {
        let server = serve(&site, &data, "");
        let found = count(&server).await;
        let (sent, acknowledged) =
            (seen.sent.load(Ordering::SeqCst), seen.acknowledged.load(Ordering::SeqCst));
        let at_least = highest.max(acknowledged);
        assert!(at_least <= found && found <= sent, "life {life}: {at_least} ≤ {found} ≤ {sent}");

        let mut listener = connect(&server).await;
        listener.subscribe(TOPIC, json!({})).await;
        let latest = watch::Sender::new(found);
        let mut watched = latest.subscribe();
        let mut clients = vec![tokio::spawn(listen(listener, latest, wrong.clone()))];
        for _ in 0..PUBLISHERS {
            let (client, seen) = (connect(&server).await, Arc::clone(&seen));
            // The listener hears its own session's events only from others.
            clients.push(tokio::spawn(publish(client, seen)));
        }
        // A different moment in each life.
        let until = found + 1 + (life * 37) % 101;
        watched.wait_for(|count| *count >= until).await.unwrap();
        server.signal("KILL");
        for client in clients {
            // Each fails with its connection.
            client.await.unwrap_err();
        }
        highest = *watched.borrow();
        assert_eq!(*wrong.borrow(), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_state_in_each_mode_as_documented() {
    for (mode, is_kept) in [("written", true), ("synced", true), ("memory", false)] {
        let (site, data) = (site(), tempfile::tempdir().unwrap());
        let data = data.path().join("data");
        let settings = format!("plugins: {{ named: {{ hostile: {{ state: {mode} }} }} }}\n");
        let server = serve(&site, &data, &settings);
        let mut client = connect(&server).await;
        for _ in 0..3 {
            client.publish_acknowledged(TOPIC, json!({}), json!([]), Value::Null).await.unwrap();
        }
        server.signal("KILL");
        drop(server);
        let server = serve(&site, &data, &settings);
        assert_eq!(count(&server).await, if is_kept { 3 } else { 0 }, "{mode}");
    }
}

/// Needs root, as the tests that install packages do.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_hooks_and_loses_nothing() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let _mounted = Mounted::at(data.path());
    let folder = data.path().join("data");
    let server = serve(&site, &folder, "");
    let mut client = connect(&server).await;
    let ok = client.publish_acknowledged(TOPIC, json!({}), json!([]), Value::Null).await;
    ok.unwrap();

    let filler = data.path().join("filler");
    let full = std::fs::write(&filler, vec![0; 8 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let large = json!(["x".repeat(900_000)]);
    let refused = client.publish_acknowledged("writes/a", json!({}), large, Value::Null).await;
    assert_eq!(refused.unwrap_err().uri, "jackfield.error.store_failed");
    server.logged("cannot save the plugin's store: the disk is full");
    assert_eq!(server.health()["failed_stores"], json!([{ "plugin": "hostile" }]));
    let refused = client.publish_acknowledged(TOPIC, json!({}), json!([]), Value::Null).await;
    assert_eq!(refused.unwrap_err().uri, "jackfield.error.store_failed");
    // Trials go on, and fail while the disk is full.
    server.logged("next try in 4 s, the plugin's store still cannot be saved");
    assert_eq!(server.health()["failed_stores"], json!([{ "plugin": "hostile" }]));
    // Other plugins go on.
    let other = client.publish_acknowledged("open/a", json!({}), json!([]), Value::Null).await;
    other.unwrap();

    std::fs::remove_file(&filler).unwrap();
    server.logged("the plugin's store can be saved again");
    server.until_health("failed_stores", json!([]));
    assert_eq!(count(&server).await, 1);
    let ok = client.publish_acknowledged(TOPIC, json!({}), json!([]), Value::Null).await;
    ok.unwrap();
    server.signal("KILL");
    drop(server);
    let server = serve(&site, &folder, "");
    assert_eq!(count(&server).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn needs_a_data_folder_for_a_saved_store() {
    let site = site();
    let settings = "data: off\nplugins: { named: { hostile: { state: synced } } }\n";
    let (mut server, _config) = Server::begin(site.path(), settings, &build::cache());
    assert_eq!(server.exit_code(), Some(1));
    let log = server.log();
    assert!(log.contains("`plugins.named.hostile.state` needs a data folder"), "{log}");
    let server = Server::configured(site.path(), "data: off\n");
    server.logged("the stores of plugins are in memory");
}

/// Root may write to every folder, so the file system itself is read-only.
#[tokio::test(flavor = "multi_thread")]
async fn does_not_start_with_a_store_that_it_cannot_use() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let mounted = Mounted::at(data.path());
    let folder = data.path().join("data");
    let server = serve(&site, &folder, "");
    let mut client = connect(&server).await;
    client.publish_acknowledged(TOPIC, json!({}), json!([]), Value::Null).await.unwrap();
    server.signal("KILL");
    drop(server);
    let file = folder.join("store/store.sqlite3");
    let refused = |text: &str| {
        let settings = format!("data: '{}'\n", folder.display());
        let (mut server, _config) = Server::begin(site.path(), &settings, &build::cache());
        assert_eq!(server.exit_code(), Some(1));
        let log = server.log();
        assert!(log.contains(text) && log.contains("= help: "), "{log}");
    };
    let copy = std::fs::read(&file).unwrap();
    // The number of the version, `user_version`, is in the bytes 60 to 63 of a file of SQLite.
    let mut newer = copy.clone();
    newer[63] = 200;
    let log = folder.join("store/store.sqlite3-wal");
    let kept = std::fs::read(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    std::fs::write(&file, newer).unwrap();
    refused("it is of version 200, and this server knows versions up to 1");
    std::fs::write(&file, vec![7; 9_000]).unwrap();
    refused("it is no file of this server");
    std::fs::write(&file, copy).unwrap();
    std::fs::write(&log, kept).unwrap();

    mounted.remount("ro");
    refused(&folder.display().to_string());
    mounted.remount("rw");
    assert_eq!(count(&serve(&site, &folder, "")).await, 1);
}

/// A small file system of its own.
pub(crate) struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    pub(crate) fn at(path: &'a Path) -> Self {
        let mount = ["-t", "tmpfs", "-o", "size=2m", "none"];
        let status = Command::new("mount").args(mount).arg(path).status().unwrap();
        assert!(status.success(), "mount -t tmpfs failed: run the tests as root");
        Self(path)
    }
}

impl Mounted<'_> {
    fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.0).status().unwrap();
        assert!(status.success(), "mount -o {options} failed");
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // It is busy until the server has ended; lazily, it goes when it is not.
        let _left = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
