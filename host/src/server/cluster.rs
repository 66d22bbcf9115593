//! Tasks of a node of a cluster: one reads from the pipe, one writes to it and keeps the time. Neither
//! is waited for by a publication.

mod calls;
mod histories;
mod homes;
mod leases;
mod notices;
mod sessions;
mod tickets;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jackfield_broker::PendingFlushes;
use jackfield_broker::peers::{
    Delivery, InterestKey, InterestKind, MAX_ENVELOPE_BYTES, Notice, Peers, Received, RemoteEvent,
};
use jackfield_cluster::{Incoming, Pipe, PipeMessage};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};
use zeroize::Zeroizing;

use super::ServeError;
use super::background::BackgroundTasks;
use crate::admission::Admission;
use crate::cluster::{ClusterNode, PipeState, Rule, SILENT_AFTER, Subject};
use crate::ids;
use crate::log::backoff::Backoff;
use crate::realms::Realms;
use crate::server_state::ServerState;
use calls::CallService;
use histories::HistoryService;
use homes::HomeService;
use leases::LeaseKeeper;
use sessions::SessionService;
use tickets::TicketService;

/// The time between two HELLOs.
const HELLO_INTERVAL: Duration = Duration::from_secs(1);

/// The time for which a topic with a history and without subscribers stays announced, so that clients
/// that return miss nothing. Its history ends then, because events of other nodes are not in it any more.
const HISTORY_KEPT: Duration = Duration::from_mins(10);

/// The time in which other nodes are found at the start.
const FIND_TIME: Duration = Duration::from_millis(300);

/// The maximum time for which a start waits for the other nodes.
const MAX_START_WAIT: Duration = Duration::from_secs(5);

/// The maximum time for which a node that stops waits until others follow its topics.
const HAND_OVER_TIME: Duration = Duration::from_secs(3);

/// The maximum time for which a start waits for the decision how nodes become homes: it takes 10 seconds if no
/// node has decided it, and NATS has no JetStream.
const MAX_RULE_WAIT: Duration = Duration::from_secs(12);

/// A connection to the other nodes, and the messages from them.
pub(super) struct OpenedCluster {
    tasks: Arc<ClusterTasks>,
    incoming: Incoming,
}

/// Opens the connection to the other nodes, if the server is in a cluster. The histories of the last run
/// end: other nodes may have published since.
///
/// # Errors
/// When a setting cannot be used. A server of NATS that is away is none.
pub(super) async fn open(
    state: &ServerState,
    admission: &Arc<Admission>,
    credentials: Option<Zeroizing<String>>,
) -> Result<Option<OpenedCluster>, ServeError> {
    let Some(node) = &state.cluster else { return Ok(None) };
    for dispatch in state.realms.iter() {
        dispatch.realm().end_saved_histories();
    }
    admission.join_cluster(node);
    node.exchange().serve(Subject::Tickets, Arc::new(TicketService::new(Arc::clone(admission))));
    let settings = node.pipe_settings(credentials.as_ref().map(|it| it.as_str()));
    let (urls, faults) = (settings.urls.join(" "), Backoff::default());
    let report = move |event| notices::report(event, &urls, &faults);
    let (pipe, incoming) = Pipe::open(settings, report).await?;
    let tasks = ClusterTasks::new(state, Arc::clone(node), pipe);
    Ok(Some(OpenedCluster { tasks, incoming }))
}

/// Starts the tasks of the connection to the other nodes.
pub(super) fn spawn(tasks: &mut BackgroundTasks, opened: OpenedCluster) -> Arc<ClusterTasks> {
    let OpenedCluster { tasks: cluster, incoming } = opened;
    tasks.spawn("read from the cluster", Arc::clone(&cluster).read(incoming));
    tasks.spawn("write to the cluster", Arc::clone(&cluster).write());
    tasks.spawn_finite("keep the leases of homes", Arc::clone(&cluster.leases).run());
    cluster
}

/// A node and what its tasks reach.
pub(super) struct ClusterTasks {
    node: Arc<ClusterNode>,
    realms: Arc<Realms>,
    pipe: Arc<Pipe>,
    leases: Arc<LeaseKeeper>,
    faults: Backoff<String>,
    /// A std mutex: held while offers of other nodes are applied.
    applying: Mutex<()>,
}

impl ClusterTasks {
    fn new(state: &ServerState, node: Arc<ClusterNode>, pipe: Pipe) -> Arc<Self> {
        let (realms, pipe) = (Arc::clone(&state.realms), Arc::new(pipe));
        let leases = LeaseKeeper::new(&node, &realms, state.stores.clone(), &pipe);
        node.exchange().serve(Subject::Homes, HomeService::new(&node, &realms));
        node.exchange()
            .serve(Subject::Sessions, Arc::new(SessionService::new(Arc::clone(&realms))));
        node.exchange().serve(Subject::Calls, CallService::new(&node, &realms));
        node.exchange().serve(Subject::Histories, HistoryService::new(&realms));
        let (faults, applying) = (Backoff::default(), Mutex::default());
        Arc::new(Self { node, realms, pipe, leases, faults, applying })
    }

