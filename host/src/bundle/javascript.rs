//! npm: the package of a bundle in JavaScript, its dependencies and its component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jackfield_text::Untrusted;
use serde_json::Value;

use super::error::BuildError;
use super::process_group::ProcessGroup;
use super::{Package, installed};

/// The file that describes the package.
const MANIFEST: &str = "package.json";
/// The folder that npm installs into.
const PACKAGES: &str = "node_modules";

/// Reads the package of a folder, an absolute path without links.
///
/// # Errors
/// When its manifest is invalid.
pub(super) fn package(folder: &Path) -> Result<Package, BuildError> {
    let path = folder.join(MANIFEST);
    let shown = Untrusted::new(path.display());
    let text = fs::read_to_string(&path).map_err(|error| BuildError::io(&shown, &error))?;
    let manifest: Value = serde_json::from_str(&text)
        .map_err(|error| BuildError::no_plugin(format!("{shown} is invalid: {error}")))?;
    if manifest.pointer("/scripts/build").is_none() {
        return Err(BuildError::no_plugin(format!("{shown} has no script `build`"))
            .with_help("add \"build\": \"jackfield-plugin build\" to the `scripts`"));
    }
    // A name may begin with a scope.
    let name =
        manifest.get("name").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
    Package::named(name.unwrap_or_default(), folder, &shown)
}

/// Installs the dependencies if they have changed, and compiles the package. Returns the component.
///
/// # Errors
/// When it does not compile; the tools have written their errors to stderr.
pub(super) fn compile(folder: &Path, group: &ProcessGroup) -> Result<PathBuf, BuildError> {
    let help = "install Node.js 20 or newer, and put npm on the PATH";
    let npm = |arguments: &[&str]| {
        let mut command = Command::new("npm");
        command.args(arguments).current_dir(folder);
        command
    };
    let packages = folder.join(PACKAGES);
    installed(&packages, &[folder.join(MANIFEST), folder.join(".npmrc")], || {
        let mut install = npm(&["install", "--no-audit", "--no-fund", "--loglevel=error"]);
        group.run_tool(&mut install, help)
    })?;
    let component = packages.join(".jackfield-build.wasm");
    let mut build = npm(&["run", "--silent", "build", "--", "--out"]);
    group.run_tool(build.arg(&component), help)?;
    Ok(component)
}
