//! Versions of the envelope that a node speaks, and HELLO, which tells them to all nodes of a cluster.
//!
//! ```text
//! HELLO: lowest u8 · from u64 · highest u8 · name · version of Jackfield · site, three texts
//! ```
//!
//! Two nodes use the highest version that both speak. A node without a common version is no peer: it is
//! [incompatible](IncompatibleNode). The form of a HELLO is the same in all versions; a later one may write more
//! behind it. A HELLO without its end is of a node that speaks the lowest version alone.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, Bytes};

use super::bytes::{Input, put_bytes};
use super::{DEAD_AFTER, MAX_PEERS, NodeId, Notice, Peers};

/// The versions of the envelope that a node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The lowest one.
    pub lowest: u8,
    /// The highest one.
    pub highest: u8,
}

impl Versions {
    /// Those of this build.
    pub const SPOKEN: Self = Self { lowest: 1, highest: 1 };

    /// Returns the version that two nodes use; `None` if they have none in common.
    pub(super) fn common(self, other: Self) -> Option<u8> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }

    pub(super) fn contains(self, version: u8) -> bool {
        (self.lowest..=self.highest).contains(&version)
    }
}

/// A message that all nodes of a cluster get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) from: NodeId,
    pub(super) versions: Versions,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) site: String,
}

/// The length of names, versions and sites that are kept.
const MAX_TEXT_CHARS: usize = 255;

/// Cuts a text of a peer, and leaves control characters out: it is shown in terminals.
pub(super) fn cut(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(MAX_TEXT_CHARS).collect()
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.versions.lowest];
        out.put_u64_le(self.from.0);
        out.put_u8(self.versions.highest);
        for text in [&self.name, &self.version, &self.site] {
            put_bytes(text.as_bytes(), &mut out);
        }
        out
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut input = Input::new(bytes.clone());
        let (lowest, from) = (input.u8()?, NodeId(input.u64()?));
        let highest = input.u8().unwrap_or(lowest);
        let mut text = || input.text().map_or_else(String::new, |it| cut(&it));
        let (name, version, site) = (text(), text(), text());
        (highest >= lowest).then_some(Self {
            from,
            versions: Versions { lowest, highest },
            name,
            version,
            site,
        })
    }
}

/// A node of the same cluster that speaks no version of the envelope that this one speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncompatibleNode {
    /// Its id.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// The version of its Jackfield.
    pub version: String,
    /// The versions of the envelope that it speaks.
    pub versions: Versions,
}

/// The incompatible nodes that are heard.
#[derive(Debug, Default)]
pub(super) struct IncompatibleNodes(BTreeMap<NodeId, Heard>);

#[derive(Debug)]
struct Heard {
    node: IncompatibleNode,
    seen: Duration,
    is_reported: bool,
}

impl IncompatibleNodes {
    /// Notes a HELLO. Those of nodes beyond the limit of a cluster are ignored.
    pub(super) fn hear(&mut self, hello: Hello, now: Duration) {
        let Hello { from: node, versions, name, version, .. } = hello;
        if let Some(known) = self.0.get_mut(&node) {
            known.seen = now;
        } else if self.0.len() < MAX_PEERS {
            let heard = IncompatibleNode { node, name, version, versions };
            self.0.insert(node, Heard { node: heard, seen: now, is_reported: false });
        }
    }

    /// Forgets silent ones. Returns the notices of new ones and of those that are forgotten.
    pub(super) fn tick(&mut self, now: Duration) -> Vec<Notice> {
        let silent = self.0.extract_if(.., |_, it| now.saturating_sub(it.seen) >= DEAD_AFTER);
        let mut notices: Vec<_> = silent.map(|(_, it)| Notice::IncompatibleGone(it.node)).collect();
        notices.extend(self.0.values_mut().filter_map(|it| {
            let is_new = !std::mem::replace(&mut it.is_reported, true);
            is_new.then(|| Notice::Incompatible(it.node.clone()))
        }));
        notices
    }

    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.0.contains_key(&node)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn list(&self) -> Vec<IncompatibleNode> {
        self.0.values().map(|it| it.node.clone()).collect()
    }
}

