//! The interest of the peers: the keys of each, and the nodes of each key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::NodeId;
use super::interest::{Digest, InterestKey, InterestKind, Stake, Told};
use crate::uri_table::UriTable;

/// The maximum number of keys of one node, and of bytes in them. Further ones are ignored, and the table
/// stays incomplete.
const MAX_KEYS: usize = 1 << 20;
const MAX_KEY_BYTES: usize = 128 << 20;

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
    keys: HashMap<InterestKey, Stake>,
    /// Keys of unknown kinds.
    unknown: Digest,
    bytes: usize,
    /// A key cannot be read, or there are too many.
    is_spoiled: bool,
}

impl Snapshot {
    /// Adds a key; `None` is one that cannot be read.
    pub(super) fn push(&mut self, told: Option<Told>) {
        match told.filter(|_| !self.is_spoiled) {
            Some(Told::Unknown(hash)) => self.unknown.add(hash),
            Some(Told::Known(key, stake)) if self.has_room(&key) => {
                self.bytes += key.bytes();
                self.keys.insert(key, stake);
            }
            Some(Told::Known(..)) | None => *self = Self { is_spoiled: true, ..Self::default() },
        }
    }

    fn has_room(&self, key: &InterestKey) -> bool {
        self.keys.len() < MAX_KEYS && self.bytes + key.bytes() <= MAX_KEY_BYTES
    }

    /// Returns whether the snapshot is whole.
    pub(super) fn has_digest(&self, digest: Option<Digest>) -> bool {
        let known = Digest::of(self.keys.keys());
        !self.is_spoiled && digest == Some(known.with(self.unknown))
    }
}

/// The interest of the peers.
#[derive(Default)]
pub(super) struct RemoteInterest {
    /// Topics and patterns with subscribers, by realm.
    realms: HashMap<Arc<str>, UriTable<Holders>>,
    /// Procedures and plugins.
    offers: HashMap<InterestKey, Vec<(NodeId, Stake)>>,
    /// Those that have changed since the last look.
    changed: HashSet<InterestKey>,
}

/// The nodes with subscribers of a key, and their numbers.
type Holders = Vec<(NodeId, u32)>;

impl RemoteInterest {
    /// Sets the part of a node in a key. `keys` are all of this node. Returns whether there was room for
    /// the key.
    pub(super) fn set(
        &mut self,
        node: NodeId,
        keys: &mut Keys,
        key: InterestKey,
        stake: Stake,
    ) -> bool {
        if stake.count == 0 {
            if keys.remove(&key) {
                self.remove(node, &key);
            }
            return true;
        }
        if !keys.has_room(&key) {
            return false;
        }
        match key.kind() {
            InterestKind::Subscription => self.set_subscribers(node, &key, stake.count),
            InterestKind::Registration | InterestKind::Plugin => self.set_offer(node, &key, stake),
        }
        keys.insert(key);
        true
    }

    fn set_subscribers(&mut self, node: NodeId, key: &InterestKey, count: u32) {
        let table = self.realms.entry(Arc::clone(&key.realm)).or_default();
        match table.get_mut(&key.key.uri, key.key.policy) {
            None => table.insert(key.key.clone(), vec![(node, count)]),
            Some(holders) => match holders.iter_mut().find(|(holder, _)| *holder == node) {
                Some((_, known)) => *known = count,
                None => holders.push((node, count)),
            },
        }
    }

    fn set_offer(&mut self, node: NodeId, key: &InterestKey, stake: Stake) {
        let holders = self.offers.entry(key.clone()).or_default();
        match holders.iter_mut().find(|(holder, _)| *holder == node) {
            Some((_, known)) if *known == stake => return,
            Some((_, known)) => *known = stake,
            None => holders.push((node, stake)),
        }
        self.changed.insert(key.clone());
    }

    /// Replaces the keys of a node by a snapshot. Returns whether there was room.
    pub(super) fn replace(&mut self, node: NodeId, keys: &mut Keys, snapshot: Snapshot) -> bool {
        let is_gone = |key: &&InterestKey| !snapshot.keys.contains_key(*key);
        for key in keys.iter().filter(is_gone).cloned().collect::<Vec<_>>() {
            keys.remove(&key);
            self.remove(node, &key);
        }
        let mut has_room = true;
        for (key, stake) in snapshot.keys {
            has_room &= self.set(node, keys, key, stake);
        }
        has_room
    }

    /// Removes a key of a node.
    pub(super) fn remove(&mut self, node: NodeId, known: &InterestKey) {
        match known.kind() {
            InterestKind::Subscription => self.remove_subscribers(node, known),
            InterestKind::Registration | InterestKind::Plugin => {
                let Some(holders) = self.offers.get_mut(known) else { return };
                holders.retain(|(holder, _)| *holder != node);
                if holders.is_empty() {
                    self.offers.remove(known);
                }
                self.changed.insert(known.clone());
            }
        }
    }

    fn remove_subscribers(&mut self, node: NodeId, InterestKey { realm, key, .. }: &InterestKey) {
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

    /// Returns the nodes with a part in a procedure or plugin.
    pub(super) fn offers(&self, key: &InterestKey) -> &[(NodeId, Stake)] {
        self.offers.get(key).map_or(&[], Vec::as_slice)
    }

    /// Returns whether procedures or plugins of peers have changed since the last look.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Takes the procedures and plugins of peers that have changed since the last look.
    pub(super) fn take_changed(&mut self) -> HashSet<InterestKey> {
        std::mem::take(&mut self.changed)
    }
}
