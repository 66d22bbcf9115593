//! Claims: how a node says to the others that it is the home of a plugin, and which of several claims counts.
//!
//! By heartbeat, the oldest claim counts: it has the state. By lease, JetStream has granted one node the home, and
//! the newest lease counts. All nodes must have the same rule, or the plugin has no home.

use bytes::{BufMut, Bytes, BytesMut};
use jackfield_broker::peers::{NodeId, home};

/// How a node becomes the home of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// It is not known yet whether NATS has JetStream: no plugin has a home here.
    Undecided,
    /// By the claims that nodes announce.
    Heartbeat,
    /// By a lease of JetStream.
    Lease,
}

/// The claim of a node, for a plugin that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) rule: Rule,
    /// By heartbeat, the time since which the node is the home; by lease, the number of its lease. `None`
    /// if it is not the home.
    pub(super) number: Option<u64>,
}

/// A node that has a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    /// The hash of its name.
    pub(super) name: u64,
    /// `None` is a claim of a later version.
    pub(super) claim: Option<Claim>,
}

/// The choice of a home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// The home, and the number of its lease; 0 by heartbeat.
    pub(super) home: Option<(NodeId, u64)>,
    /// The node that is to take the lease first.
    pub(super) next: Option<NodeId>,
    /// A node with another rule.
    pub(super) differs: Option<NodeId>,
}

impl Rule {
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Undecided => b'?',
            Self::Heartbeat => b'H',
            Self::Lease => b'L',
        }
    }

    pub(super) const fn of_byte(byte: u8) -> Self {
        match byte {
            b'H' => Self::Heartbeat,
            b'L' => Self::Lease,
            _ => Self::Undecided,
        }
    }

    /// Returns a short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Heartbeat => "off",
            Self::Lease => "on",
        }
    }
}

impl Claim {
    /// Writes the claim. One by heartbeat is as in releases without leases: nothing, or the time.
    pub(super) fn encode(self) -> Bytes {
        let mut bytes = BytesMut::new();
        if self.rule != Rule::Heartbeat {
            bytes.put_u8(self.rule.byte());
        }
        if let Some(number) = self.number {
            bytes.put_u64(number);
        }
        bytes.freeze()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let read = |number: &[u8]| match number {
            [] => Some(None),
            number => Some(Some(u64::from_be_bytes(number.try_into().ok()?))),
        };
        if let Some(number) = read(bytes) {
            return Some(Self { rule: Rule::Heartbeat, number });
        }
        let (first, number) = bytes.split_first()?;
        let rule = [Rule::Undecided, Rule::Lease].into_iter().find(|it| it.byte() == *first)?;
        Some(Self { rule, number: read(number)? })
    }
}

/// Chooses the home of a plugin. All nodes that know the same candidates choose the same one.
pub(super) fn choose(plugin: &str, rule: Rule, candidates: &[Candidate]) -> Choice {
    let is_other = |it: &&Candidate| {
        it.claim.is_none_or(|claim| claim.rule != rule && claim.rule != Rule::Undecided)
    };
    if let Some(other) = candidates.iter().find(is_other).filter(|_| rule != Rule::Undecided) {
        return Choice { differs: Some(other.node), ..Choice::default() };
    }
    let claims = candidates.iter().filter_map(|it| Some((it.claim?.number?, it.node)));
    match rule {
        Rule::Undecided => Choice::default(),
        Rule::Heartbeat => {
            let chosen = claims.min().map(|it| it.1).or_else(|| by_name(plugin, candidates));
            Choice { home: chosen.map(|node| (node, 0)), ..Choice::default() }
        }
        Rule::Lease => {
            let home = claims.max().map(|(number, node)| (node, number));
            let decided = |it: &&Candidate| it.claim.is_some_and(|it| it.rule == Rule::Lease);
            let decided: Vec<_> = candidates.iter().filter(decided).copied().collect();
            Choice { home, next: by_name(plugin, &decided), differs: None }
        }
    }
}

