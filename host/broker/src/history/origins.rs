//! Origins: the nodes of a cluster that have published the events of a topic, and the numbers of these events.
//!
//! Each node numbers the events that it publishes to a topic, without a hole. So a node knows which events of
//! another one it has, whatever the order in which the events of several nodes have come, and a client's
//! [`Place`] means the same on all nodes.
//!
//! A history is **complete** if it knows the last number of each node: its node is told of every event, and has
//! asked all others what there was before. Without that, no client of another node is told that it has missed
//! nothing. Any doubt ends it.

use std::collections::BTreeMap;

use jackfield_wamp::position::{EventNumber, Place};

use crate::peers::Gone;

/// The maximum number of nodes whose events a history knows. With more, it is not complete.
const MAX_ORIGINS: usize = 64;

/// The nodes of a topic's events.
#[derive(Debug)]
pub(crate) struct Origins {
    /// This node.
    own: u64,
    runs: BTreeMap<u64, Run>,
    /// If the history is complete: the number of nodes that had left when it became so. What the nodes that have
    /// left since have published is known here.
    complete_since: Option<u64>,
}

/// The events of one node: those behind `before`, up to `last`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// The number of the newest event that is not in the history (any more).
    pub(super) before: u64,
    pub(super) last: u64,
}

impl Origins {
    /// Creates those of a topic whose events of this node begin behind a number.
    pub(super) fn new(own: u64, before: u64) -> Self {
        let runs = BTreeMap::from([(own, Run { before, last: before })]);
        Self { own, runs, complete_since: None }
    }

    pub(crate) const fn own(&self) -> u64 {
        self.own
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.complete_since.is_some()
    }

    /// Returns the number of nodes that had left when the history became complete, if it is.
    pub(super) const fn complete_since(&self) -> Option<u64> {
        self.complete_since
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = (u64, Run)> {
        self.runs.iter().map(|(node, run)| (*node, *run))
    }

    /// Returns the number of the last event of this node.
    pub(super) fn last_own(&self) -> u64 {
        self.runs.get(&self.own).map_or(0, |run| run.last)
    }

    /// Returns the number of the next event of this node.
    pub(crate) fn next_own(&self) -> EventNumber {
        EventNumber { node: self.own, number: self.last_own() + 1 }
    }

    /// Returns whether an event is the next one of its node: nothing is missing before it.
    pub(crate) fn continues(&self, number: Option<EventNumber>) -> bool {
        number.is_none_or(|EventNumber { node, number }| match self.runs.get(&node) {
            Some(run) => run.last.checked_add(1) == Some(number),
            None => !self.is_complete() || number == 1,
        })
    }

    /// Notes an event. One without a number is of a node that cannot tell it: the history is not complete.
    pub(super) fn note(&mut self, number: Option<EventNumber>) {
        let Some(EventNumber { node, number }) = number else { return self.complete_since = None };
        if let Some(run) = self.runs.get_mut(&node) {
            run.last = number;
            return;
        }
        if self.runs.len() >= MAX_ORIGINS {
            self.complete_since = None;
            self.runs.retain(|node, run| *node == self.own || run.before < run.last);
        }
        self.runs.insert(node, Run { before: number.saturating_sub(1), last: number });
    }

    /// Notes that an event is not in the history any more.
    pub(super) fn forget(&mut self, number: Option<EventNumber>) {
        if let Some(EventNumber { node, number }) = number
            && let Some(run) = self.runs.get_mut(&node)
        {
            run.before = run.before.max(number);
        }
    }

    /// Begins anew: events of other nodes may be missing.
    pub(super) fn reset(&mut self) {
        let last = self.last_own();
        *self = Self::new(self.own, last);
    }

    /// Skips a number of this node, since it has published events without one. Other nodes notice it.
    pub(super) fn skip(&mut self) {
        let last = self.last_own() + 1;
        *self = Self::new(self.own, last);
    }

    /// Makes the history complete, with these events of nodes. Returns whether they are few enough.
    pub(super) fn complete(
        &mut self,
        mut runs: BTreeMap<u64, Run>,
        gone: &Gone,
        since: u64,
    ) -> bool {
        if runs.len() > MAX_ORIGINS {
            // What is known of a gone node is needed only by a client that lacks one of its last events.
            runs.retain(|node, run| run.before < run.last || !gone.contains(*node));
        }
        let is_small = runs.len() <= MAX_ORIGINS;
        if is_small {
            self.runs = runs;
            self.complete_since = Some(since);
        }
        is_small
    }

    /// Returns the place behind events of these numbers, which are newer than it; some of them were had `besides`.
    /// Nodes of which there is nothing are left out: those without an event yet, and gone ones.
    pub(super) fn place(
        &self,
        later: impl Iterator<Item = Option<EventNumber>>,
        besides: &BTreeMap<u64, u64>,
        gone: &Gone,
    ) -> Option<Place> {
        self.complete_since?;
        let mut had: BTreeMap<_, _> =
            self.runs.iter().map(|(node, run)| (*node, run.last)).collect();
        for EventNumber { node, number } in later.flatten() {
            let had = had.entry(node).or_default();
            *had = (*had).min(number.saturating_sub(1));
        }
        had.retain(|node, number| {
            *number = besides.get(node).map_or(*number, |besides| (*number).max(*besides));
            let is_whole = self.runs.get(node).is_some_and(|run| *number == run.last);
            if gone.contains(*node) { !is_whole } else { *number > 0 }
        });
        Some(Place { gone: gone.digest(), had })
    }

    /// Returns whether a client has had an event that has not come here yet.
    pub(crate) fn is_behind(&self, place: &Place, gone: &Gone) -> bool {
        place.had.iter().any(|(node, number)| {
            !gone.contains(*node) && self.runs.get(node).map_or(0, |run| run.last) < *number
        })
    }

    /// Returns the last event of each node that a client has had; `None` unless all later ones are here.
    pub(super) fn had(&self, place: &Place, gone: &Gone) -> Option<BTreeMap<u64, u64>> {
        let left = gone.since(place.gone, self.complete_since?)?;
        let is_known = |(node, number): (&u64, &u64)| {
            self.runs.get(node).is_some_and(|run| *number <= run.last)
        };
        let had = self.numbers(place, gone, &left);
        let is_here = |node: &u64, run: &Run| had.get(node).is_some_and(|had| *had >= run.before);
        let is_whole = place.had.iter().all(is_known)
            && self.runs.iter().all(|(node, run)| is_here(node, run));
        is_whole.then_some(had)
    }

    /// Returns the last event of each node that a client has had besides those before its offset here. `None` if
    /// it is not known which nodes were gone for it: it has had all of those.
    pub(super) fn had_besides(&self, place: &Place, gone: &Gone) -> Option<BTreeMap<u64, u64>> {
        Some(self.numbers(place, gone, &gone.since(place.gone, 0)?))
    }

    /// Returns the numbers of a place for all nodes. `left` are those that have left since the client had it: those
    /// that were gone already have published nothing since.
    fn numbers(&self, place: &Place, gone: &Gone, left: &[u64]) -> BTreeMap<u64, u64> {
        let was_gone = |node: &u64| gone.contains(*node) && !left.contains(node);
        let numbers = self.runs.iter().map(|(node, run)| {
            let none = if was_gone(node) { run.last } else { 0 };
            (*node, place.had.get(node).copied().unwrap_or(none))
        });
        numbers.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "events may have no number")]
    fn event(node: u64, number: u64) -> Option<EventNumber> {
        Some(EventNumber { node, number })
    }

