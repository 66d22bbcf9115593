//! PHP itself against a server that is configured as in `docs/migrating-from-oro.md`: tickets are
//! required, users are known, browsers may not publish. The scripts are below `tests/peers/php`.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::oro;
use crate::migration_guide::{block, exchanged};
use jackfield_tests::build;
use jackfield_tests::client::v1::{self, Hangup, Reach, Unreachable};
use jackfield_tests::client::within;
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

pub(crate) const SECRET: &str = "kernel-secret";
/// The publishers of `publish.php`.
const PUBLISHERS: [&str; 3] = ["blind", "buffered", "silence"];
const USERS: &str = "\
users:
    admin: { id: 7, password: '$2y$13$abcdefghijklmnopqrstuv', roles: [ROLE_ADMINISTRATOR] }
";
const HASH: &str = "$2y$13$abcdefghijklmnopqrstuv";

/// A server with the guide's own configuration, except for the places of secrets and users.
pub(crate) struct Back {
    _users: tempfile::NamedTempFile,
    _site: Site,
    pub(crate) server: Server,
}

impl Back {
    pub(crate) fn office() -> Self {
        Self::configured("")
    }

    /// Starts the server with additional settings.
    pub(crate) fn configured(more: &str) -> Self {
        let users = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
        std::fs::write(users.path(), USERS).unwrap();
        let config = exchanged(block("yaml", "tickets:"), "{ env: ORO_SECRET }", SECRET);
        let database = "sql: { url: { env: ORO_DB_DSN } }";
        let config = exchanged(&config, database, &format!("file: {}", users.path().display()));
        let site = oro();
        let server = Server::configured(site.path(), &format!("{config}\n{more}"));
        Self { _users: users, _site: site, server }
    }

    /// Connects a page of the user `admin`, number 7.
    async fn page(&self) -> v1::Client {
        let mut page = self.connect(&ticket(&["admin", HASH]).await).await.unwrap();
        page.session().await;
        page
    }

    async fn connect(&self, ticket: &str) -> Result<v1::Client, Unreachable> {
        let ticket = ticket.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let mut options = v1::Options::default();
        options.handshake.path = format!("/?ticket={ticket}");
        v1::Client::connect_with(self.server.addr, options).await
    }

    /// Runs a publisher once. Returns exit code and output.
    pub(crate) async fn publish(
        &self,
        how: &str,
        secret: &str,
        topic: &str,
        events: &[Value],
    ) -> (Option<i32>, Vec<Value>) {
        let address = format!("tcp://{}", self.server.addr);
        let mut arguments = vec![how, &address, "/ws", secret, topic];
        let events: Vec<String> = events.iter().map(Value::to_string).collect();
        arguments.extend(events.iter().map(String::as_str));
        let (code, out) = php("publish.php", &arguments).await;
        (code, out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
    }
}

/// Runs a script, of the peers or at another path, to its end.
pub(crate) async fn php(script: &str, arguments: &[&str]) -> (Option<i32>, String) {
    installed("php", "php-cli");
    let script: PathBuf = build::root().join("tests/peers/php").join(script);
    let mut command = Command::new("php");
    command.arg(script).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = within(format!("php {arguments:?}"), command.output()).await.expect("php runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(err, "", "php {arguments:?}");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

/// Returns a ticket of the application.
async fn ticket(holder: &[&str]) -> String {
    let (code, out) = php("ticket.php", &[&[SECRET], holder].concat()).await;
    assert_eq!(code, Some(0), "{out}");
    out.trim_end().to_owned()
}

/// A back-end command with a longer pause between two publications than any keepalive, such as one
/// that turns the maintenance mode on and off. In real time, with the default settings.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_is_silent_for_75_seconds_loses_nothing() {
    silent(Back::office(), "75").await;
}

/// The same for each publisher, with a keepalive that ends several times in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_is_silent_for_many_keepalives_loses_nothing() {
    let keepalive = "keepalive: { interval: 100ms, timeout: 1s }\n";
    silent(Back::configured(keepalive), "3.5").await;
}

async fn silent(back: Back, pause: &str) {
    let mut page = back.page().await;
    page.subscribe("oro/maintenance");
    page.round_trip().await;
    let events = [json!({"isOn": true, "userId": null}), json!({"isOn": false, "userId": null})];
    let publishing = PUBLISHERS.map(|how| {
        let mut command = Command::new("php");
        command.arg(build::root().join("tests/peers/php/publish.php"));
        command.args([
            how,
            &format!("tcp://{}", back.server.addr),
            "/ws",
            SECRET,
            "oro/maintenance",
        ]);
        command.args(events.iter().map(Value::to_string)).env("PAUSE", pause);
        command.stdin(Stdio::null()).kill_on_drop(true).output()
    });
    let said = futures_util::future::join_all(publishing);
    let said = tokio::time::timeout(std::time::Duration::from_mins(3), said);
    for output in said.await.expect("PHP ends") {
        let output = output.expect("php runs");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !out.contains("false"), "{out}");
    }
    let (mut on, mut off) = (0, 0);
    while on + off < 2 * PUBLISHERS.len() {
        match page.event().await.event["isOn"].as_bool() {
            Some(true) => on += 1,
            Some(false) => off += 1,
            None => panic!("an event of maintenance says whether it is on"),
        }
    }
    assert_eq!((on, off), (PUBLISHERS.len(), PUBLISHERS.len()));
}

