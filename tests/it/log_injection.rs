//! Log and terminal injection: text of plugins, files and clients cannot forge lines or control a
//! terminal.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::reload::patched;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// A line that looks like one of the log, one that looks like a diagnosis, and control codes of a
/// terminal.
const FORGED: &str = "\u{1b}[31mx\n2026-01-01T00:00:00.000000Z ERROR jackfield: forged\r\n\
                      site/x.yml:1:1: error: forged\u{0}\u{9b}2J\u{202e}\u{2066}\u{2028}\u{7f}";

const ROUTES: &str = "\
test.open: { channel: 'open/{name}', handler: { callback: broadcast } }
hostile.forge:
    channel: 'h/{name}'
    requirements: { name: { pattern: '[\\s\\S]*' } }
    handler: { callback: forge }
";

/// Returns whether the character is harmless on a terminal.
fn is_harmless(c: char) -> bool {
    let reorders = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200f}');
    !c.is_control() && !reorders
}

/// Performs every action by which a client can get a text into the log.
async fn abuse(server: &Server) {
    let mut old = v1::Client::connect(server.addr).await;
    for topic in [FORGED, &format!("h/{FORGED}"), &format!("open/{FORGED}")] {
        old.subscribe(topic);
        old.publish(topic, &json!(FORGED), &Reach::Plain);
        old.publish(topic, &json!("panic"), &Reach::Plain);
        old.unsubscribe(topic, None);
        let _refused = old.call(topic, &[json!(FORGED)]).await;
    }
    old.prefix("x", FORGED);
    old.round_trip().await;
    old.send_text(&json!([5, {FORGED: 1}]).to_string());
    let _end = old.ended().await;

    let mut new = Client::connect(server.addr, Codec::Json, "realm1").await;
    for topic in [FORGED, "h/x"] {
        let _refused = new.try_subscribe(topic, json!({})).await;
        let _refused = new.publish_acknowledged(topic, json!({}), json!([FORGED]), json!({})).await;
        let _refused = new.call(topic, json!({}), json!([FORGED]), json!({})).await;
    }
    new.send(&json!([6, {"message": FORGED}, FORGED]));
    let _end = new.ended().await;
    let options = Options::new(Codec::Json);
    let _refused = Client::connect_with(server.addr, Codec::Json, FORGED, options).await;
    let aborting = Options::new(Codec::Json).handshake;
    let mut aborting = Client::open(server.addr, Codec::Json, aborting).await.unwrap();
    aborting.send(&json!([3, {"message": FORGED}, FORGED]));
    let _end = aborting.ended().await;

    let raw = "\u{9b}2J\u{202e}".as_bytes();
    for (before, after) in [
        (&b"GET /"[..], &b" HTTP/1.1\r\nHost: x\r\n\r\n"[..]),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: ", b"\r\n\r\n"),
        (
            b"GET /nowhere HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
              Origin: http://",
            b"\r\nSec-WebSocket-Protocol: wamp\r\n\r\n",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Protocol: ",
            b"\r\n\r\n",
        ),
        (
            b"POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\
              Content-Length: 0\r\nX-Forwarded-For: ",
            b"\r\n\r\n",
        ),
        (b"\x1b[2J\x00", b"\r\n\r\n"),
    ] {
        let mut http = Http::connect(server.addr).await;
        http.send([before, raw, after].concat()).await;
        let _whichever = http.answer().await;
    }
}

