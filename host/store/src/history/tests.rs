//! The file of histories: what it has after each kind of end.

use std::fs;

use tempfile::TempDir;

use super::*;

fn key(topic: &str, epoch: u64) -> TopicKey {
    TopicKey { realm: "r".to_owned(), topic: topic.to_owned(), epoch }
}

/// Appends an event whose content is its offset.
fn append(key: TopicKey, is_new: bool, first: u64, offset: u64) -> HistoryChange {
    let event = offset.to_string().into_bytes();
    HistoryChange::Append { key, is_new, first, offset, at_ms: 7, event, retained: None }
}

/// Opens a file in a boot of this name, which has a memory unless the name ends with `-`.
fn open(folder: &Path, boot: &str, is_synced: bool) -> (HistoryFile, Vec<LoggedTopic>, bool) {
    let mut next = 100;
    // The first number is that of a new line of commits.
    let random = || {
        next += 1;
        next - 1
    };
    let memory = folder.join(format!("memory-{boot}"));
    fs::create_dir_all(&memory).unwrap();
    let memory = (!boot.ends_with('-')).then_some(&*memory);
    HistoryFile::open(folder, MachineBoot { name: boot, memory }, is_synced, random).unwrap()
}

/// The topics as `name epoch: events^top`.
fn shown(topics: &[LoggedTopic]) -> Vec<String> {
    let show = |topic: &LoggedTopic| {
        let LoggedTopic { key, top, events, .. } = topic;
        let events: Vec<_> = events.iter().map(|it| String::from_utf8_lossy(it)).collect();
        format!("{} {}: {}^{top}", key.topic, key.epoch, events.join(" "))
    };
    let mut shown: Vec<_> = topics.iter().map(show).collect();
    shown.sort();
    shown
}

/// Makes the changes, ends as a kill does, and returns what the next process finds.
fn found(changes: &[HistoryChange]) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = open(folder.path(), "b", false);
    for change in changes {
        file.commit([change]).unwrap();
    }
    drop(file);
    shown(&open(folder.path(), "b", false).1)
}

#[test]
fn keeps_the_newest_events_of_each_topic() {
    let (a, b) = (key("a", 1), key("b", u64::MAX));
    let all = [
        append(a.clone(), true, 1, 1),
        append(b.clone(), true, 9, 9),
        append(a.clone(), false, 1, 2),
        append(a.clone(), false, 2, 3),
    ];
    let whole = format!("b {}: 9^9", u64::MAX);
    assert_eq!(found(&all), ["a 1: 2 3^3".to_owned(), whole.clone()]);
    let and = |change: HistoryChange| found(&[&all[..], &[change]].concat());
    let trim = |first| HistoryChange::Trim { key: a.clone(), first, top: 3, keeps_retained: true };
    assert_eq!(and(trim(3)), ["a 1: 3^3".to_owned(), whole.clone()]);
    assert_eq!(and(trim(4)), ["a 1: ^3".to_owned(), whole.clone()]);
    let back = HistoryChange::Rewind { key: a.clone(), offset: 3, retained: None };
    assert_eq!(and(back), ["a 1: 2^2".to_owned(), whole.clone()]);
    assert_eq!(and(HistoryChange::Forget { key: a.clone() }), std::slice::from_ref(&whole));
    // A change of an earlier epoch comes too late.
    assert_eq!(and(HistoryChange::Forget { key: key("a", 2) }).len(), 2);
    assert_eq!(and(append(key("a", 2), true, 4, 4)), ["a 2: 4^4".to_owned(), whole.clone()]);
    // An event that was taken back, and another one in its place.
    assert_eq!(and(append(a.clone(), false, 2, 3)), ["a 1: 2 3^3".to_owned(), whole]);
    // Never behind a hole.
    assert_eq!(found(&[append(a.clone(), true, 1, 1), append(a, false, 1, 3)]), ["a 1: 3^3"]);
}

#[test]
fn an_append_to_an_unknown_topic_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = open(folder.path(), "b", false);
    let both = [append(key("a", 1), true, 1, 1), append(key("b", 1), false, 2, 2)];
    file.commit(&both).unwrap_err();
    file.commit([&append(key("c", 1), true, 1, 1)]).unwrap();
    drop(file);
    assert_eq!(shown(&open(folder.path(), "b", false).1), ["c 1: 1^1"]);
}

