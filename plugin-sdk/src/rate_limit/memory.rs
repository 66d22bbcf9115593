//! Buckets in the memory of the instance, bounded.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use super::bucket::Bucket;

/// Maximum number of buckets of all limits.
const MAX_BUCKETS: usize = 10_000;

thread_local! {
    // A component has one thread.
    static FULL_AT: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Takes a token of the bucket, or returns the time until there is one.
pub(super) fn take(key: &str, bucket: Bucket, now: u64) -> Option<Duration> {
    FULL_AT.with_borrow_mut(|buckets| {
        let full_at = match bucket.take(buckets.get(key).copied(), now) {
            Ok(full_at) => full_at,
            Err(wait) => return Some(wait),
        };
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(key) {
            make_room(buckets, now);
        }
        buckets.insert(key.to_owned(), full_at);
        None
    })
}

/// Drops the full buckets, which say nothing, and so many of those that will be full soon that a tenth
/// of the room is free: dropping one at a time would read all buckets each time.
fn make_room(buckets: &mut BTreeMap<String, u64>, now: u64) {
    buckets.retain(|_, full_at| *full_at > now);
    let keep = MAX_BUCKETS - MAX_BUCKETS / 10;
    if buckets.len() > keep {
        let mut times: Vec<u64> = buckets.values().copied().collect();
        let (_, latest_dropped, _) = times.select_nth_unstable(buckets.len() - keep - 1);
        let latest_dropped = *latest_dropped;
        buckets.retain(|_, full_at| *full_at > latest_dropped);
    }
}

#[cfg(test)]
pub(super) fn len() -> usize {
    FULL_AT.with_borrow(BTreeMap::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_fullest_buckets_at_the_limit() {
        let bucket = Bucket::new(1_000_000, Duration::from_secs(1_000_000));
        for _ in 0..10 {
            assert_eq!(take("busy", bucket, 0), None);
        }
        for number in 0..3 * MAX_BUCKETS {
            assert_eq!(take(&format!("key {number}"), bucket, 0), None);
            assert!(len() <= MAX_BUCKETS);
        }
        FULL_AT.with_borrow(|buckets| assert_eq!(buckets.get("busy"), Some(&10_000_000)));
        assert_eq!(take("later", bucket, u64::MAX / 4), None);
    }
}
