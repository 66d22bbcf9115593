//! Folder of versions: kept components by their digest, and the index. Every file is renamed into
//! place when it is complete. It blocks; call it off the async workers.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::index::Index;
use crate::site::{Component, ContentHash};

/// The name of the index.
const INDEX: &str = "index.json";
/// The ending of a component's name.
const COMPONENT: &str = "wasm";
/// The ending of an incomplete file's name.
const INCOMPLETE: &str = "tmp";
/// The version of the index's format.
const FORMAT: u32 = 1;
/// The length of a digest in hexadecimal.
const DIGEST_LENGTH: usize = 64;
/// The maximum size of a file that is read.
const MAX_FILE_BYTES: u64 = 512 << 20;
/// Access for the server's user alone.
const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// The folder of a site's versions.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// An error of the folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// The operating system refuses it.
    #[error("failed to use {}: {source}", path.display())]
    Io {
        /// The folder, or a file in it.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    #[error(
        "{} is damaged: {source}\n  = help: remove it; its versions are forgotten, and disabled plugins serve",
        path.display()
    )]
    Damaged {
        /// The index.
        path: PathBuf,
        /// The error and its place.
        source: serde_json::Error,
    },
    #[error(
        "{} has the format {found}, and this server reads {FORMAT}\n  = help: update the server, or remove the file",
        path.display()
    )]
    Newer {
        /// The index.
        path: PathBuf,
        /// The number of its format.
        found: u32,
    },
}

/// The content of the index file.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    #[serde(flatten)]
    index: Index,
}

/// The part of the content that every format has.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

impl Folder {
    /// The folder at this path, for reading alone.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Opens the folder, which is made if it does not exist, and reads the index.
    pub(super) fn open(path: &Path) -> Result<(Self, Index), FolderError> {
        let failed = |source| FolderError::Io { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path).map_err(failed)?;
        let folder = Self { path: path.to_owned() };
        let file = path.join(INDEX);
        let text = match read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok((folder, Index::default()));
            }
            Err(source) => return Err(FolderError::Io { path: file, source }),
        };
        let damaged = |source| FolderError::Damaged { path: file.clone(), source };
        let Header { format } = serde_json::from_slice(&text).map_err(damaged)?;
        if format != FORMAT {
            return Err(FolderError::Newer { path: file, found: format });
        }
        let Document { index, .. } = serde_json::from_slice(&text).map_err(damaged)?;
        Ok((folder, index))
    }

    /// Reads a component, and checks its digest.
    pub(super) fn read(&self, digest: &str) -> io::Result<Component> {
        let path = self.component(digest)?;
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("failed to read {}: {error}", path.display()))
        };
        let bytes = read(&path).map_err(named)?;
        let hash = ContentHash::of(&bytes);
        if hash.hex().to_string() != digest {
            return Err(named(io::Error::other(
                "its content does not have the digest of its name",
            )));
        }
        Ok(Component { hash, bytes: bytes.into() })
    }

    /// Returns whether it has the component.
    pub(super) fn has(&self, digest: &str) -> bool {
        self.component(digest).is_ok_and(|path| path.is_file())
    }

    /// Writes a component, unless it is there.
    pub(super) fn write(&self, digest: &str, bytes: &[u8]) -> io::Result<()> {
        if self.has(digest) {
            return Ok(());
        }
        replace(&self.component(digest)?, bytes)
    }

    /// Writes the index.
    pub(super) fn write_index(&self, index: &Index) -> io::Result<()> {
        let document = Document { format: FORMAT, index: index.clone() };
        replace(&self.path.join(INDEX), &serde_json::to_vec(&document)?)
    }

    /// Removes components that the index does not keep, and incomplete files. What cannot be removed
    /// stays until the next time.
    pub(super) fn remove_others(&self, index: &Index) {
        let kept = index.kept();
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
            let name = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
            let is_surplus = ending == COMPONENT && is_digest(name) && !kept.contains(name);
            if is_surplus || ending == INCOMPLETE {
                let _remains = fs::remove_file(&path);
            }
        }
    }

    fn component(&self, digest: &str) -> io::Result<PathBuf> {
        if is_digest(digest) {
            Ok(self.path.join(digest).with_extension(COMPONENT))
        } else {
            Err(io::Error::other("this is no digest"))
        }
    }
}

/// Returns whether the text is a digest, and so a safe name of a file.
fn is_digest(text: &str) -> bool {
    text.len() == DIGEST_LENGTH
        && text.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}

/// Reads a regular file of a bounded size.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Not to wait for the writer of a pipe.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("it is not a regular file, or too large"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file beside its place, and renames it when it is on the disk.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let failed = |error: io::Error| {
        io::Error::new(error.kind(), format!("failed to write {}: {error}", path.display()))
    };
    let incomplete = path.with_extension(INCOMPLETE);
    let write = || -> io::Result<()> {
        let options = || OpenOptions::new().write(true).create(true).truncate(true).clone();
        let mut file = options().mode(PRIVATE_FILE).open(&incomplete)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&incomplete, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|error| {
        let _absent = fs::remove_file(&incomplete);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::versions::PluginVersions;

    fn digest(bytes: &[u8]) -> String {
        ContentHash::of(bytes).hex().to_string()
    }

    #[test]
    fn keeps_components_by_digest_for_the_servers_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("versions");
        let (folder, index) = Folder::open(&path).unwrap();
        assert!(index.plugins.is_empty());
        let name = digest(b"one");
        folder.write(&name, b"one").unwrap();
        assert_eq!(&*folder.read(&name).unwrap().bytes, b"one");
        for (path, mode) in
            [(path.clone(), 0o700), (path.join(&name).with_extension("wasm"), 0o600)]
        {
            let found = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
        // Another content under the same name is noticed.
        fs::write(path.join(&name).with_extension("wasm"), "two").unwrap();
        let error = folder.read(&name).unwrap_err().to_string();
        assert!(error.contains("does not have the digest"), "{error}");
        // Names lead nowhere else.
        for name in ["../index", "", "ABC", &"g".repeat(64)] {
            assert!(folder.read(name).is_err() && !folder.has(name), "{name}");
        }
        fs::write(path.join("x.tmp"), "").unwrap();
        fs::write(path.join("notes.wasm"), "").unwrap();
        folder.remove_others(&Index::default());
        let mut left: Vec<_> =
            fs::read_dir(&path).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["notes.wasm"]);
    }

    #[test]
    fn refuses_a_damaged_index_and_one_of_another_format() {
        let root = tempfile::tempdir().unwrap();
        let (folder, mut index) = Folder::open(root.path()).unwrap();
        index.plugins.insert("a".to_owned(), PluginVersions::default());
        folder.write_index(&index).unwrap();
        assert_eq!(Folder::open(root.path()).unwrap().1.plugins.len(), 1);
        let error = |text: &str| {
            fs::write(root.path().join(INDEX), text).unwrap();
            Folder::open(root.path()).unwrap_err().to_string()
        };
        assert!(error("{").contains("index.json is damaged: EOF"));
        assert!(error(r#"{"format":2}"#).contains("has the format 2, and this server reads 1"));
        // A pipe would block the start.
        fs::remove_file(root.path().join(INDEX)).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(root.path().join(INDEX)).status();
        assert!(pipe.unwrap().success());
        assert!(Folder::open(root.path()).unwrap_err().to_string().contains("not a regular file"));
    }
}
