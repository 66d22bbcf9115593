//! Errors of the engine. Each text says what failed, with which file, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// The file of the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts describe the fields")]
pub enum EngineError {
    #[error(
        "open {}: {source}\n  = help: the server's user needs a folder that it can write to (mode \
         0700) and a file of its own; a symbolic link is refused",
        .file.display()
    )]
    Open { file: PathBuf, source: io::Error },
    #[error(
        "open {}: it cannot be written: {text}\n  = help: give the server's user the right to \
         write to the folder and its files, and see that the disk has space",
        .file.display()
    )]
    ReadOnly { file: PathBuf, text: String },
    #[error(
        "open {}: another process has it open\n  = help: stop that process; one server owns a data \
         folder",
        .file.display()
    )]
    InUse { file: PathBuf },
    #[error(
        "open {}: it is of version {found}, and this server knows versions up to {known}\n  = help: \
         {}",
        .file.display(), remedy(.file, "run the newer server again, or restore a backup of the data \
         folder from before the update")
    )]
    Newer { file: PathBuf, found: i64, known: i64 },
    #[error(
        "open {}: it is no file of this server\n  = help: {}",
        .file.display(), remedy(.file, "move it elsewhere, or name another data folder")
    )]
    Foreign { file: PathBuf },
    #[error(
        "open {}: it is damaged: {text}\n  = help: {}",
        .file.display(), remedy(.file, "keep a copy of the folder, then restore a backup; `sqlite3 FILE \
         .recover` reads what is left")
    )]
    Damaged { file: PathBuf, text: String },
    #[error("the disk is full: {0}")]
    Full(String),
    #[error("{0}")]
    Sqlite(String),
    #[error(
        "another node, or another program, has written to the log of the plugin's store since: this node is not its \
         home any more"
    )]
    Replaced,
    #[error(
        "this node is not the home of the plugin\n  = help: `jackfield status` names the home; change the \
         store there"
    )]
    NotHome,
    #[error("{0}")]
    Log(String),
    #[error("write to the disk: {0}")]
    Sync(io::Error),
    #[error(
        "write {}: the file of an earlier backup, which was interrupted or is under way\n  = help: \
         remove this file if no backup is under way, or name another target",
        .file.display()
    )]
    PartialBackup { file: PathBuf },
    #[error(
        "write {}: given up, as the log of the store has grown to {log} bytes meanwhile\n  = help: \
         name a file on a faster disk, or begin at a time with fewer writes",
        .file.display()
    )]
    SlowBackup { file: PathBuf, log: u64 },
    #[error(
        "write {}: {source}\n  = help: name a new file in a folder that the server's user can write to; \
         no file is overwritten",
        .file.display()
    )]
    Backup { file: PathBuf, source: io::Error },
}

impl EngineError {
    /// Returns whether only a node that becomes the home of the plugin goes on.
    pub fn needs_home(&self) -> bool {
        matches!(self, Self::Replaced | Self::NotHome | Self::Log(_))
    }

    /// The error of opening a file.
    pub(crate) fn opening(file: &Path, error: &rusqlite::Error) -> Self {
        let (file, text) = (file.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { file },
            Some(ErrorCode::NotADatabase) => Self::Foreign { file },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { file, text },
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::DiskFull,
            ) => Self::ReadOnly { file, text },
            _ => Self::Open { file, source: io::Error::other(text) },
        }
    }
}

/// Returns the help for a file that cannot be used: `of_store`, or that for durable histories, which have no
/// backup.
fn remedy(file: &Path, of_store: &'static str) -> &'static str {
    if file.ends_with(crate::HISTORY_FILE) {
        "move the folder `history` of the data folder away: durable histories begin anew"
    } else {
        of_store
    }
}

impl From<rusqlite::Error> for EngineError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(error.to_string()),
            _ => Self::Sqlite(error.to_string()),
        }
    }
}
