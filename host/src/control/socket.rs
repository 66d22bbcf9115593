//! The control socket as a file: made for the server's own user alone, replaced if it is stale, and
//! removed only while it is still the same.
//!
//! A lock file beside the socket says whether its server lives. The kernel releases the lock with the
//! process, so a socket whose lock is free is a leftover. The mode is set before the socket gets a name
//! (Linux takes the mode of the name from the socket), so that it is open to others at no moment.

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jackfield_config::SocketPlace;
use jackfield_text::Untrusted;
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;
use tracing::warn;

use crate::lock_file;

/// The mode of the socket: the user alone.
const MODE: u32 = 0o600;
/// The mode of a folder that is made for sockets.
const FOLDER_MODE: u32 = 0o700;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// Attempts to take a lock that is removed meanwhile.
const MAX_LOCK_ATTEMPTS: usize = 8;
/// Bytes of a socket's path: `sun_path` has 108, the last of them zero.
const MAX_PATH_BYTES: usize = 107;

/// Where the socket may be.
#[derive(Debug)]
pub(super) enum Places {
    /// The path of the setting.
    Named(PathBuf),
    /// The first of these that can be used.
    Default(Vec<SocketPlace>),
}

/// A socket with its lock.
pub(super) struct ControlSocket {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
    identity: Identity,
    lock: Lock,
}

/// The lock of a socket. It is free when this is dropped.
struct Lock {
    path: PathBuf,
    file: File,
}

/// Device and inode of a file.
type Identity = (u64, u64);

/// The control socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Another server has it.
    #[error("the control socket {path} is in use by another server{pid}", path = shown(.path), pid = by(*.pid))]
    InUse {
        /// The socket.
        path: PathBuf,
        /// The process, if the lock names it.
        pid: Option<u32>,
    },
    /// The path is too long for a socket.
    #[error(
        "the path of the control socket has {} bytes, and a Unix socket has at most {MAX_PATH_BYTES}: {path}\n  \
         = help: set `control.socket` (or `admin.listen`) to a shorter path",
        .path.as_os_str().len(), path = shown(.path)
    )]
    TooLong {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is at the path.
    #[error(
        "the control socket cannot be made: {path} exists and {reason}; it is left alone\n  = help: remove it, or \
         set `control.socket` (or `admin.listen`) to another path", path = shown(.path)
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why it is not ours.
        reason: &'static str,
    },
    /// Other users could replace the socket.
    #[error(
        "the control socket cannot be made: the folder {path} {reason}\n  = help: use a folder that only \
         the server's user and root can write to", path = shown(.path)
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why it cannot be trusted.
        reason: &'static str,
    },
    /// The operating system refuses it.
    #[error(
        "the control socket cannot be made: {path}: {source}\n  = help: set `control.socket` (or `admin.listen`) to a \
         path in a folder that the server can write to, or to `off`", path = shown(.path)
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

fn shown(path: &Path) -> String {
    Untrusted::new(path.display()).to_string()
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// The user of this process.
pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Places {
    /// Makes the socket. Requires a tokio runtime.
    ///
    /// # Errors
    /// That of the named path; or of the first default place, if none can be used.
    pub(super) fn open(&self) -> Result<ControlSocket, SocketError> {
        let places = match self {
            Self::Named(path) => return ControlSocket::open(path),
            Self::Default(places) => places,
        };
        let mut first = None;
        for place in places {
            let folder = place.path.parent().filter(|_| place.makes_folder);
            let made = folder.map_or(Ok(()), make_folder);
            match made.and_then(|()| ControlSocket::open(&place.path)) {
                // Another place would hide this server from the commands.
                Err(error @ SocketError::InUse { .. }) => return Err(error),
                Err(error) => drop(first.get_or_insert(error)),
                Ok(socket) => return Ok(socket),
            }
        }
        let nowhere = || SocketError::Io {
            path: PathBuf::new(),
            source: io::Error::new(ErrorKind::NotFound, "there is no place for it"),
        };
        Err(first.unwrap_or_else(nowhere))
    }
}

impl ControlSocket {
    fn open(path: &Path) -> Result<Self, SocketError> {
        if path.as_os_str().len() > MAX_PATH_BYTES {
            return Err(SocketError::TooLong { path: path.to_owned() });
        }
        check_folder(path.parent().unwrap_or(Path::new("/")))?;
        let lock = lock(path)?;
        let failed = |source| SocketError::Io { path: path.to_owned(), source };
        let bound = remove_stale(path).and_then(|()| {
            let listener = bind(path).map_err(failed)?;
            Ok((listener, path.symlink_metadata().map_err(failed)?))
        });
        let (listener, metadata) = bound.inspect_err(|_| lock.remove())?;
        let identity = (metadata.dev(), metadata.ino());
        let socket = Self { listener, path: path.to_owned(), identity, lock };
        if metadata.mode() & 0o777 & !MODE != 0 {
            socket.remove();
            let source = io::Error::other("the system does not keep its mode");
            return Err(failed(source));
        }
        Ok(socket)
    }

    /// Whether the path still leads to this socket.
    pub(super) fn is_there(&self) -> bool {
        let metadata = self.path.symlink_metadata();
        metadata.is_ok_and(|it| (it.dev(), it.ino()) == self.identity)
    }

    /// Removes the socket, if the path still leads to it.
    pub(super) fn remove(self) {
        if self.is_there()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            let path = self.path.display();
            warn!(name: "control.remove_failed", %path, "failed to remove the control socket: {error}");
        }
        self.lock.remove();
    }
}

