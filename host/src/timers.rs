//! Timer queue of a realm: the due time of each topic's timer, and a queue of due topics for each
//! lane. `dispatch::timer_hooks` sets the timers and calls the hooks.
//!
//! All timers of a realm share one priority queue and one task, so that ten thousand timers do not
//! need ten thousand tasks. In each lane, hooks run one after another. A topic whose hook still
//! runs when its timer is due again skips that tick.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The timers of a realm.
#[derive(Default)]
pub(crate) struct Timers {
    /// A std mutex: held for a few look-ups, never across an await, and with no other lock.
    state: Mutex<State>,
    /// Wakes the task if a timer is due earlier than the one that it waits for.
    sooner: Notify,
}

/// A lane of a plugin: its name, and the lane's number.
pub(crate) type LaneKey = (String, usize);

/// The length of a timer's first interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The whole interval.
    Whole,
    /// A part of the interval that differs between topics, so that timers which start together do
    /// not all tick together.
    Spread,
}

#[derive(Default)]
struct State {
    schedule: Schedule,
    /// The queued topics of each busy lane.
    lanes: HashMap<LaneKey, VecDeque<Arc<str>>>,
}

/// The due times.
#[derive(Default)]
struct Schedule {
    timers: HashMap<Arc<str>, Timer>,
    queue: BTreeSet<(Instant, Arc<str>)>,
    /// Topics whose hook is queued or running, even if their timer has been removed since.
    running: HashSet<Arc<str>>,
}

#[derive(Clone, Copy)]
struct Timer {
    every: Duration,
    due: Instant,
}

impl Timers {
    /// Sets or removes the timer of a topic. A timer with the same interval continues unchanged.
    pub(crate) fn set(&self, topic: &str, every: Option<Duration>, start: Start) {
        let sooner = self.lock().schedule.set(topic, every, start, Instant::now());
        if sooner {
            self.sooner.notify_one();
        }
    }

    /// Returns whether the topic has a timer.
    pub(crate) fn has(&self, topic: &str) -> bool {
        self.lock().schedule.timers.contains_key(topic)
    }

    /// Returns every topic that has a timer.
    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        self.lock().schedule.timers.keys().map(Arc::clone).collect()
    }

    /// Waits until timers are due, and returns their topics. A topic is not returned again before
    /// [`Timers::done`].
    pub(crate) async fn due(&self) -> Vec<Arc<str>> {
        loop {
            let next = self.lock().schedule.next();
            tokio::select! {
                () = until(next) => {}
                () = self.sooner.notified() => continue,
            }
            let due = self.lock().schedule.take_due(Instant::now());
            if !due.is_empty() {
                return due;
            }
        }
    }

    /// Marks a topic as done: its hook has returned, or will not be called.
    pub(crate) fn done(&self, topic: &str) {
        self.lock().schedule.running.remove(topic);
    }

    /// Appends a topic to the queue of a lane. Returns true if the lane was idle, so that the
    /// caller has to run it.
    pub(crate) fn queue(&self, lane: &LaneKey, topic: Arc<str>) -> bool {
        let lanes = &mut self.lock().lanes;
        if let Some(queue) = lanes.get_mut(lane) {
            queue.push_back(topic);
            return false;
        }
        lanes.insert(lane.clone(), VecDeque::from([topic]));
        true
    }

    /// Takes the next topic of a lane. Without one, the lane becomes idle.
    pub(crate) fn next_of(&self, lane: &LaneKey) -> Option<Arc<str>> {
        let lanes = &mut self.lock().lanes;
        let next = lanes.get_mut(lane)?.pop_front();
        if next.is_none() {
            lanes.remove(lane);
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Recovers from poisoning: no code under the lock panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    /// Sets or removes a timer. Returns true if the earliest due time has become earlier.
    fn set(&mut self, topic: &str, every: Option<Duration>, start: Start, now: Instant) -> bool {
        if self.timers.get(topic).map(|timer| timer.every) == every {
            return false;
        }
        let before = self.next();
        if let Some((topic, timer)) = self.timers.remove_entry(topic) {
            self.queue.remove(&(timer.due, topic));
        }
        if let Some(every) = every {
            let wait = match start {
                Start::Whole => every,
                Start::Spread => every.mul_f64(share(topic)),
            };
            let (topic, due) = (Arc::<str>::from(topic), now + wait);
            self.queue.insert((due, Arc::clone(&topic)));
            self.timers.insert(topic, Timer { every, due });
        }
        self.next().is_some_and(|next| before.is_none_or(|before| next < before))
    }

    fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// Takes the due topics, and advances each timer to its next multiple of the interval after
    /// `now`: missed ticks are skipped, and the phase is kept.
    fn take_due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut taken = Vec::new();
        while self.next().is_some_and(|next| next <= now) {
            let Some((due, topic)) = self.queue.pop_first() else { break };
            let Some(timer) = self.timers.get_mut(&topic) else { continue };
            let late = (now - due).as_nanos() % timer.every.as_nanos().max(1);
            let late = Duration::from_nanos(u64::try_from(late).unwrap_or_default());
            timer.due = now + timer.every.saturating_sub(late);
            self.queue.insert((timer.due, Arc::clone(&topic)));
            if self.running.insert(Arc::clone(&topic)) {
                taken.push(topic);
            }
        }
        taken
    }
}

