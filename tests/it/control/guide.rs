//! The examples of `docs/control.md`: the commands are run as printed, and the answers have the keys
//! that the page shows.

use serde_json::Value;

use super::{Output, command, run};
use crate::publishing_guide::installed;
use crate::rollout::relabelled;
use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::{OPEN_ROUTES, Site};

const PAGE: &str = include_str!("../../../docs/control.md");

/// The code blocks of one language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let rest = PAGE.split(fence.as_str()).skip(1);
    rest.map(|rest| rest.split("```\n").next().expect("a fence at the end")).collect()
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
    let Output { code, out, err } = shell(&folder, &server, examples[0]);
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
    assert!(out.contains(r#""result":"ok""#), "{out}");
    let example = examples[4].replace("acme-chat", "jackfield-broadcast");
    let Output { code, out, err } = shell(&folder, &server, &example);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains(r#""entry_count":0"#), "{out}");
}

#[test]
fn the_page_shows_every_key() {
    let (folder, server) = served();
    let [status, failed, history] = blocks("json")[..] else { panic!("three answers") };
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
    let [setting] = blocks("yaml")[..] else { panic!("one setting") };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let config = setting.replace("/run/jackfield/control.sock", path.to_str().unwrap());
    let site = Site::open();
    let server = Server::configured(site.path(), &config);
    assert_eq!(server.control_socket(), path);
}