#[test]
fn keeps_the_retained_event() {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = open(folder.path(), "b", false);
    let retaining = |offset: u64, is_new, text: Option<&str>| HistoryChange::Append {
        key: key("a", 1),
        is_new,
        first: 1,
        offset,
        at_ms: 7,
        event: Vec::new(),
        retained: text.map(|it| it.as_bytes().to_vec()),
    };
    let retained = |file: &HistoryFile| file.topics().unwrap()[0].retained.clone();
    file.commit([&retaining(1, true, Some("one")), &retaining(2, false, None)]).unwrap();
    assert_eq!(retained(&file).as_deref(), Some(&b"one"[..]));
    file.commit([&retaining(3, false, Some("three"))]).unwrap();
    let before = Some(Some(b"one".to_vec()));
    let back = HistoryChange::Rewind { key: key("a", 1), offset: 3, retained: before };
    file.commit([&back]).unwrap();
    assert_eq!(retained(&file).as_deref(), Some(&b"one"[..]));
    // A comparison that began before the second event does not know its retained one.
    let trim = |top| HistoryChange::Trim { key: key("a", 1), first: 1, top, keeps_retained: false };
    file.commit([&trim(1)]).unwrap();
    assert_eq!(retained(&file).as_deref(), Some(&b"one"[..]));
    file.commit([&trim(2)]).unwrap();
    assert_eq!(retained(&file), None);
}

#[test]
fn renews_epochs_only_if_commits_may_be_missing() {
    // The boot and mode of the first process, whether it was closed, the boot of the second one.
    for (boot, is_synced, is_closed, next, is_renewed) in [
        ("one", false, false, "one", false),
        ("one", true, false, "one", false),
        ("one", false, false, "two", true),
        ("one", true, false, "two", false),
        ("one", false, true, "two", false),
        // No memory: a failed sync of this boot may not be known.
        ("one-", false, false, "one-", true),
        ("one-", true, false, "one-", true),
        ("one-", false, true, "one-", false),
        ("one-", true, false, "two-", false),
        ("", false, false, "", true),
        ("", true, false, "", true),
        ("", true, true, "", false),
    ] {
        let folder = TempDir::new().unwrap();
        let (mut file, ..) = open(folder.path(), boot, is_synced);
        assert_eq!(file.has_witness(), !boot.ends_with('-'));
        file.commit([&append(key("a", 1), true, 5, 5)]).unwrap();
        if is_closed {
            file.close().unwrap();
        } else {
            drop(file);
        }
        let (mut file, topics, was_renewed) = open(folder.path(), next, false);
        assert_eq!(was_renewed, is_renewed, "{boot} {is_synced} {is_closed} {next}");
        let epoch = if is_renewed { 101 } else { 1 };
        assert_eq!(shown(&topics), [format!("a {epoch}: 5^5")]);
        // The new epochs are in the file, and the next kill is one as any other.
        file.commit([&append(key("a", epoch), false, 5, 6)]).unwrap();
        drop(file);
        let (_file, topics, _) = open(folder.path(), next, false);
        let is_believed = !next.is_empty() && !next.ends_with('-');
        let epoch = if is_believed { epoch } else { 101 };
        assert_eq!(shown(&topics), [format!("a {epoch}: 5 6^6")]);
    }
}

/// Copies the file and its log, if it has one, over those of another folder: the inodes stay.
fn copy_over(from: &Path, to: &Path) {
    for end in ["", "-wal", ".seal"] {
        let name = format!("{HISTORY_FILE}{end}");
        match fs::read(from.join(&name)) {
            Ok(bytes) => fs::write(to.join(&name), bytes).unwrap(),
            Err(_) => fs::remove_file(to.join(&name)).unwrap_or_default(),
        }
    }
}

