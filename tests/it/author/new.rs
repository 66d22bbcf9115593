//! `jackfield new`: the made files build at once and pass their own tests; names and folders that
//! cannot be used are refused without a trace.

use std::path::Path;

use super::{Answer, built, in_environment, jackfield, new_bundle, run};

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn makes_a_bundle_that_builds_and_passes_its_tests() {
    let (_root, bundle) = new_bundle("acme-shout");
    let built = jackfield(&bundle, &["build"]);
    assert_eq!(built.code, Some(0), "{}", built.err);
    let checked = jackfield(&bundle, &["check", "."]);
    assert!(checked.out.ends_with(": 1 route, 1 handler, 1 plugin: ok\n"), "{}", checked.out);
    let tested = jackfield(&bundle, &["test", "."]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.out, tested.err);
    assert!(tested.out.contains("acme-shout.dialogue"), "{}", tested.out);

    let mut tests = in_environment(Path::new("cargo"), &bundle);
    // The lock file is complete after the build.
    tests.args(["test", "--locked"]);
    let Answer { code, out, err } = run(tests);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("test result: ok. 2 passed"), "{out}");
    assert!(!err.contains("acme-shout` (lib"), "it compiles without a warning: {err}");

    // The versions are those that the repository was tested with.
    let version = |lock: &Path| {
        let text = std::fs::read_to_string(lock).unwrap();
        let (_, after) = text.split_once("name = \"wit-bindgen\"\n").unwrap();
        after.lines().next().unwrap().to_owned()
    };
    let repository = built::root().join("plugins/Cargo.lock");
    assert_eq!(version(&bundle.join("Cargo.lock")), version(&repository));
}

#[test]
fn builds_within_a_workspace_with_a_relative_path_of_the_sdk() {
    // The repository's own folder is a workspace, and `target` is not in version control.
    let folder = tempfile::tempdir_in(built::root().join("target")).unwrap();
    let made = jackfield(folder.path(), &["new", "acme-inside", "--dir", "deep/er"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert!(made.out.starts_with("created deep/er (Rust; the SDK is ../../../../plugin-sdk)\n"));
    assert!(made.out.contains("\n  cd deep/er\n"), "{}", made.out);
    let built = jackfield(folder.path(), &["build", "deep/er"]);
    assert_eq!(built.code, Some(0), "{}", built.err);
    assert!(folder.path().join("deep/er/acme-inside.wasm").exists());
}

#[test]
fn tells_programs_where_the_bundle_is_and_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = built::root().join("plugin-sdk").display().to_string();
    let made = jackfield(folder.path(), &["new", "acme-json", "--sdk", &sdk, "--json"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let made: serde_json::Value = serde_json::from_str(&made.out).unwrap();
    assert_eq!((&made["folder"], &made["language"]), (&"acme-json".into(), &"Rust".into()));
    assert_eq!(made["sdk"], sdk);
    assert_eq!(made["next"][1], "jackfield build");
}

#[test]
fn refuses_names_and_folders_that_cannot_be_used() {
    let root = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], code: i32, text: &str| {
        let Answer { code: found, out, err } = jackfield(root.path(), arguments);
        assert_eq!((found, out.as_str()), (Some(code), ""), "{arguments:?}: {err}");
        assert!(err.contains(text), "{arguments:?}: {err}");
    };
    refused(&["new", "test"], 2, "the name is reserved");
    refused(&["new", "../acme"], 2, "begin with a lowercase letter");
    refused(&["new", "acme", "--lang", "cobol"], 2, "invalid value 'cobol'");
    refused(&["new", "acme", "--sdk", "none"], 1, "error: none: No such file");
    refused(&["new", "acme", "--sdk", "/"], 1, "= help: --sdk names the folder plugin-sdk");
    refused(&["new", "acme", "--sdk", "/", "--sdk-git", "x"], 2, "cannot be used with");
    assert!(names(root.path()).is_empty(), "{:?}", names(root.path()));

    std::fs::create_dir(root.path().join("taken")).unwrap();
    std::fs::write(root.path().join("taken/notes"), "").unwrap();
    refused(&["new", "taken"], 1, "the folder taken exists and is not empty\n  = help: ");
    refused(&["new", "taken", "--dir", "taken/notes"], 1, "taken/notes");
    assert_eq!(names(&root.path().join("taken")), ["notes"]);
}

#[test]
fn depends_on_a_git_repository_on_request() {
    let root = tempfile::tempdir().unwrap();
    let url = "https://git.example/jack\"field";
    let made = jackfield(root.path(), &["new", "acme", "--sdk-git", url]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let manifest = std::fs::read_to_string(root.path().join("acme/Cargo.toml")).unwrap();
    assert!(manifest.contains(r#"{ git = "https://git.example/jack\"field" }"#), "{manifest}");
    let files = [
        ".gitignore",
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "src",
        "tests",
        "websocket_routing.yml",
    ];
    assert_eq!(names(&root.path().join("acme")), files);
}