/// Returns a fraction from 0 to 1, derived from a hash of the topic.
fn share(topic: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    topic.hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

/// Waits until the moment; forever for `None`.
pub(crate) async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A schedule, and a clock that the test moves.
    struct Fixture {
        schedule: Schedule,
        began: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            Self { schedule: Schedule::default(), began: Instant::now() }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.began + Duration::from_millis(milliseconds)
        }

        /// Sets or removes a timer; times are in milliseconds.
        fn set(&mut self, at: u64, topic: &str, every: Option<u64>) -> bool {
            let (now, every) = (self.at(at), every.map(Duration::from_millis));
            self.schedule.set(topic, every, Start::Whole, now)
        }

        /// Takes the due topics at this time, and marks them as done.
        #[track_caller]
        fn check(&mut self, at: u64, expect: &[&str]) {
            let due = self.schedule.take_due(self.at(at));
            assert_eq!(due.iter().map(|topic| &**topic).collect::<Vec<_>>(), expect, "at {at}");
            for topic in due {
                self.schedule.running.remove(&topic);
            }
        }
    }

    #[test]
    fn timers_tick_at_their_interval() {
        let mut fixture = Fixture::new();
        assert!(fixture.set(0, "a", Some(1_000)));
        assert!(!fixture.set(100, "b", Some(1_000)), "nothing is due earlier than before");
        assert!(fixture.set(100, "c", Some(300)));
        fixture.check(399, &[]);
        fixture.check(400, &["c"]);
        fixture.check(400, &[]);
        fixture.check(1_000, &["c", "a"]);
        fixture.check(1_300, &["b", "c"]);
        // A late or missed tick does not move the following ones.
        fixture.check(5_150, &["c", "a", "b"]);
        fixture.check(5_199, &[]);
        fixture.check(5_200, &["c"]);
        fixture.check(6_000, &["c", "a"]);
        assert_eq!(fixture.schedule.next(), Some(fixture.at(6_100)));
    }

    #[test]
    fn an_unchanged_interval_continues_and_a_changed_one_restarts() {
        let mut fixture = Fixture::new();
        fixture.set(0, "a", Some(1_000));
        assert!(!fixture.set(900, "a", Some(1_000)));
        fixture.check(1_000, &["a"]);
        assert!(fixture.set(1_100, "a", Some(500)));
        fixture.check(1_599, &[]);
        fixture.check(1_600, &["a"]);
        assert!(!fixture.set(1_700, "a", None));
        assert!(!fixture.set(1_700, "a", None));
        fixture.check(60_000, &[]);
        assert!(fixture.set(60_000, "a", Some(500)));
        fixture.check(60_499, &[]);
        fixture.check(60_500, &["a"]);
        fixture.set(60_600, "a", None);
        let Schedule { timers, queue, running } = fixture.schedule;
        assert!(timers.is_empty() && queue.is_empty() && running.is_empty());
    }

    #[test]
    fn skips_a_topic_whose_hook_still_runs() {
        let mut fixture = Fixture::new();
        fixture.set(0, "a", Some(1_000));
        fixture.set(0, "b", Some(1_000));
        assert_eq!(fixture.schedule.take_due(fixture.at(1_000)).len(), 2);
        fixture.schedule.running.remove("b");
        fixture.check(2_000, &["b"]);
        // A removed and newly set timer does not run the hook concurrently either.
        fixture.set(2_100, "a", None);
        fixture.set(2_200, "a", Some(100));
        fixture.check(2_300, &[]);
        fixture.schedule.running.remove("a");
        fixture.check(2_400, &["a"]);
    }

    #[test]
    fn spreads_timers_that_start_together() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        for number in 0..1_000 {
            schedule.set(&format!("t/{number}"), Some(SECOND), Start::Spread, now);
        }
        for tenth in 1..=20 {
            let due = schedule.take_due(now + SECOND * tenth / 10);
            // About a hundred, depending on the hash.
            assert!((50..200).contains(&due.len()), "{} in the {tenth}th tenth", due.len());
            for topic in due {
                schedule.running.remove(&topic);
            }
        }
    }

    #[test]
    fn starts_a_lane_once() {
        let timers = Timers::default();
        let (one, two) = (("plugin".to_owned(), 0), ("plugin".to_owned(), 1));
        assert!(timers.queue(&one, "a".into()));
        assert!(!timers.queue(&one, "b".into()));
        assert!(timers.queue(&two, "c".into()));
        assert_eq!(timers.next_of(&one).as_deref(), Some("a"));
        assert_eq!(timers.next_of(&one).as_deref(), Some("b"));
        assert!(!timers.queue(&one, "d".into()));
        assert_eq!(timers.next_of(&one).as_deref(), Some("d"));
        assert_eq!(timers.next_of(&one), None);
        assert!(timers.queue(&one, "e".into()));
    }

    #[tokio::test]
    async fn an_earlier_timer_wakes_the_waiting_task() {
        let timers = Arc::new(Timers::default());
        timers.set("late", Some(SECOND * 3_600), Start::Whole);
        let waiting = tokio::spawn({
            let timers = Arc::clone(&timers);
            async move { timers.due().await }
        });
        tokio::task::yield_now().await;
        timers.set("soon", Some(Duration::from_millis(50)), Start::Whole);
        let due = waiting.await.unwrap();
        assert_eq!(due.iter().map(|topic| &**topic).collect::<Vec<_>>(), ["soon"]);
    }
}
