//! Mirrors: the histories of topics with the events of all nodes, so that clients of another node miss nothing
//! here ([decision 68](../../../docs/decisions/0068-recovery-on-another-node.md)).

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jackfield_broker::PendingFlushes;
use jackfield_broker::peers::{self, NodeId};
use jackfield_wamp::message::Subscribe;
use jackfield_wamp::position::Since;
use tokio::time::timeout;

use super::history::rule;
use super::{Dispatch, flush_before_wait};
use crate::cluster::{ACKNOWLEDGE_TIMEOUT, ClusterNode, HistoryQuestion, Subject};
use crate::generation::RouteMatch;
use crate::history_bytes::{decode_mirror, encode_mirror};
use crate::{ids, wall_clock};

/// The number of topics in one question: those of several questions are followed at the same time.
const MAX_KEPT: usize = 64;

impl Dispatch {
    /// Waits while a node joins, before a client with a position is told whether it has missed events.
    pub(super) async fn await_joining(&self, subscribe: &Subscribe, batch: &mut PendingFlushes) {
        let has_position = subscribe.since.as_ref().is_some_and(|it| it.epoch.is_some());
        if let Some(cluster) = self.cluster.as_ref().filter(|_| has_position) {
            flush_before_wait(batch, cluster.joined()).await;
        }
    }

    /// Has the history of a topic complete before a client is told whether it has missed events, for a bounded
    /// time: other nodes are asked for it, and events that the client has had are waited for.
    pub(super) async fn complete_for(
        &self,
        topic: &str,
        since: &Since,
        batch: &mut PendingFlushes,
    ) {
        let Some(cluster) = &self.cluster else { return };
        let waiting = timeout(ACKNOWLEDGE_TIMEOUT, async {
            self.complete(cluster, topic).await;
            if let Some(place) = since.place() {
                cluster.until_about(|| !self.realm.is_behind(topic, &place)).await;
            }
        });
        let _in_time = flush_before_wait(batch, waiting).await;
    }

    /// Has the history of a topic complete before its position is told, for a bounded time.
    pub(crate) async fn complete_reader(&self, topic: &str) {
        if let Some(cluster) = &self.cluster {
            let _in_time = timeout(ACKNOWLEDGE_TIMEOUT, self.complete(cluster, topic)).await;
        }
    }

    /// Asks all other nodes for the history of a topic, unless it is complete, or they have not answered just now.
    async fn complete(&self, cluster: &ClusterNode, topic: &str) {
        let realm = self.realm.name();
        let turn = cluster.mirrors().of(realm, topic);
        let _turn = turn.turn.lock().await;
        let begin = self.realm.begin_mirror(topic, ids::publication(), wall_clock::since_epoch());
        let Some(begin) = begin.filter(|_| !turn.has_failed(cluster.now())) else { return };
        // Until it has succeeded, also if the client does not wait any more.
        turn.fail(cluster.now());
        let question = HistoryQuestion::of(realm, topic, &begin.asked).encode();
        let asked = begin.asked.iter().map(|&node| {
            let answer =
                cluster.exchange().ask(node, Subject::Histories, &question, ACKNOWLEDGE_TIMEOUT);
            async move { Some((node, decode_mirror(&answer.await.ok()?)?)) }
        });
        let answers = join_all(asked).await;
        if let Some(answers) = answers.into_iter().collect()
            && self.realm.end_mirror(topic, &begin, answers)
        {
            turn.succeed();
        }
    }

    /// Tells another node of the history of a topic. `None` if it has none: events without a number may have been
    /// published. A node that has no routes yet has published nothing.
    pub(crate) fn answer_mirror(&self, question: &HistoryQuestion) -> Option<Bytes> {
        let generation = self.generations.current();
        let routed = generation.find(&question.topic).map(RouteMatch::for_events);
        if generation.number() > 0 && rule(routed.as_ref()).is_none() {
            return None;
        }
        let there: Vec<_> = question.there.iter().map(|node| NodeId(*node)).collect();
        self.realm.mirror(&question.topic, &there).map(|mirror| encode_mirror(&mirror).into())
    }

    /// Follows topics that another node leaves, so that its clients can go on at any node.
    pub(crate) async fn keep_histories(&self, topics: &[String]) {
        for topic in topics {
            let routed = self.generations.current();
            if rule(routed.find(topic).map(RouteMatch::for_events).as_ref()).is_some() {
                self.announce_reader(topic).await;
                self.complete_reader(topic).await;
            }
        }
    }

    /// Asks other nodes to follow the topics of this one, which leaves: each of them the same part of all topics.
    pub(crate) async fn hand_over(&self, limit: Duration) {
        let Some(cluster) = &self.cluster else { return };
        let nodes: Vec<_> = cluster.members().others().collect();
        let mut keep: HashMap<_, Vec<_>> = HashMap::new();
        for topic in self.realm.complete_topics() {
            if let Some(node) = peers::home(nodes.iter().copied(), topic.as_bytes()) {
                keep.entry(node).or_default().push(topic);
            }
        }
        let told = keep.iter().flat_map(|(node, topics)| {
            topics.chunks(MAX_KEPT).map(|topics| (*node, topics.to_vec()))
        });
        let told = told.map(|(node, keep)| {
            let question =
                HistoryQuestion { keep, ..HistoryQuestion::of(self.realm.name(), "", &[]) };
            let question = question.encode();
            async move {
                cluster.exchange().ask(node, Subject::Histories, &question, limit).await.is_ok()
            }
        });
        let _told = join_all(told).await;
    }
}
