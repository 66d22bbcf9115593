//! The examples of `docs/control.md`: the commands are run as printed, and the answers have the keys
//! that the page shows.

use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt as _;

use super::{Output, command, run};
use crate::rollout::relabelled;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::{OPEN_ROUTES, Site};

const PAGE: &str = include_str!("../../../docs/control.md");

/// The sections with tests of their own: their examples need clients, or an admin listener.
const ADMIN: &str = "## The admin listener\n";
const SESSIONS: &str = "## Sessions and messages\n";
const CONSOLE: &str = "## Routes, plugins and publishing\n";

/// A section, and the page without it.
fn without(page: &str, section: &str) -> (String, String) {
    let (before, rest) = page.split_once(section).expect("the section");
    let end = rest.find("\n## ").expect("a section behind it");
    (rest[..end].to_owned(), format!("{before}{}", &rest[end..]))
}

/// The code blocks of one language, in order, without those of the sections above.
fn blocks(language: &str) -> Vec<String> {
    let (_, page) = without(PAGE, ADMIN);
    let (_, page) = without(&page, SESSIONS);
    let (_, page) = without(&page, CONSOLE);
    blocks_of(&page, language)
}

/// The code blocks of one language in a text.
fn blocks_of(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let rest = text.split(fence.as_str()).skip(1);
    rest.map(|rest| rest.split("```\n").next().expect("a fence at the end").to_owned()).collect()
}

/// A folder with a served `site`.
fn served() -> (Site, Server) {
    let folder = Site::new();
    folder.bundle("site/open", OPEN_ROUTES, &[build::plugin("broadcast")]);
    let server = Server::start(&folder.file("site"));
    (folder, server)
}

fn shell(folder: &Site, server: &Server, text: &str) -> Output {
    let mut shell = command(&[]);
    let commands = build::jackfield().parent().unwrap().display();
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{commands}:{path}")).env("SOCKET", server.control_socket());
    let mut line = std::process::Command::new("sh");
    line.args(["-e", "-c", text]).current_dir(folder.path());
    line.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(line)
}

/// The keys of a value, at any depth; of a list those of its first element.
fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let below = |(key, value): (&String, &Value)| {
                let inner = keys(value).into_iter().map(move |it| format!("{key}.{it}"));
                std::iter::once(key.clone()).chain(inner).collect::<Vec<_>>()
            };
            map.iter().flat_map(below).collect()
        }
        Value::Array(list) => list.first().map(keys).unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[test]