/// Adds files with hostile names and texts.
fn spoil(site: &Site) {
    let name = FORGED.replace(['/', '\0'], "");
    site.write(&format!("{name}/websocket_routing.yml"), "a: { channel: 1 }\n");
    let text = format!("'{}': {{ channel: 1, {}: 2 }}\n", "\u{202e}\u{9b}", "k".repeat(1 << 20));
    site.write("odd/websocket_routing.yml", text);
    let escaped = "\"\\e[31mx\\nsite/x.yml:1:1: error: forged\\N\\L\": { channel: [] }\n";
    site.write("escaped/websocket_routing.yml", escaped);
    site.write("odd/not.wasm", FORGED);
    for lie in [11, 12, 23, 24] {
        let guest = patched("liar", "@@LIE-000", &format!("@@LIE-{lie:03}"));
        site.write(&format!("lie{lie}/p.wasm"), guest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_text_forges_no_log_line() {
    let config = format!(
        "api: {{ tokens: [{{ name: a, token: {} }}] }}\naccess: {{ origins: [x] }}\n",
        "a".repeat(32)
    );
    for format in ["text", "json"] {
        let site = Site::new();
        site.bundle("h", ROUTES, &[build::guest("hostile"), build::plugin("broadcast")]);
        let server =
            Server::configured(site.path(), &format!("{config}log: {{ format: {format} }}\n"));
        abuse(&server).await;
        spoil(&site);
        let log = server.logged("reload failed;");
        for line in log.lines() {
            assert!(line.chars().all(is_harmless), "{line:?}");
            assert!(line.len() < 72 << 10, "{} bytes: {line:.200}", line.len());
            if format == "json" {
                let line: Value = serde_json::from_str(line).unwrap();
                assert!(line["timestamp"].is_string(), "{line}");
            } else {
                let (time, rest) = line.split_once(' ').unwrap_or_default();
                let is_now = time.len() == 27 && time != "2026-01-01T00:00:00.000000Z";
                assert!(is_now && rest.trim_start().contains("jackfield"), "{line:?}");
                assert!(!rest.trim_start().starts_with("ERROR jackfield: forged"), "{line:?}");
            }
        }
        for part in ["forged", "jackfield.error.no_route", "on-publish of handler forge"] {
            assert!(log.contains(part), "{part} is missing");
        }
    }
}

/// Returns the output of a command on both streams.
fn printed(arguments: &[&str], site: &Path) -> [String; 2] {
    let mut command = Command::new(build::jackfield());
    let output = command.args(arguments).arg(site).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("text");
    [output.stdout, output.stderr].map(text)
}

#[test]
fn text_of_a_site_forges_no_command_output() {
    let site = Site::new();
    site.bundle("h", ROUTES, &[build::guest("hostile"), build::plugin("broadcast")]);
    let escaped =
        "\"\\e[31mx\\nforged\\N\\L\": { channel: \"\\e/\\n/{x}\", handler: \"\\n\\e\" }\n";
    site.write("named/websocket_routing.yml", escaped);
    let check = |command: &[&str]| {
        let [out, err] = printed(command, site.path());
        for line in out.lines().chain(err.lines()) {
            assert!(line.chars().all(|c| c == '\t' || is_harmless(c)), "{command:?}: {line:?}");
            assert!(line.len() < 8 << 10, "{command:?}: {line:.200}");
            assert!(!line.starts_with("forged") && !line.starts_with("site/x.yml"), "{line:?}");
        }
        out
    };
    check(&["routes", "--routing-only"]);
    let json = check(&["routes", "--json", "--routing-only"]);
    assert!(serde_json::from_str::<Value>(&json).is_ok(), "{json}");
    spoil(&site);
    let text = check(&["check"]);
    assert!(text.contains("error: ") && text.len() < 64 << 10, "{} bytes", text.len());
    check(&["serve", "--listen", "127.0.0.1:0"]);
    let output = Command::new(build::jackfield())
        .arg("match")
        .arg(site.path())
        .args(["\u{1b}/\n/\u{202e}", "--routing-only"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.chars().all(|c| c == '\n' || is_harmless(c)), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_a_server_does_not_control_the_terminal() {
    let site = Site::new();
    site.bundle("h", ROUTES, &[build::guest("hostile"), build::plugin("broadcast")]);
    let server = Server::start(site.path());
    let url = format!("ws://{}/", server.addr);
    let command = |arguments: &[&str]| {
        let mut command = Command::new(build::jackfield());
        command.args(arguments).args(["--url", &url]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let listening = command(&["subscribe", "open/a", "--count", "2"]);
    let mut publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    let text = json!([FORGED]);
    server.until_health("sessions", 2);
    // The command counts events after it has subscribed.
    let until = std::time::Instant::now() + jackfield_tests::client::PATIENCE;
    let mut listening = listening;
    while listening.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < until, "no event came");
        publisher.publish_acknowledged("open/a", json!({}), text.clone(), json!({})).await.unwrap();
    }
    let output = listening.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(out.lines().count(), 2, "{out:?}");
    for line in out.lines() {
        assert!(line.chars().all(is_harmless), "{line:?}");
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["args"], text);
    }
    let refused = command(&["publish", "h/x", "1"]).wait_with_output().unwrap();
    let err = String::from_utf8(refused.stderr).unwrap();
    assert!(err.starts_with("error: com.example.error.forged: "), "{err:.100}");
    assert!(err.trim_end().chars().all(is_harmless) && err.len() < 4 << 10, "{err:.200}");
}
