//! Stores of this node that the log of the cluster has never had: saved as exports before they are replaced.

use std::path::{Path, PathBuf};
use std::{fs, io};

use jackfield_sandbox::StoreValue;
use jackfield_store::Saved;

use crate::data_folder::{make_folder, replace_file};
use crate::store_lines::{Head, Line, VERSION, put};

/// The folder in that of the stores.
const FOLDER: &str = "replaced";

/// The maximum number of files of a plugin. The oldest one is removed for another one.
const MAX_FILES: usize = 3;

/// The end of their names.
const EXTENSION: &str = ".jsonl";

/// Writes a store to a new file, `replaced/PLUGIN-MILLISECONDS.jsonl`. Returns its path.
///
/// # Errors
/// The file cannot be written.
pub(super) fn set_aside(
    folder: &Path,
    plugin: &str,
    saved: &Saved,
    now_ms: u64,
) -> io::Result<PathBuf> {
    let folder = folder.join(FOLDER);
    make_folder(&folder)?;
    let is_plain = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '.';
    let name: String = plugin.chars().map(|it| if is_plain(it) { it } else { '_' }).collect();
    let mut files = files(&folder, &name)?;
    while files.len() >= MAX_FILES {
        fs::remove_file(folder.join(file_name(&name, files.remove(0))))?;
    }
    // Two in a millisecond are two files.
    let number = files.last().map_or(now_ms, |last| now_ms.max(last + 1));
    let mut lines = Vec::new();
    let head = Head {
        jackfield_store: VERSION,
        plugin: plugin.to_owned(),
        schema: saved.schema.unwrap_or_default(),
        entries: saved.entries.len(),
    };
    put(&mut lines, &head);
    for (key, value) in &saved.entries {
        let expires_ms = value.expires.map(|at| u64::try_from(at).unwrap_or(0));
        let value = StoreValue(value.bytes.to_vec());
        put(&mut lines, &Line { key: key.clone(), value, expires_ms });
    }
    let file = folder.join(file_name(&name, number));
    replace_file(&file, &lines)?;
    Ok(file)
}

/// Returns the numbers of the files of a plugin, the oldest first.
fn files(folder: &Path, name: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let number: Option<u64> = file.to_str().and_then(|it| {
            it.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(EXTENSION)?.parse().ok()
        });
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn file_name(name: &str, number: u64) -> String {
    format!("{name}-{number}{EXTENSION}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use jackfield_store::Value;

    use super::*;

    #[test]
    fn the_newest_files_of_a_plugin_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let value = Value { bytes: Arc::from(&b"12"[..]), expires: Some(99) };
        let saved = Saved { schema: Some(4), entries: vec![("seen".to_owned(), value)] };
        let write = |plugin: &str, now| set_aside(folder.path(), plugin, &saved, now).unwrap();
        write("acme", 7);
        write("acme-9", 1);
        let written: Vec<_> = [8, 8, 20].map(|now| write("acme", now)).into();
        let mut left: Vec<_> = fs::read_dir(folder.path().join(FOLDER)).unwrap().collect();
        left.sort_by_key(|it| it.as_ref().unwrap().path());
        let left: Vec<_> = left.into_iter().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(
            left,
            ["acme-20.jsonl", "acme-8.jsonl", "acme-9-1.jsonl", "acme-9.jsonl"],
            "{written:?}"
        );
        let text = fs::read_to_string(&written[0]).unwrap();
        let head = r#"{"jackfield_store":1,"plugin":"acme","schema":4,"entries":1}"#;
        let line = r#"{"key":"seen","value":"12","expires_ms":99}"#;
        assert_eq!(text, format!("{head}\n{line}\n"));
        assert_eq!(fs::metadata(&written[0]).unwrap().permissions().mode() & 0o777, 0o600);
        let inside = write("../x", 1);
        assert_eq!(inside.parent(), Some(&*folder.path().join(FOLDER)));
    }
}
