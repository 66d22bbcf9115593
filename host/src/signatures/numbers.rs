//! Highest numbers: of each plugin, the number of the newest signature that has served.
//!
//! The table is in the data folder, and is on the disk before a plugin with a higher number serves.
//! A plugin stays in it when the site no longer has it: otherwise, removing a plugin would be the
//! way to deploy an old version of it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jackfield_text::Untrusted;
use serde::{Deserialize, Serialize};

use super::Signed;
use crate::data_folder::{make_folder, read_file, replace_file};

/// The name of the table.
const FILE: &str = "highest.json";
/// The version of the table's format.
const FORMAT: u32 = 1;
/// The maximum size of the table that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// The maximum number of plugins in the table. One is added for each name that a trusted key signs.
const MAX_PLUGINS: usize = 20_000;

/// The table of highest numbers.
#[derive(Debug)]
pub(crate) struct HighestNumbers {
    path: PathBuf,
    /// A std mutex: held over no await and no access to files.
    numbers: Mutex<BTreeMap<String, u64>>,
    /// Held while the table is written, so that the one on disk is the newest.
    writing: tokio::sync::Mutex<()>,
}

/// An error of the table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NumbersError {
    /// The operating system refuses it.
    #[error("the highest numbers of signatures in {} cannot be used: {source}", shown(.path))]
    Io {
        /// The table.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is no table of this format.
    #[error(
        "the highest numbers of signatures in {} are damaged: {reason}\n  = help: remove the file; downgrades before \
         this moment are not noticed then",
        shown(.path)
    )]
    Damaged {
        /// The table.
        path: PathBuf,
        /// The error and its place.
        reason: String,
    },
    /// It is full.
    #[error("there are more than {MAX_PLUGINS} plugins with a highest number in {}", shown(.0))]
    Full(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    plugins: BTreeMap<String, u64>,
}

impl HighestNumbers {
    /// Opens the table in a folder, which is made if it does not exist. It blocks.
    ///
    /// # Errors
    /// When there is a table that cannot be read: downgrades would not be noticed.
    pub(crate) fn open(folder: &Path) -> Result<Self, NumbersError> {
        let path = folder.join(FILE);
        let failed = |source| NumbersError::Io { path: path.clone(), source };
        make_folder(folder).map_err(failed)?;
        let numbers = match read_file(&path, MAX_FILE_BYTES) {
            Ok(text) => parse(&text)
                .map_err(|reason| NumbersError::Damaged { path: path.clone(), reason })?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(failed(source)),
        };
        Ok(Self { path, numbers: Mutex::new(numbers), writing: tokio::sync::Mutex::default() })
    }

    /// The highest number of a plugin.
    pub(crate) fn of(&self, plugin: &str) -> Option<u64> {
        self.lock().get(plugin).copied()
    }

    /// Records the numbers of the plugins that are about to serve, by a pin as well: a promoted
    /// version is the newest one too.
    ///
    /// # Errors
    /// When they cannot be written: these plugins must not serve.
    pub(crate) async fn raise(
        &self,
        plugins: impl Iterator<Item = &Signed>,
    ) -> Result<(), NumbersError> {
        let numbers = plugins
            .filter_map(|it| Some((it.statement.plugin.clone(), it.statement.number?)))
            .collect();
        self.raise_to(numbers).await
    }

    async fn raise_to(&self, numbers: Vec<(String, u64)>) -> Result<(), NumbersError> {
        let _turn = self.writing.lock().await;
        let mut raised = self.lock().clone();
        let mut is_raised = false;
        for (plugin, number) in numbers {
            let highest = raised.entry(plugin).or_insert(0);
            // A number of 0 is no downgrade from nothing.
            is_raised |= number > *highest;
            *highest = number.max(*highest);
        }
        if raised.len() > MAX_PLUGINS {
            return Err(NumbersError::Full(self.path.clone()));
        }
        if !is_raised {
            return Ok(());
        }
        let path = self.path.clone();
        let document = Document { format: FORMAT, plugins: raised };
        let writing = tokio::task::spawn_blocking(move || {
            let text = serde_json::to_vec(&document)?;
            replace_file(&path, &text).map(|()| document.plugins)
        });
        let written = writing.await.map_err(io::Error::other).flatten();
        let raised =
            written.map_err(|source| NumbersError::Io { path: self.path.clone(), source })?;
        *self.lock() = raised;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(text: &[u8]) -> Result<BTreeMap<String, u64>, String> {
    let document: Document = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if document.format != FORMAT {
        return Err(format!(
            "it has the format {}, and this server reads {FORMAT}",
            document.format
        ));
    }
    Ok(document.plugins)
}

fn shown(path: &Path) -> String {
    Untrusted::new(path.display()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_highest_number_of_each_plugin() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("signatures");
        let numbers = HighestNumbers::open(&folder).unwrap();
        assert_eq!(numbers.of("a"), None);
        let to = |name: &str, number| vec![(name.to_owned(), number)];
        numbers.raise_to(to("a", 5)).await.unwrap();
        numbers.raise_to(to("b", 1)).await.unwrap();
        numbers.raise_to(to("a", 3)).await.unwrap();
        for numbers in [numbers, HighestNumbers::open(&folder).unwrap()] {
            assert_eq!((numbers.of("a"), numbers.of("b")), (Some(5), Some(1)));
        }
    }

    #[tokio::test]
    async fn fails_closed_if_the_table_cannot_be_read_or_written() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("signatures");
        let numbers = HighestNumbers::open(&folder).unwrap();
        // A folder in the place of the table.
        std::fs::create_dir(folder.join(FILE)).unwrap();
        assert!(numbers.raise_to(vec![("a".to_owned(), 1)]).await.is_err());
        assert_eq!(numbers.of("a"), None);
        assert!(matches!(HighestNumbers::open(&folder), Err(NumbersError::Io { .. })));
        std::fs::remove_dir(folder.join(FILE)).unwrap();
        for text in ["", "{", r#"{"format":2,"plugins":{}}"#, r#"{"format":1,"plugins":{"a":-1}}"#]
        {
            std::fs::write(folder.join(FILE), text).unwrap();
            let error = HighestNumbers::open(&folder).unwrap_err().to_string();
            assert!(error.contains("are damaged") && error.contains("= help: "), "{error}");
        }
    }
}
