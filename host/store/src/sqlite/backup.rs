//! Backup: a copy of the file while it is in use.
//!
//! The file itself changes only at a checkpoint of the write-ahead log. A backup begins with one,
//! and until it ends there is no other: commits go on into the log, and the file, which has
//! everything that was committed before, is copied by another thread. A backup is given up when the
//! log has grown too large: checkpoints go on at once, and what was copied is dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::EngineError;

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Whether a copy is whole, or was given up: the first of both counts.
#[derive(Debug, Default)]
pub(super) struct BackupState(AtomicU64);

const COPYING: u64 = 0;
const WHOLE: u64 = u64::MAX;

impl BackupState {
    /// Gives the copy up, as the log has this length; false if it is whole.
    pub(super) fn give_up(&self, length: u64) -> bool {
        self.0.compare_exchange(COPYING, length, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The length of the log if the copy was given up.
    fn given_up(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst)).filter(|state| ![COPYING, WHOLE].contains(state))
    }

    /// The copy is whole: the file may change.
    fn complete(&self) {
        let _given_up = self.0.compare_exchange(COPYING, WHOLE, Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// Copies the file to a new one of mode 0600, which exists only when it is whole, and waits until it
/// survives a power cut. Returns its size in bytes.
pub(super) fn copy(source: &File, target: &Path, state: &BackupState) -> Result<u64, EngineError> {
    let failed = |source| EngineError::Backup { file: target.to_owned(), source };
    if target.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let partial = partial(target);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&partial);
    let file = file.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => EngineError::PartialBackup { file: partial.clone() },
        _ => EngineError::Backup { file: partial.clone(), source },
    })?;
    let copied = fill(source, file, state).map_err(failed).and_then(|size| {
        if let Some(log) = state.given_up() {
            return Err(EngineError::SlowBackup { file: target.to_owned(), log });
        }
        put(&partial, target).and_then(|()| sync_folder(target)).map_err(failed)?;
        Ok(size)
    });
    if copied.is_err() {
        // It may be in place already: then there is nothing to remove.
        let _gone = fs::remove_file(&partial);
    }
    copied
}

fn fill(source: &File, mut target: File, state: &BackupState) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while state.given_up().is_none() {
        let length = source.read_at(&mut chunk, at)?;
        let Some(read) = chunk.get(..length).filter(|read| !read.is_empty()) else { break };
        target.write_all(read)?;
        at += u64::try_from(length).unwrap_or(u64::MAX);
    }
    state.complete();
    target.sync_all()?;
    Ok(at)
}

/// Gives the whole file its name, and replaces none.
fn put(partial: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, partial, CWD, target, RenameFlags::NOREPLACE) {
        // Not every file system can do that.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(partial, target)?;
            fs::remove_file(partial)
        }
        renamed => Ok(renamed?),
    }
}

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn partial(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}
