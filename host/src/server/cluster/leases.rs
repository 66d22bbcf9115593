//! Keeper of the leases of homes: asks whether NATS has JetStream, and makes, renews and releases the lease of each
//! plugin whose home this node is or is to be. The store of a plugin is loaded between its lease and its first hook.

mod load;
mod rule;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jackfield_cluster::{Pipe, Stream, StreamError, StreamMessage};
use jackfield_sandbox::{PluginStores, Taken};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::{self, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::cluster::{ClusterNode, HeldLease, Lease, Next, Rule, RuleDecision, TIMES, lease_time};
use crate::log::backoff::Backoff;
use crate::realms::Realms;

/// The time between two looks at what has changed.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The time between two questions whether there is JetStream.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// The maximum time for an answer about a lease. A renewal is repeated then.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// The time without a home after which any node takes the lease: the one that is to take it first cannot.
const ANYONE_AFTER: Duration = Duration::from_secs(5);

/// The time after which a node tries again, that JetStream has refused a lease.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The time for which a node leaves a plugin to others, whose store it cannot load.
const FAILED_PAUSE: Duration = Duration::from_secs(15);

/// The maximum time for running hooks and the release of all leases, when the server stops.
const STOP_TIME: Duration = Duration::from_secs(3);
const HOOK_TIME: Duration = Duration::from_secs(1);

/// The leases of this node.
pub(super) struct LeaseKeeper {
    node: Arc<ClusterNode>,
    realms: Arc<Realms>,
    stores: PluginStores,
    pipe: Arc<Pipe>,
    faults: Backoff<String>,
    stopping: watch::Sender<bool>,
    /// One task for each plugin. A tokio mutex: held until all have ended.
    keepers: Mutex<JoinSet<()>>,
}

/// The reason for which this node is no longer the home.
enum Ended {
    /// The server stops, or the plugin is gone.
    Stopped,
    /// Another node has the lease, or it was removed.
    Lost,
    /// It was not renewed in time.
    Expired,
    /// The store cannot be saved.
    GivenUp,
    /// The store cannot be loaded.
    Failed(String),
}

impl LeaseKeeper {
    pub(super) fn new(
        node: &Arc<ClusterNode>,
        realms: &Arc<Realms>,
        stores: PluginStores,
        pipe: &Arc<Pipe>,
    ) -> Arc<Self> {
        Arc::new(Self {
            node: Arc::clone(node),
            realms: Arc::clone(realms),
            stores,
            pipe: Arc::clone(pipe),
            faults: Backoff::default(),
            stopping: watch::Sender::new(false),
            keepers: Mutex::default(),
        })
    }

    /// Decides how nodes become homes, then keeps the leases of all plugins until the server stops.
    pub(super) async fn run(self: Arc<Self>) {
        let streams = self.node.connect(&self.pipe);
        let mut decision = RuleDecision::default();
        let mut kept: HashMap<task::Id, String> = HashMap::new();
        while !*self.stopping.borrow() {
            self.report_differing();
            match self.node.rule() {
                Rule::Undecided => {
                    let pause = self.decide(streams, &mut decision).await;
                    self.follow();
                    sleep(pause).await;
                    continue;
                }
                Rule::Heartbeat => {
                    self.reconsider(streams, &mut decision).await;
                    sleep(LOOK_INTERVAL).await;
                    continue;
                }
                Rule::Lease => {}
            }
            if decision.are_copies_due(Instant::now()) {
                self.copy(streams).await;
            }
            let mut keepers = self.keepers.lock().await;
            while let Some(ended) = keepers.try_join_next_with_id() {
                // A panic is logged by the runtime.
                let task = ended.map_or_else(|error| error.id(), |(task, ())| task);
                if let Some(plugin) = kept.remove(&task) {
                    self.abandon(&plugin);
                }
            }
            for (plugin, _) in self.node.homes().list() {
                if !kept.values().any(|it| *it == plugin) {
                    let task = keepers.spawn(Arc::clone(&self).keep(plugin.clone()));
                    kept.insert(task.id(), plugin);
                }
            }
            drop(keepers);
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Ends what the keeper of a plugin has left behind, if it has panicked: no hook runs, and the store is not
    /// written, by its lease.
    fn abandon(&self, plugin: &str) {
        self.node.homes().end_lease(plugin);
        self.follow();
        self.stores.resign(plugin);
    }

    /// Releases all leases, for a bounded time: other nodes become homes at once.
    pub(super) async fn stop(&self) {
        self.stopping.send_replace(true);
        let mut keepers = self.keepers.lock().await;
        let all = async { while keepers.join_next().await.is_some() {} };
        let _late = timeout(STOP_TIME, all).await;
    }

    fn warn(&self, failed: &str, reason: &str) {
        if let Some(times) = self.faults.happened(failed.to_owned(), Instant::now()) {
            warn!(name: "cluster.leases_unavailable", times, "plugins with state do not run here yet: {failed}: {reason}");
        }
    }

    fn report_differing(&self) {
        for node in self.node.homes().differing() {
            let peer = self.node.name_of(node);
            if let Some(times) = self.faults.happened(format!("differing {peer}"), Instant::now()) {
                error!(
                    name: "cluster.leases_differ",
                    peer,
                    times,
                    "a node has other leases, so plugins with state run nowhere; set the same \
                     `cluster.leases` on all nodes, with servers of NATS that all have JetStream, or none"
                );
            }
        }
    }

    /// Keeps the lease of a plugin while this node has the plugin.
    async fn keep(self: Arc<Self>, plugin: String) {
        let homes = self.node.homes();
        let mut vacant_since = None;
        while !*self.stopping.borrow() && self.has(&plugin) {
            let mut pause = LOOK_INTERVAL;
            match homes.vacancy(&plugin, self.node.id()) {
                None => {
                    vacant_since = None;
                    if homes.has_home(&plugin) {
                        homes.prefer_none(&plugin);
                    }
                }
                Some(is_next) => {
                    let is_next = homes.prefers(&plugin, self.node.id()).unwrap_or(is_next);
                    let since: Instant = *vacant_since.get_or_insert_with(Instant::now);
                    if is_next || since.elapsed() >= ANYONE_AFTER {
                        pause = self.be_home(&plugin).await;
                    }
                }
            }
            let mut stopping = self.stopping.subscribe();
            let _stopped = timeout(pause, stopping.wait_for(|it| *it)).await;
        }
    }

    fn has(&self, plugin: &str) -> bool {
        self.node.homes().of(plugin).is_some()
    }

    /// Makes the lease, and is the home while it lasts. Returns the time to the next attempt.
    async fn be_home(&self, plugin: &str) -> Duration {
        let Some(streams) = self.node.streams() else { return RETRY_INTERVAL };
        let (lease, number) = match self.make(&streams.homes, plugin).await {
            Ok(Some(lease)) => (lease, lease.last()),
            Ok(None) => return RETRY_INTERVAL,
            Err(error) => {
                self.warn("a lease cannot be made", &error);
                return RETRY_INTERVAL;
            }
        };
        let held = Arc::new(HeldLease::new(number, lease.deadline()));
        let mut lease = lease;
        let mut stopping = self.stopping.subscribe();
        let ended = tokio::select! {
            ended = self.renew(&streams.homes, plugin, &mut lease, &held) => ended,
            ended = self.take(&streams.stores, plugin, &held) => ended,
            _ = stopping.wait_for(|it| *it) => Ended::Stopped,
            () = self.until_gone(plugin) => Ended::Stopped,
        };
        self.node.homes().drop_lease(plugin);
        if matches!(ended, Ended::Stopped) {
            // New hooks wait for the next home; those that run have their time.
            self.follow();
            let idle = async {
                while !held.is_idle() {
                    sleep(LOOK_INTERVAL / 10).await;
                }
            };
            let _late = timeout(HOOK_TIME, idle).await;
        }
        held.end();
        self.follow();
        self.stores.resign(plugin);
        if !matches!(ended, Ended::Lost) {
            self.release(&streams.homes, plugin).await;
        }
        self.report(plugin, &ended);
        match ended {
            Ended::Failed(_) => FAILED_PAUSE,
            Ended::Stopped | Ended::Lost | Ended::Expired | Ended::GivenUp => RETRY_INTERVAL,
        }
    }

    fn report(&self, plugin: &str, ended: &Ended) {
        let reason = match ended {
            Ended::Stopped => {
                info!(name: "cluster.lease_released", plugin, "this node is no longer the home of a plugin");
                return;
            }
            // It is in the log.
            Ended::GivenUp => return,
            Ended::Failed(reason) => {
                let reason = reason.replace("\n  = help: ", "; ");
                error!(name: "cluster.store_not_loaded", plugin, "the store of a plugin cannot be loaded here; another node becomes its home, or this one tries again in {FAILED_PAUSE:?}: {reason}");
                return;
            }
            Ended::Lost => "another node has it",
            Ended::Expired => "it could not be renewed in time",
        };
        self.node.counts().lease_lost();
        warn!(name: "cluster.lease_lost", plugin, reason, "this node has lost the home of a plugin; requests that waited for it are refused");
    }

    async fn until_gone(&self, plugin: &str) {
        while self.has(plugin) {
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Makes a lease; `None` if there is one of another node.
    async fn make(&self, stream: &Stream, plugin: &str) -> Result<Option<Lease>, String> {
        // A refused message is work for all servers, and in old versions a danger: each of them decides by its own
        // clock whether the last lease has expired.
        let expected = match answered(stream.last(plugin)).await.map_err(shown)? {
            None => 0,
            // An answer was lost.
            Some(last) if self.is_own(&last) => last.sequence,
            Some(_) => return Ok(None),
        };
        let sent = lease_time();
        match answered(stream.put(plugin, expected, self.holder(), Duration::ZERO)).await {
            Ok(place) => Ok(Some(Lease::new(TIMES, place, sent))),
            Err(Some(StreamError::Behind)) => Ok(None),
            Err(error) => Err(shown(error)),
        }
    }

    /// Renews a lease until it is over.
    async fn renew(
        &self,
        stream: &Stream,
        plugin: &str,
        lease: &mut Lease,
        held: &HeldLease,
    ) -> Ended {
        loop {
            let expected = match lease.next(lease_time()) {
                Next::Over => return Ended::Expired,
                Next::Wait(time) => {
                    sleep(time).await;
                    continue;
                }
                Next::Renew(expected) => expected,
            };
            let sent = lease_time();
            match answered(stream.put(plugin, expected, self.holder(), Duration::ZERO)).await {
                // It comes too late: hooks were refused meanwhile.
                Ok(_) if lease_time() >= lease.deadline() => return Ended::Expired,
                Ok(place) => {
                    lease.renewed(place, sent);
                    held.extend(lease.deadline());
                }
                Err(Some(StreamError::Behind)) => match answered(stream.last(plugin)).await {
                    // A server that is behind refuses its own newest message.
                    Ok(Some(last)) if self.is_own(&last) && last.sequence == expected => {
                        lease.failed(lease_time());
                    }
                    Ok(Some(last)) if self.is_own(&last) => {
                        lease.found(last.sequence, lease_time());
                    }
                    Ok(_) => return Ended::Lost,
                    Err(_) => lease.failed(lease_time()),
                },
                Err(_) => lease.failed(lease_time()),
            }
        }
    }

    /// Loads the store, then lets hooks run here until the store cannot be saved.
    async fn take(&self, stream: &Stream, plugin: &str, held: &Arc<HeldLease>) -> Ended {
        // Also of a plugin that does not use its store: its next version may.
        if self.stores.is_saved(plugin) {
            let began = Instant::now();
            match self.load(stream, plugin, held).await {
                Ok(Taken { entries, bytes }) => {
                    let seconds = began.elapsed().as_secs_f64();
                    info!(name: "cluster.store_loaded", plugin, entries, bytes, seconds, "the store of a plugin is here, with all that its last home has acknowledged");
                }
                Err(reason) => return Ended::Failed(reason),
            }
        }
        self.node.homes().use_lease(plugin, held);
        self.follow();
        info!(name: "cluster.lease_taken", plugin, lease = held.number, "this node is the home of a plugin");
        held.until_given_up().await;
        Ended::GivenUp
    }

    /// Removes the lease, if it is an own one.
    async fn release(&self, stream: &Stream, plugin: &str) {
        if let Ok(Some(last)) = answered(stream.last(plugin)).await
            && self.is_own(&last)
        {
            // Without an answer, it ends by its time. A newer one has a larger number.
            let _late = answered(stream.purge(plugin, last.sequence + 1)).await;
        }
    }

    /// The content of a lease.
    fn holder(&self) -> Bytes {
        let (name, id, _) = self.node.names();
        json!({ "node": id, "name": name }).to_string().into()
    }

    fn is_own(&self, message: &StreamMessage) -> bool {
        let held = serde_json::from_slice::<Value>(&message.payload);
        held.is_ok_and(|it| it.get("node") == Some(&json!(self.node.names().1)))
    }

    fn follow(&self) {
        self.realms.default_realm().follow_homes(&self.node);
    }
}

/// Waits for an answer, for a bounded time.
async fn answered<T>(
    asked: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, Option<StreamError>> {
    match timeout(ANSWER_TIME, asked).await {
        Ok(answer) => answer.map_err(Some),
        Err(_late) => Err(None),
    }
}

fn shown(error: Option<StreamError>) -> String {
    error.map_or_else(|| format!("no answer within {ANSWER_TIME:?}"), |it| it.to_string())
}
