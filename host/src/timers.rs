//! When the timer of each topic is due, and whose turn it is in each lane: the timers of one
//! realm. Which topics have one, and what happens when it is due, is `dispatch::ticks`' affair.
//!
//! All timers of a realm share one queue and one task, so that ten thousand of them cost a look at
//! a clock and not ten thousand tasks. Hooks run one after another in each lane that has any to
//! run, as they would anyway, and a topic whose hook has not returned is passed over.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The timers of a realm.
#[derive(Default)]
pub(crate) struct Timers {
    /// A std mutex: it is held for a few look-ups, over no await and under no other lock.
    state: Mutex<State>,
    /// Something is due before anything that was when the task went to sleep.
    sooner: Notify,
}

/// A lane of a plugin: its name, and the lane's number.
pub(crate) type LaneKey = (String, usize);

/// How the first interval of a timer is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The first tick comes after the whole of it.
    Whole,
    /// It comes at some moment of it: for timers that begin all at once, lest they stay together
    /// for ever.
    Spread,
}

#[derive(Default)]
struct State {
    schedule: Schedule,
    /// Those whose turn it is next in each lane that is at work.
    lanes: HashMap<LaneKey, VecDeque<Arc<str>>>,
}

/// What is due when.
#[derive(Default)]
struct Schedule {
    timers: HashMap<Arc<str>, Timer>,
    queue: BTreeSet<(Instant, Arc<str>)>,
    /// Topics that were due and are not done, whether or not they still have a timer.
    running: HashSet<Arc<str>>,
}

#[derive(Clone, Copy)]
struct Timer {
    every: Duration,
    due: Instant,
}

impl Timers {
    /// Gives a topic a timer, or takes it away. One that runs already goes on as it is, unless its
    /// interval is another one now.
    pub(crate) fn set(&self, topic: &str, every: Option<Duration>, start: Start) {
        let sooner = self.lock().schedule.set(topic, every, start, Instant::now());
        if sooner {
            self.sooner.notify_one();
        }
    }

    /// Whether the topic has a timer.
    pub(crate) fn has(&self, topic: &str) -> bool {
        self.lock().schedule.timers.contains_key(topic)
    }

    /// Every topic that has a timer.
    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        self.lock().schedule.timers.keys().map(Arc::clone).collect()
    }

    /// Waits until timers are due, and says whose: each is to be `done` before it is due again.
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

    /// The topic's hook has returned, or will not be called.
    pub(crate) fn done(&self, topic: &str) {
        self.lock().schedule.running.remove(topic);
    }

    /// Puts a topic last in its lane. Whether the lane was idle, and is to be set to work.
    pub(crate) fn queue(&self, lane: &LaneKey, topic: Arc<str>) -> bool {
        let lanes = &mut self.lock().lanes;
        if let Some(queue) = lanes.get_mut(lane) {
            queue.push_back(topic);
            return false;
        }
        lanes.insert(lane.clone(), VecDeque::from([topic]));
        true
    }

    /// The next topic of a lane; with none, the lane is idle again.
    pub(crate) fn next_of(&self, lane: &LaneKey) -> Option<Arc<str>> {
        let lanes = &mut self.lock().lanes;
        let next = lanes.get_mut(lane)?.pop_front();
        if next.is_none() {
            lanes.remove(lane);
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock would be a bug that tests have to find.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    /// Whether what is due next is due earlier than before.
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

    /// The topics that are due, each of which is due again at the next moment of its rhythm that is
    /// still to come.
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

/// A share of an interval, from nothing to the whole, that differs from topic to topic.
fn share(topic: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    topic.hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

/// Waits until the moment; for ever if there is none.
async fn until(moment: Option<Instant>) {
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
    struct Bench {
        schedule: Schedule,
        began: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { schedule: Schedule::default(), began: Instant::now() }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.began + Duration::from_millis(milliseconds)
        }

        /// At a moment, a topic gets a timer of so many milliseconds, or none.
        fn set(&mut self, at: u64, topic: &str, every: Option<u64>) -> bool {
            let (now, every) = (self.at(at), every.map(Duration::from_millis));
            self.schedule.set(topic, every, Start::Whole, now)
        }

        /// What is due by then, and is done at once.
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
        let mut bench = Bench::new();
        assert!(bench.set(0, "a", Some(1_000)));
        assert!(!bench.set(100, "b", Some(1_000)), "nothing is due earlier than before");
        assert!(bench.set(100, "c", Some(300)));
        bench.check(399, &[]);
        bench.check(400, &["c"]);
        bench.check(400, &[]);
        bench.check(1_000, &["c", "a"]);
        bench.check(1_300, &["b", "c"]);
        // A tick that was late, or missed, does not move those that follow.
        bench.check(5_150, &["c", "a", "b"]);
        bench.check(5_199, &[]);
        bench.check(5_200, &["c"]);
        bench.check(6_000, &["c", "a"]);
        assert_eq!(bench.schedule.next(), Some(bench.at(6_100)));
    }

    #[test]
    fn an_unchanged_interval_continues_and_a_changed_one_restarts() {
        let mut bench = Bench::new();
        bench.set(0, "a", Some(1_000));
        assert!(!bench.set(900, "a", Some(1_000)));
        bench.check(1_000, &["a"]);
        assert!(bench.set(1_100, "a", Some(500)));
        bench.check(1_599, &[]);
        bench.check(1_600, &["a"]);
        assert!(!bench.set(1_700, "a", None));
        assert!(!bench.set(1_700, "a", None));
        bench.check(60_000, &[]);
        assert!(bench.set(60_000, "a", Some(500)));
        bench.check(60_499, &[]);
        bench.check(60_500, &["a"]);
        bench.set(60_600, "a", None);
        let Schedule { timers, queue, running } = bench.schedule;
        assert!(timers.is_empty() && queue.is_empty() && running.is_empty());
    }

    #[test]
    fn skips_a_topic_whose_hook_still_runs() {
        let mut bench = Bench::new();
        bench.set(0, "a", Some(1_000));
        bench.set(0, "b", Some(1_000));
        assert_eq!(bench.schedule.take_due(bench.at(1_000)).len(), 2);
        bench.schedule.running.remove("b");
        bench.check(2_000, &["b"]);
        // Nor does it run twice at once because it has lost its timer meanwhile, and got another.
        bench.set(2_100, "a", None);
        bench.set(2_200, "a", Some(100));
        bench.check(2_300, &[]);
        bench.schedule.running.remove("a");
        bench.check(2_400, &["a"]);
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
            // A hundred, give or take what chance does.
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
