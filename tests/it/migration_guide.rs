//! Steps of `docs/migrating-from-oro.md`, run as printed: commands, routing files, configurations
//! and code. `php/script.rs` runs the configuration of its first steps.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::php::script::{Back, SECRET, php};
use jackfield_tests::build;
use jackfield_tests::client::v1::{Client, Options, Reach};
use jackfield_tests::client::within;
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const GUIDE: &str = include_str!("../../docs/migrating-from-oro.md");

/// Returns the only code block of a language that contains this text.
#[track_caller]
pub(crate) fn block(language: &str, text: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let rest = GUIDE.split(fence.as_str()).skip(1);
    let blocks = rest.map(|rest| rest.split("```").next().expect("a fence at the end"));
    let found: Vec<_> = blocks.filter(|block| block.contains(text)).collect();
    let [block] = found[..] else { panic!("{} blocks of {language} with {text}", found.len()) };
    block
}

/// Replaces a part of a text, which must be in it.
#[track_caller]
pub(crate) fn exchanged(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to)
}

fn jackfield(arguments: &[&str]) -> Command {
    let mut command = Command::new(build::jackfield());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.env("XDG_CACHE_HOME", build::cache());
    command
}

/// Runs a command. Returns whether it succeeded, and its output.
async fn run(mut command: Command) -> (bool, String) {
    let output = within(format!("{command:?}"), command.output()).await.expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("text"))
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

fn route(name: &str, channel: &str, handler: &str) -> String {
    format!("{name}:\n    channel: '{channel}'\n    handler: {{ callback: '{handler}' }}\n")
}

/// An application with two bundles, one of them with own handlers, and with files that must not be
/// copied.
#[tokio::test(flavor = "multi_thread")]
async fn gathers_the_site_from_the_application() {
    const BUNDLE: &str = "Resources/config/oro/websocket_routing.yml";
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let application = folder.path().join("oro");
    let platform = format!("vendor/oro/platform/src/Oro/Bundle/SyncBundle/{BUNDLE}");
    write(&application, &platform, &route("oro_sync.data_update", "old/name", "gone"));
    let sync = format!("vendor/oro/platform/src/Oro/Bundle/XBundle/{BUNDLE}");
    write(
        &application,
        &sync,
        &route("oro_sync.data_update", "oro/data/update", "oro_sync.data_update"),
    );
    let own = route("acme_order.status", "acme/order_status/{user_id}", "acme_order.status");
    write(&application, &format!("src/Acme/OrderBundle/{BUNDLE}"), &own);
    write(&application, &format!("var/cache/copy/{BUNDLE}"), "broken: [\n");
    write(&application, &format!("src/Acme/OrderBundle/Tests/Unit/Stub/{BUNDLE}"), "broken: [\n");
    write(&application, "config/services.yml", "not: routes\n");
    let ping = route("oro_sync.ping", "oro/ping", "oro_sync.ping");
    write(&application, "config/oro/websocket_routing/ping.yml", &ping);

    let sh = async |commands: &str| {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", commands]).kill_on_drop(true);
        shell.env("PATH", format!("{}:{path}", build::jackfield().parent().unwrap().display()));
        shell.env("XDG_CACHE_HOME", build::cache());
        run(shell).await
    };
    let plugin = build::plugin("sync").display().to_string();
    let stock = exchanged(block("sh", "sync.wasm"), "/srv/jackfield", &at("srv"));
    let stock = exchanged(&stock, "~/jackfield/target/demo/site/sync/sync.wasm", &plugin);
    assert_eq!(sh(&stock).await, (true, String::new()));
    let commands = block("sh", "cp --parents");
    let commands = exchanged(commands, "/var/www/oro", &at("oro"));
    let commands = exchanged(&commands, "/srv/jackfield/$(date +%Y%m%d-%H%M%S)", &at("site"));
    let commands = exchanged(&commands, "/srv/jackfield", &at("srv"));
    let commands = exchanged(&commands, "/etc/jackfield/jackfield.yml", &at("jackfield.yml"));
    write(folder.path(), "jackfield.yml", "limits: { message: 8 MiB }\n");
    // A package in a folder of its own, as Composer links it.
    let linked = route("acme_linked.x", "acme/linked", "oro_sync.ping");
    write(folder.path(), &format!("packages/linked/{BUNDLE}"), &linked);
    std::os::unix::fs::symlink(at("packages/linked"), at("oro/vendor/acme_linked")).unwrap();
    let (gather, put) = commands.split_once("if jackfield check").expect("it is checked at last");
    let put = format!("new={}\nif jackfield check{put}", at("site"));
    assert_eq!(sh(gather).await, (true, String::new()));

    // The bundle's own handler is a PHP class.
    let (good, said) = run(jackfield(&["check", &at("site")])).await;
    assert!(!good && said.contains("no plugin provides the handler `acme_order.status`"), "{said}");
    assert!(said.contains("src/Acme/OrderBundle"), "{said}");
    assert!(!said.contains("gone") && !said.contains("var/cache"), "{said}");
    // A refused site is not installed, and leaves no folder behind.
    let (good, said) = sh(&commands).await;
    assert!(!good && said.contains("acme_order.status"), "{said}");
    assert!(!Path::new(&at("site")).exists() && !Path::new(&at("srv/site")).exists(), "{said}");
    assert_eq!(sh(gather).await, (true, String::new()));
    let handlers = block("yaml", "acme_order.status:");
    write(folder.path(), "site/config/oro/websocket_routing/handlers.yml", handlers);
    fs::copy(build::plugin("secured"), at("site/secured.wasm")).unwrap();
    let (good, said) = sh(&put).await;
    assert!(good, "{said}");
    for (topic, name) in [
        ("oro/data/update", "oro_sync.data_update"),
        ("oro/ping", "oro_sync.ping"),
        ("acme/order_status/7", "acme_order.status"),
        ("acme/linked", "acme_linked.x"),
    ] {
        let (good, said) = run(jackfield(&["match", &at("srv/site"), topic])).await;
        assert!(good && said.contains(name), "{topic}: {said}");
    }
    let (good, said) = run(jackfield(&["match", &at("site"), "old/name"])).await;
    assert!(!good, "replaced by the file that comes later: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_examples_of_the_guide_are_valid() {
    let site = Site::open();
    for text in ["tickets:", "query: >-", "jwt:", "unrouted:", "tokens: [", "anonymous: true"] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "jackfield.yml", block("yaml", text));
        let file = folder.path().join("jackfield.yml").display().to_string();
        let path = site.path().display().to_string();
        let mut arguments = vec!["check", &path, "--config", &file];
        if text.starts_with("query") {
            // The configuration's tickets are in another code block.
            arguments.extend(["--set", "auth.tickets.secret=kernel-secret"]);
        }
        let (good, said) = run(jackfield(&arguments)).await;
        assert!(good, "{text} {said}");
    }
}

