//! Interest: the topics and patterns that the sessions of nodes are subscribed to, the procedures that
//! they have registered, and the plugins of nodes. The tables of the peers are in `remote`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use jackfield_wamp::uri::MatchPolicy;

use super::NodeId;
use super::bytes::{Input, put_bytes};
use super::envelope::UNKNOWN_KIND;
use super::home::hash;
use crate::uri_table::{Key, MAX_WILDCARD_COMPONENTS};

/// The time for which a topic without subscribers stays announced at least, so that the reload of a page
/// changes nothing.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// The maximum length of a URI, as that of clients, and of the name of a realm.
const MAX_URI_BYTES: usize = 1024;

/// The maximum number of own keys without subscribers that stay announced.
pub(super) const MAX_IDLE: usize = 1 << 16;

/// The maximum length of what a node says of a key besides the number.
pub(super) const MAX_DETAIL_BYTES: usize = 64;

/// The thing that a node has a part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterestKind {
    /// A topic or pattern with subscribers.
    Subscription,
    /// A procedure or pattern with callees.
    Registration,
    /// A plugin, by its name.
    Plugin,
}

impl InterestKind {
    /// The greatest number of a kind.
    const LAST: u8 = 2;
}

/// A topic, procedure or pattern of a realm, or a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterestKey {
    kind: InterestKind,
    pub(super) realm: Arc<str>,
    pub(super) key: Key,
}

/// The part of a node in a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    /// The number of subscribers or callees. Without any, the node has no part.
    pub count: u32,
    /// What the other nodes have to know besides, up to 64 bytes; empty of subscriptions.
    pub detail: Bytes,
}

impl InterestKey {
    /// Creates the key of a subscription.
    pub fn new(realm: &str, policy: MatchPolicy, uri: &str) -> Self {
        Self::of(realm, Key { policy, uri: uri.into() })
    }

    /// Creates the key of a registration.
    pub fn registration(realm: &str, policy: MatchPolicy, uri: &str) -> Self {
        Self { kind: InterestKind::Registration, ..Self::new(realm, policy, uri) }
    }

    /// Creates the key of a plugin, which belongs to no realm.
    pub fn plugin(name: &str) -> Self {
        Self { kind: InterestKind::Plugin, ..Self::new("", MatchPolicy::Exact, name) }
    }

    pub(crate) fn of(realm: &str, key: Key) -> Self {
        Self { kind: InterestKind::Subscription, realm: realm.into(), key }
    }

    /// Returns what the key is about.
    pub const fn kind(&self) -> InterestKind {
        self.kind
    }

    /// Returns the match policy; exact of a plugin.
    pub const fn policy(&self) -> MatchPolicy {
        self.key.policy
    }

    /// Returns the topic, procedure or pattern, or the name of the plugin.
    pub fn uri(&self) -> &str {
        &self.key.uri
    }

    pub(crate) const fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the topic; `None` of a pattern.
    pub fn topic(&self) -> Option<&str> {
        (self.key.policy == MatchPolicy::Exact).then_some(&self.key.uri)
    }

    /// Returns the name of the realm.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Returns a hash that all nodes have in common.
    fn hash(&self) -> u64 {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        hash(&bytes)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(match self.kind {
            InterestKind::Subscription => 0,
            InterestKind::Registration => 1,
            InterestKind::Plugin => 2,
        });
        out.put_u8(match self.key.policy {
            MatchPolicy::Exact => 0,
            MatchPolicy::Prefix => 1,
            MatchPolicy::Wildcard => 2,
        });
        put_bytes(self.realm.as_bytes(), out);
        put_bytes(self.key.uri.as_bytes(), out);
    }

