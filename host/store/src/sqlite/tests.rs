//! Files: kept, recovered, and refused by name.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

fn changes(plugin: &str, entries: &[(&str, Option<&str>)]) -> Changes {
    let value = |text: &str| Value { bytes: text.as_bytes().into(), expires: None };
    let entries = entries.iter().map(|(key, text)| (Arc::from(*key), text.map(value))).collect();
    Changes { plugin: plugin.into(), schema: 7, entries }
}

fn shown(engine: &mut SqliteEngine, plugin: &str) -> String {
    let saved = engine.read(plugin).unwrap();
    let entry =
        |(key, value): &(String, Value)| format!("{key}={}", String::from_utf8_lossy(&value.bytes));
    saved.entries.iter().map(entry).collect::<Vec<_>>().join(" ")
}

fn refusal(folder: &Path) -> String {
    SqliteEngine::open(folder).unwrap_err().to_string()
}

#[test]
fn keeps_each_plugin_apart_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    let (a, b) = (changes("a", &[("x", Some("1")), ("y", Some("2"))]), changes("b", &[]));
    engine.commit(&[&a, &b]).unwrap();
    engine.commit(&[&changes("a", &[("x", None), ("z", Some("3"))])]).unwrap();
    engine.sync().unwrap();
    engine.syncer().unwrap()().unwrap();
    drop(engine);
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    assert_eq!(shown(&mut engine, "a"), "y=2 z=3");
    assert_eq!(engine.read("a").unwrap().schema, Some(7));
    assert_eq!(shown(&mut engine, "b"), "");
    assert_eq!(engine.read("c").unwrap(), Saved::default());
    let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn opens_a_folder_behind_a_link() {
    let folder = TempDir::new().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let mut engine = SqliteEngine::open(&link).unwrap();
    engine.commit(&[&changes("a", &[("x", Some("1"))])]).unwrap();
    engine.sync().unwrap();
}

#[test]
fn keeps_what_was_committed_before_a_torn_log() {
    let folder = TempDir::new().unwrap();
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    engine.commit(&[&changes("a", &[("x", Some("1"))])]).unwrap();
    let whole = fs::metadata(folder.path().join("store.sqlite3-wal")).unwrap().len();
    engine.commit(&[&changes("a", &[("x", Some("2"))])]).unwrap();
    let log = fs::read(folder.path().join("store.sqlite3-wal")).unwrap();
    let whole = usize::try_from(whole).unwrap();
    assert!(log.len() > whole);
    // As after a kill: the file and a part of its log are all that there is.
    for end in [whole, whole + 1, whole + 100, log.len() - 1, log.len()] {
        let copy = TempDir::new().unwrap();
        fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
        fs::write(copy.path().join("store.sqlite3-wal"), &log[..end]).unwrap();
        let mut engine = SqliteEngine::open(copy.path()).unwrap();
        let expected = if end == log.len() { "x=2" } else { "x=1" };
        assert_eq!(shown(&mut engine, "a"), expected, "{end} of {}", log.len());
    }
}

#[test]
fn refuses_files_that_it_must_not_use() {
    let folder = TempDir::new().unwrap();
    let (folder, file) = (folder.path(), folder.path().join(FILE));
    let engine = SqliteEngine::open(folder).unwrap();
    assert!(refusal(folder).contains("another process has it open"), "{}", refusal(folder));
    drop(engine);

    let other = Connection::open(&file).unwrap();
    other.pragma_update(None, "user_version", 2).unwrap();
    drop(other);
    let text = refusal(folder);
    assert!(text.contains("it is of version 2") && text.contains("help: run the newer"), "{text}");

    let other = Connection::open(&file).unwrap();
    other.pragma_update(None, "user_version", 1).unwrap();
    other.pragma_update(None, "application_id", 5).unwrap();
    drop(other);
    assert!(refusal(folder).contains("no store of this server"), "{}", refusal(folder));

    fs::write(&file, "x".repeat(5_000)).unwrap();
    assert!(refusal(folder).contains("no store of this server"), "{}", refusal(folder));

    fs::remove_file(&file).unwrap();
    symlink("/dev/null", &file).unwrap();
    assert!(refusal(folder).contains("a symbolic link is refused"), "{}", refusal(folder));
    assert!(refusal(&folder.join("missing")).contains("open "));
}

#[test]
fn refuses_a_damaged_file() {
    let folder = TempDir::new().unwrap();
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    let large = "x".repeat(100_000);
    engine.commit(&[&changes("a", &[("x", Some(&large)), ("y", Some(&large))])]).unwrap();
    drop(engine);
    let file = folder.path().join(FILE);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    fs::write(&file, bytes).unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("it is damaged") && text.contains("restore a backup"), "{text}");
}

/// SQLite's own bound on the number of pages stands for a full disk.
#[test]
fn a_failed_commit_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    engine.commit(&[&changes("a", &[("x", Some("1"))])]).unwrap();
    engine.connection.pragma_update(None, "max_page_count", 20).unwrap();
    let large = "x".repeat(1 << 20);
    let failed = engine.commit(&[&changes("a", &[("x", Some("2")), ("y", Some(&large))])]);
    assert!(matches!(failed, Err(EngineError::Full(_))), "{failed:?}");
    assert_eq!(shown(&mut engine, "a"), "x=1");
    engine.commit(&[&changes("a", &[("x", Some("3"))])]).unwrap();
    assert_eq!(shown(&mut engine, "a"), "x=3");
}