/// A backup, of a server that is stopped or not, and one more event that clients have seen.
#[test]
fn an_earlier_state_is_not_believed() {
    for boot in ["b", "b-"] {
        for is_closed in [true, false] {
            let (folder, backup) = (TempDir::new().unwrap(), TempDir::new().unwrap());
            let (mut file, ..) = open(folder.path(), boot, true);
            file.commit([&append(key("a", 1), true, 5, 5)]).unwrap();
            if is_closed {
                file.close().unwrap();
                copy_over(folder.path(), backup.path());
                (file, ..) = open(folder.path(), boot, true);
            } else {
                copy_over(folder.path(), backup.path());
            }
            file.commit([&append(key("a", 1), false, 5, 6)]).unwrap();
            if is_closed {
                file.close().unwrap();
            } else {
                drop(file);
            }
            copy_over(backup.path(), folder.path());
            let (_file, topics, is_renewed) = open(folder.path(), boot, true);
            assert!(is_renewed, "{boot} {is_closed}");
            assert_eq!(shown(&topics), ["a 101: 5^5"]);
        }
    }
}

/// After a kill, all that was committed since the last checkpoint is in the log.
#[test]
fn a_lost_log_is_noticed() {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = open(folder.path(), "b", true);
    file.commit([&append(key("a", 1), true, 5, 5)]).unwrap();
    file.close().unwrap();
    let (mut file, ..) = open(folder.path(), "b", true);
    file.commit([&append(key("a", 1), false, 5, 6)]).unwrap();
    assert!(file.is_in_place());
    let path = folder.path().join(HISTORY_FILE);
    let (without, log) =
        (fs::read(&path).unwrap(), path.with_file_name(format!("{HISTORY_FILE}-wal")));
    fs::remove_file(&log).unwrap();
    assert!(!file.is_in_place());
    fs::write(&log, "another").unwrap();
    assert!(!file.is_in_place());
    drop(file);
    fs::write(&path, without).unwrap();
    fs::remove_file(&log).unwrap_or_default();
    assert_eq!(shown(&open(folder.path(), "b", true).1), ["a 101: 5^5"]);
}

#[test]
fn a_removed_file_is_noticed() {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = open(folder.path(), "b", true);
    assert!(file.is_in_place());
    fs::remove_file(folder.path().join(HISTORY_FILE)).unwrap();
    assert!(!file.is_in_place());
    fs::write(folder.path().join(HISTORY_FILE), "another").unwrap();
    assert!(!file.is_in_place());
    // Nothing is sealed that is not there.
    file.distrust().unwrap();
}

/// As after a kill: the file and a part of its log are all that there is.
#[test]
fn keeps_every_complete_commit_before_a_torn_log() {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = open(folder.path(), "b", true);
    let log = folder.path().join(format!("{HISTORY_FILE}-wal"));
    let mut lengths = Vec::new();
    for offset in 1..=6 {
        file.commit([&append(key("a", 1), offset == 1, 1, offset)]).unwrap();
        lengths.push(fs::metadata(&log).unwrap().len());
    }
    let (database, whole) =
        (fs::read(folder.path().join(HISTORY_FILE)).unwrap(), fs::read(&log).unwrap());
    let begin = lengths[0];
    for cut in (begin..=*lengths.last().unwrap()).step_by(997) {
        let torn = TempDir::new().unwrap();
        fs::write(torn.path().join(HISTORY_FILE), &database).unwrap();
        let part = &whole[..usize::try_from(cut).unwrap()];
        fs::write(torn.path().join(format!("{HISTORY_FILE}-wal")), part).unwrap();
        let complete = lengths.iter().filter(|length| **length <= cut).count();
        let events: Vec<_> = (1..=complete).map(|it| it.to_string()).collect();
        // A copy of the file is not believed.
        let expect = format!("a 101: {}^{complete}", events.join(" "));
        assert_eq!(shown(&open(torn.path(), "b", true).1), [expect], "{cut}");
    }
}

#[test]
fn refuses_files_that_it_cannot_use() {
    let boot = MachineBoot { name: "b", memory: None };
    let refusal =
        |folder: &Path| HistoryFile::open(folder, boot, false, || 1).unwrap_err().to_string();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(HISTORY_FILE);
    let (open, ..) = open(folder.path(), "b", false);
    assert!(refusal(folder.path()).contains("another process has it open"));
    open.close().unwrap();
    let mut newer = fs::read(&file).unwrap();
    // `user_version` is in the bytes 60 to 63.
    newer[63] = 200;
    fs::write(&file, newer).unwrap();
    assert!(
        refusal(folder.path()).contains("of version 200, and this server knows versions up to 1")
    );
    fs::write(&file, vec![7; 9_000]).unwrap();
    assert!(refusal(folder.path()).contains("it is no file of this server"));
}

