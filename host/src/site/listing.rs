//! Listing of a site: its routing files and plugins in order, and the watch list.
//!
//! The walk opens no file. [`super::Site`] may list several times for one reading, because a site may
//! change in the meantime.

use std::collections::HashSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::Interruption;
use super::content_hash::ContentHash;
use super::directories::Directories;
use super::names::{Kind, is_ignored, kind};
use super::problem::SiteProblem;

/// The maximum depth of folders: bounds the walk if mounts make the tree endless.
const MAX_DEPTH: usize = 64;
/// The maximum number of files: reached only if the site is `/` or a home directory by mistake.
const MAX_FILES: usize = 20_000;

/// The result of a walk.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// In reading order: by path, and the files of an application after those of its bundles, so
    /// that the application can override them.
    pub(super) files: Vec<Found>,
    pub(super) unusable: Vec<Unusable>,
    pub(super) directories: Directories,
    pub(super) problems: Vec<SiteProblem>,
}

/// A signature or an importable file that cannot be read. It is no problem of the site by itself:
/// the signature may not be needed, and the file may not be imported.
#[derive(Debug)]
pub(super) struct Unusable {
    /// The displayed path.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// The reason, as a sentence about the file.
    pub(super) reason: String,
}

#[derive(Debug)]
pub(super) struct Found {
    /// The displayed path.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) stat: Stat,
    /// Whether a link leads to it, out of the site.
    pub(super) is_outside: bool,
}

/// The identity and version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

struct Walk {
    listing: Listing,
    /// The real path of the site.
    root: PathBuf,
    /// Real paths, so that a target of several links is found once, and loops end.
    seen: HashSet<PathBuf>,
}

impl Listing {
    pub(super) fn of(given: &Path) -> Result<Self, Interruption> {
        let real = given.canonicalize().map_err(Interruption::Fatal)?;
        let mut walk =
            Walk { listing: Listing::default(), root: real.clone(), seen: HashSet::new() };
        let absolute = std::path::absolute(given).map_err(Interruption::Fatal)?;
        walk.listing.directories.add_trail(&absolute);
        walk.seen.insert(real.clone());
        walk.directory(given, &real, &mut Vec::new()).map_err(
            |interruption| match interruption {
                Interruption::Fatal(error) if error.kind() == io::ErrorKind::NotFound => {
                    Interruption::Moved
                }
                other => other,
            },
        )?;
        let mut listing = walk.listing;
        listing.files.sort_by(|a, b| {
            let last = |found: &Found| found.kind == Kind::ApplicationRouting;
            last(a).cmp(&last(b)).then_with(|| a.path.cmp(&b.path))
        });
        Ok(listing)
    }

    pub(super) fn fingerprint(&self) -> ContentHash {
        let mut hasher = Sha256::new();
        for found in &self.files {
            hasher.update(found.path.as_os_str().as_encoded_bytes());
            hasher.update(found.stat.bytes());
        }
        for file in &self.unusable {
            hasher.update(file.path.as_os_str().as_encoded_bytes());
            hasher.update(&file.reason);
        }
        for problem in &self.problems {
            hasher.update(problem.to_string());
        }
        ContentHash::from(hasher)
    }
}

impl Found {
    /// Reads a file, unless it was replaced or changed after it was listed: then the listing is out of
    /// date, and the content may be incomplete.
    pub(super) fn read(&self) -> Result<Result<Vec<u8>, std::io::Error>, Interruption> {
        // A pipe that has taken the place of the listed file would block.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) if self.is_it(&file) => file,
            Ok(_) => return Err(Interruption::Moved),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Interruption::Moved);
            }
            Err(error) => return Ok(Err(error)),
        };
        let capacity = usize::try_from(self.stat.size()).unwrap_or_default();
        let mut bytes = Vec::with_capacity(capacity);
        // One byte more than the listed size is enough to detect growth.
        if let Err(error) = file.by_ref().take(self.stat.size() + 1).read_to_end(&mut bytes) {
            return Ok(Err(error));
        }
        if self.is_it(&file) { Ok(Ok(bytes)) } else { Err(Interruption::Moved) }
    }

    /// Returns whether an open file is the listed one, and unchanged.
    fn is_it(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|metadata| Stat::of(&metadata) == self.stat)
    }
}

impl Stat {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    pub(super) fn size(self) -> u64 {
        self.size
    }

    fn bytes(self) -> Vec<u8> {
        let words = [self.device, self.inode, self.size];
        let times = [self.modified.0, self.modified.1, self.changed.0, self.changed.1];
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        words.chain(times.iter().flat_map(|time| time.to_le_bytes())).collect()
    }
}

