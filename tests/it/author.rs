//! The loop of a plugin author with the real command: make a bundle, build it, serve it while it
//! changes.

mod build;
mod dev;
mod dialogues;
mod languages;
mod new;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use jackfield_tests::build as built;

/// Exit code and output of a command.
struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

/// The target folder that all bundles of these tests share, so that the SDK is compiled once.
fn target() -> PathBuf {
    built::jackfield().ancestors().nth(2).unwrap().join("author")
}

/// A command with the environment of these tests.
fn in_environment(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    command.env("CARGO_TARGET_DIR", target()).env("CARGO_TERM_COLOR", "never");
    command.env("XDG_CACHE_HOME", built::cache()).env("XDG_RUNTIME_DIR", built::runtime());
    // Those of the test run itself must not apply to plugins.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUNTIME_DIRECTORY", "CARGO", "RUSTC"] {
        command.env_remove(name);
    }
    command
}

fn run(mut command: Command) -> Answer {
    let output = command.output().expect("the command runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `jackfield` in a folder.
fn jackfield(folder: &Path, arguments: &[&str]) -> Answer {
    let mut command = in_environment(built::jackfield(), folder);
    command.args(arguments);
    run(command)
}

/// Makes a bundle in a folder of its own.
#[track_caller]
fn new_bundle(name: &str) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let Answer { code, err, .. } = jackfield(root.path(), &["new", name]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let bundle = root.path().join(name);
    (root, bundle)
}

/// Replaces a text in a file of a bundle.
#[track_caller]
fn edit(path: &Path, before: &str, after: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(before), "{before:?} is not in {text}");
    std::fs::write(path, text.replace(before, after)).unwrap();
}
