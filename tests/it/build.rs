//! What the tests run: the server and the components, built by cargo, once a test run and in the
//! profile that everything else is built in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository")
}

/// The `jackfield` command.
pub(crate) fn jackfield() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = target();
        cargo(&["build", "--release", "--package", "jackfield", "--bin", "jackfield"], &target);
        target.join("release/jackfield")
    })
}

/// A stock plugin's component, `sync` or `chat`.
pub(crate) fn plugin(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    component(&BUILT, "plugins", &format!("jackfield_{name}.wasm"))
}

/// A guest of the tests' own, such as `hostile`.
pub(crate) fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    component(&BUILT, "tests/guests", &format!("guest_{name}.wasm"))
}

fn component(built: &OnceLock<PathBuf>, workspace: &str, file: &str) -> PathBuf {
    let directory = built.get_or_init(|| {
        let target = target().join(if workspace == "plugins" { "plugins" } else { "guests" });
        let manifest = root().join(workspace).join("Cargo.toml");
        let manifest = manifest.to_str().expect("a path in UTF-8");
        let arguments =
            ["build", "--release", "--target", "wasm32-wasip2", "--manifest-path", manifest];
        cargo(&arguments, &target);
        target.join("wasm32-wasip2/release")
    });
    let path = directory.join(file);
    assert!(path.exists(), "{workspace} built no {file}");
    path
}

/// Where servers under test keep what they compile: not in the home of whoever runs the tests.
pub(crate) fn cache() -> PathBuf {
    target().join("cache")
}

/// Where the tests' own build went: the directory that holds `release/deps/it-…`.
fn target() -> PathBuf {
    let own = std::env::current_exe().expect("the test has a path");
    own.ancestors().nth(3).expect("target/release/deps/it").to_owned()
}

fn cargo(arguments: &[&str], target: &Path) {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target)
        // Flags for the tests (coverage, sanitizers) are not flags for guests.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo {} failed (`rustup target add wasm32-wasip2` gives the target of plugins):\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}
