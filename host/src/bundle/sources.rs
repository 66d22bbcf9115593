//! Fingerprint of sources: the content of every file that a build depends on.
//!
//! It does not depend on times, so that a build that writes a file again, or a checkout that touches
//! it, is no change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::site::{ContentHash, is_routing};

use super::{Bundle, is_build_output, visit_folders};

/// The maximum number of files; others are not noticed.
const MAX_FILES: usize = 20_000;
/// The maximum size of a file that is read; of a longer one, the size and the time count.
const MAX_READ_BYTES: u64 = 8 << 20;
/// Files that a build itself may write.
const LOCK_FILES: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// The sources of a bundle at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    files: BTreeMap<PathBuf, ContentHash>,
    folders: BTreeSet<PathBuf>,
}

impl Sources {
    /// Reads the files below `roots`, except for those of other bundles. Files that cannot be read
    /// count as missing. It blocks.
    pub(crate) fn read(roots: &[PathBuf]) -> Self {
        let mut sources = Self::default();
        for root in roots {
            if root.is_dir() {
                sources.add_folders(root);
            } else {
                sources.add_file(root);
                // A manifest alone: the folder is watched for it.
                sources.folders.extend(root.parent().map(Path::to_owned));
            }
        }
        sources
    }

    /// The folders whose changes can change the sources.
    pub(crate) fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }

    /// Takes those files of `after` that a build may write itself: lock files, and `own`.
    pub(crate) fn with_outputs_of(mut self, after: &Self, own: &BTreeSet<PathBuf>) -> Self {
        let is_output = |path: &Path| is_lock(path) || own.contains(path);
        self.files.retain(|path, _| !is_output(path));
        let outputs = after.files.iter().filter(|(path, _)| is_output(path));
        self.files.extend(outputs.map(|(path, hash)| (path.clone(), *hash)));
        self
    }

    /// The files that differ, without lock files.
    pub(crate) fn differing(&self, other: &Self) -> BTreeSet<PathBuf> {
        let paths = self.files.keys().chain(other.files.keys()).filter(|path| !is_lock(path));
        paths.filter(|path| self.files.get(*path) != other.files.get(*path)).cloned().collect()
    }

    /// A hash of all of it.
    pub(crate) fn digest(&self) -> String {
        let lines =
            self.files.iter().map(|(path, hash)| format!("{}\0{}\n", path.display(), hash.hex()));
        ContentHash::of(lines.collect::<String>().as_bytes()).hex().to_string()
    }

    /// Whether both have the same files with the same content.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.files == other.files
    }

    fn add_folders(&mut self, root: &Path) {
        visit_folders(root, &mut |folder| {
            // The bundle of a site that is a bundle itself.
            if folder != root && Bundle::at(folder).is_ok() {
                return false;
            }
            self.folders.insert(folder.to_owned());
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                // The server itself watches routing files, and components that are in place.
                let is_served = folder == root && (is_routing(&name) || name.ends_with(".wasm"));
                if !is_build_output(&name) && !is_served {
                    self.add_file(&entry.path());
                }
            }
            true
        });
    }

    fn add_file(&mut self, path: &Path) {
        if self.files.len() >= MAX_FILES {
            return;
        }
        let Ok(metadata) = path.metadata() else { return };
        if !metadata.is_file() {
            return;
        }
        let hash = if metadata.len() > MAX_READ_BYTES {
            let stamp = format!("{} {:?}", metadata.len(), metadata.modified().ok());
            Some(ContentHash::of(stamp.as_bytes()))
        } else {
            fs::read(path).ok().map(|bytes| ContentHash::of(&bytes))
        };
        self.files.extend(hash.map(|hash| (path.to_owned(), hash)));
    }
}

fn is_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|name| LOCK_FILES.iter().any(|lock| name == *lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_with_the_content_of_sources_alone() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("websocket_routing.yml", "");
        write("Cargo.toml", "");
        write("src/lib.rs", "1");
        // A bundle of its own.
        write("inner/websocket_routing.yml", "");
        write("inner/Cargo.toml", "");
        let read = || Sources::read(&[root.path().to_owned()]);
        let before = read();
        for output in [
            "a.wasm",
            "websocket_routing.yml",
            "src/.lib.rs.swp",
            "src/lib.rs~",
            "src/4913",
            "target/CACHEDIR.TAG",
            "target/release/x.rs",
            "node_modules/x/index.js",
            ".venv/lib/x.py",
            "app/__pycache__/x.pyc",
            "inner/src/lib.rs",
            "src/lib.rs",
        ] {
            write(output, "1");
            assert!(read().is_same(&before), "{output}");
        }
        assert!(!read().folders().contains(&root.path().join("target")));
        for source in ["src/lib.rs", "build.rs", "assets/x.wasm", "tests/a.dialogue", "Cargo.lock"]
        {
            let before = read();
            write(source, "2");
            assert!(!read().is_same(&before), "{source}");
        }
        let before = read();
        write("Cargo.lock", "3");
        let none = BTreeSet::new();
        assert!(read().is_same(&before.clone().with_outputs_of(&read(), &none)));
        assert!(before.differing(&read()).is_empty());
        write("src/lib.rs", "3");
        assert!(!read().is_same(&before.clone().with_outputs_of(&read(), &none)));
        let own = before.differing(&read());
        assert_eq!(own, BTreeSet::from([root.path().join("src/lib.rs")]));
        assert!(read().is_same(&before.clone().with_outputs_of(&read(), &own)));
        assert_ne!(before.digest(), read().digest());
    }
}
