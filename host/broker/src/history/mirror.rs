//! Mirrors: the events of a topic that the nodes of a cluster send one another, so that its history becomes complete.
//!
//! A node that begins to follow a topic asks all others. Each of them tells its own events, and what it knows of
//! nodes that are gone; the events of a node that is there are told by that node. From then on it gets every event,
//! since they know of its subscription before they answer.

use std::collections::BTreeMap;

use jackfield_wamp::position::{Epoch, EventNumber};

use super::origins::Run;
use super::stored::StoredEvent;
use super::{RealmHistory, RecentEvents, ReplayLimits, SavedEvent};
use crate::node::NodeId;
use crate::peers::Gone;

/// The history of a topic, as a node tells it to another one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mirror {
    /// The digest of the nodes that are gone for it.
    pub gone: u64,
    /// If it knows the events of all nodes: the digest of the nodes that were gone when it began to.
    pub complete_since: Option<u64>,
    /// Nodes: the number of the newest event that is not told, and of the last one.
    pub nodes: Vec<(NodeId, u64, u64)>,
    /// Events of these nodes, oldest first.
    pub events: Vec<MirroredEvent>,
}

/// An event in a mirror.
#[derive(Clone, Debug, PartialEq)]
pub struct MirroredEvent {
    /// The node that has published it.
    pub node: NodeId,
    /// Its number there.
    pub number: u64,
    /// The event.
    pub event: SavedEvent,
}

/// The events of one node, from all that are told and those that are here.
#[derive(Default)]
struct Told {
    last: u64,
    /// `None` is an event that is here.
    events: BTreeMap<u64, Option<SavedEvent>>,
}

impl Mirror {
    /// Returns the mirror of a topic that a node has had no event of.
    pub(crate) fn empty(last: EventNumber, gone: &Gone) -> Self {
        let nodes = vec![(NodeId(last.node), last.number, last.number)];
        Self { gone: gone.digest(), nodes, ..Self::default() }
    }
}

impl RealmHistory {
    /// Returns the number of the last event of this node in a topic that has no history yet, in a cluster.
    pub(crate) fn last_number(&self) -> Option<EventNumber> {
        let number = self.all.realms().get(self.realm)?.forgotten_number;
        Some(EventNumber { node: self.node?, number })
    }

    /// Returns the topics whose history is complete.
    pub(crate) fn complete_topics(&self) -> Vec<String> {
        let realms = self.all.realms();
        let topics = realms.get(self.realm).into_iter().flat_map(|topics| &topics.by_name);
        let complete = topics.filter(|(_, history)| history.lock().is_complete());
        complete.map(|(topic, _)| topic.as_ref().to_owned()).collect()
    }
}

impl RecentEvents {
    /// Returns what this node tells of the topic: its own events and those of nodes that are not `there`.
    pub(crate) fn mirror(
        &self,
        there: &[NodeId],
        gone: &Gone,
        limits: ReplayLimits,
    ) -> Option<Mirror> {
        let origins = self.origins()?;
        let is_told = |node: u64| {
            node == origins.own() || (self.is_complete() && !there.contains(&NodeId(node)))
        };
        let mut nodes: BTreeMap<_, _> = origins.runs().filter(|(node, _)| is_told(*node)).collect();
        let (mut events, mut bytes) = (Vec::new(), 0);
        for event in self.stored().rev() {
            let Some(EventNumber { node, number }) = event.number else { continue };
            let Some(run) = nodes.get_mut(&node) else { continue };
            bytes += event.content_bytes;
            if events.len() >= limits.events || bytes > limits.bytes {
                // No client gets more at once.
                run.before = run.before.max(number);
                continue;
            }
            events.push(MirroredEvent { node: NodeId(node), number, event: event.save() });
        }
        events.reverse();
        let nodes = nodes.into_iter().map(|(node, run)| (NodeId(node), run.before, run.last));
        let nodes = nodes.collect();
        let complete_since = origins.complete_since().and_then(|count| gone.digest_at(count));
        Some(Mirror { gone: gone.digest(), complete_since, nodes, events })
    }

