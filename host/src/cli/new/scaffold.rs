//! Folder of a new bundle. It is removed with all its files unless it is complete.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jackfield_text::Untrusted;

use super::NewError;

/// A folder that is being filled.
pub(super) struct Scaffold {
    /// The absolute path, without links.
    folder: PathBuf,
    /// The files and folders that were made, in this order.
    made: RefCell<Vec<PathBuf>>,
}

impl Scaffold {
    /// Makes the folder and its missing parents, or takes an empty one.
    pub(super) fn begin(given: &Path) -> Result<Self, NewError> {
        let mut scaffold = Self { folder: PathBuf::new(), made: RefCell::default() };
        let failed = |error| NewError::at(given, &error);
        let absolute = std::path::absolute(given).map_err(failed)?;
        scaffold.make_folders(&absolute)?;
        scaffold.folder = absolute.canonicalize().map_err(failed)?;
        if fs::read_dir(&scaffold.folder).map_err(failed)?.next().is_some() {
            let path = Untrusted::new(given.display());
            return Err(NewError::with_help(
                format!("the folder {path} exists and is not empty"),
                "choose another name, or another folder with --dir",
            ));
        }
        Ok(scaffold)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file of the folder, and makes its missing parents.
    pub(super) fn write(&self, below: &str, text: &str) -> Result<(), NewError> {
        let path = self.folder.join(below);
        if let Some(parent) = path.parent() {
            self.make_folders(parent)?;
        }
        let failed = |error| NewError::at(&path, &error);
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        self.made.borrow_mut().push(path.clone());
        file.write_all(text.as_bytes()).map_err(failed)
    }

    /// Ends without removing anything.
    pub(super) fn keep(self) {
        self.made.borrow_mut().clear();
    }

    fn make_folders(&self, path: &Path) -> Result<(), NewError> {
        let ancestors: Vec<&Path> = path.ancestors().collect();
        for folder in ancestors.into_iter().rev() {
            match fs::create_dir(folder) {
                Ok(()) => self.made.borrow_mut().push(folder.to_owned()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                // Such as a parent on a read-only file system: it exists, which is what counts.
                Err(_) if folder.is_dir() => {}
                Err(error) => return Err(NewError::at(folder, &error)),
            }
        }
        Ok(())
    }
}

impl Drop for Scaffold {
    fn drop(&mut self) {
        for path in self.made.borrow().iter().rev() {
            // A folder that another program has put files into stays.
            let _removed = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_an_incomplete_folder() {
        let root = tempfile::tempdir().unwrap();
        let scaffold = Scaffold::begin(&root.path().join("a/b")).unwrap();
        scaffold.write("src/lib.rs", "x").unwrap();
        assert!(scaffold.write("src/lib.rs/y", "x").is_err());
        drop(scaffold);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        let scaffold = Scaffold::begin(&root.path().join("a/b")).unwrap();
        scaffold.write("src/lib.rs", "x").unwrap();
        scaffold.keep();
        assert_eq!(fs::read_to_string(root.path().join("a/b/src/lib.rs")).unwrap(), "x");
    }

    #[test]
    fn takes_an_empty_folder_and_keeps_what_was_there() {
        let root = tempfile::tempdir().unwrap();
        drop(Scaffold::begin(root.path()).unwrap());
        assert!(root.path().exists());
        fs::write(root.path().join("x"), "").unwrap();
        let error = Scaffold::begin(root.path()).err().unwrap().to_string();
        assert!(error.contains(&root.path().display().to_string()), "{error}");
        assert!(Scaffold::begin(&root.path().join("x")).is_err(), "a file is no folder");
        assert!(root.path().join("x").exists());
    }
}
