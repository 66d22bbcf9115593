//! Deferred results of `on-call`: the plugin holds a number, and the host the other end.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::tally::{OutgoingKind, Permit, Tally, lock};
use crate::refusal::CallResult;

/// A call whose result comes later. Dropping it ends the wait: the plugin can complete it no more.
pub struct Later {
    /// The time for which the caller waits at most.
    pub timeout: Duration,
    answer: oneshot::Receiver<CallResult>,
    number: u64,
    tally: Arc<Tally>,
    _permit: Permit,
}

/// The effect that completes a deferred call.
#[derive(Clone)]
pub struct Completion {
    pub(crate) number: u64,
    pub(crate) answer: CallResult,
    pub(crate) tally: Arc<Tally>,
}

/// The last number given out. Numbers begin with the microseconds since 1970, so that those of an
/// earlier process, which a store may hold, mean nothing.
static LAST: LazyLock<AtomicU64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    AtomicU64::new(u64::try_from(since.as_micros()).unwrap_or_default())
});

impl Later {
    /// Begins the wait of one call; none if too many wait.
    pub(crate) fn new(tally: &Arc<Tally>, limit: usize, timeout: Duration) -> Option<Self> {
        let permit = tally.permit(OutgoingKind::Deferred, limit)?;
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = oneshot::channel();
        lock(&tally.deferred.0).insert(number, sender);
        Some(Self { timeout, answer, number, tally: Arc::clone(tally), _permit: permit })
    }

    /// The deferred call of a replay, which nothing waits for.
    pub(crate) fn of_replay(number: u64) -> Self {
        let (_never, answer) = oneshot::channel();
        let (tally, permit) = (Tally::apart(), Permit::of_replay(OutgoingKind::Deferred, 0));
        Self { timeout: Duration::ZERO, answer, number, tally, _permit: permit }
    }

    /// A call whose result comes from a plugin in another process.
    pub fn elsewhere(timeout: Duration, answer: oneshot::Receiver<CallResult>) -> Self {
        let (tally, permit) = (Tally::apart(), Permit::of_replay(OutgoingKind::Deferred, 0));
        Self { timeout, answer, number: 0, tally, _permit: permit }
    }

    /// The plugin's name for the call.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Waits for the result. Cancel-safe.
    ///
    /// Never ends without one: the wait has a limit, see [`Later::timeout`].
    pub async fn answer(&mut self) -> CallResult {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            // Unreachable: the sender is in the table until it is used.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        lock(&self.tally.deferred.0).remove(&self.number);
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Completion {
    /// Whether the call still waits.
    pub(crate) fn is_awaited(&self) -> bool {
        lock(&self.tally.deferred.0).contains_key(&self.number)
    }

    /// Gives the answer to the call; counted if it does not wait any more.
    pub fn perform(self) {
        let sender = lock(&self.tally.deferred.0).remove(&self.number);
        if sender.is_none_or(|sender| sender.send(self.answer).is_err()) {
            self.tally.drop_answer(OutgoingKind::Deferred);
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, answer, .. } = self;
        f.debug_struct("Completion")
            .field("number", number)
            .field("answer", answer)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Completion {
    fn eq(&self, other: &Self) -> bool {
        (self.number, &self.answer) == (other.number, &other.answer)
    }
}

impl Eq for Completion {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::tally::Tallies;
    use crate::refusal::HookRefusal;

    fn refusal(message: &str) -> CallResult {
        Err(HookRefusal { uri: "a.b".to_owned(), message: message.to_owned() })
    }

    #[tokio::test]
    async fn completes_each_call_once() {
        let tally = Tallies::new(9).of("one");
        let mut later = Later::new(&tally, 1, Duration::from_secs(1)).unwrap();
        assert!(Later::new(&tally, 1, Duration::from_secs(1)).is_none(), "the limit");
        let complete = |text| Completion {
            number: later.number(),
            answer: refusal(text),
            tally: Arc::clone(&tally),
        };
        let (first, second) = (complete("first"), complete("second"));
        assert!(first.is_awaited());
        first.perform();
        assert!(!second.is_awaited());
        second.perform();
        assert_eq!(later.answer().await, refusal("first"));
        assert_eq!(tally.count(OutgoingKind::Deferred).dropped, 1);
        drop(later);
        assert!(Later::new(&tally, 1, Duration::from_secs(1)).is_some());
    }

    #[tokio::test]
    async fn forgets_calls_that_have_ended() {
        let tallies = Tallies::new(9);
        let tally = tallies.of("one");
        let later = Later::new(&tally, 1, Duration::from_secs(1)).unwrap();
        let number = later.number();
        // Another plugin that guesses the number completes nothing.
        let other = Completion { number, answer: refusal("stolen"), tally: tallies.of("other") };
        assert!(!other.is_awaited());
        other.perform();
        let late = Completion { number, answer: refusal("late"), tally: Arc::clone(&tally) };
        assert!(late.is_awaited());
        drop(later);
        assert!(!late.is_awaited());
    }
}