    /// Waits until the other nodes and this one know each other, for a bounded time. Then clients may
    /// be served.
    pub(super) async fn join(&self) {
        let node = &self.node;
        let joined = async {
            while node.pipe() != PipeState::Working {
                self.progress().await;
            }
            let connection = node.connection();
            sleep(FIND_TIME).await;
            while !node.shared().read(Peers::is_synced) {
                self.progress().await;
            }
            connection
        };
        let (name, id, cluster) = node.names();
        if let Ok(connection) = timeout(MAX_START_WAIT, joined).await {
            node.set_found(connection);
            let peers = node.peers().len();
            info!(name: "cluster.joined_at_start", cluster, node = name, id, peers, "a node of the cluster {cluster}");
        } else {
            warn!(name: "cluster.not_joined", cluster, node = name, id, "the other nodes are not reached yet; starting without them");
        }
        let decided = async {
            while node.pipe() == PipeState::Working && node.rule() == Rule::Undecided {
                self.progress().await;
            }
        };
        let _undecided = timeout(MAX_RULE_WAIT, decided).await;
        node.shared().write(Peers::open);
    }

    /// Has other nodes follow the topics of this one, before its clients go to them, for a bounded time.
    pub(super) async fn hand_over(&self) {
        if self.node.pipe() == PipeState::Working {
            let all = self.realms.iter().map(|dispatch| dispatch.hand_over(HAND_OVER_TIME));
            join_all(all).await;
        }
    }

    /// Tells the other nodes that this one leaves, behind all its events.
    pub(super) async fn leave(&self) {
        self.leases.stop().await;
        self.node.shared().write(Peers::leave);
        if self.node.pipe() == PipeState::Working {
            self.send_waiting().await;
            self.pipe.flush().await;
        }
    }

    async fn progress(&self) {
        let _at_times = timeout(HELLO_INTERVAL / 10, self.node.progress()).await;
    }

    /// Reads from the pipe, for ever.
    async fn read(self: Arc<Self>, mut incoming: Incoming) {
        let mut batch = PendingFlushes::default();
        while let Some(message) = incoming.next().await {
            let node = &self.node;
            match message {
                PipeMessage::Hello(bytes) => {
                    if node.shared().write(|peers| peers.hear_hello(&bytes, node.now())) {
                        node.hear_itself();
                    }
                }
                PipeMessage::Direct(bytes) => {
                    let received = node.shared().receive(&bytes, node.now());
                    let Received { deliveries, notices, has_offers, .. } = received;
                    // No call goes to a node that is gone, when its calls end.
                    if has_offers {
                        self.apply_offers();
                    }
                    self.take(&notices);
                    for delivery in deliveries {
                        match delivery {
                            Delivery::Event(event) => self.deliver(&event, &mut batch),
                            Delivery::Message(from, message) => {
                                // The events before it come first.
                                batch.flush();
                                node.hear(from, message);
                            }
                        }
                        if batch.is_due() {
                            batch.flush();
                            yield_now().await;
                        }
                    }
                    batch.flush();
                }
            }
            node.advanced();
        }
    }

    /// Delivers an event of another node to the sessions here.
    fn deliver(&self, event: &RemoteEvent, batch: &mut PendingFlushes) {
        self.node.counts().received();
        let Some(dispatch) = self.realms.get(&event.realm) else { return };
        let Err(refused) = dispatch.deliver_remote(event, batch) else { return };
        self.node.counts().refused();
        // Its history does not have it, and its subscribers have missed it.
        dispatch.realm().interrupt_history(&event.topic, ids::publication(), batch);
        if let Some(times) = self.faults.happened(event.topic.clone(), Instant::now()) {
            let topic = event.topic.as_str();
            warn!(name: "cluster.event_refused", topic, times, "an event of another node cannot be delivered here: {refused}");
        }
    }

