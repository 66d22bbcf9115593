//! `jackfield test` on bundles with sources: without a component, with one, and with `--build`.

use super::{Answer, edit, jackfield, new_bundle};

#[test]
fn test_builds_the_bundle_first_if_asked() {
    let (_root, bundle) = new_bundle("acme-tested");
    let Answer { code, out, .. } = jackfield(&bundle, &["test"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("= help: `jackfield build .` compiles it"), "{out}");

    let Answer { code, out, err } = jackfield(&bundle, &["test", "--build"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.ends_with(".: 1 script: ok\n"), "{out}");

    edit(&bundle.join("src/lib.rs"), "to_uppercase()", "to_lowercase()");
    let Answer { code, out, .. } = jackfield(&bundle, &["test"]);
    assert_eq!(code, Some(0), "the component is the old one: {out}");
    let Answer { code, out, .. } = jackfield(&bundle, &["test", "--build"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("expected  EVENT ") && out.contains("[\"hello\"]"), "{out}");

    edit(&bundle.join("src/lib.rs"), "to_lowercase()", "to_nothing()");
    let Answer { code, out, err } = jackfield(&bundle, &["test", "--build"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(err.contains("to_nothing") && out.ends_with(".: 0 scripts, 1 problem\n"), "{out}{err}");
}
