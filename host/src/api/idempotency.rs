//! Idempotency keys: a client that got no response may repeat its request, and gets the first
//! response again. Bounded in time, number and bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::sync::watch;

use crate::http::response::Answer;

/// The time for which an answer is kept.
const REMEMBERED: Duration = Duration::from_mins(10);

/// The maximum number of kept answers; the oldest is removed first.
const MAX_ENTRIES: usize = 10_000;

/// The maximum size of all kept answers.
const MAX_BYTES: usize = 16 << 20;

/// The name of a token, and an idempotency key of that token.
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
    /// The requests by number, the oldest first.
    order: BTreeMap<u64, (Instant, Key)>,
    next: u64,
    bytes: usize,
}

struct Request {
    number: u64,
    digest: [u8; 32],
    bytes: usize,
    answer: watch::Receiver<Option<Answer>>,
}

/// The result of looking a request up.
pub(super) enum Claim {
    /// The first request with its key. It has this number, and its answer is sent here.
    New(u64, watch::Sender<Option<Answer>>),
    /// The same request again: its answer is pending or available.
    Again(watch::Receiver<Option<Answer>>),
    /// A different request with the same key.
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
                known.order.insert(number, (now, key.clone()));
                known.shrink();
                Claim::New(number, answered)
            }
        }
    }

    /// Counts the answer's bytes. A failure of the server and a temporary refusal have changed nothing, and
    /// the request may be retried with the same key. If the request has been removed meanwhile, the key may belong
    /// to another request, which stays unchanged.
    pub(super) fn settle(&self, key: &Key, number: u64, answer: &Answer) {
        let mut known = self.lock();
        let Some(request) = known.requests.get_mut(key) else { return };
        if request.number != number {
            return;
        }
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            known.forget(number);
        } else {
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
        let is_old = |since: Instant| now.saturating_duration_since(since) >= REMEMBERED;
        while let Some((&oldest, &(since, _))) = self.order.first_key_value()
            && is_old(since)
        {
            self.forget(oldest);
        }
    }

    fn shrink(&mut self) {
        while (self.order.len() > MAX_ENTRIES || self.bytes > MAX_BYTES)
            && let Some((&oldest, _)) = self.order.first_key_value()
        {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some((_, key)) = self.order.remove(&number)
            && let Some(request) = self.requests.remove(&key)
        {
            self.bytes -= request.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(key: usize) -> Key {
        ("deploy".to_owned(), key.to_string())
    }

    /// Claims a new key, and returns the request's number.
    fn first(repeats: &Repeats, number: usize, now: Instant) -> u64 {
        match repeats.claim(&key(number), [1; 32], now) {
            Claim::New(number, _answered) => number,
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
    fn remembers_a_request_for_ten_minutes() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        first(&repeats, 1, start);
        assert!(is_known(&repeats, 1, start + REMEMBERED.mul_f64(0.99)));
        first(&repeats, 1, start + REMEMBERED);
        let other = repeats.claim(&("other".to_owned(), "1".to_owned()), [1; 32], start);
        assert!(matches!(other, Claim::New(..)), "keys are each token's own");
    }

    #[test]
    fn a_failed_request_may_be_retried() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let number = first(&repeats, 1, start);
        repeats.settle(&key(1), number, &answer(StatusCode::SERVICE_UNAVAILABLE, 10));
        let number = first(&repeats, 1, start);
        repeats.settle(&key(1), number, &answer(StatusCode::TOO_MANY_REQUESTS, 10));
        let number = first(&repeats, 1, start + Duration::from_secs(1));
        repeats.settle(&key(1), number, &answer(StatusCode::NOT_FOUND, 10));
        // The expiry of the first attempt does not remove the second.
        assert!(is_known(&repeats, 1, start + REMEMBERED));
    }

    /// Checks the counted bytes against the stored ones.
    fn check_bytes(repeats: &Repeats, expect: usize) {
        let known = repeats.lock();
        assert_eq!(known.bytes, known.requests.values().map(|it| it.bytes).sum::<usize>());
        assert_eq!(known.order.len(), known.requests.len());
        assert_eq!(known.bytes, expect);
    }

    #[test]
    fn answers_belong_to_one_request() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let slow = first(&repeats, 1, start);
        // It is removed before it is answered, and its key is used again.
        let quick = first(&repeats, 1, start + REMEMBERED);
        let bytes = answer(StatusCode::OK, 10).len();
        repeats.settle(&key(1), slow, &answer(StatusCode::OK, 1_000));
        check_bytes(&repeats, 0);
        repeats.settle(&key(1), quick, &answer(StatusCode::OK, 10));
        check_bytes(&repeats, bytes);
        repeats.settle(&key(1), slow, &answer(StatusCode::SERVICE_UNAVAILABLE, 10));
        assert!(is_known(&repeats, 1, start + REMEMBERED));
        first(&repeats, 2, start + REMEMBERED * 2);
        check_bytes(&repeats, 0);
    }

    #[test]
    fn failed_requests_evict_no_remembered_answer() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        first(&repeats, 0, start);
        for number in 1..=MAX_ENTRIES * 2 {
            let failed = first(&repeats, number, start);
            repeats.settle(&key(number), failed, &answer(StatusCode::SERVICE_UNAVAILABLE, 10));
        }
        assert!(is_known(&repeats, 0, start));
        check_bytes(&repeats, 0);
    }

    #[test]
    fn memory_is_bounded() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let numbers: Vec<_> =
            (0..=MAX_ENTRIES).map(|number| first(&repeats, number, start)).collect();
        assert!(!is_known(&repeats, 0, start) && is_known(&repeats, 1, start));
        for (request, &number) in numbers.iter().enumerate().take(21).skip(1) {
            repeats.settle(&key(request), number, &answer(StatusCode::OK, 1 << 20));
        }
        let bytes = repeats.lock().bytes;
        check_bytes(&repeats, bytes);
        assert!(bytes <= MAX_BYTES && repeats.lock().requests.len() < MAX_ENTRIES);
    }
}
