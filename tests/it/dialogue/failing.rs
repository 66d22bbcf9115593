//! Failing scripts: the report names the line, the messages and the log, and no text of a plugin
//! drives a terminal.

use jackfield_tests::build;
use jackfield_tests::site::Site;

use super::{Answer, chat, fails, passes, stock, test};

#[test]
fn names_the_line_and_the_difference() {
    let site = stock("chat");
    site.write(
        "chat/tests/a.dialogue",
        "client ann user ann\nann > SUBSCRIBE acme/chat/kitchen\n\nann < EVENT acme/chat/kitchen \
         [{\"type\": \"history\", \"you\": \"bob\", \"messages\": []}]\n",
    );
    site.write("chat/tests/b.dialogue", "client ann\nann < nothing\n");
    let answer = test(site.path(), &["chat"]);
    fails(
        &answer,
        &[
            "chat/tests/a.dialogue:4:1: error: `ann` has received another message\n",
            "\n4 | ann < EVENT acme/chat/kitchen",
            "\n  expected  EVENT acme/chat/kitchen [{\"type\": \"history\", \"you\": \"bob\", \"messages\": []}]\n",
            "\n  actual    EVENT acme/chat/kitchen [{\"type\": \"history\", \"you\": \"ann\", \"messages\": []}]\n",
            "\n  differs   args[0].you: expected \"bob\", found \"ann\"\n",
            "\n  arrived   at line 2\n",
            "\nchat/tests/b.dialogue: 2 lines, ",
        ],
    );
    assert!(answer.out.ends_with("\nchat: 2 scripts, 1 failed\n"), "{}", answer.out);
}

#[test]
fn every_message_needs_a_line() {
    let joined =
        "client ann user ann\nclient bob user bob\nann > SUBSCRIBE acme/chat/a\nann < SUBSCRIBED\n";
    let unread = "`ann` has received a message that no line expects";
    fails(&chat(joined), &[":4:1: error: ", unread, "\"type\": \"history\"", "at line 3"]);
    let next =
        format!("{joined}bob > CALL acme/chat/a\nbob < RESULT [...]\nann > CALL acme/chat/a\n");
    fails(&chat(&next), &[":7:1: error: ", unread]);
    fails(&chat(&format!("{joined}ann leaves\n")), &[":5:1: error: ", unread]);
    fails(&chat(&format!("{joined}ann < nothing\n")), &[":5:1: error: ", "expected  nothing"]);
    // An error is never an acknowledgement.
    let refused =
        "client ann\nclient bob\nann > PUBLISH acme/chat/a [{\"text\": \"x\"}]\nbob < nothing\n";
    fails(&chat(refused), &[unread, "ERROR wamp.error.not_authorized"]);
    let event = "client ann user ann\nann > SUBSCRIBE acme/chat/a\nann < EVENT acme/chat/a\n";
    fails(&chat(event), &[":3:1: error: ", "args[0]: expected nothing"]);
}

#[test]
fn reports_errors_before_anything_runs() {
    fails(
        &chat("client ann\nanm < nothing\nann > PUBLIHS x\n"),
        &[
            "chat/tests/a.dialogue:2:1: error: there is no client `anm`\n",
            "= help: did you mean `ann`?\n",
            "chat/tests/a.dialogue:3:7: error: unknown message `PUBLIHS`\n",
            "= help: did you mean `PUBLISH`?",
        ],
    );
    fails(&chat("client ann\n"), &["the script expects nothing, so it cannot fail"]);
    let long = "#".repeat((1 << 20) + 1);
    fails(&chat(&long), &["a script has at most 1048576 bytes"]);
}

