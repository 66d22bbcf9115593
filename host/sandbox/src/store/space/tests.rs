//! Entries of a space: kept, expired, and rolled back.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// A space with time at hand: milliseconds since it was made.
struct World {
    space: Space,
    start: Instant,
}

impl World {
    fn new(quota: usize) -> Self {
        let mut space = Space::default();
        space.set_quota(quota);
        Self { space, start: Instant::now() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn set(&mut self, key: &str, value: &str) -> Undo {
        self.space.set(key, value.into(), None, self.start).unwrap()
    }

    fn delete(&mut self, key: &str) -> Undo {
        self.space.delete(key, self.start).unwrap()
    }

    fn add(&mut self, key: &str, by: i64) -> Undo {
        self.space.increment(key, by, self.start).unwrap().1
    }

    fn undo<const N: usize>(&mut self, undos: [Undo; N]) {
        for undo in undos.into_iter().rev() {
            self.space.undo(undo, self.start);
        }
    }

    fn check(&mut self, expected: &str) {
        assert_eq!(self.show(0), expected);
    }

    /// All entries, as `key=value`.
    fn show(&mut self, ms: u64) -> String {
        let entries = self.space.entries("", usize::MAX, self.at(ms));
        let entries = entries.iter();
        let shown: Vec<_> =
            entries.map(|(k, v)| format!("{k}={}", String::from_utf8_lossy(v))).collect();
        shown.join(" ")
    }
}

#[test]
fn values_expire_at_their_deadline() {
    let mut w = World::new(10_000);
    let (now, later) = (w.at(0), w.at(100));
    w.space.set("a", b"1".into(), Some(later), now).unwrap();
    w.space.set("b", b"2".into(), Some(w.start + Duration::from_millis(50)), now).unwrap();
    assert_eq!(w.show(49), "a=1 b=2");
    assert_eq!(w.show(50), "a=1");
    // An increment keeps the time to live; a set replaces it.
    w.space.increment("a", 4, w.at(60)).unwrap();
    assert_eq!(w.show(99), "a=5");
    assert_eq!(w.show(100), "");
    w.space.set("a", b"1".into(), Some(w.at(200)), w.at(110)).unwrap();
    w.space.set("a", b"2".into(), None, w.at(120)).unwrap();
    assert_eq!(w.show(100_000), "a=2");
}

#[test]
fn increments_add_to_the_count() {
    let mut w = World::new(10_000);
    let sum = |w: &mut World, key, by| w.space.increment(key, by, w.start).map(|(sum, _)| sum);
    assert_eq!(sum(&mut w, "n", 5), Ok(5));
    assert_eq!(sum(&mut w, "n", -7), Ok(-2));
    assert_eq!(sum(&mut w, "n", i64::MIN), Err(SpaceError::NotANumber));
    w.set("text", "five");
    assert_eq!(sum(&mut w, "text", 1), Err(SpaceError::NotANumber));
    w.check("n=-2 text=five");
}

#[test]
fn compare_and_set_writes_only_on_a_match() {
    let mut w = World::new(10_000);
    let mut cas = |expected: Option<&str>, value: Option<&str>| {
        let expected = expected.map(str::as_bytes);
        let value = value.map(Into::into);
        let done = w.space.compare_and_set("k", expected, value, None, w.start);
        done.unwrap().is_some()
    };
    assert!(!cas(Some("1"), Some("2")));
    assert!(cas(None, None));
    assert!(cas(None, Some("1")));
    assert!(!cas(None, Some("2")));
    assert!(cas(Some("1"), Some("2")));
    assert!(!cas(Some("1"), None));
    assert!(cas(Some("2"), None));
    w.check("");
}

#[test]
fn lists_entries_of_a_prefix_in_order() {
    let mut w = World::new(10_000);
    for key in ["b/2", "a", "b/10", "b", "c", "b/1"] {
        w.set(key, "");
    }
    let mut check = |prefix: &str, limit, expected: &[&str]| {
        let found = w.space.entries(prefix, limit, w.start);
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, expected, "{prefix} {limit}");
    };
    check("b/", 10, &["b/1", "b/10", "b/2"]);
    check("b/", 2, &["b/1", "b/10"]);
    check("", 10, &["a", "b", "b/1", "b/10", "b/2", "c"]);
    check("d", 10, &[]);
    check("b", 0, &[]);
}

#[test]
fn enforces_the_quota_and_frees_deleted_space() {
    let mut w = World::new(2 * (OVERHEAD_BYTES + 100));
    let now = w.start;
    let mut set = |key: &str, length| w.space.set(key, vec![0; length], None, now).is_ok();
    assert!(set("a", 99));
    assert!(set("b", 99));
    assert!(!set("c", 0));
    assert!(set("a", 50));
    assert!(!set("a", 100));
    assert!(set("a", 99));
    assert!(!set(&"k".repeat(MAX_KEY_BYTES + 1), 0));
    w.delete("a");
    w.set("c", &"x".repeat(99));
    let later = w.at(10);
    w.space.set("c", vec![0; 99], Some(later), now).unwrap();
    assert!(w.space.set("d", vec![0; 99], None, now).is_err());
    assert!(w.space.set("d", vec![0; 99], None, later).is_ok());
    let mut large = World::new(usize::MAX);
    assert!(large.space.set("a", vec![0; MAX_VALUE_BYTES], None, now).is_ok());
    assert_eq!(
        large.space.set("a", vec![0; MAX_VALUE_BYTES + 1], None, now).err(),
        Some(SpaceError::Full)
    );
}

#[test]
fn undo_keeps_a_later_write_of_another_hook() {
    let mut w = World::new(10_000);
    w.set("k", "old");
    let mine = w.set("k", "mine");
    w.set("k", "theirs");
    w.undo([mine]);
    w.check("k=theirs");
    let mine = w.delete("k");
    w.set("k", "new");
    w.undo([mine]);
    w.check("k=new");
    let mine = w.set("k", "mine");
    w.delete("k");
    w.undo([mine]);
    w.check("");
    w.set("k", "1");
    let mine = w.set("k", "2");
    w.add("k", 5);
    w.undo([mine]);
    w.check("k=7");
}

#[test]
fn undo_keeps_a_later_deletion_of_another_hook() {
    let mut w = World::new(10_000);
    w.set("k", "old");
    let mine = w.delete("k");
    w.set("k", "theirs");
    let theirs = w.delete("k");
    w.undo([mine]);
    w.check("");
    w.space.keep(&theirs);
    assert!(w.space.deleted.is_empty());
}

#[test]
fn undo_of_an_increment_keeps_other_increments() {
    let mut w = World::new(10_000);
    let mine = w.add("n", 5);
    w.add("n", 2);
    w.undo([mine]);
    w.check("n=2");
    w.set("n", "100");
    let mine = w.add("n", 5);
    w.set("n", "200");
    w.undo([mine]);
    w.check("n=200");
    let mine = w.add("n", 5);
    w.delete("n");
    w.undo([mine]);
    w.check("");
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, String),
    Delete(u8),
    Add(u8, i64),
}