/// Chooses a node by rendezvous hashing over the names of nodes.
fn by_name(plugin: &str, candidates: &[Candidate]) -> Option<NodeId> {
    let NodeId(name) = home(candidates.iter().map(|it| NodeId(it.name)), plugin.as_bytes())?;
    candidates.iter().filter(|it| it.name == name).map(|it| it.node).min()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jackfield_broker::peers::hash;

    use super::*;

    fn candidate(node: u64, rule: Rule, number: Option<u64>) -> Candidate {
        let claim = Some(Claim { rule, number });
        Candidate { node: NodeId(node), name: hash(format!("web-{node}").as_bytes()), claim }
    }

    fn chosen(rule: Rule, all: &[(u64, Option<u64>)]) -> Choice {
        let all: Vec<_> =
            all.iter().map(|(node, number)| candidate(*node, rule, *number)).collect();
        choose("acme", rule, &all)
    }

    #[test]
    fn the_oldest_claim_stays() {
        let check = |all: &[(u64, Option<u64>)], expect: u64| {
            let home = chosen(Rule::Heartbeat, all).home;
            assert_eq!(home, Some((NodeId(expect), 0)), "{all:?}");
        };
        // A node that joins, whatever its id is.
        check(&[(1, None), (2, Some(100)), (3, None)], 2);
        check(&[(2, Some(100)), (3, None)], 2);
        // Nodes that were apart.
        check(&[(1, Some(200)), (2, Some(100)), (3, Some(300))], 2);
        check(&[(2, Some(100)), (1, Some(100))], 1);
        check(&[(4, None)], 4);
        assert_eq!(chosen(Rule::Heartbeat, &[]), Choice::default());
    }

    #[test]
    fn the_newest_lease_counts() {
        let all = [(1, Some(200)), (2, Some(100)), (3, None)];
        assert_eq!(chosen(Rule::Lease, &all).home, Some((NodeId(1), 200)));
        let none = chosen(Rule::Lease, &[(1, None), (2, None)]);
        assert_eq!(none.home, None, "no home without a lease");
        assert!(none.next.is_some());
        assert_eq!(chosen(Rule::Undecided, &all), Choice::default());
    }

    #[test]
    fn nodes_with_different_rules_have_no_home() {
        let both = [candidate(1, Rule::Heartbeat, Some(1)), candidate(2, Rule::Lease, Some(2))];
        for (rule, other) in [(Rule::Heartbeat, 2), (Rule::Lease, 1)] {
            let choice = choose("acme", rule, &both);
            let expect = Choice { differs: Some(NodeId(other)), ..Choice::default() };
            assert_eq!(choice, expect);
        }
        // A node that does not know yet, and one whose claim cannot be read.
        let starting = candidate(3, Rule::Undecided, None);
        let choice = choose("acme", Rule::Lease, &[both[1], starting]);
        assert_eq!((choice.home, choice.next), (Some((NodeId(2), 2)), Some(NodeId(2))));
        let later = Candidate { claim: None, ..starting };
        assert!(choose("acme", Rule::Lease, &[both[1], later]).differs.is_some());
    }

    #[test]
    fn claims_are_read_as_they_were_written() {
        for rule in [Rule::Undecided, Rule::Heartbeat, Rule::Lease] {
            for number in [None, Some(0), Some(u64::MAX)] {
                let claim = Claim { rule, number };
                assert_eq!(Claim::decode(&claim.encode()), Some(claim));
            }
        }
        // Those of releases without leases.
        for (bytes, number) in [(&b""[..], None), (&[0, 0, 0, 0, 0, 0, 1, 0], Some(256))] {
            assert_eq!(Claim::decode(bytes), Some(Claim { rule: Rule::Heartbeat, number }));
        }
        for bytes in [&b"X"[..], b"L1", b"L123456789"] {
            assert_eq!(Claim::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn nodes_of_the_same_names_choose_the_same_homes_after_a_restart() {
        let names = ["web-1", "web-2", "web-3"].map(|name| hash(name.as_bytes()));
        let mut chosen = BTreeSet::new();
        for plugin in 0..40 {
            let plugin = format!("plugin-{plugin}");
            let of = |ids: [u64; 3]| {
                let ids = ids.map(NodeId);
                let claim = Some(Claim { rule: Rule::Heartbeat, number: None });
                let all = ids.into_iter().zip(names);
                let all = all.map(|(node, name)| Candidate { node, name, claim });
                let choice = choose(&plugin, Rule::Heartbeat, &all.collect::<Vec<_>>());
                ids.iter().position(|id| Some((*id, 0)) == choice.home)
            };
            assert_eq!(of([7, 8, 9]), of([30, 2, 11]), "{plugin}");
            chosen.extend(of([7, 8, 9]));
        }
        assert_eq!(chosen.len(), 3, "the plugins are distributed");
    }
}
