//! Watch list of a site: the directories and files to watch, and the names in them that are
//! relevant.
//!
//! A site is more than its directory tree. A symbolic link may lead elsewhere through other links,
//! and replacing one of these links changes the site, so that every directory with such a link is
//! watched. A directory reports only writes through its own path. Files are therefore watched as
//! well: a file may have another hard link, or be mounted elsewhere. Filled by the listing; read by
//! `watch`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::names::is_ignored;

/// The maximum number of symbolic links in a path, as in Linux.
const MAX_LINKS: usize = 40;

/// The watched directories by their path without links, each with its relevant names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directories {
    interests: BTreeMap<PathBuf, Interest>,
    files: BTreeSet<Watched>,
}

/// A path to watch. A file is identified by its inode: another file with the same name differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Watched {
    /// The path, without links.
    pub(crate) path: PathBuf,
    /// Device and inode of a file; none for a directory.
    file: Option<(u64, u64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Interest {
    /// Whether the directory is part of the site, so that every name is relevant unless it is
    /// ignored.
    contents: bool,
    /// Further relevant names: links, and targets of links.
    names: BTreeSet<OsString>,
}

impl Directories {
    /// Returns all directories to watch, and all files.
    pub(crate) fn watched(&self) -> impl Iterator<Item = Watched> {
        let directories =
            self.interests.keys().map(|path| Watched { path: path.clone(), file: None });
        directories.chain(self.files.iter().cloned())
    }

    /// Returns whether a change of `path` can change the site.
    pub(crate) fn matters(&self, path: &Path) -> bool {
        if self.interests.contains_key(path) {
            return true;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return true };
        self.interests.get(parent).is_some_and(|interest| {
            interest.names.contains(name)
                || (interest.contents && !is_ignored(&name.to_string_lossy()))
        })
    }

    /// Returns whether `path` is relevant as a link or as the target of a link, regardless of its
    /// name.
    pub(crate) fn is_named(&self, path: &Path) -> bool {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        self.interests.get(parent).is_some_and(|interest| interest.names.contains(name))
    }

    pub(super) fn add_contents(&mut self, directory: &Path) {
        self.interests.entry(directory.to_owned()).or_default().contents = true;
    }

    pub(super) fn add_file(&mut self, path: PathBuf, device: u64, inode: u64) {
        self.files.insert(Watched { path, file: Some((device, inode)) });
    }

    /// Adds each directory with a link on the absolute path `start`, and the directory of the final
    /// target. A broken link is followed as far as possible, so that its target is noticed when it
    /// appears.
    pub(super) fn add_trail(&mut self, start: &Path) {
        let mut rest: Vec<OsString> = reversed_names(start);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == OsStr::new("..") {
                at.pop();
                continue;
            }
            let here = at.join(&name);
            match std::fs::read_link(&here) {
                Ok(target) => {
                    self.add_name(&at, name);
                    links += 1;
                    if links > MAX_LINKS {
                        return;
                    }
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    rest.extend(reversed_names(&target));
                }
                Err(_) if here.exists() && !rest.is_empty() => at = here,
                Err(_) => {
                    self.add_name(&at, name);
                    return;
                }
            }
        }
    }

    fn add_name(&mut self, directory: &Path, name: OsString) {
        self.interests.entry(directory.to_owned()).or_default().names.insert(name);
    }
}

fn reversed_names(path: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn includes_every_link_on_a_path() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("site/..v1")).unwrap();
        std::fs::write(root.join("site/..v1/a.yml"), "").unwrap();
        symlink("..v1", root.join("site/..data")).unwrap();
        symlink("..data/a.yml", root.join("site/a.yml")).unwrap();

        let mut found = Directories::default();
        found.add_trail(&root.join("site/a.yml"));

        assert!(found.matters(&root.join("site/a.yml")));
        assert!(found.matters(&root.join("site/..data")));
        assert!(found.matters(&root.join("site/..v1/a.yml")));
        assert!(!found.matters(&root.join("site/other.yml")));
        assert!(!found.matters(&root.join("other")));
    }

    #[test]
    fn stops_at_looping_links() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        let mut found = Directories::default();
        found.add_trail(&root.path().join("a"));
        assert!(found.matters(&root.path().canonicalize().unwrap().join("b")));
    }
}
