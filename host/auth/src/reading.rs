//! Reads a file that an operator named, whatever has become of it: what is no regular file, or is
//! far too long, is refused at once. A pipe in its place would otherwise be waited for, and hold
//! up the thread that reads it for as long as the process lives.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::SetupError;

/// Bytes of the longest file that is read: more than the parsers take.
const MAX_BYTES: u64 = 64 << 20;

/// The text in the file at `path`, or at what `path` is a link to.
///
/// # Errors
/// When there is none, when it is no regular file, too long, or not text.
pub fn read(path: &Path) -> std::result::Result<String, SetupError> {
    text(path).map_err(|source| SetupError::Unreadable { path: path.to_owned(), source })
}

/// The same; the messages do not name the file.
pub(crate) fn text(path: &Path) -> Result<String> {
    read_at_most(path, MAX_BYTES)
}

fn read_at_most(path: &Path, longest: u64) -> Result<String> {
    // A pipe without a writer does not block.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() {
        let found = match kind {
            it if it.is_dir() => "a directory",
            it if it.is_fifo() => "a named pipe",
            _ => "a device or a socket",
        };
        let message = format!("it is {found}, and has to be a regular file");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let mut text = String::new();
    // One byte more tells a file that ends there from one that does not.
    file.take(longest.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= longest) {
        Ok(text)
    } else {
        let message = format!("it is longer than {longest} bytes");
        Err(Error::new(ErrorKind::FileTooLarge, message))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn reads_regular_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        symlink("file", path("link")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        symlink("pipe", path("link-to-pipe")).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        std::fs::write(path("bytes"), b"\xff").unwrap();
        let check = |name: &str, expect: Result<&str>| {
            let found = text(&path(name)).map_err(|error| error.to_string());
            assert_eq!(found.as_deref(), expect.map_err(|error| error.to_string()).as_deref());
        };
        let wrong =
            |what: &str| Err(Error::other(format!("it is {what}, and has to be a regular file")));
        check("file", Ok("text"));
        check("link", Ok("text"));
        check(".", wrong("a directory"));
        check("pipe", wrong("a named pipe"));
        check("link-to-pipe", wrong("a named pipe"));
        for name in ["none", "dangling", "socket", "bytes"] {
            assert!(text(&path(name)).is_err(), "{name}");
        }
        let device = text(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(device.contains("a device"), "{device}");
    }

    #[test]
    fn bounds_the_size_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), "12345");
        let error = read_at_most(&path, 4).unwrap_err().to_string();
        assert_eq!(error, "it is longer than 4 bytes");
    }
}
