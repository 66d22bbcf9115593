//! Kept decisions: the answers of authorizers that the plugin lets the server repeat.
//!
//! They belong to the instances of one version of a plugin, so that another version begins without any.
//! The keys are digests: what clients choose, such as long URIs, takes no memory here.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jackfield_sandbox::{AccessAttempt, AccessPermission, HookRefusal, Keep};
use sha2::{Digest, Sha256};

/// The maximum number of decisions of a plugin.
const MAX_DECISIONS: usize = 10_000;
/// The longest time of a decision, whatever the plugin says.
const MAX_TIME: Duration = Duration::from_hours(1);
/// The maximum size of a refusal that is kept.
const MAX_REFUSAL_BYTES: usize = 1 << 10;

/// The answer for the client.
type Answer = Result<AccessPermission, HookRefusal>;

/// All that a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DecisionKey([u8; 32]);

/// The decisions of one version of a plugin.
#[derive(Debug, Default)]
pub(crate) struct KeptDecisions {
    /// A std mutex, held for a look-up.
    halves: Mutex<Halves>,
}

/// The younger half replaces the older one when it is full: a bound without a list of ages.
#[derive(Debug, Default)]
struct Halves {
    young: HashMap<DecisionKey, Kept>,
    old: HashMap<DecisionKey, Kept>,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    until: Instant,
}

impl DecisionKey {
    /// Creates the key of an attempt. `who` are the parts that tell the session or the principal from
    /// others.
    pub(crate) fn new<'a>(
        handler: &str,
        uri: &str,
        attempt: AccessAttempt,
        who: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let attempt = format!("{attempt:?}");
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            // With its length, so that parts cannot be mistaken for one another.
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        };
        [handler, uri, &attempt].into_iter().map(str::as_bytes).for_each(&mut add);
        who.into_iter().for_each(add);
        Self(digest.finalize().into())
    }
}

impl KeptDecisions {
    /// Returns the answer under the key that still holds.
    pub(crate) fn get(&self, key: &DecisionKey, now: Instant) -> Option<Answer> {
        let halves = self.lock();
        let kept = halves.young.get(key).or_else(|| halves.old.get(key))?;
        (now < kept.until).then(|| kept.answer.clone())
    }

    /// Keeps the answer of a decision for as long as it says.
    pub(crate) fn put(&self, key: DecisionKey, answer: &Answer, keep: Keep, now: Instant) {
        let is_short = |refusal: &HookRefusal| {
            refusal.uri.len().saturating_add(refusal.message.len()) <= MAX_REFUSAL_BYTES
        };
        if !answer.as_ref().err().is_none_or(is_short) {
            return;
        }
        let mut halves = self.lock();
        if halves.young.len() >= MAX_DECISIONS / 2 {
            halves.old = mem::take(&mut halves.young);
        }
        let until = now + keep.time.min(MAX_TIME);
        halves.young.insert(key, Kept { answer: answer.clone(), until });
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        *self.lock() = Halves::default();
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        // Each change is one statement.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jackfield_sandbox::{AccessAction, AccessOptions, AccessPolicy, KeepFor};

    use super::*;

    const ALLOWED: Answer = Ok(AccessPermission { disclose: false });

    fn attempt(action: AccessAction) -> AccessAttempt {
        AccessAttempt { action, policy: AccessPolicy::Exact, options: AccessOptions::default() }
    }

    fn key(uri: &str) -> DecisionKey {
        DecisionKey::new("a", uri, attempt(AccessAction::Call), [b"ann".as_slice()])
    }

    fn keep(time: Duration) -> Keep {
        Keep { time, audience: KeepFor::Session }
    }

    #[test]
    fn keys_tell_all_parts_apart() {
        let key = |handler, uri, action, who: &[&'static [u8]]| {
            DecisionKey::new(handler, uri, attempt(action), who.iter().copied())
        };
        let (call, publish) = (AccessAction::Call, AccessAction::Publish);
        let keys = [
            key("a", "b", call, &[b"c", b"d"]),
            key("ab", "", call, &[b"c", b"d"]),
            key("a", "b", publish, &[b"c", b"d"]),
            key("a", "b", call, &[b"cd", b""]),
            key("a", "b", call, &[b"c"]),
        ];
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn decisions_end_with_their_time() {
        let (kept, now) = (KeptDecisions::default(), Instant::now());
        let (second, day) = (Duration::from_secs(1), Duration::from_hours(24));
        kept.put(key("short"), &ALLOWED, keep(second), now);
        kept.put(key("long"), &ALLOWED, keep(day), now);
        kept.put(key("none"), &ALLOWED, keep(Duration::ZERO), now);
        assert_eq!(kept.get(&key("none"), now), None);
        assert_eq!(kept.get(&key("short"), now), Some(ALLOWED));
        assert_eq!(kept.get(&key("short"), now + second), None);
        assert_eq!(kept.get(&key("long"), now + MAX_TIME / 2), Some(ALLOWED));
        assert_eq!(kept.get(&key("long"), now + MAX_TIME), None);
        kept.clear();
        assert_eq!(kept.get(&key("long"), now), None);
    }

    #[test]
    fn keeps_no_more_than_its_bounds() {
        let (kept, now) = (KeptDecisions::default(), Instant::now());
        for number in 0..3 * MAX_DECISIONS {
            kept.put(key(&number.to_string()), &ALLOWED, keep(MAX_TIME), now);
        }
        let halves = kept.lock();
        assert!(halves.young.len() + halves.old.len() <= MAX_DECISIONS);
        drop(halves);
        assert_eq!(kept.get(&key(&(3 * MAX_DECISIONS - 1).to_string()), now), Some(ALLOWED));
        let message = "x".repeat(MAX_REFUSAL_BYTES);
        let long = Err(HookRefusal { uri: "a.b".to_owned(), message });
        kept.put(key("long"), &long, keep(MAX_TIME), now);
        assert_eq!(kept.get(&key("long"), now), None);
    }
}
