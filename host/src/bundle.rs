//! Bundle with sources: a folder with a routing file and the code of its plugin, and its build.
//!
//! [`Bundle`] recognizes such folders, [`Builder`] compiles one and puts the component beside the
//! routing file, [`Sources`] are the files that a build depends on. Inside: [`cargo`],
//! [`javascript`] and [`python`] run the tools of each language in a [`process_group`].
//! Used by the commands `build` and `dev`; the server itself knows components only.

mod build;
mod cargo;
mod error;
mod javascript;
mod process_group;
mod python;
mod sources;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use jackfield_text::{Untrusted, is_printable};

use crate::site::{ContentHash, is_ignored, is_routing};

pub(crate) use build::{BuildReport, Builder};
pub(crate) use error::BuildError;
pub(crate) use sources::Sources;

/// The file by which tools recognize build folders.
const CACHE_TAG: &str = "CACHEDIR.TAG";
/// The maximum depth of folders below a site, as for the server.
const MAX_DEPTH: usize = 64;
/// The maximum number of folders from which a bundle is built.
const MAX_FOLDERS: usize = 64;
/// The maximum length of a component's name.
const MAX_NAME_BYTES: usize = 128;

/// A folder with a routing file and the sources of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bundle {
    /// The path, as it is shown.
    folder: PathBuf,
    language: Language,
}

/// The language of a plugin's sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    /// Recognized by `Cargo.toml`.
    Rust,
    /// Recognized by a `package.json` that names the SDK.
    JavaScript,
    /// Recognized by `pyproject.toml`.
    Python,
}

/// The package of a bundle, as its tools describe it.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// The name of the package and the component.
    pub(crate) name: String,
    /// The folders and files that it is built from: its own folder, those of its dependencies by
    /// path, and the manifest of its workspace.
    pub(crate) roots: Vec<PathBuf>,
}

impl Package {
    /// The package of a folder alone. `manifest` names its file in messages.
    ///
    /// # Errors
    /// When the name cannot be that of a file.
    fn named(name: &str, folder: &Path, manifest: &dyn fmt::Display) -> Result<Self, BuildError> {
        let is_file_name = !name.is_empty()
            && name.len() <= MAX_NAME_BYTES
            && !name.starts_with('.')
            && name.chars().all(|c| is_printable(c) && c != '/');
        if !is_file_name {
            return Err(BuildError::no_plugin(format!("{manifest} has no name for the component"))
                .with_help("set `name` to a name of letters, digits and hyphens"));
        }
        Ok(Self { name: name.to_owned(), roots: vec![folder.to_owned()] })
    }

    /// The same package, built from these folders as well.
    fn with_roots(mut self, folders: Vec<PathBuf>) -> Self {
        for folder in folders.into_iter().take(MAX_FOLDERS) {
            if !self.roots.contains(&folder) {
                self.roots.push(folder);
            }
        }
        self
    }
}

impl Bundle {
    /// Recognizes the bundle in a folder.
    ///
    /// # Errors
    /// When the folder has no routing file or no sources.
    pub(crate) fn at(folder: &Path) -> Result<Self, BuildError> {
        let shown = Untrusted::new(folder.display());
        let entries = fs::read_dir(folder);
        let entries =
            entries.map_err(|error| BuildError::no_bundle(format!("{shown}: {error}")))?;
        let has_routes = entries.flatten().any(|it| is_routing(&it.file_name().to_string_lossy()));
        if !has_routes {
            return Err(BuildError::no_bundle(format!("{shown} has no websocket_routing.yml"))
                .with_help("name the folder of a bundle; `jackfield new NAME` makes one"));
        }
        let language = Language::ALL.into_iter().find(|it| it.is_in(folder));
        match language {
            Some(language) => Ok(Self { folder: folder.to_owned(), language }),
            None => Err(BuildError::no_bundle(format!("{shown} has no sources of a plugin"))
                .with_help(
                    "the sources of a plugin have a Cargo.toml, package.json or pyproject.toml beside \
                            websocket_routing.yml",
                )),
        }
    }

