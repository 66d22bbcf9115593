//! Files: kept, recovered, and refused by name.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

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

/// As after a kill or a power cut: the file and a part of its log are all that there is.
#[test]
fn keeps_every_complete_commit_before_a_torn_log() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("store.sqlite3-wal");
    let length = || fs::metadata(&log).unwrap().len();
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    // The length of the log after each commit; the value of `x` is the number of the commit.
    let mut ends = vec![length()];
    for number in 1..=8 {
        let (text, large) = (number.to_string(), "y".repeat(number * 700));
        engine.commit(&[&changes("a", &[("x", Some(&text)), ("y", Some(&large))])]).unwrap();
        ends.push(length());
    }
    let bytes = fs::read(&log).unwrap();
    let ends = ends.into_iter().map(|end| usize::try_from(end).unwrap()).collect::<Vec<_>>();
    let around = ends.iter().flat_map(|end| [end.saturating_sub(1), *end, end + 1]);
    let lengths = around.chain((0..bytes.len()).step_by(1_511)).filter(|it| *it <= bytes.len());
    let copy = TempDir::new().unwrap();
    for length in lengths.chain([bytes.len()]) {
        fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
        fs::write(copy.path().join("store.sqlite3-wal"), &bytes[..length]).unwrap();
        let mut engine = SqliteEngine::open(copy.path()).unwrap();
        let found = engine.read("a").unwrap().entries;
        let found = found.first().map(|(_, value)| String::from_utf8_lossy(&value.bytes).parse());
        let complete = ends.iter().filter(|end| **end <= length).count().saturating_sub(1);
        assert_eq!(found.map_or(0, Result::unwrap), complete, "{length} of {ends:?}");
    }
}

#[test]
fn backs_up_while_commits_go_on() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    let large = "x".repeat(3 << 20);
    engine.commit(&[&changes("a", &[("x", Some("1")), ("y", Some(&large))])]).unwrap();
    let backup = engine.begin_backup().unwrap();
    // More than the log has before a commit makes a checkpoint.
    engine.commit(&[&changes("a", &[("x", Some("2")), ("y", None), ("z", Some(&large))])]).unwrap();
    engine.commit(&[&changes("a", &[("z", Some(&large.repeat(2)))])]).unwrap();
    let file = target.path().join(FILE);
    let size = backup(&file).unwrap();
    engine.end_backup().unwrap();
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (size, 0o600));

    let mut copy = SqliteEngine::open(target.path()).unwrap();
    assert_eq!(shown(&mut copy, "a"), format!("x=1 y={large}"));
    drop(copy);
    // SQLite still has its locks, and everything.
    let inode = fs::metadata(folder.path().join(FILE)).unwrap().ino();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    assert!(locks.contains(&format!(":{inode} ")), "{inode}: {locks}");
    engine.commit(&[&changes("a", &[("z", None)])]).unwrap();
    assert_eq!(shown(&mut engine, "a"), "x=2");

    let refused = engine.begin_backup().unwrap()(&file).unwrap_err().to_string();
    engine.end_backup().unwrap();
    assert!(refused.contains("exists") && refused.contains("help: name a new file"), "{refused}");
    let missing = target.path().join("missing/file");
    engine.begin_backup().unwrap()(&missing).unwrap_err();
    engine.end_backup().unwrap();
    assert_eq!(fs::metadata(&file).unwrap().len(), size);
    let names = fs::read_dir(target.path()).unwrap().count();
    let names = names - usize::from(target.path().join("store.sqlite3-wal").exists());
    assert_eq!(names, 1, "no part of a backup is left");
}

#[test]
fn gives_a_backup_up_that_lets_the_log_grow() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let log = folder.path().join("store.sqlite3-wal");
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    engine.max_backup_log = 1 << 20;
    engine.connection.pragma_update(None, "journal_size_limit", 0).unwrap();
    let backup = engine.begin_backup().unwrap();
    let large = "x".repeat(5 << 20);
    engine.commit(&[&changes("a", &[("x", Some(&large))])]).unwrap();
    // Checkpoints go on before the function has returned.
    engine.commit(&[&changes("a", &[("x", Some("1"))])]).unwrap();
    engine.commit(&[&changes("a", &[("x", Some("2"))])]).unwrap();
    let length = fs::metadata(&log).unwrap().len();
    assert!(length < 1 << 20, "{length}");
    let text = backup(&target.path().join(FILE)).unwrap_err().to_string();
    assert!(text.contains("given up") && text.contains("help: name a file on a faster"), "{text}");
    engine.end_backup().unwrap();
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "no part of it is left");
    // Another begins, and is no longer than its copy.
    let backup = engine.begin_backup().unwrap();
    let size = backup(&target.path().join(FILE)).unwrap();
    engine.commit(&[&changes("a", &[("x", Some(&large))])]).unwrap();
    engine.end_backup().unwrap();
    assert_eq!(fs::metadata(target.path().join(FILE)).unwrap().len(), size);
}

#[test]
fn names_the_file_of_an_interrupted_backup() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (file, partial) = (target.path().join("b"), target.path().join("b.partial"));
    fs::write(&partial, "x").unwrap();
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    let text = engine.begin_backup().unwrap()(&file).unwrap_err().to_string();
    engine.end_backup().unwrap();
    assert!(text.contains("b.partial: ") && text.contains("help: remove this file"), "{text}");
    assert!(partial.exists(), "it may be another server's");
}

/// On a full disk, a trial that writes nothing would succeed.
#[test]
fn a_trial_writes_to_the_log() {
    let folder = TempDir::new().unwrap();
    let length = || fs::metadata(folder.path().join("store.sqlite3-wal")).unwrap().len();
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    for _ in 0..2 {
        engine.checkpoint().unwrap();
        assert_eq!(length(), 0);
        engine.probe().unwrap();
        assert!(length() > 4_096, "{}", length());
    }
}

#[test]
fn a_renewal_leaves_everything_in_the_file() {
    let (folder, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    engine.commit(&[&changes("a", &[("x", Some("1"))])]).unwrap();
    engine.renew().unwrap();
    fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
    assert_eq!(shown(&mut SqliteEngine::open(copy.path()).unwrap(), "a"), "x=1");
    engine.commit(&[&changes("a", &[("x", Some("2"))])]).unwrap();
    assert_eq!(shown(&mut engine, "a"), "x=2");
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
    assert!(refusal(folder).contains("no file of this server"), "{}", refusal(folder));

    fs::write(&file, "x".repeat(5_000)).unwrap();
    assert!(refusal(folder).contains("no file of this server"), "{}", refusal(folder));

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
