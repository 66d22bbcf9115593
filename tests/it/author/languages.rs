//! `jackfield new --lang` and the builds of JavaScript and Python: the made files build at once, pass
//! their own tests and their dialogue, and a build that fails leaves the component in place.

use std::path::Path;

use super::{Answer, edit, in_environment, jackfield, run};

/// Makes and builds a bundle, and runs its tests with a command.
fn check(lang: &str, name: &str, tests: &[&str], source: &str) {
    let root = tempfile::tempdir().unwrap();
    let made = jackfield(root.path(), &["new", name, "--lang", lang]);
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""), "{}", made.out);
    let bundle = root.path().join(name);
    let built = jackfield(&bundle, &["build", "--json"]);
    assert_eq!(built.code, Some(0), "{}", built.err);
    let report: serde_json::Value = serde_json::from_str(&built.out).expect("one JSON object");
    assert!(report.to_string().contains(name), "{report}");
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
    assert!(std::fs::read(&component).unwrap() == before, "the component stays");
}

#[test]
fn makes_and_builds_a_bundle_in_javascript() {
    check("js", "acme-script", &["npm", "test", "--silent"], "plugin.js");
}

#[test]
fn makes_and_builds_a_bundle_in_python() {
    let tests = [".venv/bin/python", "-m", "unittest", "tests/test_plugin.py"];
    check("python", "acme-snake", &tests, "plugin.py");
}