    /// Returns the bundles with sources in a site: the folder itself and those below it, by path.
    /// Folders that cannot be read are left out; the server reports them.
    pub(crate) fn all(site: &Path) -> Vec<Self> {
        let found = folders(site);
        found.iter().filter_map(|folder| Self::at(folder).ok()).collect()
    }

    /// Returns the folder, as it is shown.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the language of the sources.
    pub(crate) fn language(&self) -> Language {
        self.language
    }
}

impl Language {
    const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// Whether a folder has the file that describes a package in this language.
    fn is_in(self, folder: &Path) -> bool {
        match self {
            Self::Rust => folder.join("Cargo.toml").is_file(),
            // Applications have a package.json for their pages.
            Self::JavaScript => fs::read_to_string(folder.join("package.json"))
                .is_ok_and(|text| text.contains("jackfield-plugin")),
            Self::Python => folder.join("pyproject.toml").is_file(),
        }
    }
}

/// The name in JSON.
impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "rust",
            Self::JavaScript => "javascript",
            Self::Python => "python",
        })
    }
}

/// Installs dependencies into `target`, unless the last installation had the same `inputs`: the
/// files that name them, and folders that are copied.
fn installed(
    target: &Path,
    inputs: &[PathBuf],
    install: impl FnOnce() -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let content = |path: &PathBuf| {
        if path.is_dir() {
            Sources::read(std::slice::from_ref(path)).digest().into_bytes()
        } else {
            fs::read(path).unwrap_or_default()
        }
    };
    let contents: Vec<Vec<u8>> = inputs.iter().map(content).collect();
    let wanted = ContentHash::of(&contents.join(&0)).hex().to_string();
    let stamp = target.join(".jackfield-installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    install()?;
    let stamped = fs::write(&stamp, wanted);
    stamped.map_err(|error| BuildError::io(Untrusted::new(stamp.display()), &error))
}

/// Returns the folders of a site that may have sources.
pub(crate) fn folders(site: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    visit_folders(site, &mut |folder| found.insert(folder.to_owned()));
    found
}

/// Returns whether a file or folder below sources is none of them: hidden and temporary files, and
/// packages and byte code that tools write.
pub(crate) fn is_build_output(name: &str) -> bool {
    is_ignored(name) || name == "__pycache__"
}

/// Visits the folders of a tree without build outputs, parents first, also through links. `visit`
/// returns whether to go on below a folder.
fn visit_folders(root: &Path, visit: &mut dyn FnMut(&Path) -> bool) {
    let mut seen = HashSet::new();
    let mut waiting = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let Ok(real) = folder.canonicalize() else { continue };
        let is_tagged = depth > 0 && folder.join(CACHE_TAG).exists();
        if is_tagged || !seen.insert(real) || !visit(&folder) || depth == MAX_DEPTH {
            continue;
        }
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let path = folder.join(&name);
            if !is_build_output(&name.to_string_lossy()) && path.is_dir() {
                waiting.push((path, depth + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn recognizes_bundles_with_sources() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for folder in ["a", "deep/d", "node_modules/c", ".hidden", "a/target/d", "a/core/inner"] {
            write(&format!("{folder}/websocket_routing.yml"));
            write(&format!("{folder}/Cargo.toml"));
        }
        write("a/target/CACHEDIR.TAG");
        write("b/Cargo.toml");
        write("c/websocket_routing.yaml");
        symlink(root.path(), root.path().join("deep/loop")).unwrap();
        let found = Bundle::all(root.path());
        let found: Vec<_> =
            found.iter().map(|it| it.folder().strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(found, ["a", "a/core/inner", "deep/d"].map(Path::new));

        let at = |folder: &str| Bundle::at(&root.path().join(folder));
        assert_eq!(at("a").unwrap().language(), Language::Rust);
        let error = |folder: &str| at(folder).unwrap_err().to_string();
        assert!(error("b").contains("b has no websocket_routing.yml\n  = help: "));
        assert!(error("c").contains("c has no sources of a plugin\n  = help: "));
        assert!(error("none").contains("none: "));
    }
}