#[test]
fn names_what_is_missing() {
    let site = Site::new();
    site.write("shout/websocket_routing.yml", "a: { channel: a, handler: { callback: shout } }\n");
    fails(&test(site.path(), &["shout"]), &["shout: error: no script tests/*.dialogue"]);
    site.write("shout/tests/a.dialogue", "client ann\nann < nothing\n");
    let answer = test(site.path(), &["shout"]);
    fails(&answer, &["no compiled plugin (.wasm)", "= help: `jackfield build shout`"]);
    fails(&test(site.path(), &["nowhere"]), &["nowhere: error: failed to read the site"]);

    let site = stock("chat");
    let answer = test(site.path(), &["chat", "none.dialogue"]);
    fails(&answer, &["none.dialogue: error: failed to read the script", "1 problem"]);
    site.write("binary.dialogue", b"\xff\xfe");
    fails(&test(site.path(), &["chat", "binary.dialogue"]), &["is not valid UTF-8"]);
    site.write("chat/websocket_routing.yml", "a: { channel: a, handler: { callback: shout } }\n");
    site.write("a.dialogue", "client ann\nann < nothing\n");
    let answer = test(site.path(), &["chat", "a.dialogue"]);
    fails(&answer, &["websocket_routing.yml:1:39: error: no plugin provides the handler `shout`"]);
}

/// A site with misbehaving handlers at `h/` and their names.
fn hostile(script: &str, options: &[&str]) -> Answer {
    let site = Site::new();
    let routes: String = ["flood_log", "forge", "print", "spin", "trap"]
        .map(|name| {
            format!("h.{name}: {{ channel: 'h/{name}', handler: {{ callback: {name} }} }}\n")
        })
        .concat();
    site.bundle("hostile", &routes, &[build::guest("hostile")]);
    site.write("a.dialogue", script);
    test(site.path(), &[&["hostile", "a.dialogue"], options].concat())
}

#[test]
fn shows_faults_with_their_source_line() {
    let script = "client ann\nann > PUBLISH h/trap [1]\nann < PUBLISHED\n";
    fails(
        &hostile(script, &[]),
        &[
            "a.dialogue:3:1: error: `ann` has received another message",
            "actual    ERROR jackfield.error.handler_failed",
            "log at line 2: ERROR plugin hostile, on-publish of handler trap for topic h/trap: trapped",
            "src/lib.rs:",
            "this is what I do",
            "\n    in ",
        ],
    );
    let expected = script.replace("PUBLISHED", "ERROR jackfield.error.handler_failed");
    let answer = hostile(&expected, &["--log"]);
    passes(&answer);
    assert!(answer.out.contains("log at line 2: ERROR plugin hostile"), "{}", answer.out);
}

#[test]
fn a_handler_that_never_returns_ends_at_its_deadline() {
    let script =
        "client ann\nann > PUBLISH h/spin [1]\nann < ERROR jackfield.error.handler_failed\n";
    passes(&hostile(script, &[]));
}

#[test]
fn a_script_that_hangs_is_ended() {
    let script = "client ann\nann < nothing\nwait 1h\nann < nothing\n";
    fails(
        &hostile(script, &["--timeout", "200ms"]),
        &["a.dialogue:3:1: error: the script takes longer than 200ms", "--timeout"],
    );
    let loops =
        "client ann\nann > PUBLISH h/spin [1]\nann < ERROR jackfield.error.handler_failed\n";
    let limits = ["--timeout", "200ms", "--set", "plugins.default.deadline=1m"];
    fails(&hostile(loops, &limits), &["a.dialogue:2:1: error: the script takes longer"]);
}

#[test]
fn untrusted_text_neither_forges_lines_nor_fills_the_terminal() {
    let script = "client ann\nann > PUBLISH h/forge [\"panic\"]\nann < EVENT \"\u{1b}[31m\" [\"\u{202e}\"]\n";
    for script in [script, &script.replace("panic", "x")] {
        let Answer { code, out } = hostile(script, &[]);
        assert_eq!(code, Some(1), "{out}");
        let is_harmless =
            |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{2028}'..='\u{202e}'));
        assert!(out.chars().all(is_harmless), "{out}");
        assert!(out.len() < 40_000, "{} bytes", out.len());
        let forged = out.lines().find(|line| line.starts_with("20") || line.starts_with("site/"));
        assert_eq!(forged, None, "{out}");
    }
    let flood = "client ann\nann > PUBLISH h/flood_log [1]\nann < nothing\nann < EVENT a\n";
    let Answer { out, .. } = hostile(flood, &[]);
    assert!(out.lines().count() < 300 && out.contains("more lines left out"), "{out}");
}
