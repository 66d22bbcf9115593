//! Data folder: the place of what survives the end of the server, such as earlier versions of
//! plugins.
//!
//! It is for the server's own user alone, and for one server at a time: a lock file in it, which the
//! kernel releases with the process, refuses a second one. Its users have a folder each in it.
//! Opened by `server` before anything reads it.

mod files;
mod wait;

use std::env;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use jackfield_config as config;
use jackfield_text::Untrusted;
use tracing::{info, warn};

use crate::lock_file;

pub(crate) use files::{INCOMPLETE, make_folder, read_file, replace_file};
pub(crate) use wait::for_disk;

/// The mode of the folder: the user alone.
const FOLDER_MODE: u32 = 0o700;
/// The name of the lock file.
const LOCK: &str = "lock";

/// The data folder of this server, which no other server uses until this is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// The reason why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataFolderError {
    /// Another server uses it.
    #[error(
        "the data folder {path} is in use by another server{pid}\n  = help: give each server a folder of its own \
         with the setting `data`, or set it to `off`",
        path = shown(.path), pid = .pid.as_ref().map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process, if it has written its number.
        pid: Option<u32>,
    },
    /// Other users could read or change it.
    #[error(
        "the data folder {path} {reason}\n  = help: use a folder of the server's user with the mode 0700",
        path = shown(.path)
    )]
    Unsafe {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Why it cannot be trusted.
        reason: &'static str,
    },
    /// The operating system refuses it.
    #[error(
        "the data folder {path} cannot be used: {source}\n  = help: set `data` to a folder that the server can \
         write to, or to `off`",
        path = shown(.path)
    )]
    Io {
        /// The folder, or a file in it.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

fn shown(path: &Path) -> String {
    Untrusted::new(path.display()).to_string()
}

/// Opens the data folder of a site; `None` if there is none. It blocks.
///
/// # Errors
/// When the setting names a folder that cannot be used, or when there is a folder in the default
/// place that cannot be used. A default place in which no folder can be made is a warning.
pub(crate) fn open(
    setting: &config::DataFolder,
    site: &Path,
) -> Result<Option<DataFolder>, DataFolderError> {
    let opened = match setting {
        config::DataFolder::Off => return Ok(None),
        config::DataFolder::At(path) => DataFolder::open(path)?,
        config::DataFolder::Default => {
            let Some(path) = default_place(site) else {
                warn!(
                    name: "data.no_place",
                    "nothing is kept beyond the end of the server: there is no place for it, as none \
                     of STATE_DIRECTORY, XDG_STATE_HOME and HOME is set; set `data`"
                );
                return Ok(None);
            };
            match at_default_place(&path)? {
                Some(folder) => folder,
                None => return Ok(None),
            }
        }
    };
    info!(name: "data.opened", folder = %shown(&opened.path), "the data folder is open");
    Ok(Some(opened))
}

/// The path of the data folder of a site, if there is one; it may not exist.
pub(crate) fn place(setting: &config::DataFolder, site: &Path) -> Option<PathBuf> {
    match setting {
        config::DataFolder::Off => None,
        config::DataFolder::At(path) => Some(path.clone()),
        config::DataFolder::Default => default_place(site),
    }
}

fn default_place(site: &Path) -> Option<PathBuf> {
    let from = |name| env::var(name).ok();
    let (service, xdg, home) = (from("STATE_DIRECTORY"), from("XDG_STATE_HOME"), from("HOME"));
    let environment = config::DataEnvironment {
        state_directory: service.as_deref(),
        xdg_state_home: xdg.as_deref(),
        home: home.as_deref(),
    };
    config::DataFolder::place(site, &environment)
}

/// Opens the folder in the default place; `None`, with a warning, if none can be made there. One that
/// exists and cannot be used is an error: what is in it, such as the plugins that are disabled, must
/// not be passed over.
fn at_default_place(path: &Path) -> Result<Option<DataFolder>, DataFolderError> {
    match DataFolder::open(path) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if path.symlink_metadata().is_ok() => Err(error),
        Err(error) => {
            warn!(name: "data.unavailable", target: crate::log::DIAGNOSIS, "nothing is kept beyond the end of the server: {error}");
            Ok(None)
        }
    }
}

impl DataFolder {
    /// Opens a folder, which is made with its parents if it does not exist.
    fn open(path: &Path) -> Result<Self, DataFolderError> {
        let failed = |source| DataFolderError::Io { path: path.to_owned(), source };
        let wrong = |reason| DataFolderError::Unsafe { path: path.to_owned(), reason };
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(failed)?;
        let metadata = fs::metadata(path).map_err(failed)?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(wrong("belongs to another user"));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(wrong("is open to other users"));
        }
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The path of the folder of one user of the data.
    pub(crate) fn part(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Takes the lock of a folder, and writes the process into it.
fn lock(folder: &Path) -> Result<File, DataFolderError> {
    let path = folder.join(LOCK);
    let failed = |source| DataFolderError::Io { path: path.clone(), source };
    let (file, metadata) = lock_file::open(&path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(DataFolderError::Unsafe { path, reason: "is not a file" });
    }
    match file.try_lock() {
        Ok(()) => {
            lock_file::write_pid(&file);
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let pid = lock_file::pid(&file);
            Err(DataFolderError::InUse { path: folder.to_owned(), pid })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn at(path: &Path) -> Result<Option<DataFolder>, String> {
        let setting = config::DataFolder::At(path.to_owned());
        open(&setting, Path::new("site")).map_err(|error| error.to_string())
    }

    #[test]
    fn makes_a_folder_for_its_user_alone_and_for_one_server() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let folder = at(&path).unwrap().unwrap();
        assert_eq!(folder.part("x"), path.join("x"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let error = at(&path).unwrap_err();
        let pid = std::process::id();
        assert!(error.contains(&format!("in use by another server (pid {pid})")), "{error}");
        drop(folder);
        assert!(at(&path).unwrap().is_some());
        assert!(open(&config::DataFolder::Off, &path).unwrap().is_none());
    }

    #[test]
    fn passes_over_no_folder_that_exists() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let folder = at_default_place(&path).unwrap().unwrap();
        assert!(matches!(at_default_place(&path), Err(DataFolderError::InUse { .. })));
        drop(folder);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(at_default_place(&path), Err(DataFolderError::Unsafe { .. })));
        symlink("nowhere", root.path().join("link")).unwrap();
        assert!(at_default_place(&root.path().join("link")).is_err());
        // There is no folder, and none can be made.
        fs::write(root.path().join("file"), "").unwrap();
        assert!(at_default_place(&root.path().join("file/data")).unwrap().is_none());
    }

    #[test]
    fn refuses_folders_that_others_can_read_and_files_that_are_no_lock() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        fs::set_permissions(path, Permissions::from_mode(0o750)).unwrap();
        assert!(at(path).unwrap_err().contains("is open to other users\n  = help: "));
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        fs::write(path.join("file"), "").unwrap();
        assert!(at(&path.join("file")).unwrap_err().contains("cannot be used"));
        symlink("elsewhere", path.join(LOCK)).unwrap();
        assert!(at(path).unwrap_err().contains("cannot be used"));
        assert!(!path.join("elsewhere").exists());
    }
}
