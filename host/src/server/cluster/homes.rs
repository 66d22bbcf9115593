//! Homes of plugins: their choice, the questions to those that are here, and what follows when a home
//! moves or a node goes.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_broker::peers::{NodeId, Notice};
use tokio::sync::oneshot;
use tracing::warn;

use super::ClusterTasks;
use crate::cluster::{
    Answering, ClusterNode, Decision, HomeMessage, Move, Question, Rule, Service, decode, encode,
};
use crate::realms::Realms;

/// Runs the hooks of plugins for other nodes.
pub(super) struct HomeService {
    node: Arc<ClusterNode>,
    realms: Arc<Realms>,
}

impl HomeService {
    pub(super) fn new(node: &Arc<ClusterNode>, realms: &Arc<Realms>) -> Arc<Self> {
        Arc::new(Self { node: Arc::clone(node), realms: Arc::clone(realms) })
    }

    /// Runs a hook in a task of its own, which ends when its effects are performed.
    fn decide(&self, from: NodeId, question: Question) -> Answering {
        let (sender, decision) = oneshot::channel();
        if let Some(dispatch) = self.realms.get(&question.realm) {
            let is_new = dispatch.reserve_member(from, &question);
            tokio::spawn(dispatch.serve_home(from, question, is_new, move |decision| {
                let _asker_is_gone = sender.send(decision);
            }));
        }
        Box::pin(async move { Some(encode(&decision.await.unwrap_or(Decision::Elsewhere)).into()) })
    }
}

impl Service for HomeService {
    fn answer(&self, from: NodeId, question: Bytes) -> Answering {
        match decode(&question) {
            Some(question) => self.decide(from, question),
            None => Box::pin(std::future::ready(None)),
        }
    }

    fn interrupted(&self, node: NodeId) {
        // A result, the end of a passage, or a session that has left may be among what is lost.
        self.node.homes().release_all(node);
        for (plugin, home) in self.node.homes().list() {
            for dispatch in self.realms.iter().filter(|_| home == Some(node)) {
                tokio::spawn(Arc::clone(dispatch).ask_about_subscribers(plugin.clone()));
            }
        }
    }

    fn hear(&self, from: NodeId, message: Bytes) -> bool {
        let homes = self.node.homes();
        let Some(message) = decode(&message) else { return false };
        match message {
            HomeMessage::Member(told) => {
                if let Some(dispatch) = self.realms.get(&told.realm)
                    && let Some(ended) = dispatch.note_member(from, *told)
                {
                    tokio::spawn(async move { dispatch.end_remote(ended).await });
                }
            }
            HomeMessage::Performed(number) => drop(homes.passages.remove(from, number)),
            HomeMessage::Forget(number) => drop(homes.deferred.remove(from, number)),
            HomeMessage::Result(number, result) => {
                let awaiting = homes.awaited.remove(from, number);
                let _caller_is_gone = awaiting.map(|it| it.send(result));
            }
        }
        true
    }
}

impl ClusterTasks {
    /// Chooses the homes of plugins again, and does what has to follow.
    pub(super) fn follow_homes(&self) {
        // All realms have the same plugins.
        self.realms.default_realm().follow_homes(&self.node);
        self.finish_moves();
    }

    /// Does what follows when homes have moved.
    pub(super) fn finish_moves(&self) {
        for moved in self.node.homes().take_moves() {
            self.move_home(moved);
        }
    }

    fn move_home(&self, Move { plugin, from, to, was_settled }: Move) {
        let here = self.node.id();
        let name = |node: NodeId| self.node.name_of(node);
        if let (Some(from), Some(to)) = (from.filter(|from| was_settled && to != Some(*from)), to) {
            self.node.counts().moved();
            let (from, to) = (name(from), name(to));
            let lacks = match self.node.rule() {
                Rule::Lease => "the memory of the former one; it has its store, if that is saved",
                Rule::Heartbeat | Rule::Undecided => "the memory and the store of the former one",
            };
            warn!(name: "cluster.home_moved", plugin, from, to, "another node runs a plugin now: it does not have {lacks}");
        }
        if to != Some(here) {
            self.node.homes().subscribers.remove_plugin(&plugin);
        }
        for dispatch in self.realms.iter() {
            dispatch.follow_all();
        }
        if to.is_some_and(|to| to != here || from.is_some()) {
            self.ask_about_subscribers(&plugin);
        }
    }

    /// Ends the subscribers of nodes that have gone, and asks homes that have come back about the subscribers
    /// of this node.
    pub(super) fn note_homes(&self, notices: &[Notice]) {
        for notice in notices {
            match notice {
                Notice::Joined { node, .. } => {
                    for (plugin, home) in self.node.homes().list() {
                        if home == Some(*node) {
                            self.ask_about_subscribers(&plugin);
                        }
                    }
                }
                Notice::Left { node, .. }
                | Notice::Dead { node, .. }
                | Notice::Stalled { node, .. }
                | Notice::Interrupted { node, .. }
                // It learns of the loss, and asks about its subscribers again.
                | Notice::Lost { node, .. } => self.end_node(*node),
                Notice::Late { .. }
                | Notice::OffersLate { .. }
                | Notice::CaughtUp { .. }
                | Notice::Incomplete { .. }
                | Notice::Incompatible(_)
                | Notice::IncompatibleGone(_)
                | Notice::GoneElsewhere { .. }
                | Notice::TooMany { .. } => {}
            }
        }
        if !notices.is_empty() {
            self.follow_homes();
        }
    }

    /// Informs the handlers here of the subscribers of a node that has gone.
    fn end_node(&self, node: NodeId) {
        let homes = self.node.homes();
        let ended = homes.subscribers.remove_node(node);
        if ended.is_empty() {
            return;
        }
        for ended in &ended {
            homes.subscribers.begin_end(ended);
        }
        let realms = Arc::clone(&self.realms);
        tokio::spawn(async move {
            for ended in ended {
                // Realms do not end while the server runs.
                if let Some(dispatch) = realms.get(&ended.realm) {
                    dispatch.end_remote(ended).await;
                }
            }
        });
    }

    fn ask_about_subscribers(&self, plugin: &str) {
        for dispatch in self.realms.iter() {
            tokio::spawn(Arc::clone(dispatch).ask_about_subscribers(plugin.to_owned()));
        }
    }
}