impl Walk {
    fn directory(
        &mut self,
        shown: &Path,
        real: &Path,
        folders: &mut Vec<String>,
    ) -> Result<(), Interruption> {
        // Added before listing, so that a later change is noticed.
        self.listing.directories.add_contents(real);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(real).map_err(Interruption::Fatal)? {
            // The directory was removed while it was listed.
            entries.push(entry.map_err(|_| Interruption::Moved)?.file_name());
        }
        if entries.iter().any(|name| name == "CACHEDIR.TAG") && !folders.is_empty() {
            return Ok(());
        }
        entries.sort();
        for entry in entries {
            let name = entry.to_string_lossy().into_owned();
            if !is_ignored(&name) {
                self.entry(&shown.join(&entry), &real.join(&entry), &name, folders)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        shown: &Path,
        path: &Path,
        name: &str,
        folders: &mut Vec<String>,
    ) -> Result<(), Interruption> {
        let own = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) => return self.failed(shown, &error),
        };
        let is_link = own.is_symlink();
        if is_link {
            self.listing.directories.add_trail(path);
        }
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            // A link to nothing, or to itself. It matters only if its name is that of a served file;
            // its target is watched in any case.
            Err(error) if is_link => {
                return match kind(folders, name) {
                    Some(kind) => {
                        self.unusable(shown, kind, format!("is a broken symbolic link: {error}"))
                    }
                    None => Ok(()),
                };
            }
            Err(error) => return self.failed(shown, &error),
        };
        let kind = kind(folders, name);
        let is_usable = metadata.is_file() || metadata.is_dir();
        if let Some(kind) = kind.filter(|_| !is_usable) {
            let reason = "is neither a file nor a directory; remove or rename it";
            return self.unusable(shown, kind, reason.to_owned());
        }
        if !is_usable || (kind.is_none() && !metadata.is_dir()) {
            return Ok(());
        }
        if let Some(kind) = kind.filter(|kind| metadata.is_dir() && *kind != Kind::Importable) {
            self.unusable(shown, kind, "is a directory, and not a file; rename it".to_owned())?;
        }
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) => return self.failed(shown, &error),
        };
        // The target of several links counts once. A signature belongs to the component beside it.
        let counts_again = kind == Some(Kind::Signature) && !metadata.is_dir();
        if !counts_again && !self.seen.insert(real.clone()) {
            return Ok(());
        }
        if metadata.is_dir() {
            return self.folder(shown, &real, name, folders);
        }
        if let Some(kind) = kind {
            self.check_count()?;
            let stat = Stat::of(&metadata);
            let is_outside = !real.starts_with(&self.root);
            self.listing.directories.add_file(real, stat.device, stat.inode);
            self.listing.files.push(Found { path: shown.to_owned(), kind, stat, is_outside });
        }
        Ok(())
    }

    fn folder(
        &mut self,
        shown: &Path,
        real: &Path,
        name: &str,
        folders: &mut Vec<String>,
    ) -> Result<(), Interruption> {
        if folders.len() == MAX_DEPTH {
            self.problem(shown, &format!("is more than {MAX_DEPTH} folders deep"));
            return Ok(());
        }
        folders.push(name.to_owned());
        let result = self.directory(shown, real, folders);
        folders.pop();
        match result {
            Err(Interruption::Fatal(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.problem(shown, "cannot be read: permission denied");
                Ok(())
            }
            other => other,
        }
    }

    /// Handles an error of a path: one that has vanished starts another attempt; one that cannot be
    /// read is a problem, and does not hide other problems.
    fn failed(&mut self, shown: &Path, error: &io::Error) -> Result<(), Interruption> {
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::StaleNetworkFileHandle => Err(Interruption::Moved),
            _ => {
                self.problem(shown, &format!("cannot be read: {error}"));
                Ok(())
            }
        }
    }

    /// Handles a file that cannot be read: it is a problem if it is served in any case.
    fn unusable(&mut self, shown: &Path, kind: Kind, reason: String) -> Result<(), Interruption> {
        if matches!(kind, Kind::Signature | Kind::Importable) {
            self.check_count()?;
            self.listing.unusable.push(Unusable { path: shown.to_owned(), kind, reason });
        } else {
            self.problem(shown, &reason);
        }
        Ok(())
    }

    /// Checks that there is a place for one more file.
    fn check_count(&self) -> Result<(), Interruption> {
        if self.listing.files.len() + self.listing.unusable.len() < MAX_FILES {
            return Ok(());
        }
        Err(Interruption::Fatal(io::Error::other(format!(
            "it contains more than {MAX_FILES} YAML files and components"
        ))))
    }

    fn problem(&mut self, shown: &Path, message: &str) {
        let path = shown.display().to_string();
        self.listing.problems.push(SiteProblem { path, place: None, message: message.to_owned() });
    }
}
