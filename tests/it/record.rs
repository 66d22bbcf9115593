//! Recording of hook calls in a running server, and their replay against another version.
//! `answers` is about the answers to requests and calls of plugins, `live` is about the recording of live traffic, `files` about recordings that are damaged, `output` about outputs that accept no data, `guide` runs `docs/record-replay.md`.

mod answers;
mod files;
mod guide;
mod live;
mod output;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::control::{Output, command, run};
use crate::reload::patched;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const ROUTES: &str = "test.words:\n    channel: 'words/{name}'\n    handler: { callback: 'judging.words' }\n\
                      test.dice:\n    channel: 'dice/{name}'\n    handler: { callback: 'judging.dice' }\n\
                      test.memory:\n    channel: 'memory/{name}'\n    handler: { callback: 'judging.memory' }\n\
                      test.log:\n    channel: 'judging/log/{number}'\n    handler: { callback: 'broadcast' }\n";
/// A text that the first version refuses, and one that the second refuses.
const FIRST: &str = "@@REFUSED-000001";
const SECOND: &str = "@@REFUSED-000002";

/// The component that refuses another word.
fn stricter() -> Vec<u8> {
    patched("judging", FIRST, SECOND)
}

/// The component that has its log in another topic.
fn elsewhere() -> Vec<u8> {
    patched("judging", "judging/log/0001", "judging/log/0002")
}

/// A site with the plugin `judging`, its server, and a folder for files.
struct Fixture {
    site: Site,
    folder: tempfile::TempDir,
    settings: String,
    server: Server,
}

/// A `jackfield record` that runs.
struct Recorder {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Fixture {
    fn new() -> Self {
        Self::serving(fs::read(build::guest("judging")).unwrap())
    }

    fn serving(component: Vec<u8>) -> Self {
        let (site, folder) = (Site::new(), tempfile::tempdir().unwrap());
        site.write(".j/judging.wasm", component);
        fs::copy(build::plugin("broadcast"), site.file(".j/broadcast.wasm")).unwrap();
        site.write(".j/websocket_routing.yml", ROUTES);
        fs::rename(site.file(".j"), site.file("j")).unwrap();
        Self::configured(site, folder, "")
    }

    /// Serves a site with further settings, with its data in the folder.
    fn configured(site: Site, folder: tempfile::TempDir, more: &str) -> Self {
        let data = folder.path().join("data");
        let settings = format!("data: {}\n{more}", data.display());
        let server = Server::configured(site.path(), &settings);
        Self { site, folder, settings, server }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.file(name), bytes).unwrap();
        self.file(name)
    }

    async fn join(&self) -> Client {
        Client::connect(self.server.addr, Codec::Json, "realm1").await
    }

    /// Starts a recording into `calls.ndjson`, and waits until it records.
    fn record(&self, arguments: &[&str]) -> Recorder {
        let (site, file) = (self.site.path().to_str().unwrap(), self.file("calls.ndjson"));
        let all =
            [&["record", "--site", site, "--out", file.to_str().unwrap()], arguments].concat();
        let mut command = command(&all);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with("recording into "), "{line}");
        Recorder { child, stderr }
    }

    /// Replays `calls.ndjson` against a component, with the settings of the server.
    fn replay(&self, new: &[u8], arguments: &[&str]) -> Output {
        let new = self.write("new.wasm", new);
        let (site, file) = (self.site.path().to_str().unwrap(), self.file("calls.ndjson"));
        let config = self.write("jackfield.yml", &self.settings);
        let (new, file) = (new.to_str().unwrap(), file.to_str().unwrap());
        let all = ["replay", new, file, "--site", site, "--config", config.to_str().unwrap()];
        run(in_cache(command(&[&all[..], arguments].concat())))
    }

    /// The lines of `calls.ndjson`.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("calls.ndjson")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Compiled components are kept outside of the user's home.
fn in_cache(mut command: std::process::Command) -> std::process::Command {
    command.env("XDG_CACHE_HOME", build::cache());
    command
}

impl Recorder {
    /// Waits for the end: the exit code, and the rest of stdout and stderr.
    fn end(mut self) -> Output {
        let (mut out, mut err) = (String::new(), String::new());
        self.stderr.read_to_string(&mut err).unwrap();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let code = self.child.wait().as_ref().ok().and_then(ExitStatus::code);
        Output { code, out, err }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.unwrap().success());
    }
}

