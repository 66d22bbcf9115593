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
    let package = Package::named(name.unwrap_or_default(), folder, &shown)?;
    Ok(package.with_roots(folders(&manifest, folder)))
}

/// The folders of dependencies by path. npm links them, so that a change needs no installation.
fn folders(manifest: &Value, folder: &Path) -> Vec<PathBuf> {
    let lists = ["dependencies", "devDependencies", "optionalDependencies"];
    let all = lists.iter().filter_map(|list| manifest.get(list)?.as_object());
    let paths =
        all.flat_map(|list| list.values()).filter_map(|it| it.as_str()?.strip_prefix("file:"));
    let paths = paths.map(|path| folder.join(path.strip_prefix("//").unwrap_or(path)));
    paths.filter_map(|path| path.canonicalize().ok()).filter(|path| path.is_dir()).collect()
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
    let text = fs::read_to_string(folder.join(MANIFEST)).unwrap_or_default();
    let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut inputs = vec![folder.join(MANIFEST), folder.join(".npmrc")];
    // What these folders depend on is installed as well.
    inputs.extend(folders(&manifest, folder).into_iter().map(|path| path.join(MANIFEST)));
    installed(&packages, &inputs, || {
        let mut install = npm(&["install", "--no-audit", "--no-fund", "--loglevel=error"]);
        group.run_tool(&mut install, help)
    })?;
    let component = packages.join(".jackfield-build.wasm");
    let mut build = npm(&["run", "--silent", "build", "--", "--out"]);
    group.run_tool(build.arg(&component), help)?;
    Ok(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_dependencies_by_path() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().canonicalize().unwrap();
        for name in ["bundle", "sdk"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let manifest = r#"{ "name": "@acme/chat", "scripts": { "build": "x" },
            "dependencies": { "a": "^1", "jackfield-plugin": "file:../sdk" },
            "devDependencies": { "gone": "file:../gone", "sdk": "file:../sdk" } }"#;
        fs::write(folder.join("bundle/package.json"), manifest).unwrap();
        let package = package(&folder.join("bundle")).unwrap();
        assert_eq!(package.name, "chat");
        assert_eq!(package.roots, [folder.join("bundle"), folder.join("sdk")]);
    }
}
