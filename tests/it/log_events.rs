//! Names of log events: each line of the sources at INFO, WARN and ERROR has one, and
//! `docs/log-events.md` lists them with their levels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::Value;

/// The levels whose lines have names.
const LEVELS: [&str; 3] = ["info", "warn", "error"];

/// The events of a file: name and level. Lines without a name are problems.
fn events(path: &Path, problems: &mut Vec<String>) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut found = Vec::new();
    for level in LEVELS {
        for (position, call) in code.match_indices(&format!("{level}!(")) {
            let before = &code[..position];
            let is_word =
                before.chars().next_back().is_some_and(|it| it.is_alphanumeric() || it == '_');
            let line = before.rsplit('\n').next().unwrap();
            if is_word || line.trim_start().starts_with("//") {
                continue;
            }
            let arguments = code[position + call.len()..].trim_start();
            let name = arguments.strip_prefix("name: \"").and_then(|it| it.split('"').next());
            if let Some(name) = name {
                found.push((name.to_owned(), level.to_owned()));
            } else {
                let number = before.matches('\n').count() + 1;
                problems.push(format!("{}:{number}: {level}! has no name", path.display()));
            }
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", "tests", "benches", "bench"].contains(&name) {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

#[test]
fn the_page_lists_every_event_of_the_sources() {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    sources(&build::root().join("host"), &mut files);
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, level) in files.iter().flat_map(|path| events(path, &mut problems)) {
        let is_good = |it: char| it.is_ascii_lowercase() || it == '_';
        let parts: Vec<&str> = name.split('.').collect();
        let is_name = parts.len() == 2 && parts.iter().all(|it| it.chars().all(is_good));
        assert!(is_name, "`{name}` is not of the form area.event");
        named.entry(name).or_default().insert(level);
    }
    let help = "write `name: \"area.event\"` first, and a row in docs/log-events.md";
    assert!(problems.is_empty(), "{}\n  = help: {help}", problems.join("\n"));
    assert!(named.len() > 50, "{named:?}");

    let page = std::fs::read_to_string(build::root().join("docs/log-events.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut listed = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let [name, levels, meaning] = cells[..] else { panic!("{row}") };
        assert!(meaning.ends_with('.'), "{row}");
        let levels: BTreeSet<String> = levels.split(", ").map(str::to_owned).collect();
        let name = name.trim_end_matches('`').to_owned();
        assert!(listed.insert(name, levels).is_none(), "{row} is there twice");
    }
    assert_eq!(listed, named);
}

#[test]
fn json_lines_have_the_name_and_text_lines_have_not() {
    let site = Site::open();
    let server = Server::configured(site.path(), "log: { format: json }");
    let line = server.logged("\"message\":\"serving\"");
    let line = line.lines().find(|it| it.contains("\"message\":\"serving\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["event"], "server.serving", "{line}");
    let debug = server.log();
    let debug = debug.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut debug = debug.filter(|line| line["level"] == "DEBUG");
    assert!(debug.all(|line| line["event"].is_null()));
    let text = Server::start(site.path());
    assert!(!text.logged("serving").contains("server.serving"));
}
