//! Bounded reading of configured files: irregular and oversized files are refused. Reading a pipe
//! would otherwise block its thread for as long as the process lives.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::SetupError;

/// Maximum length of a file, in bytes: more than the parsers take.
const MAX_BYTES: u64 = 64 << 20;

/// Reads the text of the file at `path`; symbolic links are followed.
///
/// # Errors
/// If the file is missing, irregular, too long, or not text.
pub fn read(path: &Path) -> std::result::Result<String, SetupError> {
    read_text(path).map_err(|source| SetupError::Unreadable { path: path.to_owned(), source })
}

/// Like [`read`], with errors that do not name the file.
///
/// # Errors
/// As [`read`].
pub fn read_text(path: &Path) -> Result<String> {
    read_at_most(path, MAX_BYTES)
}

fn read_at_most(path: &Path, longest: u64) -> Result<String> {
    // Without a writer, opening a pipe would block.
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
    // One more byte distinguishes a file of exactly `longest` bytes from a longer one.
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
            let found = read_text(&path(name)).map_err(|error| error.to_string());
            assert_eq!(found.as_deref(), expect.map_err(|error| error.to_string()).as_deref());
        };
        let wrong = |subject: &str| {
            Err(Error::other(format!("it is {subject}, and has to be a regular file")))
        };
        check("file", Ok("text"));
        check("link", Ok("text"));
        check(".", wrong("a directory"));
        check("pipe", wrong("a named pipe"));
        check("link-to-pipe", wrong("a named pipe"));
        for name in ["none", "dangling", "socket", "bytes"] {
            assert!(read_text(&path(name)).is_err(), "{name}");
        }
        let device = read_text(Path::new("/dev/zero")).unwrap_err().to_string();
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
