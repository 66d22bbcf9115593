//! `jackfield test`: dialogue scripts against compiled plugins, with the real command. Passing
//! scripts, failing scripts and their reports, and the scripts of the stock plugins.

mod contract;
mod failing;
mod guide;
mod stock;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use jackfield_tests::build;
use jackfield_tests::site::Site;

/// Exit code and output of a command.
struct Answer {
    code: Option<i32>,
    out: String,
}

/// Runs `jackfield test …` in a folder.
fn test(folder: &Path, arguments: &[&str]) -> Answer {
    let output = Command::new(build::jackfield())
        .arg("test")
        .args(arguments)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", build::cache())
        .stdin(Stdio::null())
        .output()
        .expect("jackfield runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(err, "", "{out}");
    Answer { code: output.status.code(), out }
}

/// Returns a folder with the bundle of a stock plugin, as it is in the repository.
fn stock(plugin: &str) -> Site {
    let site = Site::new();
    add_stock(&site, plugin);
    site
}

fn add_stock(site: &Site, plugin: &str) {
    let source = build::root().join("plugins").join(plugin);
    let routes = std::fs::read_to_string(source.join("websocket_routing.yml")).unwrap();
    site.bundle(plugin, &routes, &[build::plugin(plugin)]);
}

/// Runs one script against the chat plugin.
fn chat(script: &str) -> Answer {
    let site = stock("chat");
    site.write("chat/tests/a.dialogue", script);
    test(site.path(), &["chat"])
}

#[track_caller]
fn passes(answer: &Answer) {
    assert_eq!(answer.code, Some(0), "{}", answer.out);
    assert!(answer.out.ends_with(": ok\n"), "{}", answer.out);
}

/// Checks that the command fails, and that its output has all of these texts.
#[track_caller]
fn fails(answer: &Answer, expect: &[&str]) {
    assert_eq!(answer.code, Some(1), "{}", answer.out);
    for text in expect {
        assert!(answer.out.contains(text), "{text}\n\n{}", answer.out);
    }
}

#[test]
fn each_script_has_a_store_of_its_own() {
    let site = stock("chat");
    let script = "client ann user ann
        ann > SUBSCRIBE acme/chat/kitchen
        ann < EVENT acme/chat/kitchen [{\"type\": \"history\", \"you\": \"ann\", \"messages\": []}]
        ann > PUBLISH acme/chat/kitchen [{\"text\": \"hello\"}]
        ann < PUBLISHED acme/chat/kitchen\n";
    site.write("chat/tests/a.dialogue", script);
    site.write("chat/tests/b.dialogue", script);
    site.write("chat/tests/notes.txt", "no script");
    let answer = test(site.path(), &["chat"]);
    passes(&answer);
    let lines: Vec<&str> = answer.out.lines().collect();
    assert!(lines[0].starts_with("chat/tests/a.dialogue: 5 lines, "), "{}", answer.out);
    assert_eq!((lines.len(), lines[2]), (3, "chat: 2 scripts: ok"));
}

#[test]
fn tests_each_bundle_of_a_site() {
    let site = stock("chat");
    add_stock(&site, "broadcast");
    site.write("chat/tests/a.dialogue", "client ann\nann < nothing\n");
    site.write("broadcast/tests/a.dialogue", "client ann\nann < nothing\n");
    site.write("tests/both.dialogue", "client ann\nann > SUBSCRIBE lobby\nann < SUBSCRIBED\n");
    let answer = test(site.path(), &["."]);
    passes(&answer);
    assert!(answer.out.ends_with(".: 3 scripts: ok\n"), "{}", answer.out);
    let answer = test(site.path(), &[".", "tests/both.dialogue"]);
    assert!(answer.out.ends_with(".: 1 script: ok\n"), "{}", answer.out);
}

#[test]
fn speaks_both_versions_and_raw_messages() {
    passes(&chat("client ann user ann
        client page v1 user page
        ann > [32, 1, {}, \"acme/chat/kitchen\"]
        ann < [33, 1, $subscription]
        ann < [36, $subscription, $first, {...}, [{\"type\": \"history\", ...}]]
        page > [5, \"acme/chat/kitchen\"]
        page < [8, \"acme/chat/kitchen\", {\"type\": \"history\", \"you\": \"page\", \"messages\": []}]
        ann < EVENT acme/chat/kitchen [{\"type\": \"joined\", \"who\": \"page\"}]
        page > PUBLISH acme/chat/kitchen [{\"text\": \"hello\"}]
        page < EVENT acme/chat/kitchen [{\"type\": \"message\", \"from\": \"page\", \"text\": \"hello\"}]
        ann < [36, $subscription, _, _, [{\"from\": \"page\", ...}]]
        ann > [34, 2, $subscription]
        ann < [35, 2]
        page < EVENT acme/chat/kitchen [{\"type\": \"left\", \"who\": \"ann\"}]
        page > [2, \"a call\", \"acme/chat/kitchen\"]
        page < [3, \"a call\", [\"page\"]]
        page > \"[\"
        page < closed
        client bob raw
        bob > [1, \"nowhere\", {\"roles\": {\"subscriber\": {}}}]
        bob < ABORT wamp.error.no_such_realm \"there is no realm `nowhere` here\"\n"));
}

#[test]
fn applies_the_settings_of_the_site() {
    let site = stock("broadcast");
    site.write("broadcast/jackfield.yml", "allow: { publish: [member] }\nunrouted: broadcast\n");
    site.write(
        "broadcast/tests/a.dialogue",
        "client ann user ann roles staff,member
        client bob user bob roles staff
        ann > SUBSCRIBE anything.at.all
        ann > PUBLISH lobby [1]
        ann < PUBLISHED
        bob > PUBLISH lobby [1]
        bob < ERROR wamp.error.not_authorized\n",
    );
    passes(&test(site.path(), &["broadcast"]));
    let none = ["broadcast", "--set", "allow.publish=[other]"];
    fails(&test(site.path(), &none), &["a.dialogue:5:9: error: `ann` has received another"]);
    site.write("broadcast/jackfield.yml", "unruoted: broadcast\n");
    fails(&test(site.path(), &["broadcast"]), &["jackfield.yml:1:1: error", "`unrouted`"]);
}

#[test]
fn clients_leave_and_return() {
    passes(&chat(
        "client ann user ann
        client bob user bob
        ann > SUBSCRIBE acme/chat/kitchen
        ann < EVENT _ [{\"type\": \"history\", ...}]
        bob > SUBSCRIBE acme/chat/kitchen
        bob < EVENT _ [{\"type\": \"history\", ...}]
        ann < EVENT _ [{\"type\": \"joined\", \"who\": \"bob\"}]
        bob leaves
        ann < EVENT _ [{\"type\": \"left\", \"who\": \"bob\"}]
        client bob user bob
        bob > CALL acme/chat/kitchen
        bob < RESULT [[\"ann\"]]
        bob disconnects
        ann < nothing\n",
    ));
}

#[test]
fn expectations_wait_for_timers() {
    let site = Site::new();
    let routes =
        "acme.ping: { channel: ping, handler: { callback: 'oro_sync.ping' }, timer: 50ms }\n";
    site.bundle("sync", routes, &[build::plugin("sync")]);
    let script = "client ann\nann > SUBSCRIBE ping\n";
    let event = "ann < EVENT ping [\"Connection keep alive\"]\n";
    site.write("sync/tests/a.dialogue", format!("{script}{}", event.repeat(3)));
    passes(&test(site.path(), &["sync"]));
    // Events that came during a wait have to be read.
    let unread = format!("{script}ann < SUBSCRIBED\nwait 300ms\nann leaves\n");
    site.write("sync/tests/a.dialogue", unread);
    fails(&test(site.path(), &["sync"]), &["a.dialogue:5:1: error: `ann` has received a message"]);
}

#[test]
fn prints_one_json_object() {
    let site = stock("chat");
    site.write("chat/tests/a.dialogue", "client ann\nann < nothing\n");
    site.write("chat/tests/b.dialogue", "client ann\n\n  ann < EVENT acme/chat/x [\"\u{9b}\"]\n");
    let Answer { code, out } = test(site.path(), &["chat", "--json"]);
    let result: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, Some(1));
    assert_eq!(
        (&result["ok"], &result["passed"], &result["failed"]),
        (&false.into(), &1.into(), &1.into())
    );
    assert_eq!(result["scripts"][0]["script"], "chat/tests/a.dialogue");
    assert_eq!(result["scripts"][0]["ok"], true);
    let failure = &result["scripts"][1]["failures"][0];
    assert_eq!((&failure["line"], &failure["column"]), (&3.into(), &3.into()));
    assert_eq!(failure["message"], "`ann` has received nothing");
    assert_eq!(failure["expected"], "EVENT acme/chat/x [\"\\u009b\"]");

    let Answer { code, out } = test(site.path(), &["chat/tests", "--json"]);
    let result: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &result["ok"]), (Some(1), &false.into()));
    assert_eq!(result["problems"].as_array().map(Vec::len), Some(1));
}
