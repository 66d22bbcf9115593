//! Tests of probes and scripts.

use std::time::Duration;

use super::*;
use crate::manifest::Hook;

fn input() -> CallInput {
    CallInput {
        hook: Hook::Publish,
        realm: "realm1".to_owned(),
        handler: "h".to_owned(),
        route: "r".to_owned(),
        topic: "t".to_owned(),
        attributes: vec![],
        session: None,
        subscribers: 0,
        depth: 0,
        args: "[]".to_owned(),
        kwargs: "{}".to_owned(),
        answer: None,
    }
}

fn version() -> Arc<PluginVersion> {
    let (plugin, digest, version) = ("p".to_owned(), "00".to_owned(), "1".to_owned());
    Arc::new(PluginVersion { plugin, digest, version, lanes: 1, routes: vec![] })
}

/// An observer that keeps the last record.
#[derive(Default)]
struct Kept(Mutex<Option<Arc<CallRecord>>>);

impl CallObserver for Kept {
    fn wants(&self, _: &PluginVersion, _: Hook, _: &crate::request::HookRequest<'_>) -> bool {
        true
    }

    fn observe(&self, record: &Arc<CallRecord>) {
        *self.0.lock().unwrap() = Some(Arc::clone(record));
    }
}

/// Records a call that does this.
fn record(call: impl FnOnce(&mut Probe)) -> Arc<CallRecord> {
    let kept = Arc::new(Kept::default());
    let observer: Arc<dyn CallObserver> = Arc::clone(&kept) as _;
    let mut probe = Probe::new(&version(), input(), vec![observer], None).unwrap();
    call(&mut probe);
    probe.end(HookAnswer::Done, &[], 0);
    let record = kept.0.lock().unwrap().take();
    record.unwrap()
}

/// Replays a call that does this, and returns what it asked for in vain.
fn replay(record: &CallRecord, call: impl FnOnce(&mut Probe)) -> Vec<String> {
    let slot = ReplaySlot::default();
    let mut probe = Probe::replay(record, &slot, false);
    call(&mut probe);
    probe.end(HookAnswer::Done, &[], 0);
    let replayed = slot.lock().unwrap().take();
    replayed.unwrap().unrecorded
}

#[test]
fn replays_clocks_random_numbers_and_subscribers() {
    use chacha20::rand_core::Rng as _;
    let mut drawn = 0;
    let recorded = record(|it| {
        assert_eq!([it.wall_clock(5), it.wall_clock(9)], [5, 9]);
        assert_eq!(it.monotonic_clock(7), 7);
        assert_eq!(it.subscribers("t", || vec![1, 2]), [1, 2]);
        assert_eq!([it.count("u", || 3), it.count("u", || 4)], [3, 4]);
        drawn = it.random().next_u64();
    });
    let unrecorded = replay(&recorded, |it| {
        assert_eq!([it.wall_clock(1), it.wall_clock(1)], [5, 9]);
        assert!(it.wall_clock(1) > 9);
        assert_eq!(it.monotonic_clock(1), 7);
        it.skip(1_000_000);
        assert!(it.monotonic_clock(1) >= 1_000_000);
        assert_eq!(it.subscribers("t", Vec::new), [1, 2]);
        assert_eq!([it.count("u", || 0), it.count("u", || 0), it.count("u", || 0)], [3, 4, 4]);
        assert_eq!(it.count("t", || 0), 2);
        assert_eq!(it.random().next_u64(), drawn);
        assert_eq!(it.subscribers("other", Vec::new), [0; 0]);
    });
    assert_eq!(unrecorded, ["subscribers of other"]);
}

#[test]
fn a_clock_that_was_not_read_starts_with_the_call() {
    let recorded = record(|_| {});
    let began = recorded.began.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    replay(&recorded, |it| {
        assert_eq!(Duration::from_nanos(it.wall_clock(0)), began);
    });
}

