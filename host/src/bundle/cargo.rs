//! Cargo: the package of a bundle, its component, and the folders that it is built from.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jackfield_text::Untrusted;
use serde::Deserialize;

use super::error::BuildError;
use super::process_group::ProcessGroup;
use super::{MAX_FOLDERS, Package};

/// The target of components.
const TARGET: &str = "wasm32-wasip2";

/// The part of `cargo metadata` that is read.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Dependency {
    path: Option<PathBuf>,
}

/// A message of `cargo build`, if it is about an artifact.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    filenames: Vec<PathBuf>,
}

impl Target {
    fn is_component(&self) -> bool {
        self.kind.iter().any(|kind| kind == "cdylib")
    }
}

/// Reads the package of a folder, an absolute path without links.
///
/// # Errors
/// When there is no package that can be compiled to a component.
pub(super) fn package(folder: &Path, group: &ProcessGroup) -> Result<Package, BuildError> {
    let metadata = metadata(folder, group)?;
    let manifest = folder.join("Cargo.toml");
    let shown = Untrusted::new(manifest.display());
    let own = metadata.packages.iter().find(|it| it.manifest_path == manifest);
    let Some(own) = own else {
        return Err(BuildError::no_plugin(format!("{shown} has no [package]"))
            .with_help("put the routing file beside the Cargo.toml of the plugin's package"));
    };
    if !own.targets.iter().any(Target::is_component) {
        return Err(BuildError::no_plugin(format!("{shown} describes no component"))
            .with_help("add crate-type = [\"cdylib\"] to the section [lib]"));
    }
    let mut roots = vec![folder.to_owned()];
    if metadata.workspace_root != folder {
        roots.push(metadata.workspace_root.join("Cargo.toml"));
    }
    let mut waiting = paths(own);
    while let Some(next) = waiting.pop() {
        if roots.len() >= MAX_FOLDERS || roots.contains(&next) {
            continue;
        }
        let manifest = next.join("Cargo.toml");
        let of_next = |metadata: &Metadata| {
            let package = metadata.packages.iter().find(|it| it.manifest_path == manifest);
            package.map(paths)
        };
        // A dependency outside of the workspace; if it is broken, the build will say so.
        let known = of_next(&metadata);
        let further = known.or_else(|| of_next(&self::metadata(&next, group).ok()?));
        waiting.extend(further.unwrap_or_default());
        roots.push(next);
    }
    Ok(Package { name: own.name.clone(), roots })
}

fn paths(package: &MetadataPackage) -> Vec<PathBuf> {
    package.dependencies.iter().filter_map(|it| it.path.clone()).collect()
}

fn metadata(folder: &Path, group: &ProcessGroup) -> Result<Metadata, BuildError> {
    let mut command = cargo(folder, &["metadata", "--no-deps", "--format-version=1"]);
    let mut text = String::new();
    let status = group.run(&mut command, |line| text.push_str(line)).map_err(|e| no_cargo(&e))?;
    if !status.success() {
        return Err(BuildError::failed("cargo metadata failed; its errors are above"));
    }
    serde_json::from_str(&text)
        .map_err(|error| BuildError::failed(format!("cargo metadata is not readable: {error}")))
}

/// Compiles the package of a folder, an absolute path without links. Returns the component.
///
/// # Errors
/// When it does not compile; the compiler has written its errors to stderr.
pub(super) fn compile(folder: &Path, group: &ProcessGroup) -> Result<PathBuf, BuildError> {
    if !has_target(folder, group) {
        return Err(BuildError::toolchain(
            format!("the Rust toolchain has no target {TARGET}"),
            "run `rustup target add wasm32-wasip2`",
        ));
    }
    let arguments =
        ["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"];
    let manifest = folder.join("Cargo.toml");
    let mut component = None;
    let run = group.run(&mut cargo(folder, &arguments), |line| {
        let Ok(artifact) = serde_json::from_str::<Artifact>(line) else { return };
        if artifact.manifest_path == manifest && artifact.target.is_component() {
            let mut files = artifact.filenames.into_iter();
            component = files.find(|file| file.extension() == Some(OsStr::new("wasm")));
        }
    });
    if !run.map_err(|error| no_cargo(&error))?.success() {
        return Err(BuildError::failed("the build failed; the compiler's errors are above"));
    }
    component.ok_or_else(|| BuildError::no_plugin("cargo has built no .wasm file"))
}

/// Whether the toolchain has the target. One that cannot be asked is tried: Cargo's own message is
/// better than a guess.
fn has_target(folder: &Path, group: &ProcessGroup) -> bool {
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder);
    let mut libraries = PathBuf::new();
    let run = group.run(command.stderr(Stdio::null()), |line| libraries = PathBuf::from(line));
    !run.is_ok_and(|status| status.success()) || libraries.is_dir()
}

fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    // The folder decides about the toolchain and about `.cargo/config.toml`.
    command.args(arguments).current_dir(folder);
    command
}

fn no_cargo(error: &std::io::Error) -> BuildError {
    if error.kind() == ErrorKind::NotFound {
        let help = "install Rust with rustup, and put cargo on the PATH";
        return BuildError::toolchain("cargo is not found", help);
    }
    BuildError::io("cargo cannot be started", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_packages_of_this_repository() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let group = ProcessGroup::default();
        let chat = root.join("plugins/sync");
        let package = package(&chat, &group).unwrap();
        assert_eq!(package.name, "jackfield-sync");
        for root in [chat, root.join("plugin-sdk"), root.join("plugins/Cargo.toml")] {
            assert!(package.roots.contains(&root), "{root:?} is not among {:?}", package.roots);
        }
        let error = super::package(&root.join("plugins"), &group).unwrap_err();
        assert!(error.message.ends_with("plugins/Cargo.toml has no [package]"), "{error}");
        let error = super::package(&root.join("plugin-sdk"), &group).unwrap_err();
        assert!(error.to_string().contains("help: add crate-type = [\"cdylib\"]"), "{error}");
    }
}