    fn place(gone: &Gone, had: &[(u64, u64)]) -> Place {
        Place { gone: gone.digest(), had: had.iter().copied().collect() }
    }

    /// A history that is complete, with the events 3 and 4 of node 2.
    fn complete(gone: &Gone) -> Origins {
        let mut origins = Origins::new(1, 0);
        let own = Run { before: 0, last: 0 };
        let runs = BTreeMap::from([(1, own), (2, Run { before: 2, last: 4 })]);
        assert!(origins.complete(runs, gone, gone.count()));
        origins
    }

    #[test]
    fn a_client_is_recovered_if_all_later_events_are_known() {
        let gone = Gone::default();
        let mut origins = complete(&gone);
        let had = |origins: &Origins, had: &[(u64, u64)]| origins.had(&place(&gone, had), &gone);
        let all = |numbers: [(u64, u64); 2]| Some(BTreeMap::from(numbers));
        assert_eq!(had(&origins, &[(2, 2)]), all([(1, 0), (2, 2)]));
        assert_eq!(had(&origins, &[(2, 1)]), None, "an event is gone");
        assert_eq!(had(&origins, &[]), None, "two events are gone");
        assert_eq!(had(&origins, &[(2, 5)]), None, "it has not come here");
        assert!(origins.is_behind(&place(&gone, &[(2, 5)]), &gone));
        assert_eq!(had(&origins, &[(2, 4), (9, 1)]), None, "an unknown node");
        // A node that has joined later has no event before its first one.
        assert!(origins.continues(event(3, 1)) && !origins.continues(event(3, 2)));
        assert!(origins.continues(event(2, 5)) && !origins.continues(event(2, 6)));
        assert_eq!(origins.next_own(), EventNumber { node: 1, number: 1 });
        origins.note(event(3, 1));
        let numbers = BTreeMap::from([(1, 0), (2, 4), (3, 0)]);
        assert_eq!(had(&origins, &[(2, 4)]), Some(numbers));
        origins.note(None);
        assert_eq!(had(&origins, &[(2, 4)]), None, "an event without a number");
    }

    #[test]
    fn a_node_that_has_left_has_told_its_last_number() {
        let mut gone = Gone::default();
        let before = place(&gone, &[(2, 3)]);
        let none = place(&gone, &[]);
        let origins = complete(&gone);
        gone.leave(crate::node::NodeId(2));
        let had = |place: &Place| origins.had(place, &gone);
        assert_eq!(had(&before), Some(BTreeMap::from([(1, 0), (2, 3)])));
        assert_eq!(had(&none), None, "two of its events are gone");
        // The place of now does not name it.
        let now = origins.place([].into_iter(), &BTreeMap::new(), &gone).unwrap();
        assert_eq!(now, place(&gone, &[]));
        assert_eq!(had(&now), Some(BTreeMap::from([(1, 0), (2, 4)])));
        assert_eq!(origins.had_besides(&now, &gone), Some(BTreeMap::from([(1, 0), (2, 4)])));
        assert_eq!(origins.had_besides(&before, &gone), Some(BTreeMap::from([(1, 0), (2, 3)])));
        assert_eq!(origins.had_besides(&Place { gone: 77, ..now.clone() }, &gone), None);
        let behind = origins.place([event(2, 4)].into_iter(), &BTreeMap::new(), &gone).unwrap();
        assert_eq!(behind, place(&gone, &[(2, 3)]));
        // A history that is completed afterwards does not know what was published before.
        let later = complete(&gone);
        assert_eq!(later.had(&before, &gone), None);
    }
}
