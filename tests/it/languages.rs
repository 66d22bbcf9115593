//! Plugins in JavaScript and Python, built by their SDKs and tools: the guides' examples and the
//! bundles of `plugins/` serve, the sandbox is as the guides say, and what is not supported is
//! refused with an explanation.

mod bundles;
mod guides;
mod others;
mod outgoing;
mod sandbox;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use jackfield_tests::build;
use jackfield_tests::site::Site;

/// Returns the path of a tool that `make languages` installs.
fn tool(path: &str) -> PathBuf {
    let tool = build::root().join("target/peers").join(path);
    assert!(tool.exists(), "{} is missing: run make languages", tool.display());
    tool
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A language that has an SDK.
#[derive(Clone, Copy)]
enum Language {
    JavaScript,
    Python,
}

impl Language {
    /// Builds the bundle in a folder, and returns its component.
    fn build(self, bundle: &Path) -> Vec<u8> {
        let scratch = scratch();
        let (folder, out) = (scratch.path().join("bundle"), scratch.path().join("out.wasm"));
        copy(bundle, &folder);
        run(&mut self.command(&folder, &out));
        std::fs::read(out).unwrap()
    }

    /// The command that builds the bundle in a folder below [`scratch`].
    fn command(self, bundle: &Path, out: &Path) -> Command {
        let mut command = match self {
            Self::JavaScript => {
                let mut node = Command::new("node");
                node.arg(tool("languages/node_modules/jackfield-plugin/bin/jackfield-plugin.js"));
                node
            }
            Self::Python => Command::new(tool("python/bin/jackfield-plugin")),
        };
        command.arg("build").arg("--out").arg(out).arg(bundle);
        command
    }
}

/// A temporary folder from which Node finds the packages of `make languages`.
fn scratch() -> tempfile::TempDir {
    static BUNDLES: OnceLock<PathBuf> = OnceLock::new();
    let bundles = BUNDLES.get_or_init(|| {
        let folder = tool("languages/node_modules").with_file_name("bundles");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    });
    tempfile::tempdir_in(bundles).unwrap()
}

/// Copies a folder, without what its tools have made.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        let (source, target) = (entry.path(), to.join(&name));
        if source.is_file() {
            std::fs::copy(source, target).unwrap();
        } else if !["node_modules", ".venv", "__pycache__"].iter().any(|made| name == *made) {
            copy(&source, &target);
        }
    }
}

/// A site with one component and its routing file.
fn site(component: &[u8], routes: &str) -> Site {
    let site = Site::new();
    site.write("acme/acme.wasm", component);
    site.write("acme/websocket_routing.yml", routes);
    site
}

/// Slow machines need longer for an interpreter than for compiled code.
const PATIENT: &str = "plugins: { default: { deadline: 30s } }\n";