    fn read(input: &mut Input) -> Option<Self> {
        let kind = match input.u8()? {
            0 => InterestKind::Subscription,
            1 => InterestKind::Registration,
            2 => InterestKind::Plugin,
            _ => return None,
        };
        let policy = match input.u8()? {
            0 => MatchPolicy::Exact,
            1 => MatchPolicy::Prefix,
            2 => MatchPolicy::Wildcard,
            _ => return None,
        };
        let (realm, uri) = (input.text()?, input.text()?);
        if realm.len() > MAX_URI_BYTES || uri.len() > MAX_URI_BYTES {
            return None;
        }
        // The table of wildcards is as deep as they have components.
        let components = uri.split('.').count();
        (policy != MatchPolicy::Wildcard || components <= MAX_WILDCARD_COMPONENTS)
            .then(|| Self { kind, ..Self::new(&realm, policy, &uri) })
    }

    pub(super) fn bytes(&self) -> usize {
        self.realm.len() + self.key.uri.len()
    }
}

impl Stake {
    /// The number of subscribers of a topic or pattern.
    pub(super) const fn subscribers(count: u32) -> Self {
        Self { count, detail: Bytes::new() }
    }
}

/// Writes the part of one node in a key.
pub(super) fn encode(key: &InterestKey, stake: &Stake) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32_le(stake.count);
    put_bytes(&stake.detail, &mut out);
    key.put(&mut out);
    out
}

/// The part of a node in a key, as a peer tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Known(InterestKey, Stake),
    /// A key of a kind that a later version has, and the hash of the key.
    Unknown(u64),
}

pub(super) fn decode(content: Bytes) -> Option<Told> {
    let mut input = Input::new(content);
    let (count, detail) = (input.u32()?, input.bytes()?);
    let key = input.clone();
    if key.clone().u8()? > InterestKind::LAST {
        return unknown(key).map(Told::Unknown);
    }
    let key = InterestKey::read(&mut input)?;
    // A copy: the slice would keep the whole envelope.
    let detail = Bytes::copy_from_slice(&detail);
    (detail.len() <= MAX_DETAIL_BYTES).then_some(Told::Known(key, Stake { count, detail }))
}

/// Returns the hash of a key of an unknown kind, which has the form of the others.
fn unknown(key: Input) -> Option<u64> {
    let mut end = key.clone();
    let (_kind, _policy, _realm, _uri) = (end.u8()?, end.u8()?, end.bytes()?, end.bytes()?);
    let bytes = key.rest();
    let length = bytes.len().checked_sub(end.rest().len())?;
    bytes.get(..length).map(hash)
}

/// Writes a key that no version knows, as a later one would, and returns its hash.
pub(super) fn unknown_key() -> (Vec<u8>, u64) {
    let mut key = vec![UNKNOWN_KIND, 0];
    put_bytes(b"realm", &mut key);
    put_bytes(b"later", &mut key);
    let mut out = 1_u32.to_le_bytes().to_vec();
    put_bytes(b"detail", &mut out);
    out.extend_from_slice(&key);
    (out, hash(&key))
}

/// The number of keys of a snapshot, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    keys: u64,
    sum: u64,
}

impl Digest {
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a InterestKey>) -> Self {
        let mut digest = Self::default();
        keys.for_each(|key| digest.add(key.hash()));
        digest
    }

    /// Adds a key.
    pub(super) const fn add(&mut self, hash: u64) {
        self.keys += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// Returns the digest of the keys of both.
    pub(super) const fn with(self, other: Self) -> Self {
        Self { keys: self.keys + other.keys, sum: self.sum.wrapping_add(other.sum) }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64_le(self.keys);
        out.put_u64_le(self.sum);
        out
    }

    pub(super) fn decode(content: Bytes) -> Option<Self> {
        let mut input = Input::new(content);
        Some(Self { keys: input.u64()?, sum: input.u64()? })
    }
}

