//! Tests of the engine of a cluster, on a log of one plugin that several nodes share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use tempfile::TempDir;

use super::*;
use crate::LogReader;

mod blind;

/// The log of one plugin, as several nodes see it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Messages>>);

#[derive(Default)]
struct Messages {
    all: Vec<(u64, Bytes)>,
    last: u64,
    /// The appends that are refused before one succeeds.
    failures: usize,
    /// A part of an append that is the last one.
    torn_at: Option<usize>,
    given_up: Vec<String>,
    set_aside: Vec<Vec<(String, String)>>,
    /// Whether commits need not be in the log.
    is_off: bool,
    /// Whether the expected places are not checked.
    is_blind: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.0.lock().unwrap()
    }

    fn read(&self) -> LogState {
        let mut reader = LogReader::default();
        for (sequence, message) in &self.lock().all {
            reader.take(*sequence, message.clone()).unwrap();
        }
        reader.finish()
    }
}

impl CommitLog for Shared {
    fn is_required(&self) -> bool {
        !self.lock().is_off
    }

    fn max_message_bytes(&self) -> usize {
        1_000
    }

    fn append(&mut self, appends: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
        let mut log = self.lock();
        let mut append = |it: Append| {
            if log.failures > 0 {
                log.failures -= 1;
                return Err(AppendError::Failed("no answer in time".to_owned()));
            }
            if !log.is_blind && log.last != it.expected {
                return Err(AppendError::Behind);
            }
            let first = log.last + 1;
            for (index, part) in it.parts.into_iter().enumerate() {
                if log.torn_at == Some(index) {
                    return Err(AppendError::Failed("the node has died".to_owned()));
                }
                log.last += 1;
                let place = log.last;
                log.all.push((place, part));
            }
            Ok(Appended { first, last: log.last })
        };
        appends.into_iter().map(&mut append).collect()
    }

    fn read_back(
        &mut self,
        _plugin: &str,
        places: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, Bytes)>, AppendError> {
        let log = self.lock();
        Ok(log.all.iter().filter(|it| places.contains(&it.0)).cloned().collect())
    }

    fn trim(&mut self, _plugin: &str, before: u64) {
        self.lock().all.retain(|(sequence, _)| *sequence >= before);
    }

    fn set_aside(&mut self, _plugin: &str, saved: &Saved) -> Result<(), EngineError> {
        self.lock().set_aside.push(texts(saved.clone()));
        Ok(())
    }

    fn given_up(&self, plugin: &str, error: &EngineError) {
        self.lock().given_up.push(format!("{plugin}: {error}"));
    }
}

/// A node: its engine, in a folder of its own.
struct Node {
    engine: CopiedEngine<Shared>,
    log: Shared,
    has_lease: Arc<AtomicBool>,
    _folder: TempDir,
}

impl Node {
    fn of(log: &Shared) -> Self {
        static SEED: AtomicU64 = AtomicU64::new(0);
        let folder = tempfile::tempdir().unwrap();
        let inner = SqliteEngine::open(folder.path()).unwrap();
        let seed = SEED.fetch_add(1 << 32, Ordering::Relaxed);
        let engine = CopiedEngine::new(inner, log.clone(), seed);
        let has_lease = Arc::new(AtomicBool::new(true));
        Self { engine, log: log.clone(), has_lease, _folder: folder }
    }

    fn take_over(&mut self) -> Result<Saved, EngineError> {
        let has_lease = Arc::clone(&self.has_lease);
        let lease = WriteLease::new(1, move || has_lease.load(Ordering::Relaxed));
        let from = TakeOver { state: self.log.read(), node: "web".to_owned(), lease };
        self.engine.take_over("acme", from)
    }

    fn save(&mut self, key: &str, text: &str) -> Result<(), EngineError> {
        let value = Value { bytes: Arc::from(text.as_bytes()), expires: None };
        let entries = vec![(Arc::from(key), Some(value))];
        let changes = Changes { plugin: "acme".into(), schema: 1, entries };
        self.engine.prepare(&[&changes]).pop().unwrap()?;
        self.engine.commit(&[&changes])?;
        self.engine.finish(&[changes.plugin]);
        Ok(())
    }

    fn saved(&mut self) -> Vec<(String, String)> {
        texts(self.engine.read("acme").unwrap())
    }
}

fn texts(saved: Saved) -> Vec<(String, String)> {
    let text = |value: Value| String::from_utf8(value.bytes.to_vec()).unwrap();
    saved.entries.into_iter().map(|(key, value)| (key, text(value))).collect()
}