/// The file stays small, whatever is published: freed pages are used again.
#[test]
fn freed_events_take_no_place() {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = open(folder.path(), "b", false);
    let event = vec![b'x'; 1000];
    for topic in 0..2000_u64 {
        let key = key(&format!("t{topic}"), topic);
        let (is_new, first, event) = (true, 1, event.clone());
        let append = HistoryChange::Append {
            key,
            is_new,
            first,
            offset: 1,
            at_ms: 0,
            event,
            retained: None,
        };
        file.commit([&append]).unwrap();
        if let Some(before) = topic.checked_sub(100) {
            let key = self::key(&format!("t{before}"), before);
            file.commit([&HistoryChange::Forget { key }]).unwrap();
        }
    }
    file.close().unwrap();
    let length = fs::metadata(folder.path().join(HISTORY_FILE)).unwrap().len();
    assert!(length < 1 << 20, "{length} bytes for 100 events of 1000 bytes");
}

#[test]
fn a_copy_is_not_believed_and_a_moved_file_is() {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = open(folder.path(), "b", true);
    file.commit([&append(key("a", 1), true, 5, 5)]).unwrap();
    file.close().unwrap();
    let (copied, moved) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let at = |folder: &TempDir| folder.path().join(HISTORY_FILE);
    fs::copy(at(&folder), at(&copied)).unwrap();
    assert_eq!(shown(&open(copied.path(), "b", true).1), ["a 101: 5^5"]);
    let to = moved.path().join("folder");
    fs::rename(folder.path(), &to).unwrap();
    assert_eq!(shown(&open(&to, "b", true).1), ["a 1: 5^5"]);
}

/// A sync has failed, so the disk may lack commits, and may take no note of it.
#[test]
fn a_failed_sync_is_not_forgotten() {
    for (next, can_write) in [("one", true), ("one", false), ("two", true)] {
        let folder = TempDir::new().unwrap();
        let (mut file, ..) = open(folder.path(), "one", true);
        file.commit([&append(key("a", 1), true, 5, 5)]).unwrap();
        if can_write {
            file.distrust().unwrap();
        } else {
            file.revoke();
        }
        // It goes on without an effect.
        file.commit([&append(key("a", 1), false, 5, 6)]).unwrap();
        drop(file);
        assert_eq!(shown(&open(folder.path(), next, true).1), ["a 101: 5 6^6"]);
    }
}

/// The disk takes nothing any more, not even a note. `/dev/null` cannot be synced.
#[test]
fn a_sync_that_fails_ends_the_trust_by_itself() {
    let null = Path::new("/dev/null");
    for in_background in [true, false] {
        let folder = TempDir::new().unwrap();
        let (mut file, ..) = open(folder.path(), "b", true);
        file.commit([&append(key("a", 1), true, 5, 5)]).unwrap();
        drop(file);
        let (mut file, topics, _) = open(folder.path(), "b", true);
        assert_eq!(shown(&topics), ["a 1: 5^5"]);
        if in_background {
            file.log = null.to_owned();
            file.syncer().unwrap()().unwrap_err();
        } else {
            file.log_file = Some(File::open(null).unwrap());
            file.sync().unwrap_err();
        }
        drop(file);
        assert_eq!(shown(&open(folder.path(), "b", true).1), ["a 101: 5^5"]);
    }
}

#[test]
fn tells_the_extent_of_each_topic() {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = open(folder.path(), "b", false);
    let (a, b) = (key("a", 1), key("b", 2));
    file.commit([&append(a.clone(), true, 1, 1), &append(a.clone(), false, 1, 2)]).unwrap();
    file.commit([&append(b.clone(), true, 1, 1)]).unwrap();
    let trim = HistoryChange::Trim { key: b.clone(), first: 2, top: 1, keeps_retained: true };
    file.commit([&trim]).unwrap();
    let extent = |key, first| LoggedExtent { key, first, has_retained: false };
    assert_eq!(file.extents().unwrap(), [extent(a, Some(1)), extent(b, None)]);
}
