//! `jackfield new --lang` and the builds of JavaScript and Python: the made files build at once, pass
//! their own tests and their dialogue, and a build that fails leaves the component in place.

use std::path::Path;

use super::{Answer, edit, in_environment, jackfield, run};

/// Makes a bundle, lets its handler use the store, builds it, and runs its tests with a command.
fn check(lang: &str, name: &str, tests: &[&str], source: &str, uses: [(&str, &str); 2]) {
    let root = tempfile::tempdir().unwrap();
    let made = jackfield(root.path(), &["new", name, "--lang", lang]);
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""), "{}", made.out);
    let bundle = root.path().join(name);
    // Without a further line in the manifest.
    for (before, after) in uses {
        edit(&bundle.join(source), before, after);
    }
    let built = jackfield(&bundle, &["build", "--json"]);
    assert_eq!(built.code, Some(0), "{}", built.err);
    let report: serde_json::Value = serde_json::from_str(&built.out).expect("one JSON object");
    assert!(report.to_string().contains(name), "{report}");
    assert_eq!(report["grant"].as_array().unwrap()[..3], ["topics", "sessions", "store"]);
    let tested = jackfield(&bundle, &["test", "."]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.out, tested.err);
    let mut own = in_environment(Path::new(tests[0]), &bundle);
    own.args(&tests[1..]);
    let Answer { code, out, err } = run(own);
    assert_eq!(code, Some(0), "{out}{err}");

    let component = bundle.join(format!("{name}.wasm"));
    let before = std::fs::read(&component).unwrap();
    edit(&bundle.join(source), "return ", "return )(");
    let broken = jackfield(&bundle, &["build"]);
    assert_eq!(broken.code, Some(1), "{}{}", broken.out, broken.err);
    assert!(!broken.err.contains("error: :"), "{}", broken.err);
    assert!(std::fs::read(&component).unwrap() == before, "the component stays");
}

#[test]
fn makes_and_builds_a_bundle_in_javascript() {
    let uses = [
        ("import { Event,", "import { Event, store,"),
        ("const text", "store.increment('texts', 1);\n        const text"),
    ];
    check("js", "acme-script", &["npm", "test", "--silent"], "plugin.js", uses);
}

#[test]
fn reports_the_grant_that_the_imports_of_a_bundle_need() {
    let root = tempfile::tempdir().unwrap();
    jackfield(root.path(), &["new", "acme-fetch", "--lang", "js"]);
    let bundle = root.path().join("acme-fetch");
    let imports = "\"jackfield\": { \"imports\": [\"log\", \"http\", \"calls\"] },\n  \"main\"";
    edit(&bundle.join("package.json"), "\"main\"", imports);
    edit(&bundle.join("plugin.js"), "onPublish(", "onResponse() {},\n      onPublish(");
    let Answer { code, out, err } = jackfield(&bundle, &["build"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.ends_with("\n  needs    log, http, calls\n"), "{out}");
    assert!(out.contains("handler  acme.fetch: on-publish\n"), "{out}");
}

#[test]
fn makes_and_builds_a_bundle_in_python() {
    let tests = [".venv/bin/python", "-m", "unittest", "tests/test_plugin.py"];
    let uses = [
        ("import Event, Plugin,", "import store, Event, Plugin,"),
        ("text = event", "store.increment(\"texts\", 1)\n    text = event"),
    ];
    check("python", "acme-snake", &tests, "plugin.py", uses);
}
