//! Tests of the format of the log.

use super::*;

/// The link of a record behind a place.
fn link(behind: u64) -> Link {
    Link { log: 1, behind, term: 1, id: behind + 100 }
}

fn value(text: &str) -> Value {
    Value { bytes: Arc::from(text.as_bytes()), expires: None }
}

fn commit(entries: &[(&str, Option<&str>)]) -> Changes {
    let entries = entries.iter().map(|(key, it)| (Arc::from(*key), it.map(value)));
    Changes { plugin: "acme".into(), schema: 3, entries: entries.collect() }
}

fn saved(entries: &[(&str, &str)]) -> Saved {
    let entries = entries.iter().map(|(key, it)| ((*key).to_owned(), value(it)));
    Saved { schema: Some(3), entries: entries.collect() }
}

/// Reads messages in their order, from sequence number 10 on.
fn read(messages: impl IntoIterator<Item = Bytes>) -> Result<LogState, LogFormatError> {
    let mut reader = LogReader::default();
    for (sequence, message) in (10..).zip(messages) {
        reader.take(sequence, message)?;
    }
    Ok(reader.finish())
}

fn snapshot(entries: &[(&str, &str)], number: u64, max: usize) -> Vec<Bytes> {
    write(Record::Snapshot(&saved(entries)), link(number), max)
}

#[test]
fn commits_follow_a_snapshot() {
    let mut log = snapshot(&[("a", "1"), ("b", "2")], 0, 1000);
    log.extend(write(Record::Takeover("web-2"), Link { term: 2, ..link(10) }, 1000));
    let first = commit(&[("a", None), ("c", Some("3"))]);
    log.extend(write(Record::Commit(&first), Link { term: 2, ..link(11) }, 1000));
    log.extend(write(
        Record::Commit(&commit(&[("c", Some("4"))])),
        Link { term: 2, ..link(12) },
        1000,
    ));
    let state = read(log).unwrap();
    assert_eq!(state.saved, Some(saved(&[("b", "2"), ("c", "4")])));
    assert_eq!((state.chain.last(), state.chain.accepted()), (13, 13));
    assert_eq!(state.messages_since, 3);
    assert_eq!(read([]).unwrap(), LogState::default());
}

#[test]
fn times_to_live_and_bytes_are_kept() {
    let changes = Changes {
        plugin: "acme".into(),
        schema: 0,
        entries: vec![("ü".into(), Some(Value { bytes: Arc::from([0, 255]), expires: Some(-7) }))],
    };
    let empty = Saved::default();
    let mut log = write(Record::Snapshot(&empty), link(0), 100);
    log.extend(write(Record::Commit(&changes), link(10), 100));
    let saved = read(log).unwrap().saved.unwrap();
    assert_eq!(saved.schema, Some(0));
    let entry = Value { bytes: Arc::from([0, 255]), expires: Some(-7) };
    assert_eq!(saved.entries, [("ü".to_owned(), entry)]);
    assert_eq!(read(write(Record::Snapshot(&empty), link(0), 100)).unwrap().saved, Some(empty));
}

#[test]
fn parts_count_together_or_not_at_all() {
    let text = "x".repeat(1000);
    let log = snapshot(&[("a", "1")], 0, 100);
    let parts =
        write(Record::Commit(&commit(&[("a", Some("2")), ("b", Some(&text))])), link(10), 100);
    assert!(parts.len() > 10);
    assert!(parts.iter().all(|it| it.len() <= 100));
    let all = |parts: &[Bytes]| read(log.iter().chain(parts).cloned()).unwrap();
    assert_eq!(all(&parts).saved, Some(saved(&[("a", "2"), ("b", &text)])));
    for end in 0..parts.len() {
        let torn = all(&parts[..end]);
        assert_eq!(torn.saved, Some(saved(&[("a", "1")])), "{end} parts");
        // The next home goes on behind them.
        let next = Link { id: 7, ..link(10) };
        let more = write(Record::Commit(&commit(&[("c", Some("3"))])), next, 100);
        let messages = log.iter().chain(&parts[..end]).chain(&more).cloned();
        assert_eq!(read(messages).unwrap().saved, Some(saved(&[("a", "1"), ("c", "3")])));
    }
}