impl Step {
    fn run(&self, w: &mut World) -> Option<Undo> {
        let now = w.start;
        match self {
            Self::Set(k, v) => w.space.set(&key(*k), v.clone().into(), None, now).ok(),
            Self::Delete(k) => w.space.delete(&key(*k), now),
            Self::Add(k, n) => w.space.increment(&key(*k), *n, now).ok().map(|(_, undo)| undo),
        }
    }
}

fn key(n: u8) -> String {
    format!("key {n}")
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..4_u8;
    let step = prop_oneof![
        (key.clone(), "[0-9]{1,3}|text").prop_map(|(k, v)| Step::Set(k, v)),
        key.clone().prop_map(Step::Delete),
        (key, -50..50_i64).prop_map(|(k, n)| Step::Add(k, n)),
    ];
    prop::collection::vec(step, 0..20)
}

proptest! {
    /// Alone, a hook that fails leaves everything as it was.
    #[test]
    fn undoes_every_write_of_a_lone_hook(before in steps(), hook in steps()) {
        let mut w = World::new(5_000);
        for step in &before {
            if let Some(undo) = step.run(&mut w) {
                w.space.keep(&undo);
            }
        }
        let (shown, used) = (w.show(0), w.space.used);
        let undos: Vec<_> = hook.iter().filter_map(|step| step.run(&mut w)).collect();
        for undo in undos.into_iter().rev() {
            w.space.undo(undo, w.start);
        }
        prop_assert_eq!(w.show(0), shown);
        prop_assert_eq!(w.space.used, used);
        prop_assert!(w.space.deleted.is_empty());
    }

    /// Whatever happens, the count of bytes agrees with the entries.
    #[test]
    fn counts_stored_bytes_exactly(mine in steps(), theirs in steps()) {
        let mut w = World::new(5_000);
        let mut undos = Vec::new();
        for (mine, theirs) in mine.iter().zip(&theirs) {
            undos.extend(mine.run(&mut w));
            theirs.run(&mut w);
        }
        for undo in undos.into_iter().rev() {
            w.space.undo(undo, w.start);
        }
        let used: usize = w.space.entries.iter().map(|(k, e)| cost(k, &e.value)).sum();
        prop_assert_eq!(w.space.used, used);
    }
}