/// The interest of this node, as the peers know it.
#[derive(Debug, Default)]
pub(super) struct LocalInterest {
    keys: HashMap<InterestKey, Announced>,
    /// Keys that were announced before their subscription exists.
    claimed: HashSet<InterestKey>,
    /// Keys without subscribers by the time to look at them; the second number makes each one unique.
    idle: BTreeMap<(Duration, u64), InterestKey>,
    last_idle: u64,
}

/// A key that the peers know.
#[derive(Debug, Default)]
pub(super) struct Announced {
    stake: Stake,
    /// The end of a key without subscribers.
    idle_until: Option<Duration>,
    /// Whether the key is in the queue of idle ones.
    is_queued: bool,
    /// The links on which the first announcement went out, and its end on each. Those that have
    /// acknowledged it are removed when the key is announced again.
    pub(super) unacknowledged: Vec<(NodeId, u64, u64)>,
}

impl LocalInterest {
    /// Returns a key that is announced, for another subscriber of it; it stays for [`LINGER`] at least.
    pub(super) fn claim(&mut self, key: &InterestKey, now: Duration) -> Option<&mut Announced> {
        let announced = self.keys.get_mut(key)?;
        announced.idle_until = announced.idle_until.map(|until| until.max(now + LINGER));
        Some(announced)
    }

    /// Adds a key before its first subscriber.
    pub(super) fn add_claim(&mut self, key: &InterestKey, unacknowledged: Vec<(NodeId, u64, u64)>) {
        let stake = Stake::subscribers(1);
        let announced = Announced { stake, unacknowledged, ..Announced::default() };
        self.claimed.insert(key.clone());
        self.keys.insert(key.clone(), announced);
    }

    /// Returns the keys that were announced since the last call, to look at their subscriptions.
    pub(super) fn take_claimed(&mut self) -> HashSet<InterestKey> {
        std::mem::take(&mut self.claimed)
    }

    /// Sets the number of subscribers. A key without any stays for `keep`. Returns whether the peers are
    /// to know it now.
    pub(super) fn set(
        &mut self,
        key: &InterestKey,
        count: u32,
        keep: Duration,
        now: Duration,
    ) -> bool {
        if count == 0 {
            if let Some(announced) = self.keys.get_mut(key) {
                let until = *announced.idle_until.get_or_insert(now + keep);
                if !std::mem::replace(&mut announced.is_queued, true) {
                    self.queue(until, key.clone());
                }
            }
            return false;
        }
        let announced = self.keys.entry(key.clone()).or_default();
        announced.idle_until = None;
        std::mem::replace(&mut announced.stake.count, count) != count
    }

    /// Sets the part of this node in a procedure or plugin, which ends at once. Returns whether the peers
    /// are to know it.
    pub(super) fn offer(&mut self, key: &InterestKey, stake: Stake) -> bool {
        if stake.count == 0 {
            return self.keys.remove(key).is_some();
        }
        let announced = self.keys.entry(key.clone()).or_default();
        let is_changed = announced.stake != stake;
        announced.stake = stake;
        is_changed
    }

    fn queue(&mut self, until: Duration, key: InterestKey) {
        self.last_idle += 1;
        self.idle.insert((until, self.last_idle), key);
    }

    /// Removes and returns the keys without subscribers whose time is over, and the first ones if there
    /// are too many.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<InterestKey> {
        let mut expired = Vec::new();
        loop {
            let is_full = self.idle.len() > MAX_IDLE;
            let first = self.idle.first_entry().filter(|first| is_full || first.key().0 <= now);
            let Some(first) = first else { break };
            let key = first.remove();
            let Some(announced) = self.keys.get_mut(&key) else { continue };
            match announced.idle_until {
                None => announced.is_queued = false,
                Some(until) if is_full || until <= now => {
                    self.keys.remove(&key);
                    expired.push(key);
                }
                // A subscriber came and did not stay.
                Some(until) => self.queue(until, key),
            }
        }
        expired
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&InterestKey, &Stake)> {
        self.keys.iter().map(|(key, announced)| (key, &announced.stake))
    }
}