impl Peers {
    /// Lets the node speak as one of a later release would, for tests of upgrades: it speaks these versions of
    /// the envelope, and sends records and keys that no version knows. The forms of all versions are alike here.
    #[must_use]
    pub fn as_later_release(mut self, versions: Versions) -> Self {
        (self.about.versions, self.about.is_later) = (versions, true);
        self
    }

    /// Sets the site that this node serves, such as a digest of its files. The other nodes show it.
    pub fn set_site(&mut self, site: &str) {
        if self.about.site != site {
            site.clone_into(&mut self.about.site);
        }
    }

    /// Returns the site that this node serves; empty before it is set.
    pub fn site(&self) -> &str {
        &self.about.site
    }

    /// Returns the versions of the envelope that this node speaks.
    pub fn versions(&self) -> Versions {
        self.about.versions
    }

    /// Returns the nodes of the cluster with which this one exchanges nothing, because they have no version
    /// of the envelope in common.
    pub fn incompatible(&self) -> Vec<IncompatibleNode> {
        self.incompatible.list()
    }

    /// Returns whether nodes of the cluster are heard, and all of them are incompatible.
    pub fn is_apart(&self) -> bool {
        self.by_id.is_empty() && !self.incompatible.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(lowest: u8, highest: u8) -> Versions {
        Versions { lowest, highest }
    }

    #[test]
    fn two_nodes_use_the_highest_common_version() {
        let check = |one: (u8, u8), other: (u8, u8), expect| {
            let (one, other) = (versions(one.0, one.1), versions(other.0, other.1));
            assert_eq!(
                (one.common(other), other.common(one)),
                (expect, expect),
                "{one:?} {other:?}"
            );
        };
        check((1, 1), (1, 1), Some(1));
        check((1, 1), (1, 2), Some(1));
        check((1, 3), (2, 5), Some(3));
        check((2, 2), (1, 9), Some(2));
        check((1, 1), (2, 3), None);
        check((1, 2), (3, 3), None);
    }

    #[test]
    fn a_hello_may_be_longer_or_shorter() {
        let texts = ["web-1", "1.0", "0af"].map(str::to_owned);
        let [name, version, site] = texts;
        let hello = Hello { from: NodeId(9), versions: versions(1, 3), name, version, site };
        let bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes.clone().into()), Some(hello));
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"of a later version");
        assert_eq!(Hello::decode(&longer.into()).unwrap().site, "0af");
        let first = Hello::decode(&bytes[..9].to_vec().into()).unwrap();
        assert_eq!((first.versions, first.name.as_str()), (versions(1, 1), ""));
        assert_eq!(Hello::decode(&bytes[..8].to_vec().into()), None);
        let mut wrong = bytes;
        wrong[0] = 4;
        assert_eq!(Hello::decode(&wrong.into()), None, "the highest one is lower");
        assert_eq!(cut("web\u{1b}[2J\n-1"), "web[2J-1");
    }

    #[test]
    fn incompatible_nodes_are_reported_once_and_forgotten() {
        let mut nodes = IncompatibleNodes::default();
        let hello = |from| {
            let texts = [(); 3].map(|()| "x".repeat(1_000));
            let [name, version, site] = texts;
            let hello = Hello { from: NodeId(from), versions: versions(7, 8), name, version, site };
            Hello::decode(&hello.encode().into()).unwrap()
        };
        let seconds = Duration::from_secs;
        nodes.hear(hello(1), seconds(0));
        let reported = nodes.tick(seconds(1));
        assert!(
            matches!(&reported[..], [notice @ Notice::Incompatible(node)]
                if node.name.len() == MAX_TEXT_CHARS && notice.is_doubt()),
            "{reported:?}"
        );
        nodes.hear(hello(1), seconds(4));
        assert_eq!(nodes.tick(seconds(8)), []);
        assert_eq!(nodes.list().len(), 1);
        for from in 0..1_000 {
            nodes.hear(hello(from), seconds(8));
        }
        assert_eq!(nodes.list().len(), MAX_PEERS);
        // Events were missing until then.
        let gone = nodes.tick(seconds(13));
        let is_doubt = |it: &Notice| matches!(it, Notice::IncompatibleGone(_)) && it.is_doubt();
        assert!(gone.len() == MAX_PEERS && gone.iter().all(is_doubt), "{gone:?}");
        assert!(nodes.is_empty());
        assert_eq!(nodes.tick(seconds(14)), []);
    }
}