/// Compares with tickets that an application's own code has made: otherwise script and server could
/// agree on the same error.
#[tokio::test]
async fn the_script_makes_the_same_tickets_as_the_application() {
    let (nonce, created) = ("0123456789abcdef", "2024-01-02T03:04:05+00:00");
    let anonymous = ticket(&["", "", nonce, created]).await;
    assert_eq!(
        anonymous,
        "SWRwUG85UVF0dGhTcFM0aFMrc3FCT1ArQWcxMDk4c01JOWsrc2pNZTFzcEhiZ2pYVGJ2YllYM08ycHAvK0RaTUpyb0\
         hSdnJPTGtrbUpPZWJzVDRhcXc9PTs7MDEyMzQ1Njc4OWFiY2RlZjsyMDI0LTAxLTAyVDAzOjA0OjA1KzAwOjAw"
    );
    let admin = ticket(&["admin", HASH, nonce, created]).await;
    assert_eq!(
        admin,
        "NVZ0cWxkLzFBbzdHdVlYOWEydkx4Qlc3bk54R3FnZzBjSjNIQkpmNGJSV0Fnd1BPWVJtTXBXRHNhaGlwM2xIaDV3ck\
         1xb2I1c1ZVcGtkRjMzUXJVMFE9PTthZG1pbjswMTIzNDU2Nzg5YWJjZGVmOzIwMjQtMDEtMDJUMDM6MDQ6MDUrMDA6\
         MDA="
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_publisher_reaches_the_pages_on_each_run() {
    let back = Back::office();
    let mut page = back.page().await;
    for topic in ["oro/maintenance", "oro/email_event/7/*", "oro/imap_sync_fail/*"] {
        page.subscribe(topic);
    }
    page.round_trip().await;
    assert!(page.ignored().is_empty(), "all are allowed: {:?}", page.ignored());
    for how in PUBLISHERS {
        // A publisher that reads WELCOME only if it arrives in time would fail sometimes, or
        // always.
        for number in 0..10 {
            let events = [json!({"isOn": true, "userId": number}), json!({"é/": {}})];
            let (code, said) = back.publish(how, SECRET, "oro/maintenance", &events).await;
            assert_eq!(code, Some(0), "{how}: {said:?}");
            assert_eq!(said[0]["session"].is_string(), how != "blind", "{how}: {said:?}");
            assert_eq!(said[1..], [json!({"wrote": true}), json!({"wrote": true})], "{how}");
            assert_eq!(page.event().await.event, events[0], "{how}");
            assert_eq!(page.event().await.event, json!({"é/": []}), "{how}");
        }
        let event = json!({"hasNewEmail": true});
        for topic in ["oro/email_event/7/*", "oro/email_event/8/*", "oro/imap_sync_fail/*"] {
            back.publish(how, SECRET, topic, std::slice::from_ref(&event)).await;
        }
        assert_eq!(page.event().await.topic, "oro/email_event/7/*", "{how}");
        assert_eq!(page.event().await.topic, "oro/imap_sync_fail/*", "{how}");
        // Longer than one read of either side.
        let long = json!("x".repeat(100_000));
        let (code, said) =
            back.publish(how, SECRET, "oro/maintenance", std::slice::from_ref(&long)).await;
        assert_eq!((code, &said[1]), (Some(0), &json!({"wrote": true})), "{how}: {said:?}");
        assert_eq!(page.event().await.event, long, "{how}");
        page.expect_no_event().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_publishers_without_a_valid_ticket() {
    let back = Back::office();
    let mut page = back.page().await;
    page.subscribe("oro/maintenance");
    page.round_trip().await;
    for how in PUBLISHERS {
        let logged = back.server.log().len();
        let (code, said) = back.publish(how, "another", "oro/maintenance", &[json!(1)]).await;
        assert_eq!(code, Some(1), "{how}: {said:?}");
        assert_eq!(said, [json!({"refused": "HTTP/1.1 403 Forbidden"})], "{how}");
        back.server.logged_after(logged, "its digest is wrong");
    }
    let stale = ticket(&["admin", HASH, "0123456789abcdef", "2024-01-02T03:04:05+00:00"]).await;
    let of_nobody = ticket(&["nobody", HASH]).await;
    for (ticket, reason) in [
        ("", "there is neither a ticket nor a token"),
        ("nonsense", "it cannot be read"),
        (&stale, "s old and was good for 300 s"),
        (&of_nobody, "there is no such user"),
    ] {
        let logged = back.server.log().len();
        let Err(unreachable) = back.connect(ticket).await else { panic!("{ticket} lets in") };
        assert_eq!(unreachable.hangup, Hangup::Unreachable, "a page asks for a new ticket then");
        assert_eq!(unreachable.refused.status, Some(403), "{ticket}: {unreachable:?}");
        back.server.logged_after(logged, reason);
    }
    page.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_receive_their_own_topics_and_publish_nothing() {
    let back = Back::office();
    let mut page = back.page().await;
    let mut refusals = 0;
    for (topic, allowed) in [
        ("oro/email_event/7/1", true),
        ("oro/email_event/8/1", false),
        ("oro/reminder_remind/7", true),
        ("oro/reminder_remind/8", false),
        ("oro/data/update", true),
    ] {
        page.subscribe(topic);
        page.round_trip().await;
        refusals += usize::from(!allowed);
        assert_eq!(page.ignored().len(), refusals, "{topic}: {:?}", page.ignored());
    }
    for topic in ["oro/data/update", "oro/email_event/7/1"] {
        page.publish(topic, &json!("made up"), &Reach::Plain);
        page.round_trip().await;
        refusals += 1;
        let refusal = page.ignored().last().unwrap();
        assert_eq!(page.ignored().len(), refusals, "{topic}");
        assert_eq!((&refusal[0], &refusal[2]), (&json!(4), &json!("wamp.error.not_authorized")));
    }
    page.expect_no_event().await;
    assert!(page.page_errors().is_empty(), "{:?}", page.page_errors());
}
