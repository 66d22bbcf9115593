//! Python: the project of a bundle, its virtual environment and its component.

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
    let Project { name, .. } = project(folder, group)?;
    Package::named(&name, folder, &Untrusted::new(folder.join(MANIFEST).display()))
}

/// Installs the dependencies if they have changed, and compiles the project. Returns the component.
///
/// # Errors
/// When it does not compile; the tools have written their errors to stderr.
pub(super) fn compile(folder: &Path, group: &ProcessGroup) -> Result<PathBuf, BuildError> {
    let environment = folder.join(ENVIRONMENT);
    let requirements = folder.join(REQUIREMENTS);
    installed(&environment, &[folder.join(MANIFEST), requirements.clone()], || {
        let mut create = Command::new("python3");
        create.args(["-m", "venv"]).arg(&environment).current_dir(folder);
        group.run_tool(&mut create, HELP)?;
        let mut install = Command::new(environment.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install.args(project(folder, group)?.dependencies).current_dir(folder);
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