    /// Makes the history complete, from the answers of all other nodes that are there. `since` is the number of
    /// nodes that had left when they were asked, and `epoch` the one of the history then. Returns whether it is
    /// complete: an answer may lack events, or a doubt may have come meanwhile.
    pub(crate) fn complete(
        &mut self,
        answers: Vec<(NodeId, Mirror)>,
        (epoch, since): (Epoch, u64),
        gone: &Gone,
    ) -> bool {
        if self.is_complete() {
            return true;
        }
        let Some(origins) = self.origins() else { return false };
        let own = origins.own();
        let is_same = answers.iter().all(|(_, mirror)| mirror.gone == gone.digest());
        if epoch != self.position().epoch || !is_same {
            return false;
        }
        let asked: Vec<_> = answers.iter().map(|(node, _)| node.0).collect();
        let mut told: BTreeMap<u64, Told> = BTreeMap::new();
        // Those nodes have left since then whose last event any of these histories has.
        let mut since = since;
        for (from, Mirror { complete_since, nodes, events, .. }) in answers {
            let count = complete_since.and_then(|digest| gone.count_at(digest));
            since = since.min(count.unwrap_or(since));
            let is_complete = complete_since.is_some();
            let counts = |node: u64| {
                node == from.0 || (is_complete && node != own && !asked.contains(&node))
            };
            for (node, _, last) in nodes.into_iter().filter(|(node, ..)| counts(node.0)) {
                let told = told.entry(node.0).or_default();
                told.last = told.last.max(last);
            }
            for MirroredEvent { node, number, event } in events {
                if counts(node.0) {
                    told.entry(node.0).or_default().events.insert(number, Some(event));
                }
            }
        }
        // Each node that is there has told how many events it has published.
        if asked.iter().any(|node| !told.contains_key(node)) {
            return false;
        }
        // Another node hears one that this node does not hear: later events of it would not come here.
        let is_unheard =
            |node: &u64| *node != own && !asked.contains(node) && !gone.contains(*node);
        if told.keys().any(is_unheard) {
            return false;
        }
        told.entry(own).or_default().last = origins.last_own();
        for event in self.stored() {
            let Some(EventNumber { node, number }) = event.number else { return false };
            let told = told.entry(node).or_default();
            told.events.insert(number, None);
            told.last = told.last.max(number);
        }
        let mut runs = BTreeMap::new();
        for (node, Told { last, events }) in &mut told {
            events.split_off(&last.saturating_add(1));
            let mut before = *last;
            while before > 0 && events.contains_key(&before) {
                before -= 1;
            }
            // Those behind a hole are of no use, and an event that is here may not have one behind it.
            let rest = events.split_off(&before.saturating_add(1));
            if events.values().any(Option::is_none) || is_interleaved(&rest) {
                return false;
            }
            *events = rest;
            runs.insert(*node, Run { before, last: *last });
        }
        self.fill(told, runs, gone, since)
    }

    /// Puts the events that are not here before those that are.
    fn fill(
        &mut self,
        told: BTreeMap<u64, Told>,
        runs: BTreeMap<u64, Run>,
        gone: &Gone,
        since: u64,
    ) -> bool {
        let is_small = self.origins_mut().is_some_and(|it| it.complete(runs, gone, since));
        if !is_small {
            return false;
        }
        let mut older = merged(told);
        // There is no room for more.
        let room = usize::try_from(self.first() - 1).unwrap_or(usize::MAX);
        let rest = older.split_off(older.len().saturating_sub(room));
        for event in std::mem::replace(&mut older, rest) {
            if let Some(origins) = self.origins_mut() {
                origins.forget(event.number);
            }
        }
        self.prepend(older)
    }
}

/// Returns whether an event that is not here is behind one that is.
fn is_interleaved(events: &BTreeMap<u64, Option<SavedEvent>>) -> bool {
    let mut here = events.values().skip_while(|event| event.is_some());
    here.any(Option::is_some)
}

/// Returns the events that are not here, by their time; those of one node in their order.
fn merged(told: BTreeMap<u64, Told>) -> Vec<StoredEvent> {
    let mut queues: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for (node, told) in told {
        let events = told.events.into_iter().filter_map(|(number, event)| Some((number, event?)));
        let mut queue: Vec<_> = events.collect();
        queue.reverse();
        queues.insert(node, queue);
    }
    let mut merged = Vec::new();
    loop {
        let heads = queues.iter().filter_map(|(node, queue)| Some((queue.last()?.1.at, *node)));
        let Some((_, node)) = heads.min() else { return merged };
        let head = queues.get_mut(&node).and_then(Vec::pop);
        let Some((number, event)) = head else { return merged };
        let mut event = StoredEvent::restored(0, event);
        event.number = Some(EventNumber { node, number });
        merged.push(event);
    }
}
