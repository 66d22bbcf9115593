//! Requests that are told apart by an `Idempotency-Key`: whoever did not get an answer may ask again,
//! and is answered what was answered first. Bounded in time, number and bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::http::Answer;

/// How long an answer is remembered.
const REMEMBERED: Duration = Duration::from_mins(10);

/// How many are remembered; the oldest is forgotten first.
const MOST: usize = 10_000;

/// Bytes of their answers, all together.
const MOST_BYTES: usize = 16 << 20;

/// The name of a token, and a key that it has used.
pub(super) type Key = (String, String);

/// Requests of the last minutes, with their answers.
#[derive(Default)]
pub(super) struct Repeats {
    /// Held for look-ups and changes of a few steps.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    requests: HashMap<Key, Request>,
    /// From the oldest on; one that is not in the map under the same number has been forgotten.
    order: VecDeque<(u64, Instant, Key)>,
    next: u64,
    bytes: usize,
}

struct Request {
    number: u64,
    digest: [u8; 32],
    bytes: usize,
    answer: watch::Receiver<Option<Answer>>,
}

/// What a request turns out to be.
pub(super) enum Claim {
    /// The first of its key: it is to be handled, and the answer to be sent here.
    New(watch::Sender<Option<Answer>>),
    /// The same as one before, whose answer comes or is there.
    Again(watch::Receiver<Option<Answer>>),
    /// Another one under the same key.
    Other,
}

impl Repeats {
    /// Looks a request up by its key and the digest of its body, and remembers it.
    pub(super) fn claim(&self, key: &Key, digest: [u8; 32], now: Instant) -> Claim {
        let mut known = self.lock();
        known.expire(now);
        match known.requests.get(key) {
            Some(request) if request.digest == digest => Claim::Again(request.answer.clone()),
            Some(_) => Claim::Other,
            None => {
                let answered = watch::Sender::new(None);
                let number = known.next;
                known.next += 1;
                let request = Request { number, digest, bytes: 0, answer: answered.subscribe() };
                known.requests.insert(key.clone(), request);
                known.order.push_back((number, now, key.clone()));
                known.shrink();
                Claim::New(answered)
            }
        }
    }

    /// Counts the answer's bytes. What failed on the server's side has changed nothing, and may be
    /// tried again under the same key.
    pub(super) fn settle(&self, key: &Key, answer: &Answer) {
        let mut known = self.lock();
        if answer.status().is_server_error() {
            known.forget(key);
        } else if let Some(request) = known.requests.get_mut(key) {
            request.bytes = answer.len();
            known.bytes += answer.len();
            known.shrink();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Tables are consistent between any two steps.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn expire(&mut self, now: Instant) {
        let is_old = |since: &Instant| now.saturating_duration_since(*since) >= REMEMBERED;
        while self.order.front().is_some_and(|(_, since, _)| is_old(since)) {
            self.forget_oldest();
        }
    }

    fn shrink(&mut self) {
        while self.order.len() > MOST || (self.bytes > MOST_BYTES && !self.order.is_empty()) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((number, _, key)) = self.order.pop_front()
            && self.requests.get(&key).is_some_and(|request| request.number == number)
        {
            self.forget(&key);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(request) = self.requests.remove(key) {
            self.bytes -= request.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use serde_json::json;

    use super::*;

    fn key(key: usize) -> Key {
        ("deploy".to_owned(), key.to_string())
    }

    fn first(repeats: &Repeats, number: usize, now: Instant) -> watch::Sender<Option<Answer>> {
        match repeats.claim(&key(number), [1; 32], now) {
            Claim::New(answered) => answered,
            Claim::Again(_) | Claim::Other => panic!("{number} is known"),
        }
    }

    fn is_known(repeats: &Repeats, number: usize, now: Instant) -> bool {
        let known = repeats.lock().requests.contains_key(&key(number));
        if known {
            assert!(matches!(repeats.claim(&key(number), [1; 32], now), Claim::Again(_)));
            assert!(matches!(repeats.claim(&key(number), [2; 32], now), Claim::Other));
        }
        known
    }

    fn answer(status: StatusCode, bytes: usize) -> Answer {
        Answer::json(status, &json!("x".repeat(bytes)))
    }

    #[test]
    fn a_request_is_remembered_for_ten_minutes() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let _answered = first(&repeats, 1, start);
        assert!(is_known(&repeats, 1, start + REMEMBERED.mul_f64(0.99)));
        first(&repeats, 1, start + REMEMBERED);
        let other = repeats.claim(&("other".to_owned(), "1".to_owned()), [1; 32], start);
        assert!(matches!(other, Claim::New(_)), "keys are each token's own");
    }

    #[test]
    fn what_failed_may_be_tried_again() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let _answered = first(&repeats, 1, start);
        repeats.settle(&key(1), &answer(StatusCode::SERVICE_UNAVAILABLE, 10));
        let _answered = first(&repeats, 1, start + Duration::from_secs(1));
        repeats.settle(&key(1), &answer(StatusCode::NOT_FOUND, 10));
        // The first attempt's place in the queue does not forget the second.
        assert!(is_known(&repeats, 1, start + REMEMBERED));
    }

    #[test]
    fn memory_is_bounded() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        for number in 0..=MOST {
            let _answered = first(&repeats, number, start);
        }
        assert!(!is_known(&repeats, 0, start) && is_known(&repeats, 1, start));
        for number in 1..=20 {
            repeats.settle(&key(number), &answer(StatusCode::OK, 1 << 20));
        }
        let known = repeats.lock();
        assert!(known.bytes <= MOST_BYTES && known.requests.len() < MOST);
        assert_eq!(known.bytes, known.requests.values().map(|it| it.bytes).sum::<usize>());
    }
}
