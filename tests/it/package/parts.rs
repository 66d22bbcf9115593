//! The lists of parts (SBOM) of the package and of the plugins: their form, and their agreement with
//! Cargo.lock and with the commands themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use jackfield_tests::build;
use serde_json::Value;

/// Writes the list of a product, and returns it.
pub(super) fn list(product: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("list.json");
    let script = build::root().join("packaging/sbom.py");
    super::run(Command::new("python3").arg(script).arg(product).arg(&out));
    std::fs::read_to_string(out).unwrap()
}

/// The crates of a lock file that come from a registry: name and version, and the checksum.
fn locked(file: &str) -> BTreeMap<(String, String), String> {
    let text = std::fs::read_to_string(build::root().join(file)).unwrap();
    let mut found = BTreeMap::new();
    for package in text.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
            line.map(|it| it.trim_matches('"').to_owned())
        };
        if let Some(checksum) = value("checksum") {
            found.insert((value("name").unwrap(), value("version").unwrap()), checksum);
        }
    }
    found
}

/// The members that CycloneDX 1.6 requires, and those without which a list is of no use: versions,
/// licences, references that exist, and a graph in which the product leads to every part.
#[track_caller]
fn check_form(document: &Value) {
    let text = |value: &Value| value.as_str().filter(|it| !it.is_empty()).unwrap().to_owned();
    assert_eq!(document["bomFormat"], "CycloneDX");
    assert_eq!(document["specVersion"], "1.6");
    assert_eq!(document["version"], 1);
    let number = text(&document["serialNumber"]);
    let digits = number.strip_prefix("urn:uuid:").unwrap().split('-').map(str::len);
    assert_eq!(digits.collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{number}");

    let product = &document["metadata"]["component"];
    let mut references = BTreeSet::new();
    for part in document["components"].as_array().unwrap().iter().chain([product]) {
        assert!(["application", "library"].contains(&&*text(&part["type"])), "{part}");
        let (name, version, purl) = (&part["name"], &part["version"], text(&part["purl"]));
        let (kind, rest) = purl.strip_prefix("pkg:").unwrap().split_once('/').unwrap();
        assert!(["cargo", "generic", "npm", "pypi"].contains(&kind), "{part}");
        assert_eq!(rest.replace("%2B", "+"), format!("{}@{}", text(name), text(version)), "{part}");
        assert!(!text(&part["licenses"][0]["expression"]).contains('/'), "{part}");
        assert!(references.insert(text(&part["bom-ref"])), "{part} is there twice");
    }

    let below: BTreeMap<String, Vec<String>> = document["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (text(&it["ref"]), it["dependsOn"].as_array().unwrap().iter().map(text).collect())
        })
        .collect();
    let (mut reached, mut next) = (BTreeSet::new(), vec![text(&product["bom-ref"])]);
    while let Some(reference) = next.pop() {
        if reached.insert(reference.clone()) {
            next.extend_from_slice(&below[&reference]);
        }
    }
    assert_eq!(reached, references, "the product does not lead to these parts");
}

/// The parts of a kind (`cargo`, `npm` …) that are delivered.
fn delivered<'a>(document: &'a Value, kind: &str) -> Vec<&'a Value> {
    let prefix = format!("pkg:{kind}/");
    let parts = document["components"].as_array().unwrap().iter();
    let of_kind = parts.filter(|it| it["purl"].as_str().unwrap().starts_with(&prefix));
    of_kind.filter(|it| it["scope"] == "required").collect()
}

/// Hashes are those of the lock file, and crates without a hash are ours.
#[track_caller]
fn check_hashes(document: &Value, lock: &str) {
    let locked = locked(lock);
    let parts = document["components"].as_array().unwrap().iter();
    for part in parts.filter(|it| it["purl"].as_str().unwrap().starts_with("pkg:cargo/")) {
        let value = |key: &str| part[key].as_str().unwrap().to_owned();
        let checksum = locked.get(&(value("name"), value("version")));
        assert_eq!(part["hashes"][0]["content"].as_str(), checksum.map(String::as_str), "{part}");
        assert!(checksum.is_some() || value("name").starts_with("jackfield"), "{part}");
    }
}

#[test]
fn the_list_of_the_package_has_every_crate_that_its_commands_link() {
    let text = list("server");
    assert_eq!(text, list("server"), "the same sources give the same list");
    let document = serde_json::from_str(&text).unwrap();
    check_form(&document);
    check_hashes(&document, "Cargo.lock");

    // Panic messages and facts for debuggers have paths: …/registry/src/INDEX/NAME-VERSION.
    let crates: BTreeSet<String> = delivered(&document, "cargo")
        .iter()
        .map(|it| format!("{}-{}", it["name"].as_str().unwrap(), it["version"].as_str().unwrap()))
        .collect();
    let is_of_name = |it: char| it.is_ascii_alphanumeric() || "-_.+".contains(it);
    let mut linked = BTreeSet::new();
    for command in ["jackfield", "jackfield-bench"] {
        let bytes = std::fs::read(build::jackfield().with_file_name(command)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let folders = text.split("/registry/src/").skip(1).filter_map(|it| it.split('/').nth(1));
        linked.extend(folders.map(|it| it.split(|it| !is_of_name(it)).next().unwrap().to_owned()));
    }
    let has = |name: &str| linked.iter().any(|it| it.starts_with(name));
    assert!(linked.len() > 100 && has("wasmtime-") && has("rmpv-"), "{linked:?}");
    let missing: Vec<_> = linked.difference(&crates).collect();
    assert!(missing.is_empty(), "the list lacks {missing:?}");

    let native: Vec<_> = delivered(&document, "generic");
    for name in ["jemalloc", "rust-std", "sqlite", "zstd"] {
        assert!(native.iter().any(|it| it["name"] == name), "{name} is missing");
    }
    assert_eq!(delivered(&document, "npm")[0]["name"], "jackfield-sync");
}

#[test]
fn the_list_of_plugins_has_the_sdks_and_their_compilers() {
    let document = serde_json::from_str(&list("plugins")).unwrap();
    check_form(&document);
    check_hashes(&document, "plugins/Cargo.lock");
    let names = |kind: &str| -> Vec<&str> {
        delivered(&document, kind).iter().map(|it| it["name"].as_str().unwrap()).collect()
    };
    for name in ["jackfield-chat", "jackfield-plugin", "jackfield-sync", "wit-bindgen"] {
        assert!(names("cargo").contains(&name), "{name} is missing");
    }
    assert_eq!(names("npm"), ["componentize-qjs", "jackfield-plugin"]);
    assert_eq!(names("pypi"), ["componentize-py", "jackfield-plugin"]);
}
