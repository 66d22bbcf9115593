//! The simulated host of one plugin: the store with its clock, the subscriptions, and the effects
//! and log lines of hooks. The plugin acts on it by `imports`, the test by `Harness`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    time::{Duration, SystemTime},
};

use super::sent::{MadeCall, SentRequest};
use crate::http::message as http;
use crate::{Event, Refusal, SessionId, level::Level, store_error::StoreError};

/// The host as one plugin sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    /// Time since the test began; only the test advances it.
    pub(crate) now: Duration,
    pub(crate) store: BTreeMap<String, Kept>,
    /// Whether the store refuses every write.
    pub(crate) full: bool,
    /// The realm of the call.
    pub(crate) realm: String,
    /// The subscribers of each topic, by realm and topic.
    pub(crate) audience: BTreeMap<(String, String), BTreeSet<SessionId>>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) lines: Vec<(Level, String)>,
    /// The number of writes to the store.
    pub(crate) writes: u64,
    /// The topic of the call.
    pub(crate) topic: String,
    /// Requests and calls that wait for the test's answer.
    pub(crate) requests: Vec<SentRequest>,
    pub(crate) calls: Vec<MadeCall>,
    /// The call that the last hook has deferred, and the last number given out.
    pub(crate) deferred: Option<u64>,
    pub(crate) last_deferred: u64,
    /// The answers to requests that `on_subscribe` waits for.
    pub(crate) fetches: Option<Fetches>,
    /// Whether the hook may wait for one.
    pub(crate) may_wait: bool,
    /// The calls that wait for a result, and the results that the test has not taken.
    pub(crate) awaited: BTreeSet<u64>,
    pub(crate) completed: BTreeMap<u64, Result<Event, Refusal>>,
}

/// A function that answers requests.
#[derive(Clone)]
pub(crate) struct Fetches(pub(crate) Rc<Answers>);

type Answers = dyn Fn(http::Request) -> Result<http::Response, http::Error>;

impl fmt::Debug for Fetches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fetches")
    }
}

/// A value of the store.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    value: Vec<u8>,
    until: Option<Duration>,
}

/// An effect that happens when the hook has returned.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Publish {
        topic: String,
        event: Event,
        exclude: Vec<SessionId>,
        eligible: Option<Vec<SessionId>>,
    },
    Send {
        session: SessionId,
        topic: String,
        event: Event,
    },
    Unsubscribe {
        session: SessionId,
        topic: String,
    },
    Close {
        session: SessionId,
        reason: String,
        message: String,
    },
    Request(SentRequest),
    Call(MadeCall),
    Complete(u64, Result<Event, Refusal>),
}

/// The start of every test: 1 January 2026, 00:00 UTC, in hours since 1970.
const START: Duration = Duration::from_hours(490_896);

impl World {
    pub(crate) fn time(&self) -> SystemTime {
        let since = START.saturating_add(self.now);
        // Stops at the last time that the system can represent.
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH + START)
    }

    pub(crate) fn subscribers(&self, topic: &str) -> Vec<SessionId> {
        self.audience.get(&self.place(topic)).into_iter().flatten().copied().collect()
    }

    /// The topic in the realm of the call.
    pub(crate) fn place(&self, topic: &str) -> (String, String) {
        (self.realm.clone(), topic.to_owned())
    }

    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.kept(key).map(|kept| kept.value.clone())
    }

    pub(crate) fn set(
        &mut self,
        key: &str,
        value: &[u8],
        ttl: Option<u64>,
    ) -> Result<(), StoreError> {
        self.room()?;
        let until = ttl.map(|ttl| self.now.saturating_add(Duration::from_millis(ttl)));
        self.store.insert(key.to_owned(), Kept { value: value.to_vec(), until });
        self.writes += 1;
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) -> bool {
        let was = self.kept(key).is_some();
        self.writes += u64::from(was);
        self.store.remove(key);
        was
    }

    pub(crate) fn increment(&mut self, key: &str, by: i64) -> Result<i64, StoreError> {
        self.room()?;
        let (number, until) = match self.kept(key) {
            None => (0, None),
            Some(kept) => {
                let text = std::str::from_utf8(&kept.value).ok();
                let number = text.and_then(|text| text.parse::<i64>().ok());
                (number.ok_or(StoreError::NotANumber)?, kept.until)
            }
        };
        let sum = number.checked_add(by).ok_or(StoreError::NotANumber)?;
        self.store.insert(key.to_owned(), Kept { value: sum.to_string().into_bytes(), until });
        self.writes += 1;
        Ok(sum)
    }

    pub(crate) fn compare_and_set(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl: Option<u64>,
    ) -> Result<bool, StoreError> {
        if self.kept(key).map(|kept| kept.value.as_slice()) != expected {
            return Ok(false);
        }
        match value {
            Some(value) => self.set(key, value, ttl)?,
            None => {
                self.store.remove(key);
            }
        }
        Ok(true)
    }

    pub(crate) fn entries(&self, prefix: &str, limit: u32) -> Vec<(String, Vec<u8>)> {
        self.store
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, kept)| self.lives(kept))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|(key, kept)| (key.clone(), kept.value.clone()))
            .collect()
    }

    fn room(&self) -> Result<(), StoreError> {
        if self.full { Err(StoreError::Full) } else { Ok(()) }
    }

    fn kept(&self, key: &str) -> Option<&Kept> {
        self.store.get(key).filter(|kept| self.lives(kept))
    }

    fn lives(&self, kept: &Kept) -> bool {
        kept.until.is_none_or(|until| self.now < until)
    }
}
