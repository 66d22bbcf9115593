//! Idempotency keys: a client that got no response may repeat its request, and gets the first
//! response again. Bounded in time, number and bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::http::response::Answer;

/// How long an answer is remembered.
const REMEMBERED: Duration = Duration::from_mins(10);

/// How many are remembered; the oldest is forgotten first.
const MAX_ENTRIES: usize = 10_000;

/// Bytes of their answers, all together.
const MAX_BYTES: usize = 16 << 20;

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
    /// The same ones by their numbers, which is from the oldest on.
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

/// What a request turns out to be.
pub(super) enum Claim {
    /// The first of its key, and its number: it is to be handled, and the answer to be sent here.
    New(u64, watch::Sender<Option<Answer>>),
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
                known.order.insert(number, (now, key.clone()));
                known.shrink();
                Claim::New(number, answered)
            }
        }
    }

    /// Counts the answer's bytes. What failed on the server's side has changed nothing, and may be
    /// tried again under the same key. If the request has been forgotten meanwhile, what is known
    /// under its key is another's affair.
    pub(super) fn settle(&self, key: &Key, number: u64, answer: &Answer) {
        let mut known = self.lock();
        let Some(request) = known.requests.get_mut(key) else { return };
        if request.number != number {
            return;
        }
        if answer.status().is_server_error() {
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
    use hyper::StatusCode;
    use serde_json::json;

    use super::*;

    fn key(key: usize) -> Key {
        ("deploy".to_owned(), key.to_string())
    }

    /// The number of the first request of its key.
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
        let number = first(&repeats, 1, start + Duration::from_secs(1));
        repeats.settle(&key(1), number, &answer(StatusCode::NOT_FOUND, 10));
        // The first attempt's place in the queue does not forget the second.
        assert!(is_known(&repeats, 1, start + REMEMBERED));
    }

    /// What is counted, and what there is to count.
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
        // It is forgotten before it is answered, and its key is used anew.
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