fn all(expect: &[(&str, &str)]) -> Vec<(String, String)> {
    expect.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_next_home_has_all_and_fences_the_last_one() {
    let log = Shared::default();
    let (mut first, mut second) = (Node::of(&log), Node::of(&log));
    assert!(matches!(first.save("a", "1"), Err(EngineError::NotHome)));
    assert_eq!(texts(first.take_over().unwrap()), []);
    first.save("a", "1").unwrap();
    first.save("b", "2").unwrap();
    assert_eq!(texts(second.take_over().unwrap()), all(&[("a", "1"), ("b", "2")]));
    // The first one has not heard of it.
    assert!(matches!(first.save("a", "stale"), Err(EngineError::Replaced)));
    assert!(matches!(first.save("a", "stale"), Err(EngineError::NotHome)));
    assert_eq!(log.lock().given_up.len(), 1);
    second.save("a", "3").unwrap();
    second.save("c", "4").unwrap();
    assert_eq!(first.saved(), all(&[("a", "1"), ("b", "2")]), "as it was when it was replaced");
    // An older store in its file is replaced.
    let now = all(&[("a", "3"), ("b", "2"), ("c", "4")]);
    assert_eq!(texts(first.take_over().unwrap()), now);
    assert_eq!(first.saved(), now);
    assert!(matches!(second.save("a", "stale"), Err(EngineError::Replaced)));
}

#[test]
fn the_first_home_begins_with_its_own_store() {
    let log = Shared::default();
    let mut first = Node::of(&log);
    let text = "x".repeat(2_500);
    let value = Value { bytes: Arc::from(text.as_bytes()), expires: None };
    let entries = vec![(Arc::from("before"), Some(value))];
    let changes = Changes { plugin: "acme".into(), schema: 7, entries };
    first.engine.inner.commit(&[&changes]).unwrap();
    first.take_over().unwrap();
    let mut second = Node::of(&log);
    second.save("lost", "1").unwrap_err();
    let taken = second.take_over().unwrap();
    assert_eq!(taken.schema, Some(7));
    assert_eq!(texts(taken), all(&[("before", &text)]));
}

#[test]
fn a_log_that_does_not_answer_gives_the_plugin_up() {
    let log = Shared::default();
    let mut node = Node::of(&log);
    node.take_over().unwrap();
    node.save("a", "1").unwrap();
    log.lock().failures = 1;
    assert!(matches!(node.save("a", "2"), Err(EngineError::Log(_))));
    assert!(matches!(node.save("a", "3"), Err(EngineError::NotHome)));
    assert_eq!(node.saved(), all(&[("a", "1")]));
    // A part of a record is in the log, when its writer dies.
    node.take_over().unwrap();
    log.lock().torn_at = Some(1);
    assert!(matches!(node.save("long", &"x".repeat(3_000)), Err(EngineError::Log(_))));
    log.lock().torn_at = None;
    let mut next = Node::of(&log);
    assert_eq!(texts(next.take_over().unwrap()), all(&[("a", "1")]));
    next.save("b", "2").unwrap();
    assert_eq!(texts(node.take_over().unwrap()), all(&[("a", "1"), ("b", "2")]));
}

#[test]
fn commits_that_only_the_log_has_are_not_lost() {
    let log = Shared::default();
    let mut node = Node::of(&log);
    node.take_over().unwrap();
    let value = Value { bytes: Arc::from(&b"1"[..]), expires: None };
    let entries = vec![(Arc::from("a"), Some(value))];
    let changes = Changes { plugin: "acme".into(), schema: 1, entries };
    node.engine.prepare(&[&changes]).pop().unwrap().unwrap();
    // It dies here.
    assert_eq!(node.saved(), []);
    assert_eq!(texts(node.take_over().unwrap()), all(&[("a", "1")]));
}

#[test]
fn a_long_log_becomes_a_snapshot() {
    let log = Shared::default();
    let mut node = Node::of(&log);
    node.take_over().unwrap();
    let text = "x".repeat(10_000);
    let (mut longest, mut shortest) = (0, usize::MAX);
    for round in 0..300 {
        node.save(&format!("key-{}", round % 3), &format!("{round} {text}")).unwrap();
        let bytes = log.lock().all.iter().map(|(_, it)| it.len()).sum();
        longest = longest.max(bytes);
        if round > 150 {
            shortest = shortest.min(bytes);
        }
    }
    assert!((MIN_COMPACTED_BYTES..2 * MIN_COMPACTED_BYTES).contains(&longest), "{longest}");
    assert!(shortest < 50_000, "{shortest}");
    let mut next = Node::of(&log);
    let taken = texts(next.take_over().unwrap());
    assert_eq!(taken.len(), 3);
    assert!(taken[2].1.starts_with("299 "), "the newest");
    assert_eq!(taken, node.saved());
}

#[test]
fn many_short_commits_become_a_snapshot_as_well() {
    let mut copy = Copy::of(&LogState::default(), WriteLease::new(1, || true));
    copy.messages_since = MIN_COMPACTED_MESSAGES;
    assert!(!copy.is_long());
    copy.messages_since += 1;
    assert!(copy.is_long());
    copy.snapshot_bytes = 64 << 20;
    assert!(!copy.is_long(), "a large store is not written again for a few commits");
    copy.bytes_since = (64 << 20) + 1;
    assert!(copy.is_long());
}

/// After a failed sync, the file is written anew, from what is left of it.
#[test]
fn a_file_that_is_written_anew_gives_the_plugins_up() {
    let log = Shared::default();
    let mut node = Node::of(&log);
    node.take_over().unwrap();
    node.save("a", "1").unwrap();
    node.engine.renew().unwrap();
    assert_eq!(log.lock().given_up.len(), 1);
    assert!(matches!(node.save("a", "2"), Err(EngineError::NotHome)));
    node.take_over().unwrap();
    node.save("a", "2").unwrap();
}

#[test]
fn a_commit_that_is_acknowledged_after_the_lease_is_no_success() {
    let log = Shared::default();
    let mut node = Node::of(&log);
    node.take_over().unwrap();
    node.save("a", "1").unwrap();
    node.has_lease.store(false, Ordering::Relaxed);
    assert!(matches!(node.save("a", "2"), Err(EngineError::NotHome)));
    assert_eq!(log.lock().given_up.len(), 1);
    assert_eq!(node.saved(), all(&[("a", "1")]));
}

/// The log accepts two messages behind the same one.
#[test]
fn a_home_whose_first_record_does_not_count_begins_again() {
    let log = Shared::default();
    let (mut first, mut second) = (Node::of(&log), Node::of(&log));
    first.take_over().unwrap();
    let state = log.read();
    // It comes between the look of the second one and its record.
    first.save("a", "1").unwrap();
    log.lock().is_blind = true;
    let from = TakeOver { state, node: "web".to_owned(), lease: WriteLease::new(1, || true) };
    assert!(matches!(second.engine.take_over("acme", from), Err(EngineError::Replaced)));
    // Its record is skipped, and one of the first one behind it.
    assert_eq!(texts(second.take_over().unwrap()), all(&[("a", "1")]));
    first.save("a", "late").unwrap();
    assert_eq!(log.read().saved, Some(second.engine.read("acme").unwrap()));
}

#[test]
fn a_store_that_no_log_has_is_set_aside_once() {
    let log = Shared::default();
    let (mut first, mut second) = (Node::of(&log), Node::of(&log));
    // Both have been homes without a log.
    log.lock().is_off = true;
    first.save("a", "first").unwrap();
    second.save("a", "second").unwrap();
    second.save("b", "more").unwrap();
    log.lock().is_off = false;
    first.take_over().unwrap();
    first.save("c", "1").unwrap();
    assert_eq!(texts(second.take_over().unwrap()), all(&[("a", "first"), ("c", "1")]));
    let own = all(&[("a", "second"), ("b", "more")]);
    assert_eq!(log.lock().set_aside, std::slice::from_ref(&own));
    // Older copies of the log are none of their own.
    second.save("a", "2").unwrap();
    first.take_over().unwrap();
    first.save("a", "3").unwrap();
    second.take_over().unwrap();
    assert_eq!(log.lock().set_aside.len(), 1);
    // Without a log for a while, and with another one.
    second.engine.resign("acme");
    log.lock().is_off = true;
    second.save("d", "alone").unwrap();
    log.lock().is_off = false;
    first.take_over().unwrap();
    second.take_over().unwrap();
    let alone = all(&[("a", "3"), ("c", "1"), ("d", "alone")]);
    assert_eq!(log.lock().set_aside, [own, alone.clone()]);
    second.save("e", "5").unwrap();
    log.lock().all.clear();
    log.lock().last = 0;
    first.take_over().unwrap();
    second.take_over().unwrap();
    assert_eq!(log.lock().set_aside.len(), 3);
    assert_eq!(log.lock().set_aside[2], all(&[("a", "3"), ("c", "1"), ("e", "5")]));
    // A store that has all of it is not.
    let mut third = Node::of(&log);
    log.lock().is_off = true;
    third.save("a", "3").unwrap();
    log.lock().is_off = false;
    third.take_over().unwrap();
    assert_eq!(log.lock().set_aside.len(), 3);
}
