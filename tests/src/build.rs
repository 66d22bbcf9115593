//! Builds of the server and of components, by cargo, once for each test run and in the release
//! profile.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the repository's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository")
}

/// Returns the path of the `jackfield` command; `jackfield-bench` is beside it. The variable
/// `JACKFIELD_BINARY` names one that is not built from this tree, such as that of a package.
pub fn jackfield() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(binary) = std::env::var_os("JACKFIELD_BINARY") {
            return binary.into();
        }
        let target = target();
        let packages = [
            "--package",
            "jackfield",
            "--package",
            "jackfield-bench",
            "--features",
            "jackfield/otlp,jackfield/cluster",
        ];
        cargo(&[&["build", "--release"][..], &packages].concat(), &target);
        target.join("release/jackfield")
    })
}

/// Returns the path of a stock plugin's component, such as `sync` or `chat`.
pub fn plugin(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    component(&BUILT, "plugins", &format!("jackfield_{name}.wasm"))
}

/// Returns the path of a guest of the tests, such as `hostile`.
pub fn guest(name: &str) -> PathBuf {
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

/// Returns the compilation cache of servers under test, outside of the user's home.
pub fn cache() -> PathBuf {
    target().join("cache")
}

/// The folder of the control sockets of servers under test, outside of `/tmp`.
pub fn runtime() -> PathBuf {
    let folder = target().join("run");
    std::fs::create_dir_all(&folder).expect("the target directory can be written");
    folder
}

/// Returns the target directory of the running binary: a test in `release/deps` or a tool in
/// `release`.
fn target() -> PathBuf {
    let own = std::env::current_exe().expect("the binary has a path");
    let release = own.ancestors().find(|folder| folder.ends_with("release"));
    release.and_then(Path::parent).expect("tests and tools are built in release").to_owned()
}

fn cargo(arguments: &[&str], target: &Path) {
    let mut command = Command::new(env!("CARGO"));
    // Crates whose build scripts read variables of the package under test, such as ring, would be
    // built again, and all that use them.
    for (name, _) in std::env::vars_os() {
        let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if name.to_str().is_some_and(|name| of_package.iter().any(|it| name.starts_with(it))) {
            command.env_remove(name);
        }
    }
    // Packages of the registry may name a toolchain of their own.
    if let Some(toolchain) = option_env!("RUSTUP_TOOLCHAIN") {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    let output = command
        .args(arguments)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target)
        // Flags for the tests (coverage, sanitizers) must not apply to guests.
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