/// Makes a folder for the user alone. One that is there already has to be such a folder: every user can
/// make one in `/tmp`.
fn make_folder(folder: &Path) -> Result<(), SocketError> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(SocketError::Io { path: folder.to_owned(), source: error });
        }
        _ => {}
    }
    let wrong = |reason| SocketError::Folder { path: folder.to_owned(), reason };
    let metadata = folder.symlink_metadata();
    let metadata =
        metadata.map_err(|source| SocketError::Io { path: folder.to_owned(), source })?;
    if !metadata.is_dir() {
        Err(wrong("is not a folder"))
    } else if metadata.uid() != own_uid() {
        Err(wrong("belongs to another user"))
    } else if metadata.mode() & 0o077 != 0 {
        Err(wrong("is open to other users"))
    } else {
        Ok(())
    }
}

/// Whether other users cannot replace files of the folder.
fn check_folder(folder: &Path) -> Result<(), SocketError> {
    let metadata = folder.metadata();
    let metadata =
        metadata.map_err(|source| SocketError::Io { path: folder.to_owned(), source })?;
    let wrong = |reason| SocketError::Folder { path: folder.to_owned(), reason };
    let (mode, is_sticky) = (metadata.mode(), metadata.mode() & 0o1000 != 0);
    if !metadata.is_dir() {
        Err(wrong("is not a folder"))
    } else if ![0, own_uid()].contains(&metadata.uid()) {
        Err(wrong("belongs to another user"))
    } else if mode & 0o022 != 0 && !is_sticky {
        Err(wrong("can be written by other users"))
    } else {
        Ok(())
    }
}

/// Takes the lock of a socket, and writes the process into it.
fn lock(path: &Path) -> Result<Lock, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = PathBuf::from(name);
    for _ in 0..MAX_LOCK_ATTEMPTS {
        let taken = Lock { file: open_lock(&lock)?, path: lock.clone() };
        match taken.file.try_lock() {
            Ok(()) if taken.is_there() => {
                lock_file::write_pid(&taken.file);
                return Ok(taken);
            }
            // Its server removed it a moment ago.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = lock_file::pid(&taken.file);
                return Err(SocketError::InUse { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => {
                return Err(SocketError::Io { path: lock, source });
            }
        }
    }
    Err(SocketError::InUse { path: path.to_owned(), pid: None })
}

fn open_lock(path: &Path) -> Result<File, SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    let foreign = |reason| SocketError::Foreign { path: path.to_owned(), reason };
    let (file, metadata) = match lock_file::open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(foreign("is a symbolic link"));
        }
        opened => opened.map_err(failed)?,
    };
    if !metadata.is_file() {
        return Err(foreign("is not a file"));
    }
    if metadata.uid() != own_uid() {
        return Err(foreign("belongs to another user"));
    }
    // Another user may have linked it to a file of this user, which would be truncated.
    if metadata.nlink() > 1 {
        return Err(foreign("has more than one link"));
    }
    Ok(file)
}

impl Lock {
    /// Whether the path still leads to this file.
    fn is_there(&self) -> bool {
        let there = self.path.symlink_metadata().map(|it| (it.dev(), it.ino()));
        let own = self.file.metadata().map(|it| (it.dev(), it.ino()));
        there.is_ok_and(|there| own.is_ok_and(|own| own == there))
    }

    /// Removes the file while it is locked: a server that has opened it already checks its name
    /// again.
    fn remove(&self) {
        if self.is_there() {
            let _left = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket of a server that has ended without cleaning up. The lock is held.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    let foreign = |reason| SocketError::Foreign { path: path.to_owned(), reason };
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(foreign("is not a socket"));
    }
    if metadata.uid() != own_uid() {
        return Err(foreign("belongs to another user"));
    }
    // A server whose lock was removed still listens.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    match socket.connect(&SockAddr::unix(path).map_err(failed)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        _ => Err(SocketError::InUse { path: path.to_owned(), pid: None }),
    }
}

/// A socket that has its mode before it has a name. Fails if there is anything at the path.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let file = File::from(OwnedFd::from(socket));
    file.set_permissions(Permissions::from_mode(MODE))?;
    let socket = Socket::from(OwnedFd::from(file));
    socket.bind(&SockAddr::unix(path)?)?;
    let listening = socket.listen(BACKLOG).and_then(|()| {
        socket.set_nonblocking(true)?;
        UnixListener::from_std(OwnedFd::from(socket).into())
    });
    // This process has just created the name.
    listening.inspect_err(|_| drop(std::fs::remove_file(path)))
}

#[cfg(test)]
mod tests;
