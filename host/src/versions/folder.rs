//! Folder of versions: kept components by their digest, and the index. Every file is renamed into
//! place when it is complete. It blocks; call it off the async workers.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use jackfield_signing::{MAX_SIGNATURE_BYTES, SIGNATURE_EXTENSION};
use serde::{Deserialize, Serialize};

use super::index::Index;
use crate::data_folder::{INCOMPLETE, make_folder, read_file, replace_file};
use crate::site::{Component, ContentHash, SignatureFile, signature_of};

/// The name of the index.
const INDEX: &str = "index.json";
/// The ending of a component's name.
const COMPONENT: &str = "wasm";
/// The ending of the name of its signature.
const SIGNATURE: &str = SIGNATURE_EXTENSION;
/// The version of the index's format. Version 2 has candidates and promoted versions.
const FORMAT: u32 = 2;
/// The oldest version that is read.
const MIN_FORMAT: u32 = 1;
/// The length of a digest in hexadecimal.
const DIGEST_LENGTH: usize = 64;
/// The maximum size of a file that is read.
const MAX_FILE_BYTES: u64 = 512 << 20;

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
        make_folder(path).map_err(failed)?;
        let folder = Self { path: path.to_owned() };
        let file = path.join(INDEX);
        let text = match read_file(&file, MAX_FILE_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok((folder, Index::default()));
            }
            Err(source) => return Err(FolderError::Io { path: file, source }),
        };
        let damaged = |source| FolderError::Damaged { path: file.clone(), source };
        let Header { format } = serde_json::from_slice(&text).map_err(damaged)?;
        if !(MIN_FORMAT..=FORMAT).contains(&format) {
            return Err(FolderError::Newer { path: file, found: format });
        }
        let Document { index, .. } = serde_json::from_slice(&text).map_err(damaged)?;
        Ok((folder, index))
    }

    /// Reads a component, and checks its digest.
    pub(super) fn read(&self, digest: &str) -> io::Result<Component> {
        let path = self.file(digest, COMPONENT)?;
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("failed to read {}: {error}", path.display()))
        };
        let bytes = read_file(&path, MAX_FILE_BYTES).map_err(named)?;
        let hash = ContentHash::of(&bytes);
        if hash.hex().to_string() != digest {
            return Err(named(io::Error::other(
                "its content does not have the digest of its name",
            )));
        }
        let signature = read_signature(&self.file(digest, SIGNATURE)?);
        Ok(Component { hash, bytes: bytes.into(), signature })
    }

    /// Returns whether it has the component.
    pub(super) fn has(&self, digest: &str) -> bool {
        self.file(digest, COMPONENT).is_ok_and(|path| path.is_file())
    }

    /// Writes a component and its signature, unless they are there and not damaged. A signature that the component
    /// no longer has is kept: it may be the only one that a key of today accepts.
    pub(super) fn write(&self, component: &Component) -> io::Result<()> {
        let digest = component.hash.hex().to_string();
        if let Some(signature) = component.signature.content() {
            let path = self.file(&digest, SIGNATURE)?;
            let before = read_file(&path, MAX_SIGNATURE_BYTES as u64);
            if before.map_or(true, |before| *before != **signature) {
                replace_file(&path, signature)?;
            }
        }
        let path = self.file(&digest, COMPONENT)?;
        let before = read_file(&path, MAX_FILE_BYTES);
        if before.is_ok_and(|before| *before == *component.bytes) {
            return Ok(());
        }
        replace_file(&path, &component.bytes)
    }

    /// Writes the index.
    pub(super) fn write_index(&self, index: &Index) -> io::Result<()> {
        let document = Document { format: FORMAT, index: index.clone() };
        replace_file(&self.path.join(INDEX), &serde_json::to_vec(&document)?)
    }

    /// Removes components that the index does not keep, and incomplete files. What cannot be removed
    /// stays until the next time.
    pub(super) fn remove_others(&self, index: &Index) {
        let kept = index.kept();
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
            let name = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
            let is_ours = (ending == COMPONENT || ending == SIGNATURE) && is_digest(name);
            let is_surplus = is_ours && !kept.contains(name);
            if is_surplus || ending == INCOMPLETE {
                let _remains = fs::remove_file(&path);
            }
        }
    }

    fn file(&self, digest: &str, extension: &str) -> io::Result<PathBuf> {
        if is_digest(digest) {
            Ok(self.path.join(digest).with_extension(extension))
        } else {
            Err(io::Error::other("this is no digest"))
        }
    }
}

/// Reads a component, and the signature beside it.
pub(super) fn read_component(path: &Path) -> io::Result<Component> {
    let bytes = read_file(path, MAX_FILE_BYTES)?;
    let signature = read_signature(Path::new(&signature_of(&path.display().to_string())));
    Ok(Component { hash: ContentHash::of(&bytes), bytes: bytes.into(), signature })
}

fn read_signature(path: &Path) -> SignatureFile {
    match read_file(path, MAX_SIGNATURE_BYTES as u64) {
        Ok(bytes) => SignatureFile::Content(bytes.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => SignatureFile::Absent,
        Err(error) => SignatureFile::Unusable(format!("cannot be read: {error}").into()),
    }
}

/// Returns whether the text is a digest, and so a safe name of a file.
fn is_digest(text: &str) -> bool {
    text.len() == DIGEST_LENGTH
        && text.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::versions::PluginVersions;

    fn component(bytes: &[u8], signature: &[u8]) -> Component {
        Component {
            hash: ContentHash::of(bytes),
            bytes: bytes.into(),
            signature: SignatureFile::Content(signature.into()),
        }
    }

    #[test]
    fn keeps_components_by_digest_for_the_servers_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("versions");
        let (folder, index) = Folder::open(&path).unwrap();
        assert!(index.plugins.is_empty());
        let one = component(b"one", b"signature");
        let name = one.hash.hex().to_string();
        folder.write(&one).unwrap();
        assert_eq!(&*folder.read(&name).unwrap().bytes, b"one");
        // It was signed again.
        folder.write(&component(b"one", b"other")).unwrap();
        let unsigned = Component { signature: SignatureFile::Absent, ..one };
        folder.write(&unsigned).unwrap();
        assert_eq!(&**folder.read(&name).unwrap().signature.content().unwrap(), b"other");
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
        folder.write(&component(b"one", b"other")).unwrap();
        assert_eq!(&*folder.read(&name).unwrap().bytes, b"one", "it is repaired");
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
        assert!(error(r#"{"format":3}"#).contains("has the format 3, and this server reads 2"));
        fs::write(root.path().join(INDEX), r#"{"format":1,"plugins":{"a":{"versions":[]}}}"#)
            .unwrap();
        assert_eq!(Folder::open(root.path()).unwrap().1.plugins.len(), 1);
        // A pipe would block the start.
        fs::remove_file(root.path().join(INDEX)).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(root.path().join(INDEX)).status();
        assert!(pipe.unwrap().success());
        assert!(Folder::open(root.path()).unwrap_err().to_string().contains("not a regular file"));
    }
}
