//! Rate limits: a token bucket for each session, user, topic or other key.
//!
//! A bucket holds `burst` tokens and is refilled evenly over time. Each request takes one token; with
//! an empty bucket it is refused.
//!
//! ```
//! use std::time::Duration;
//!
//! use jackfield_plugin::{Event, Handler, Plugin, Publish, RateLimit, testing::{Harness, User}};
//!
//! /// Five messages at once, and then one every two seconds.
//! const MESSAGES: RateLimit = RateLimit::new("messages", 5, Duration::from_secs(10));
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("acme-room", "1.0.0").handler(Handler::new("acme.room").on_publish(
//!         |_state, request, _event| {
//!             MESSAGES.per_user(request)?;
//!             Ok(Publish::broadcast())
//!         },
//!     ))
//! }
//!
//! let mut site = Harness::new(plugin);
//! site.route("acme/room", "acme.room");
//! let ann = site.join(User::named("ann"));
//! for number in 1..=5 {
//!     site.publish(ann, "acme/room", Event::new(number))?;
//! }
//! let refused = site.publish(ann, "acme/room", Event::new(6)).unwrap_err();
//! assert_eq!(refused.uri(), Some("jackfield.error.rate_limit_exceeded"));
//! assert_eq!(refused.message(), "Too many requests; try again in 2 seconds.");
//! site.advance(Duration::from_secs(2));
//! site.publish(ann, "acme/room", Event::new(7))?;
//! # Ok::<(), jackfield_plugin::testing::Failure>(())
//! ```
//!
//! # Store or memory
//!
//! The buckets are in the [`store`]: they survive reloads and faults, all lanes share
//! them, and a stateless plugin has nothing else. A request costs one read and one write there.
//! [`RateLimit::in_memory`] keeps them in the instance. That is cheaper, and each lane counts for
//! itself, a reload fills all buckets, and so does a fault: a client whose messages make the handler
//! fail would have no limit.

mod bucket;
mod memory;

#[cfg(test)]
mod tests;

use std::{
    fmt::Display,
    marker::PhantomData,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::bucket::Bucket;
use crate::{Error, Refusal, Request, now, presence::MemberId, store};

/// A limit of the rate of requests: `burst` at once, and `burst` in each `period`.
///
/// It has no state of its own: make it a constant, or make it from the settings of a route at each
/// call. See the [module](crate::rate_limit).
#[derive(Debug, Clone, Copy)]
pub struct RateLimit<B = Stored> {
    name: &'static str,
    burst: u32,
    period: Duration,
    uri: &'static str,
    buckets: PhantomData<B>,
}

/// Buckets in the store, the default.
#[derive(Debug, Clone, Copy)]
pub struct Stored;

/// Buckets in the memory of the instance.
#[derive(Debug, Clone, Copy)]
pub struct InMemory;

/// The place of the buckets: [`Stored`] or [`InMemory`].
pub trait Buckets: sealed::Sealed {
    /// Takes a token of the bucket, or returns the time until there is one.
    #[doc(hidden)]
    fn take(key: &str, bucket: Bucket, now: u64) -> Result<Option<Duration>, Error>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Stored {}
    impl Sealed for super::InMemory {}
}

/// The error URI of requests beyond the limit.
pub const EXCEEDED: &str = "jackfield.error.rate_limit_exceeded";

/// Maximum length of a key, in bytes. A longer one is cut, and its hash appended.
const MAX_KEY_BYTES: usize = 512;

impl RateLimit {
    /// Creates a limit with buckets in the store: `burst` requests at once, and `burst` in each
    /// `period`. Zero of either counts as one, or one microsecond. The name is part of the keys,
    /// `rate/NAME/…`.
    #[must_use]
    pub const fn new(name: &'static str, burst: u32, period: Duration) -> Self {
        Self { name, burst, period, uri: EXCEEDED, buckets: PhantomData }
    }

    /// Creates a limit with buckets in the memory of the instance, ten thousand at most in all
    /// limits. The fullest ones are dropped first.
    #[must_use]
    pub const fn in_memory(
        name: &'static str,
        burst: u32,
        period: Duration,
    ) -> RateLimit<InMemory> {
        RateLimit { name, burst, period, uri: EXCEEDED, buckets: PhantomData }
    }
}

impl<B: Buckets> RateLimit<B> {
    /// Sets the error URI of refusals; the default is [`EXCEEDED`].
    #[must_use]
    pub const fn uri(self, uri: &'static str) -> Self {
        Self { uri, ..self }
    }

    /// Takes a token of the calling session.
    ///
    /// # Errors
    ///
    /// A refusal, if the bucket is empty. [`Error::NoSession`]; [`Error::StoreFull`].
    pub fn per_session(&self, request: &Request) -> Result<(), Refusal> {
        self.take_key(&format!("s{}", request.caller()?.id()))
    }

    /// Takes a token of the calling user, in all sessions and on all topics of the realm. An anonymous
    /// session counts for itself: a client gets a full bucket with a new connection.
    ///
    /// # Errors
    ///
    /// As [`RateLimit::per_session`].
    pub fn per_user(&self, request: &Request) -> Result<(), Refusal> {
        match MemberId::of(request.caller()?) {
            MemberId::Session(_) => self.per_session(request),
            MemberId::User(authid) => self.take_key(&in_realm('u', request, &authid)),
        }
    }

    /// Takes a token of the topic, for requests of all sessions.
    ///
    /// # Errors
    ///
    /// As [`RateLimit::per_session`].
    pub fn per_topic(&self, request: &Request) -> Result<(), Refusal> {
        self.take_key(&in_realm('t', request, request.topic()))
    }

    /// Takes a token of any key, in all realms. Each key that is used within a period takes memory, so
    /// it should not be a text that clients can invent.
    ///
    /// # Errors
    ///
    /// As [`RateLimit::per_session`].
    pub fn per_key(&self, key: impl Display) -> Result<(), Refusal> {
        self.take_key(&format!("k{key}"))
    }

    fn take_key(&self, key: &str) -> Result<(), Refusal> {
        let now = microseconds(now());
        let key = format!("rate/{}/{}", self.name, bounded(key));
        match B::take(&key, Bucket::new(self.burst, self.period), now)? {
            None => Ok(()),
            Some(wait) => {
                let seconds = wait.as_micros().div_ceil(1_000_000).max(1);
                let unit = if seconds == 1 { "second" } else { "seconds" };
                let message = format!("Too many requests; try again in {seconds} {unit}.");
                Err(Refusal::new(self.uri, message))
            }
        }
    }
}

impl Buckets for Stored {
    /// A full bucket has no entry: entries expire when they are full.
    fn take(key: &str, bucket: Bucket, now: u64) -> Result<Option<Duration>, Error> {
        loop {
            let old = store::get_bytes(key);
            let full_at = old.as_deref().map(|bytes| store::decode(key, bytes)).transpose()?;
            let full_at = match bucket.take(full_at, now) {
                Ok(full_at) => full_at,
                Err(wait) => return Ok(Some(wait)),
            };
            let until_full = Duration::from_micros(full_at.saturating_sub(now));
            // The store counts in milliseconds: an entry that expired early would be a free token.
            let time = until_full + Duration::from_millis(1);
            let new = store::encode(&full_at)?;
            if store::compare_and_set(key, old.as_deref(), Some(&new), Some(time))? {
                return Ok(None);
            }
        }
    }
}

impl Buckets for InMemory {
    fn take(key: &str, bucket: Bucket, now: u64) -> Result<Option<Duration>, Error> {
        Ok(memory::take(key, bucket, now))
    }
}

fn in_realm(kind: char, request: &Request, name: &str) -> String {
    let realm = request.realm();
    format!("{kind}{}:{realm}/{name}", realm.len())
}

/// The key, short enough for the store. Two long keys with the same beginning and hash share a bucket.
fn bounded(key: &str) -> String {
    if key.len() <= MAX_KEY_BYTES {
        return key.to_owned();
    }
    // FNV-1a, since the standard hashers differ from version to version.
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let start = key.get(..key.floor_char_boundary(MAX_KEY_BYTES)).unwrap_or_default();
    format!("{start}#{hash:016x}")
}

fn microseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