fn commands_run_as_printed() {
    installed("curl", "curl");
    let (folder, server) = served();
    let examples = blocks("sh");
    assert_eq!(examples.len(), 5);
    let Output { code, out, err } = shell(&folder, &server, &examples[0]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("server       serving, version "), "{out}");
    assert!(out.contains("\nunchanged: generation "), "{out}");
    for example in &examples[1..3] {
        let Output { code, out, err } = shell(&folder, &server, example);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        for line in out.lines() {
            let _json: Value = serde_json::from_str(line).expect(line);
        }
        assert!(out.contains(r#"{"result":"unchanged","#), "{out}");
    }
    // A second version of the plugin of the site, to return from.
    let plugin = build::plugin("broadcast");
    let file = format!("site/open/{}", plugin.file_name().unwrap().display());
    let before = server.log().len();
    folder.rename_over(&file, relabelled(&plugin, 1));
    server.logged_after(before, "generation ready");
    let example = examples[3].replace("acme-chat", "jackfield-broadcast");
    let Output { code, out, err } = shell(&folder, &server, &example);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out.matches(r#""result":"ok""#).count(), 2, "{out}");
    let example = examples[4].replace("acme-chat", "jackfield-broadcast");
    let Output { code, out, err } = shell(&folder, &server, &example);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains(r#""entry_count":0"#), "{out}");
}

#[test]
fn the_page_shows_every_key() {
    let (folder, server) = served();
    let [status, failed, history] = &blocks("json")[..] else { panic!("three answers") };
    let shown = |text: &str| keys(&serde_json::from_str(text).unwrap());
    let answer = |text: &str| keys(&shell(&folder, &server, text).json());
    assert_eq!(answer("jackfield status site --json"), shown(status));
    assert_eq!(answer("jackfield history --site site --json"), shown(history));
    folder.write("site/b/websocket_routing.yml", "a: 1\n");
    assert_eq!(answer("jackfield reload site --json || true"), shown(failed));
    // The table has each of the first level that explains itself least.
    for key in ["state", "generation", "loading", "compiling", "connections", "reloads"] {
        assert!(PAGE.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn the_setting_is_valid() {
    let [setting] = &blocks("yaml")[..] else { panic!("one setting") };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let config = setting.replace("/run/jackfield/control.sock", path.to_str().unwrap());
    let site = Site::open();
    let server = Server::configured(site.path(), &config);
    assert_eq!(server.control_socket(), path);
}

#[test]
fn the_admin_listener_is_reached_as_printed() {
    installed("curl", "curl");
    let (section, _) = without(PAGE, ADMIN);
    // The others are about TLS, which has tests of its own.
    let ([setting, _], [example, _]) =
        (&blocks_of(&section, "yaml")[..], &blocks_of(&section, "sh")[..])
    else {
        panic!("two settings and two examples")
    };
    let folder = Site::open();
    folder.write("token", "0123456789abcdef0123456789abcdef\n");
    let secret = folder.file("token");
    let secret = secret.to_str().unwrap();
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let adapted = |text: &str| {
        let text = text.replace("127.0.0.1:9090", &free);
        text.replace("/run/secrets/jackfield-admin", secret)
            .replace("{ env: JACKFIELD_READER }", "fedcba9876543210")
    };
    let server = Server::configured(folder.path(), &adapted(setting));
    let Output { code, out, err } = shell(&folder, &server, &adapted(example));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let status: Value = serde_json::from_str(&out).expect(&out);
    assert_eq!(status["pid"], server.pid());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_messages_are_shown_as_printed() {
    installed("curl", "curl");
    let (folder, server) = served();
    let (section, _) = without(PAGE, SESSIONS);
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    client.subscribe("open/a", json!({})).await;
    let id = client.session().to_string();
    let curl = |path: &str, more: &str| {
        let text = format!(
            "curl --silent --fail --unix-socket \"$SOCKET\" {more} 'http://jackfield/v1/{path}'"
        );
        shell(&folder, &server, &text)
    };
    // The steps of a publication, and the keys of each.
    let trace = {
        let mut trace = tokio::process::Command::new(build::jackfield());
        trace.args(["trace", "open/a", "--json", "--count", "1", "--site"]);
        trace.arg(folder.file("site")).env("XDG_RUNTIME_DIR", build::runtime());
        let mut child = trace.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut text = lines.next_line().await.unwrap().unwrap();
        let options = json!({ "exclude_me": false });
        client.publish_acknowledged("open/a", options, json!(["x"]), Value::Null).await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            text = format!("{text}\n{line}");
        }
        assert!(child.wait().await.unwrap().success());
        text
    };
    let keys_of = |text: &str| -> Vec<(String, Vec<String>)> {
        let lines = text.lines().map(|line| serde_json::from_str(line).expect(line));
        lines.map(|line: Value| (line["step"].as_str().unwrap().to_owned(), keys(&line))).collect()
    };
    let printed = blocks_of(&section, "ndjson").concat();
    let (printed, traced) = (keys_of(&printed), keys_of(&trace));
    for step in &traced {
        assert!(printed.contains(step), "{step:?} is not among {printed:?}");
    }
    let steps: Vec<&str> = traced.iter().map(|(step, _)| step.as_str()).collect();
    for step in ["begin", "message", "route", "deliver", "accept"] {
        assert!(steps.contains(&step), "{steps:?}");
    }

    let [sessions, session, topics, ended] = &blocks_of(&section, "json")[..] else {
        panic!("four answers")
    };
    let shown = |text: &str| keys(&serde_json::from_str(text).unwrap());
    assert_eq!(keys(&curl("sessions", "").json()), shown(sessions));
    assert_eq!(keys(&curl(&format!("session?id={id}"), "").json()), shown(session));
    assert_eq!(keys(&curl("topics?prefix=open/", "").json()), shown(topics));

    let [commands] = &blocks_of(&section, "sh")[..] else { panic!("one list of commands") };
    let Output { code, out, err } = shell(&folder, &server, &commands.replace("4711", &id));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for text in
        ["\n1 session\n", "\n1 topic\n", &format!("session        {id} in realm1\n"), ": ended\n"]
    {
        assert!(out.contains(text), "{text:?} is not in\n{out}");
    }
    assert_eq!(client.dismissed().await, "wamp.close.killed");
    // The end is recorded when the connection is closed.
    let recorded = within("the record of the end", async {
        loop {
            let answer = curl("ended", "").json();
            if answer["ended"]["count"] != 0 {
                break answer;
            }
        }
    });
    assert_eq!(keys(&recorded.await), shown(ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_plugins_are_shown_as_printed() {
    installed("curl", "curl");
    let folder = Site::new();
    folder.bundle("site/open", OPEN_ROUTES, &[build::plugin("broadcast")]);
    let routes = ["allocate", "print"].map(|name| {
        format!("h.{name}:\n    channel: 'h/{name}'\n    handler: {{ callback: '{name}' }}\n")
    });
    folder.bundle("site/hostile", &routes.concat(), &[build::guest("hostile")]);
    let server = Server::configured(&folder.file("site"), "allow: { register: [backend] }\n");
    let (section, _) = without(PAGE, CONSOLE);
    let [caller, routes, matched, plugin, faults, log, published] =
        &blocks_of(&section, "json")[..]
    else {
        panic!("seven answers")
    };
    let shown = |text: &str| keys(&serde_json::from_str(text).unwrap());
    let ask = |path: &str| {
        let text =
            format!("curl --silent --fail --unix-socket \"$SOCKET\" 'http://jackfield/v1/{path}'");
        keys(&shell(&folder, &server, &text).json())
    };
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    for topic in ["h/allocate", "h/print"] {
        let _refused =
            client.publish_acknowledged(topic, json!({}), json!(["x"]), Value::Null).await;
    }
    server.logged("of handler allocate");
    assert_eq!(ask("caller"), shown(caller));
    assert_eq!(ask("routes"), shown(routes));
    assert_eq!(ask("match?topic=open/a"), shown(matched));
    assert_eq!(ask("plugin?plugin=hostile"), shown(plugin));
    assert_eq!(ask("faults?plugin=hostile"), shown(faults));
    assert_eq!(ask("log?plugin=hostile"), shown(log));

    client.subscribe("open/a", json!({})).await;
    let [example] = &blocks_of(&section, "sh")[..] else { panic!("one command") };
    let Output { code, out, err } = shell(&folder, &server, example);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(keys(&serde_json::from_str(&out).unwrap()), shown(published));
    assert_eq!(client.event().await.args, json!(["hello"]));
}