/// Publishes; an error is an answer as well.
async fn publish(client: &mut Client, topic: &str, text: &str) {
    let _refused = client.publish_acknowledged(topic, json!({}), json!([text]), Value::Null).await;
}

/// The calls that differ, by number.
fn different(report: &Value) -> Vec<u64> {
    let calls = report["calls"].as_array().unwrap();
    calls.iter().map(|call| call["call"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_shows_exactly_the_planted_difference() {
    let fixture = Fixture::new();
    let recorder =
        fixture.record(&["--plugin", "judging", "--count", "7", "--with-payload", "--json"]);
    let mut ann = fixture.join().await;
    for text in ["hello", &format!("{FIRST}!"), &format!("{SECOND}!"), "again"] {
        publish(&mut ann, "words/a", text).await;
    }
    publish(&mut ann, "dice/a", "roll").await;
    publish(&mut ann, "memory/a", "one").await;
    publish(&mut ann, "memory/a", "two").await;
    let ended = recorder.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary = ended.json();
    assert_eq!((&summary["calls"], &summary["reason"]), (&json!(7), &json!("count")));

    // The same version: the store, the clock, random numbers and memory are as they were.
    let same = fs::read(build::guest("judging")).unwrap();
    let report = fixture.replay(&same, &["--json"]);
    assert_eq!(report.code, Some(0), "{report:?}");
    let report = report.json();
    assert_eq!(report["result"], "same", "{report}");
    assert_eq!([&report["compared"], &report["left_out_count"]], [7, 0]);

    let report = fixture.replay(&stricter(), &["--json"]);
    assert_eq!(report.code, Some(1), "{report:?}");
    let report = report.json();
    assert_eq!(different(&report), [2, 3], "{report}");
    assert_eq!([&report["same"], &report["different"]], [5, 2]);
    let places = |call: usize| {
        let differences = report["calls"][call]["differences"].as_array().unwrap().clone();
        differences.iter().map(|it| it["place"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(places(0), ["answer", "effect 1", "store key said/words/a"]);
    assert_eq!(places(1), ["answer", "effect 1", "store key said/words/a"]);

    let text = fixture.replay(&stricter(), &[]);
    assert_eq!(text.code, Some(1));
    for part in [
        "of words/a by session ",
        "answer\n  - reject uri=\"judging.error.refused\"",
        "  + broadcast\n",
        "effect 1\n  + publish topic=\"judging/log/0001\" args=[\"@@REFUSED-000001!\",1,0] kwargs={}\n",
        "store key said/words/a\n  + 1\n  asks for what is not recorded: store key said/words/a\n",
        "7 calls of judging compared: 5 same, 2 different; 0 left out\n",
        "time of a call: ",
        "memory of an instance: ",
    ] {
        assert!(text.out.contains(part), "{part}\n{}", text.out);
    }
    assert!(text.out.contains("  redacted: claims."), "{}", text.out);
    assert!(!text.out.contains("--with-payload"), "{}", text.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn redacts_unless_asked_and_replays_by_shape() {
    let fixture = Fixture::new();
    let mut ann = fixture.join().await;
    publish(&mut ann, "words/a", "warm-up").await;
    let recorder = fixture.record(&["words/a", "--count", "2"]);
    publish(&mut ann, "words/a", "a very secret text").await;
    publish(&mut ann, "words/other", "not recorded").await;
    publish(&mut ann, "words/a", &format!("secret {FIRST}")).await;
    let ended = recorder.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("recorded 2 calls into "), "{ended:?}");

    let path = fixture.file("calls.ndjson");
    let text = fs::read_to_string(&path).unwrap();
    for secret in ["secret", "REFUSED", "not recorded"] {
        assert!(!text.contains(secret), "{text}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fixture.lines()[0]["redacted"],
        json!({ "payload": true, "claims": true, "headers": true })
    );

    // The text that was refused cannot be: the call is left out by name.
    let report = fixture.replay(&elsewhere(), &["--json"]);
    assert_eq!(report.code, Some(1), "{report:?}");
    let report = report.json();
    assert_eq!(different(&report), [1], "{report}");
    let place = &report["calls"][0]["differences"][0];
    assert!(place["new"].as_str().unwrap().contains("judging/log/0002"), "{report}");
    assert!(place["new"].as_str().unwrap().contains("xxxxxxxxxxxxxxxxxx"), "{report}");
    let left_out = &report["left_out"][0];
    assert_eq!(left_out["reason"], "not_reproduced");
    assert_eq!(left_out["calls"][0]["call"], 2);
    let text = fixture.replay(&elsewhere(), &[]).out;
    let hint = "= help: record with --with-payload --with-claims\n";
    assert!(text.contains("  redacted: payload and claims") && text.contains(hint), "{text}");
    for part in [
        "possible causes: it needs what is redacted, state in its memory from before the recording ",
        "or other limits of the plugin in the settings: 1\n    call 2: on-publish of words/a",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_out_by_name_what_depends_on_memory() {
    let fixture = Fixture::new();
    let mut ann = fixture.join().await;
    publish(&mut ann, "memory/a", "before the recording").await;
    let recorder = fixture.record(&["--plugin", "judging", "--count", "3", "--with-payload"]);
    publish(&mut ann, "memory/a", "two").await;
    publish(&mut ann, "words/a", "hello").await;
    publish(&mut ann, "memory/a", "three").await;
    assert_eq!(recorder.end().code, Some(0));
    let same = fs::read(build::guest("judging")).unwrap();
    let report = fixture.replay(&same, &["--json"]);
    assert_eq!(report.code, Some(0), "{report:?}");
    let report = report.json();
    assert_eq!([&report["compared"], &report["left_out_count"]], [1, 2]);
    let calls = report["left_out"][0]["calls"].as_array().unwrap();
    let topics: Vec<_> = calls.iter().map(|call| call["topic"].as_str().unwrap()).collect();
    assert_eq!(topics, ["memory/a", "memory/a"]);

    // A check that compares nothing does not pass.
    fs::remove_file(fixture.file("calls.ndjson")).unwrap();
    let recorder = fixture.record(&["memory/a", "--count", "1", "--with-payload"]);
    publish(&mut ann, "memory/a", "four").await;
    assert_eq!(recorder.end().code, Some(0));
    let nothing = fixture.replay(&same, &[]);
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
    assert!(nothing.err.contains("no call of the plugin judging could be compared"), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_each_recorded_version_across_a_reload() {
    let fixture = Fixture::new();
    let first = crate::control::digest(&fixture.site.file("j/judging.wasm"));
    let kept = fixture.file("data").join("versions");
    let kept = kept.join(first.trim_start_matches("sha256:")).with_extension("wasm");
    until(|| kept.exists()).await;
    let recorder = fixture.record(&["--plugin", "judging", "--count", "2", "--with-payload"]);
    let mut ann = fixture.join().await;
    publish(&mut ann, "words/a", FIRST).await;
    let logged = fixture.server.log().len();
    fixture.site.rename_over("j/judging.wasm", stricter());
    fixture.server.logged_after(logged, "generation ready generation=2");
    publish(&mut ann, "words/a", FIRST).await;
    assert_eq!(recorder.end().code, Some(0));
    let lines = fixture.lines();
    let versions = lines.iter().filter(|line| line["line"] == "version");
    assert_eq!(versions.count(), 2);
    let report = fixture.replay(&stricter(), &["--json"]);
    assert_eq!((report.code, different(&report.json())), (Some(1), vec![1]), "{report:?}");

    // Without the site and its data, the version has to be named.
    fs::remove_file(&kept).unwrap();
    let missing = fixture.replay(&stricter(), &[]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.err.contains(first.trim_start_matches("sha256:")), "{missing:?}");
    assert!(missing.err.contains("= help: name its file with --old FILE"), "{missing:?}");
    let old = build::guest("judging");
    let named = fixture.replay(&stricter(), &["--json", "--old", old.to_str().unwrap()]);
    assert_eq!((named.code, different(&named.json())), (Some(1), vec![1]), "{named:?}");
}

async fn until(mut is_so: impl FnMut() -> bool) {
    jackfield_tests::client::within("the condition", async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