/// The commands by which a user listens.
#[tokio::test(flavor = "multi_thread")]
async fn pages_with_a_ticket_receive_maintenance() {
    let back = Back::office();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let environment = format!("ORO_SECRET='{SECRET}'\nORO_DB_DSN='mysql://x/y?a=b&c=d'\n");
    write(folder.path(), "environment", &environment);
    write(folder.path(), "jackfield.yml", block("yaml", "tickets:"));
    let commands = block("sh", "jackfield subscribe");
    let commands = exchanged(commands, "/etc/jackfield/environment", &at("environment"));
    let commands = exchanged(&commands, "/etc/jackfield/jackfield.yml", &at("jackfield.yml"));
    let commands = exchanged(&commands, "/srv/jackfield/site", &at(""));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &commands]).kill_on_drop(true);
    shell.env("PATH", format!("{}:{path}", build::jackfield().parent().unwrap().display()));
    shell.env("JACKFIELD_URL", format!("ws://{}/", back.server.addr));
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut listening = shell.spawn().unwrap();
    let mut said = BufReader::new(listening.stderr.take().unwrap()).lines();
    let line = within("to subscribe", said.next_line()).await.unwrap();
    assert_eq!(line.as_deref(), Some("subscribed to oro/maintenance"));
    let events = [true, false].map(|on| json!({"isOn": on, "userId": null}));
    let (code, _) = back.publish("silence", SECRET, "oro/maintenance", &events).await;
    assert_eq!(code, Some(0));
    let output = within("the events", listening.wait_with_output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let heard = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let heard: Vec<Value> = heard.map(|event| event["args"][0].clone()).collect();
    assert_eq!(heard, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_versions_need_no_routes() {
    let site = Site::new();
    let ping = exchanged(block("yaml", "timer: 45s"), "45s", "50ms");
    site.bundle("sync", &ping, &[build::plugin("sync")]);
    let server = Server::configured(site.path(), block("yaml", "unrouted:"));
    let mut page = Client::connect(server.addr).await;
    page.subscribe("oro/ping");
    assert_eq!(page.event().await.event, "Connection keep alive");
    page.unsubscribe("oro/ping", None);
    page.subscribe("oro/email_event/user_7_org_1");
    page.round_trip().await;
    let mut backend = Client::connect(server.addr).await;
    let event = json!("[{\"username\":null}]");
    backend.publish("oro/email_event/user_7_org_1", &event, &Reach::Plain);
    loop {
        let heard = page.event().await;
        if heard.topic != "oro/ping" {
            assert_eq!(heard.event, event);
            break;
        }
    }
}

/// Tokens replace PHP's sessions.
#[tokio::test(flavor = "multi_thread")]
async fn accepts_tokens_of_other_applications() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    installed("php", "php-cli");
    let config = exchanged(block("yaml", "jwt:"), "{ env: JACKFIELD_JWT_SECRET }", KEY);
    let site = Site::open();
    let routes = "inbox: { channel: 'inbox/{user_id}', handler: { callback: 'secured' } }\n";
    site.bundle("secured", routes, &[build::plugin("secured")]);
    let server = Server::configured(site.path(), &config);

    let example = block("php", "function jackfield_token");
    let example = exchanged(example, "getenv('JACKFIELD_JWT_SECRET')", &format!("'{KEY}'"));
    let script = tempfile::NamedTempFile::with_suffix(".php").unwrap();
    let call = "\necho jackfield_token(7, 'alice', ['member']);\n";
    fs::write(script.path(), example + call).unwrap();
    let (code, token) = php(script.path().to_str().unwrap(), &[]).await;
    assert_eq!(code, Some(0), "{token}");

    let connect = async |query: String| {
        let mut options = Options::default();
        options.handshake.path = format!("/?{query}");
        Client::connect_with(server.addr, options).await
    };
    for parameter in ["access_token", "ticket"] {
        let mut page = connect(format!("{parameter}={token}")).await.unwrap();
        page.session().await;
        page.subscribe("inbox/7");
        page.subscribe("inbox/8");
        page.publish("open/a", &json!(1), &Reach::Plain);
        page.round_trip().await;
        let refused: Vec<_> = page.ignored().iter().map(|refusal| &refusal[1]).collect();
        assert_eq!(refused, ["inbox/8", "open/a"], "{parameter}: {:?}", page.ignored());
    }
    for query in [String::new(), format!("access_token={token}x")] {
        let Err(unreachable) = connect(query).await else { panic!("it lets in") };
        assert_eq!(unreachable.refused.status, Some(403), "{unreachable:?}");
    }
}
