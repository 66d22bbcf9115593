//! Checks of the source tree: the dependencies that each crate may have, the length of files, head
//! comments, the rules of language (`words`), and the tests that SECURITY.md names (`security`).

mod security;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use jackfield_tests::build;

/// The crates, each with the crates of the workspace that it may use.
const FLOORS: &[(&str, &[&str])] = &[
    (
        "jackfield",
        &[
            "jackfield-auth",
            "jackfield-broker",
            "jackfield-client",
            "jackfield-cluster",
            "jackfield-config",
            "jackfield-metrics",
            "jackfield-otlp",
            "jackfield-rawsocket",
            "jackfield-routing",
            "jackfield-sandbox",
            "jackfield-signing",
            "jackfield-store",
            "jackfield-text",
            "jackfield-tls",
            "jackfield-wamp",
            "jackfield-websocket",
            "jackfield-yaml",
        ],
    ),
    ("jackfield-auth", &["jackfield-text", "jackfield-tls", "jackfield-yaml"]),
    // The load generator shares no protocol code with the server.
    ("jackfield-bench", &["jackfield-text", "jackfield-tls"]),
    ("jackfield-broker", &["jackfield-wamp"]),
    ("jackfield-client", &["jackfield-text", "jackfield-tls", "jackfield-wamp"]),
    ("jackfield-cluster", &[]),
    // It depends on neither admission nor dispatch, which belong to the host.
    (
        "jackfield-config",
        &[
            "jackfield-auth",
            "jackfield-broker",
            "jackfield-cluster",
            "jackfield-otlp",
            "jackfield-routing",
            "jackfield-sandbox",
            "jackfield-signing",
            "jackfield-text",
            "jackfield-tls",
            "jackfield-wamp",
            "jackfield-yaml",
        ],
    ),
    ("jackfield-metrics", &[]),
    ("jackfield-otlp", &["jackfield-text", "jackfield-tls"]),
    ("jackfield-plugin", &[]),
    ("jackfield-rawsocket", &[]),
    ("jackfield-routing", &["jackfield-yaml"]),
    ("jackfield-sandbox", &["jackfield-metrics", "jackfield-store", "jackfield-text"]),
    ("jackfield-signing", &[]),
    ("jackfield-store", &[]),
    ("jackfield-text", &[]),
    ("jackfield-tls", &[]),
    ("jackfield-wamp", &[]),
    ("jackfield-websocket", &[]),
    ("jackfield-yaml", &["jackfield-text"]),
    // Both access the server over sockets only.
    // The parts that read bytes of strangers, without the server.
    (
        "jackfield-fuzz-entries",
        &[
            "jackfield-broker",
            "jackfield-rawsocket",
            "jackfield-routing",
            "jackfield-wamp",
            "jackfield-websocket",
        ],
    ),
    ("jackfield-tests", &[]),
    ("jackfield-tools", &["jackfield-tests"]),
];

/// Dependencies that only these crates may use.
const GUARDED: &[(&str, &[&str])] = &[
    ("wasmtime", &["jackfield-sandbox"]),
    ("wasmtime-wasi", &["jackfield-sandbox"]),
    ("async-nats", &["jackfield-cluster"]),
    ("notify", &["jackfield"]),
    ("hyper", &["jackfield", "jackfield-auth"]),
    ("rustls", &["jackfield-tls"]),
    (
        "tokio-tungstenite",
        &["jackfield", "jackfield-bench", "jackfield-client", "jackfield-tests", "jackfield-tools"],
    ),
    ("hdrhistogram", &["jackfield-bench"]),
    ("rusqlite", &["jackfield-store"]),
    ("wit-bindgen", &["jackfield-plugin"]),
    // Benchmarks use it; no shipped code does.
    ("criterion", &[]),
    // Code that can sign tickets can impersonate users, so secrets and keys stay in few crates.
    ("jsonwebtoken", &["jackfield-auth"]),
    ("opentelemetry_sdk", &["jackfield-otlp"]),
    ("ring", &["jackfield-auth", "jackfield-signing"]),
    ("minisign-verify", &["jackfield-signing"]),
    ("sqlx", &["jackfield-auth", "jackfield-tests"]),
    ("subtle", &["jackfield", "jackfield-auth", "jackfield-signing"]),
    // The pure crates have no runtime to wait on.
    (
        "tokio",
        &[
            "jackfield",
            "jackfield-auth",
            "jackfield-bench",
            "jackfield-client",
            "jackfield-cluster",
            "jackfield-otlp",
            "jackfield-sandbox",
            "jackfield-tests",
            "jackfield-tools",
        ],
    ),
];

#[test]
fn crates_depend_only_on_allowed_crates() {
    let used = dependencies();
    let ours: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    assert_eq!(
        used.keys().map(String::as_str).collect::<Vec<_>>(),
        ours.keys().copied().collect::<Vec<_>>(),
        "a crate is missing in FLOORS"
    );
    for (name, dependencies) in &used {
        let allowed = ours[name.as_str()];
        for dependency in dependencies {
            let known = ours.contains_key(dependency.as_str());
            assert!(
                !known || allowed.contains(&dependency.as_str()),
                "{name} may not use {dependency}"
            );
        }
    }
}

#[test]
fn guarded_dependencies_are_used_by_their_owners_alone() {
    let used = dependencies();
    for (guarded, keepers) in GUARDED {
        for (name, dependencies) in &used {
            let names_it = dependencies.iter().any(|dependency| dependency == guarded);
            assert!(!names_it || keepers.contains(&name.as_str()), "{name} may not name {guarded}");
        }
    }
}

#[test]
fn source_files_stay_short() {
    let long: Vec<String> = sources(build::root())
        .into_iter()
        .filter_map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests in the same file do not count.
            let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
            (lines > 450).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "these are probably two things each:\n{}", long.join("\n"));
}

#[test]
fn every_source_file_has_a_head_comment() {
    for path in sources(build::root()) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not open with //!", path.display());
    }
}

/// Returns the normal dependencies of each workspace member.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(build::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let name = package["name"].as_str().unwrap().to_owned();
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies
                .filter(|it| it["kind"].is_null())
                .map(|it| it["name"].as_str().unwrap().to_owned());
            (name, normal.collect())
        })
        .collect()
}

/// Returns the Rust files below `src/` folders, without generated ones.
fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["host", "plugin-sdk", "plugins", "routing", "tests"]
        .map(|folder| root.join(folder))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("node_modules") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    found
}
