//! Seal of a file that was closed in order: a second file beside it, with the inode of the first one and the
//! time of its last change. Each copy has another time of change, also one that is written over the file,
//! so a copy of both files has a broken seal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The ending of a seal's name.
pub(crate) const SEAL: &str = "seal";

/// Seals a file, as its last change, and waits until the seal is on the disk.
///
/// # Errors
/// The seal cannot be written: the next start takes the file for a copy.
pub fn seal(path: &Path) -> io::Result<()> {
    let incomplete = place(path, "seal.tmp");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&incomplete)?;
    file.write_all(print(path)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&incomplete, place(path, SEAL))?;
    sync_folder(path)
}

/// Returns whether a file is as it was when it was sealed.
pub fn is_sealed(path: &Path) -> bool {
    let sealed = fs::read_to_string(place(path, SEAL));
    sealed.is_ok_and(|sealed| print(path).is_ok_and(|print| print == sealed))
}

/// Removes the seal of a file that is to be changed or removed, if there is one.
///
/// # Errors
/// The seal may still be there.
pub fn break_seal(path: &Path) -> io::Result<()> {
    match fs::remove_file(place(path, SEAL)) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn place(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

/// Returns the content of a seal of a file. Programs can set all times of a file but this one.
fn print(path: &Path) -> io::Result<String> {
    let file = path.symlink_metadata()?;
    let (inode, length) = (file.ino(), file.len());
    Ok(format!("{inode} {length} {}.{:09}\n", file.ctime(), file.ctime_nsec()))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_seal_is_broken_by_each_change_and_copy() {
        let folder = TempDir::new().unwrap();
        let (file, copy) = (folder.path().join("file"), folder.path().join("copy"));
        let (times, kept) = (fs::metadata(folder.path()).unwrap(), folder.path().join("kept"));
        fs::write(&file, "content").unwrap();
        assert!(!is_sealed(&file));
        seal(&file).unwrap();
        assert!(is_sealed(&file));
        fs::copy(&file, &copy).unwrap();
        fs::copy(place(&file, SEAL), place(&copy, SEAL)).unwrap();
        assert!(!is_sealed(&copy));
        // A copy over the file has its inode, and may have its earlier times.
        fs::copy(&file, &kept).unwrap();
        fs::copy(&kept, &file).unwrap();
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(times.modified().unwrap())
            .unwrap();
        assert!(!is_sealed(&file));
        seal(&file).unwrap();
        assert!(is_sealed(&file));
        break_seal(&file).unwrap();
        assert!(!is_sealed(&file));
        break_seal(&file).unwrap();
    }
}
