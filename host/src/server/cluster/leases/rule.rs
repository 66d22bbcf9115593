//! Decides how nodes become homes, and gets more copies of the streams.

use std::time::{Duration, Instant};

use jackfield_cluster::JetStream;
use tokio::time::sleep;
use tracing::info;

use super::{ASK_INTERVAL, LOOK_INTERVAL, LeaseKeeper};
use crate::cluster::{Absence, Rule, RuleDecision, Streams};

impl LeaseKeeper {
    /// Asks for JetStream once. Returns the time to the next question.
    pub(super) async fn decide(&self, streams: &Streams, decision: &mut RuleDecision) -> Duration {
        if !self.pipe.is_connected() {
            decision.no_answer();
            return LOOK_INTERVAL;
        }
        let connection = self.node.connection();
        match self.pipe.jetstream().await {
            JetStream::Present => {
                decision.no_answer();
                if self.prepare(streams).await {
                    info!(name: "cluster.leases_on", "JetStream grants the homes of plugins, and has the logs of their stores");
                    self.node.set_rule(Rule::Lease);
                }
            }
            JetStream::Absent(reason) if self.node.requires_leases() => {
                self.warn("cluster.leases is `required`, and there is no JetStream", &reason);
            }
            JetStream::Absent(reason) => {
                match decision.absent(Instant::now(), &self.node.rules_of_others()) {
                    Absence::Decided => {
                        info!(name: "cluster.leases_off", reason, "there is no JetStream for this node: homes of plugins follow heartbeats, and stores are not copied");
                        decision.asked(connection, Instant::now());
                        self.node.set_rule(Rule::Heartbeat);
                    }
                    Absence::Contradicted => {
                        self.warn(
                            "another node has leases, and this one finds no JetStream",
                            &reason,
                        );
                    }
                    Absence::New => {}
                }
            }
            JetStream::Unknown(reason) => {
                decision.no_answer();
                self.warn("JetStream does not answer", &reason);
            }
        }
        ASK_INTERVAL
    }

    /// Asks for JetStream again for a while after each connection: servers may have it by now. While nodes differ, no plugin
    /// has a home, so there are never two. The last home of a plugin takes its first lease, so its store counts.
    pub(super) async fn reconsider(&self, streams: &Streams, decision: &mut RuleDecision) {
        let (homes, connection) = (self.node.homes(), self.node.connection());
        if !self.node.may_have_leases() {
            return;
        }
        if self.node.rules_of_others().contains(&Some(Rule::Lease)) {
            // They may run all plugins, while this node looks for JetStream.
            homes.prefer_last_homes();
            self.node.set_rule(Rule::Undecided);
            self.follow();
            return;
        }
        if !decision.is_due(connection, Instant::now()) || !self.pipe.is_connected() {
            return;
        }
        match self.pipe.jetstream().await {
            JetStream::Present => {
                if self.prepare(streams).await {
                    homes.prefer_last_homes();
                    info!(name: "cluster.leases_on", "NATS has JetStream now: it grants the homes of plugins, and has the logs of their stores");
                    self.node.set_rule(Rule::Lease);
                    self.follow();
                }
            }
            JetStream::Absent(_) => decision.asked(connection, Instant::now()),
            JetStream::Unknown(_) => {}
        }
        sleep(ASK_INTERVAL).await;
    }

    /// Makes the streams. Returns whether they are there.
    pub(super) async fn prepare(&self, streams: &Streams) -> bool {
        for stream in [&streams.homes, &streams.stores] {
            if let Err(error) = stream.prepare().await {
                self.warn("the streams of JetStream", &error.to_string());
                return false;
            }
        }
        self.copy(streams).await;
        true
    }

    /// Gives the streams more copies, if there are servers for them.
    pub(super) async fn copy(&self, streams: &Streams) {
        for (name, stream) in [("homes", &streams.homes), ("stores", &streams.stores)] {
            if stream.copy().await {
                info!(name: "cluster.stream_copied", stream = name, "a stream of JetStream has copies on more servers now");
            }
        }
    }
}
