//! Python: the project of a bundle, its virtual environment and its component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jackfield_text::Untrusted;
use serde::Deserialize;

use super::error::BuildError;
use super::process_group::ProcessGroup;
use super::{Package, installed};

/// The file that describes the project.
const MANIFEST: &str = "pyproject.toml";
/// A list of further packages, such as those of folders.
const REQUIREMENTS: &str = "requirements.txt";
/// The folder of the virtual environment.
const ENVIRONMENT: &str = ".venv";
/// Prints what is needed of the manifest; Python has a reader of TOML.
const READ: &str = "import json, tomllib\n\
    project = tomllib.load(open('pyproject.toml', 'rb')).get('project', {})\n\
    print(json.dumps({'name': project.get('name', ''), 'dependencies': project.get('dependencies', [])}))";
const HELP: &str = "install Python 3.11 or newer with venv, and put python3 on the PATH";

#[derive(Deserialize)]
struct Project {
    name: String,
    dependencies: Vec<String>,
}

/// Reads the project of a folder, an absolute path without links.
///
/// # Errors
/// When its manifest is invalid.
pub(super) fn package(folder: &Path, group: &ProcessGroup) -> Result<Package, BuildError> {
    let Project { name, dependencies } = project(folder, group)?;
    let package = Package::named(&name, folder, &Untrusted::new(folder.join(MANIFEST).display()))?;
    Ok(package.with_roots(folders(&dependencies, folder)))
}

/// The folders of dependencies by path, of the manifest and of the list of further packages.
fn folders(dependencies: &[String], folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string(folder.join(REQUIREMENTS)).unwrap_or_default();
    let lines = dependencies.iter().map(String::as_str).chain(list.lines());
    let paths = lines.filter_map(|line| {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let line =
            ["-e ", "--editable "].iter().find_map(|it| line.strip_prefix(it)).unwrap_or(line);
        let place = line.split_once('@').map_or(line, |(_, place)| place).trim();
        let place = place.strip_prefix("file:").unwrap_or(place);
        let place = place.strip_prefix("//").unwrap_or(place);
        let is_named = place.is_empty() || line.starts_with('#');
        (!is_named).then(|| folder.join(place).canonicalize().ok()).flatten()
    });
    paths.filter(|path| path.is_dir() && path != folder).collect()
}

/// Installs the dependencies if they have changed, and compiles the project. Returns the component.
///
/// # Errors
/// When it does not compile; the tools have written their errors to stderr.
pub(super) fn compile(folder: &Path, group: &ProcessGroup) -> Result<PathBuf, BuildError> {
    let environment = folder.join(ENVIRONMENT);
    let requirements = folder.join(REQUIREMENTS);
    let dependencies = project(folder, group)?.dependencies;
    let mut inputs = vec![folder.join(MANIFEST), requirements.clone()];
    // They are copied.
    inputs.extend(folders(&dependencies, folder));
    installed(&environment, &inputs, || {
        let mut create = Command::new("python3");
        create.args(["-m", "venv"]).arg(&environment).current_dir(folder);
        group.run_tool(&mut create, HELP)?;
        let mut install = Command::new(environment.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install.args(dependencies).current_dir(folder);
        if requirements.exists() {
            install.arg("--requirement").arg(&requirements);
        }
        group.run_tool(&mut install, HELP)
    })?;
    let component = environment.join("jackfield-build.wasm");
    let tool = environment.join("bin/jackfield-plugin");
    if !tool.exists() {
        return Err(BuildError::toolchain(
            "the plugin SDK for Python is not among the dependencies",
            "add the folder plugin-sdk/python of a Jackfield checkout to requirements.txt",
        ));
    }
    let mut build = Command::new(tool);
    build.args(["build", "--out"]).arg(&component).current_dir(folder);
    group.run_tool(&mut build, HELP)?;
    Ok(component)
}

fn project(folder: &Path, group: &ProcessGroup) -> Result<Project, BuildError> {
    let mut command = Command::new("python3");
    command.args(["-c", READ]).current_dir(folder);
    let text = group.read_tool(&mut command, HELP)?;
    serde_json::from_str(&text)
        .map_err(|error| BuildError::no_plugin(format!("{MANIFEST} is invalid: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_dependencies_by_path() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().canonicalize().unwrap();
        for name in ["bundle", "a", "b", "c"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let bundle = folder.join("bundle");
        let list = "# ../c\nrequests==2\n../a # the SDK\n-e ../b\n./gone\n\n.\n";
        fs::write(bundle.join(REQUIREMENTS), list).unwrap();
        let named = format!("c @ file://{}", folder.join("c").display());
        let found = folders(&["x>=1".to_owned(), named], &bundle);
        assert_eq!(found, ["c", "a", "b"].map(|name| folder.join(name)));
    }
}
