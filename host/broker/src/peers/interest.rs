//! Interest: the topics and patterns that the sessions of nodes are subscribed to, with their numbers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use jackfield_wamp::uri::MatchPolicy;

use super::NodeId;
use super::bytes::{Input, put_bytes};
use crate::uri_table::{Key, MAX_WILDCARD_COMPONENTS, UriTable};

/// The time for which a topic without subscribers stays announced at least, so that the reload of a page
/// changes nothing.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// The maximum number of keys of one node, and of bytes in them. Further ones are ignored, and the table
/// stays incomplete.
const MAX_KEYS: usize = 1 << 20;
const MAX_KEY_BYTES: usize = 128 << 20;

/// The maximum length of a URI, as that of clients, and of the name of a realm.
const MAX_URI_BYTES: usize = 1024;

/// The maximum number of own keys without subscribers that stay announced.
pub(super) const MAX_IDLE: usize = 1 << 16;

/// A topic or pattern of a realm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterestKey {
    realm: Arc<str>,
    key: Key,
}

impl InterestKey {
    /// Creates a key.
    pub fn new(realm: &str, policy: MatchPolicy, uri: &str) -> Self {
        Self { realm: realm.into(), key: Key { policy, uri: uri.into() } }
    }

    pub(crate) fn of(realm: &str, key: Key) -> Self {
        Self { realm: realm.into(), key }
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

    /// Returns a hash that all nodes have in common (FNV-1a).
    fn hash(&self) -> u64 {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(match self.key.policy {
            MatchPolicy::Exact => 0,
            MatchPolicy::Prefix => 1,
            MatchPolicy::Wildcard => 2,
        });
        put_bytes(self.realm.as_bytes(), out);
        put_bytes(self.key.uri.as_bytes(), out);
    }

    fn read(input: &mut Input) -> Option<Self> {
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
            .then(|| Self::new(&realm, policy, &uri))
    }

    fn bytes(&self) -> usize {
        self.realm.len() + self.key.uri.len()
    }
}

/// The number of subscribers of a key on one node.
pub(super) fn encode(key: &InterestKey, count: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32_le(count);
    key.put(&mut out);
    out
}

pub(super) fn decode(content: Bytes) -> Option<(InterestKey, u32)> {
    let mut input = Input::new(content);
    let count = input.u32()?;
    Some((InterestKey::read(&mut input)?, count))
}

/// The number of keys of a snapshot, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    keys: u64,
    sum: u64,
}

impl Digest {
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a InterestKey>) -> Self {
        keys.fold(Self::default(), |Self { keys, sum }, key| Self {
            keys: keys + 1,
            sum: sum.wrapping_add(key.hash()),
        })
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

/// The interest of the own sessions, as the peers know it.
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
    count: u32,
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
        let announced = Announced { count: 1, unacknowledged, ..Announced::default() };
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
        std::mem::replace(&mut announced.count, count) != count
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

    pub(super) fn iter(&self) -> impl Iterator<Item = (&InterestKey, u32)> {
        self.keys.iter().map(|(key, announced)| (key, announced.count))
    }
}

/// The keys of one peer.
#[derive(Default)]
pub(super) struct Keys {
    all: HashSet<InterestKey>,
    bytes: usize,
    /// Whether some are missing, because they have no room or cannot be read.
    pub(super) is_incomplete: bool,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &InterestKey> {
        self.all.iter()
    }

    fn has_room(&self, key: &InterestKey) -> bool {
        self.all.contains(key)
            || (self.all.len() < MAX_KEYS && self.bytes + key.bytes() <= MAX_KEY_BYTES)
    }

    fn insert(&mut self, key: InterestKey) {
        let bytes = key.bytes();
        if self.all.insert(key) {
            self.bytes += bytes;
        }
    }

    fn remove(&mut self, key: &InterestKey) -> bool {
        let is_removed = self.all.remove(key);
        if is_removed {
            self.bytes -= key.bytes();
        }
        is_removed
    }
}

/// A snapshot of a peer's interest so far.
#[derive(Default)]
pub(super) struct Snapshot {
    keys: HashMap<InterestKey, u32>,
    bytes: usize,
    /// A key cannot be read, or there are too many.
    is_spoiled: bool,
}

