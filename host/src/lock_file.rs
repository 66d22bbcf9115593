//! Lock files: one process at a time holds each, and the kernel releases it with the process. Its content
//! is the number of the process, for the message of another one.
//!
//! Used by [`crate::data_folder`] and by the control socket.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// The mode of a lock file: the user alone.
const MODE: u32 = 0o600;
/// Bytes of a process number and its line end.
const MAX_PID_BYTES: u64 = 16;

/// Opens a lock file, which is made if it does not exist. The caller checks that it is a file.
///
/// # Errors
/// When it cannot be opened, such as a symbolic link (`ELOOP`).
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // A link would lead to another file, and a pipe would block.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(MODE);
    let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Writes the number of this process into a file that it has locked.
pub(crate) fn write_pid(mut file: &File) {
    // The lock holds without it.
    let _unwritten = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
}

/// The process that has locked a file, if it has written its number.
pub(crate) fn pid(file: &File) -> Option<u32> {
    let mut pid = String::new();
    file.take(MAX_PID_BYTES).read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}