#[test]
fn the_last_complete_snapshot_counts() {
    let mut log = snapshot(&[("a", "1")], 0, 62);
    let begin = log.len();
    let end = 9 + u64::try_from(begin).unwrap();
    log.extend(snapshot(&[("b", "a longer value than a part")], end, 62));
    let state = read(log.clone()).unwrap();
    assert_eq!(state.saved, Some(saved(&[("b", "a longer value than a part")])));
    assert_eq!((state.bytes_since, state.messages_since), (0, 0));
    // A torn one changes nothing.
    let end = 9 + u64::try_from(log.len()).unwrap();
    let torn = snapshot(&[("c", "a longer value than a part")], end, 62);
    log.push(torn[0].clone());
    assert_eq!(read(log.clone()).unwrap().saved, state.saved);
    // All before it may be removed.
    let mut reader = LogReader::default();
    for (sequence, message) in (10..).zip(log).skip(begin) {
        reader.take(sequence, message).unwrap();
    }
    let shortened = reader.finish();
    assert_eq!((shortened.saved, shortened.chain.accepted()), (state.saved, end));
    // A first one that is torn leaves no store at all.
    let torn = snapshot(&[("c", "a longer value than a part")], 0, 62);
    assert_eq!(read([torn[0].clone()]).unwrap().saved, None);
}

#[test]
fn logs_that_cannot_be_read_are_refused() {
    let good = snapshot(&[("a", "1")], 0, 1000);
    let only = commit(&[("a", Some("1"))]);
    let fails = |messages: Vec<Bytes>, expect: &str| {
        let error = read(messages).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}\n{expect}");
        assert!(error.contains("\n  = help: "), "{error}");
    };
    fails(write(Record::Commit(&only), link(0), 1000), "no snapshot before it (message 10)");
    let parts = snapshot(&[("a", "a longer value than a part")], 0, 62);
    fails(vec![parts[1].clone()], "no snapshot before it (message 10)");
    let mut newer = good[0].to_vec();
    newer[4] = 2;
    fails(vec![newer.into()], "is of version 2, and this server knows version 1");
    for length in 4..good[0].len() {
        fails(vec![good[0].slice(..length)], "message 10");
    }
    let mut unknown = good[0].to_vec();
    unknown[5] = 9;
    fails(vec![unknown.into()], "its kind is unknown");
}

#[test]
fn messages_of_other_programs_are_skipped() {
    let garbage = || [&[][..], b"jfs", &[136; 80], &[1; 80]].map(Bytes::copy_from_slice);
    let only = read(garbage()).unwrap();
    assert_eq!((only.saved, only.chain.last(), only.foreign), (None, 13, (4, 13)));
    let parts = snapshot(&[("a", "a longer value than a part")], 0, 62);
    let mut log = Vec::from(garbage());
    for part in parts {
        log.push(part);
        log.extend(garbage());
    }
    let end = 9 + u64::try_from(log.len()).unwrap();
    log.extend(write(Record::Commit(&commit(&[("b", Some("2"))])), link(end - 4), 1000));
    let state = read(log.clone()).unwrap();
    let both = saved(&[("a", "a longer value than a part"), ("b", "2")]);
    assert_eq!(state.saved.as_ref(), Some(&both));
    assert_eq!((state.chain.last(), state.chain.accepted()), (end + 1, end + 1));
    assert_eq!(state.foreign, (log.len() - log.len() / 5, end));
    // A record whose mark is damaged is missed by the next one.
    let damaged: Option<Bytes> = log.pop().map(|it| [&b"x"[..], &it[1..]].concat().into());
    log.extend(damaged);
    log.extend(write(Record::Commit(&commit(&[("c", Some("3"))])), link(end + 1), 1000));
    let removed = LogFormatError::Removed { sequence: end + 2 };
    assert_eq!(read(log), Err(removed));
}