impl Snapshot {
    /// Adds a key; `None` is one that cannot be read.
    pub(super) fn push(&mut self, key: Option<(InterestKey, u32)>) {
        let key = key.filter(|_| !self.is_spoiled);
        let Some((key, count)) = key.filter(|(key, _)| self.has_room(key)) else {
            *self = Self { is_spoiled: true, ..Self::default() };
            return;
        };
        self.bytes += key.bytes();
        self.keys.insert(key, count);
    }

    fn has_room(&self, key: &InterestKey) -> bool {
        self.keys.len() < MAX_KEYS && self.bytes + key.bytes() <= MAX_KEY_BYTES
    }

    /// Returns whether the snapshot is whole.
    pub(super) fn has_digest(&self, digest: Option<Digest>) -> bool {
        !self.is_spoiled && digest == Some(Digest::of(self.keys.keys()))
    }
}

/// The interest of the peers, by realm.
#[derive(Default)]
pub(super) struct RemoteInterest {
    realms: HashMap<Arc<str>, UriTable<Holders>>,
}

/// The nodes with subscribers of a key, and their numbers.
type Holders = Vec<(NodeId, u32)>;

impl RemoteInterest {
    /// Sets the number of subscribers of a key on a node. `keys` are all of this node. Returns whether
    /// there was room for the key.
    pub(super) fn set(
        &mut self,
        node: NodeId,
        keys: &mut Keys,
        key: InterestKey,
        count: u32,
    ) -> bool {
        if count == 0 {
            if keys.remove(&key) {
                self.remove(node, &key);
            }
            return true;
        }
        if !keys.has_room(&key) {
            return false;
        }
        let table = self.realms.entry(Arc::clone(&key.realm)).or_default();
        match table.get_mut(&key.key.uri, key.key.policy) {
            None => table.insert(key.key.clone(), vec![(node, count)]),
            Some(holders) => match holders.iter_mut().find(|(holder, _)| *holder == node) {
                Some((_, known)) => *known = count,
                None => holders.push((node, count)),
            },
        }
        keys.insert(key);
        true
    }

    /// Replaces the keys of a node by a snapshot. Returns whether there was room.
    pub(super) fn replace(&mut self, node: NodeId, keys: &mut Keys, snapshot: Snapshot) -> bool {
        let is_gone = |key: &&InterestKey| !snapshot.keys.contains_key(*key);
        for key in keys.iter().filter(is_gone).cloned().collect::<Vec<_>>() {
            keys.remove(&key);
            self.remove(node, &key);
        }
        let mut has_room = true;
        for (key, count) in snapshot.keys {
            has_room &= self.set(node, keys, key, count);
        }
        has_room
    }

    /// Removes a key of a node.
    pub(super) fn remove(&mut self, node: NodeId, InterestKey { realm, key }: &InterestKey) {
        let Some(table) = self.realms.get_mut(realm) else { return };
        let Some(holders) = table.get_mut(&key.uri, key.policy) else { return };
        holders.retain(|(holder, _)| *holder != node);
        if holders.is_empty() {
            table.remove(key);
        }
        if table.is_empty() {
            self.realms.remove(realm);
        }
    }

    /// Returns the nodes with subscribers of a topic, each once, and the number of matching steps.
    pub(super) fn nodes(
        &self,
        realm: &str,
        topic: &str,
        with_patterns: bool,
    ) -> (Vec<NodeId>, usize) {
        let Some(table) = self.realms.get(realm) else { return (Vec::new(), 0) };
        let exact = table.exact(topic).into_iter().flatten();
        let mut nodes: Vec<_> = exact.map(|(node, _)| *node).collect();
        if !with_patterns {
            return (nodes, 0);
        }
        let (patterns, steps) = table.patterns(topic);
        for (node, _) in patterns.flatten() {
            if !nodes.contains(node) {
                nodes.push(*node);
            }
        }
        (nodes, steps)
    }

    /// Returns the number of subscribers of a topic by name.
    pub(super) fn count(&self, realm: &str, topic: &str) -> usize {
        let holders = self.realms.get(realm).and_then(|table| table.exact(topic));
        holders.into_iter().flatten().map(|(_, count)| *count as usize).sum()
    }
}