#[test]
fn keeps_the_store_as_it_was_before_the_call() {
    let some = |text: &str| Some(text.as_bytes().to_vec());
    let recorded = record(|it| {
        it.touch("a", || some("1"));
        it.wrote("a", some("2"), None);
        it.touch("a", || some("2"));
        it.touch("b", || None);
        it.wrote("c", None, Some(5));
        it.touch("c", || None);
        it.listed("x/", 10, &[("x/1".to_owned(), b"v".to_vec())]);
        it.listed("y/", 1, &[("y/3".to_owned(), b"v".to_vec())]);
        it.listed("z/", 0, &[]);
    });
    let seen = &recorded.answers.store;
    let value = |key: &str| seen.values.get(key).map(|it| it.as_ref().map(|it| it.0.clone()));
    assert_eq!(value("a"), Some(some("1")));
    assert_eq!(value("b"), Some(None));
    assert_eq!(value("c"), None);
    assert_eq!(value("x/1"), Some(some("v")));
    let writes = &recorded.outcome.writes;
    assert_eq!(writes.iter().map(|it| &*it.key).collect::<Vec<_>>(), ["a", "c"]);
    let unrecorded = replay(&recorded, |it| {
        for key in ["a", "b", "x/1", "x/2", "y/2", "y/4", "z/1", "d"] {
            it.touch(key, || None);
        }
        it.listed("x/", 1, &[]);
        it.listed("x/1", 1, &[]);
        it.listed("y/", 1, &[]);
    });
    let expected =
        ["store key d", "store key y/4", "store key z/1", "store keys that begin with y/"];
    assert_eq!(unrecorded, expected);
}

#[test]
fn bounds_what_it_keeps() {
    let recorded = record(|it| {
        for n in 0..8 {
            it.touch(&format!("{n}"), || Some(vec![0; 1 << 20]));
        }
    });
    assert!(!recorded.is_whole);
    let kept = recorded.answers.store.values.values().flatten().map(|it| it.0.len());
    assert!(kept.sum::<usize>() <= MAX_ANSWER_BYTES);
    let endless = record(|it| {
        (0..1_000_000).for_each(|n| {
            let _now = it.wall_clock(n);
        });
    });
    assert!(!endless.is_whole && endless.answers.wall_clock.len() < 100_000);
}

#[test]
fn a_failed_call_has_written_nothing() {
    let kept = Arc::new(Kept::default());
    let observer: Arc<dyn CallObserver> = Arc::clone(&kept) as _;
    let mut probe = Probe::new(&version(), input(), vec![observer], None).unwrap();
    probe.wrote("a", None, None);
    let (fault, message) = ("trap".to_owned(), String::new());
    let fault = crate::call_record::FaultRecord { fault, message };
    probe.end(HookAnswer::Fault(fault), &[], 0);
    assert_eq!(kept.0.lock().unwrap().take().unwrap().outcome.writes, []);
}

#[test]
fn replays_the_answers_to_effects() {
    let denied = || Some("not allowed".to_owned());
    let place = || Ok(Permit::of_replay(OutgoingKind::Http, 7));
    let refused = |reason| move || Err(reason);
    let recorded = record(|it| {
        let (http, call) = (OutgoingKind::Http, OutgoingKind::Call);
        assert!(it.permit(http, None, place).is_ok());
        it.permit(http, None, refused(NotAccepted::Busy)).unwrap_err();
        it.permit(http, denied(), place).unwrap_err();
        it.permit(call, denied(), place).unwrap_err();
        assert!(it.is_awaited(3, || true));
        assert!(!it.is_awaited(3, || false));
        assert!(it.deferred(|| None).is_none());
    });
    let text = serde_json::to_string(&recorded.answers).unwrap();
    let read: HostAnswers = serde_json::from_str(&text).unwrap();
    assert_eq!(read, recorded.answers, "{text}");
    let unrecorded = replay(&recorded, |it| {
        let reason = |answer: Result<Permit, _>| answer.unwrap_err();
        let (http, call) = (OutgoingKind::Http, OutgoingKind::Call);
        // The settings of the replay deny what those of the server did not, and the reverse.
        assert!(it.permit(http, denied(), place).is_ok());
        assert_eq!(reason(it.permit(http, None, place)), NotAccepted::Busy);
        let expected = NotAccepted::Denied("not allowed".to_owned());
        assert_eq!(reason(it.permit(http, None, place)), expected);
        assert_eq!(reason(it.permit(call, None, place)), expected);
        assert!(it.is_awaited(3, || false));
        assert!(!it.is_awaited(3, || true));
        assert!(it.deferred(|| None).is_none());
        // Further ones are as the settings say.
        assert_eq!(reason(it.permit(call, denied(), place)), expected);
        assert!(it.permit(call, None, place).is_ok());
        assert!(!it.is_awaited(4, || true));
    });
    assert_eq!(unrecorded, ["deferred result 4"]);
}

#[test]
fn keeps_what_was_left_of_the_quota_before_the_first_write() {
    let recorded = record(|it| {
        it.room(|| 5);
        it.room(|| 3);
    });
    assert_eq!(recorded.answers.store.room, Some(5));
    assert_eq!(record(|_| {}).answers.store.room, None);
}