    /// Writes to the pipe, and keeps the time, for ever.
    async fn write(self: Arc<Self>) {
        let mut ticks = interval(HELLO_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_reconnect = Instant::now();
        loop {
            tokio::select! {
                () = self.node.queued() => {}
                _ = ticks.tick() => {
                    self.node.tick();
                    self.tick();
                    if self.is_usable() && self.node.is_stuck() && last_reconnect.elapsed() >= SILENT_AFTER {
                        last_reconnect = Instant::now();
                        self.node.counts().silent();
                        warn!(name: "cluster.silent", "NATS is connected, and no message passes; connecting again");
                        self.pipe.reconnect().await;
                    }
                    if self.is_usable() {
                        self.pipe.hello(self.node.shared().read(Peers::hello).into()).await;
                    }
                }
            }
            self.take(&self.node.take_notices());
            self.finish_moves();
            self.send_waiting().await;
        }
    }

    /// Returns whether messages may be sent now.
    fn is_usable(&self) -> bool {
        let is_connected = self.pipe.is_connected();
        self.node.set_connected(is_connected);
        let limit = self.pipe.max_payload().filter(|limit| *limit < MAX_ENVELOPE_BYTES);
        if let Some(limit) = limit
            && let Some(times) = self.faults.happened("max_payload".to_owned(), Instant::now())
        {
            error!(
                name: "cluster.max_payload",
                times,
                "NATS takes messages of {limit} bytes at most; nodes send up to {MAX_ENVELOPE_BYTES}: raise its max_payload"
            );
        }
        is_connected && limit.is_none()
    }

    /// Sends what waits for the peers.
    async fn send_waiting(&self) {
        while self.is_usable() {
            let messages = self.node.shared().take_messages();
            if messages.is_empty() {
                return;
            }
            for (node, message) in messages {
                // A message that is not taken is a loss, which its receiver notices.
                self.pipe.send(&node.to_string(), message.into()).await;
            }
        }
    }

    /// Passes a second: silent peers are given up, and changed numbers of subscribers are told.
    fn tick(&self) {
        let (node, now) = (&self.node, self.node.now());
        node.set_site(&self.realms.default_realm().site_digest());
        let (notices, expired) = node.shared().write(|peers| peers.tick(now));
        self.end_histories(&expired);
        self.apply_offers();
        self.take(&notices);
        self.follow_homes();
        let mut changed: HashSet<_> = node.shared().write(|it| it.take_claimed().collect());
        changed.extend(self.realms.iter().flat_map(|dispatch| dispatch.realm().take_changes()));
        for key in changed {
            let Some(dispatch) = self.realms.get(key.realm()) else { continue };
            let (count, has_history) = dispatch.realm().interest(&key);
            let keep = if has_history { HISTORY_KEPT } else { Duration::ZERO };
            node.shared().write(|peers| peers.set_count(&key, count, keep, now));
        }
    }

    /// Applies the procedures and plugins of other nodes, then acknowledges them.
    fn apply_offers(&self) {
        // What one task has taken is applied before another one acknowledges it.
        let _turn = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.node.shared().write(Peers::take_changed_offers);
        let mut by_realm: HashMap<String, HashSet<InterestKey>> = HashMap::new();
        let has_plugins = changed.iter().any(|key| key.kind() == InterestKind::Plugin);
        for key in changed.into_iter().filter(|key| key.kind() == InterestKind::Registration) {
            by_realm.entry(key.realm().to_owned()).or_default().insert(key);
        }
        for (realm, keys) in by_realm {
            let Some(dispatch) = self.realms.get(&realm) else { continue };
            if let Err(error) = dispatch.follow_offers(&keys)
                && let Some(times) =
                    self.faults.happened(format!("procedures of {realm}"), Instant::now())
            {
                error!(name: "cluster.procedures_refused", realm, times, "procedures of other nodes cannot be kept here, and are not called from this node: {error}");
            }
        }
        if has_plugins {
            self.follow_homes();
        }
        if self.node.shared().write(Peers::settle) {
            self.node.advanced();
        }
    }

    /// Ends the histories of topics that other nodes send no events of any more.
    fn end_histories(&self, expired: &[InterestKey]) {
        let mut topics: HashMap<&str, HashSet<&str>> = HashMap::new();
        for key in expired {
            topics.entry(key.realm()).or_default().extend(key.topic());
        }
        for (realm, topics) in topics {
            let Some(dispatch) = self.realms.get(realm) else { continue };
            let mut batch = PendingFlushes::default();
            for topic in topics {
                // A subscriber may have come in this moment.
                dispatch.realm().interrupt_history(topic, ids::publication(), &mut batch);
            }
        }
    }

    /// Logs a notice. A node that starts again and again has a new id each time.
    fn log(&self, notice: &Notice) {
        if let Notice::Incompatible(node) | Notice::IncompatibleGone(node) = notice {
            let key = format!("{} {}", matches!(notice, Notice::Incompatible(_)), node.name);
            if self.faults.happened(key, Instant::now()).is_none() {
                return;
            }
        }
        notices::log(notice, self.node.names().0, self.node.release().versions);
    }

    /// Logs notices. If events may be missing, all histories end: no subscriber is told that it has
    /// missed nothing, and connected ones are told that they may have.
    fn take(&self, notices: &[Notice]) {
        self.node.note(notices);
        for notice in notices {
            self.log(notice);
        }
        self.note_homes(notices);
        if notices.iter().any(Notice::is_doubt) {
            for dispatch in self.realms.iter() {
                let mut batch = PendingFlushes::default();
                dispatch.realm().interrupt_histories(ids::publication(), &mut batch);
            }
        }
    }
}
