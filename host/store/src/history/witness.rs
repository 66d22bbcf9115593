//! Witness of the last commit: a small file in a folder that is memory (tmpfs), so that it ends with the boot
//! of the machine, and does not depend on the disk of the histories.
//!
//! It has the number of the last commit. A file that has fewer commits is a copy, or has lost some. After a
//! failed sync, it is revoked: the operating system may have dropped commits that the process has seen.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The bytes of a number.
const NUMBER: usize = 8;
/// The maximum size of a witness in bytes. It has two numbers and the name of the boot.
const MAX_BYTES: usize = 128;

/// The content of a witness.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Testimony {
    /// The number of the last commit.
    pub(super) count: u64,
    /// The random number of the file's line of commits.
    pub(super) line: u64,
    /// The boot of the machine.
    pub(super) boot: String,
}

/// The witness of a file that is open.
#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
    file: File,
}

impl Witness {
    /// Returns the place of the witness for a folder. A folder that was moved keeps it.
    pub(super) fn place(memory: &Path, folder: &Path) -> io::Result<PathBuf> {
        let folder = folder.metadata()?;
        Ok(memory.join(format!("history-{:x}-{:x}", folder.dev(), folder.ino())))
    }

    /// Replaces the witness, or makes one.
    pub(super) fn begin(path: &Path, testimony: &Testimony) -> io::Result<Self> {
        let Testimony { count, line, boot } = testimony;
        let bytes = [&count.to_le_bytes(), &line.to_le_bytes(), boot.as_bytes()].concat();
        let incomplete = path.with_extension("tmp");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&incomplete)?;
        file.write_all_at(&bytes, 0)?;
        fs::rename(&incomplete, path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Notes the number of the last commit, before it is acknowledged.
    pub(super) fn note(&self, count: u64) -> io::Result<()> {
        self.file.write_all_at(&count.to_le_bytes(), 0)
    }

    /// Ends the trust in the file until the next boot.
    pub(super) fn revoke(&self) {
        // Either is enough, and neither needs new memory or a disk.
        let _unwritten = self.file.write_all_at(&[0; NUMBER], NUMBER as u64);
        let _absent = fs::remove_file(&self.path);
    }
}

impl Testimony {
    /// Reads a witness; `None` if there is none.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut bytes = vec![0; MAX_BYTES];
        let length = File::open(path).ok()?.read_at(&mut bytes, 0).ok()?;
        bytes.truncate(length);
        let (count, rest) = bytes.split_first_chunk::<NUMBER>()?;
        let (line, boot) = rest.split_first_chunk::<NUMBER>()?;
        Some(Self {
            count: u64::from_le_bytes(*count),
            line: u64::from_le_bytes(*line),
            boot: String::from_utf8(boot.to_vec()).ok()?,
        })
    }
}
