//! Cluster: this server as one node of several, which exchange events over NATS (experimental).
//!
//! A subscription is announced to the other nodes before SUBSCRIBED, and a publication is queued for the
//! nodes with subscribers as it is queued for sessions. The state of the peers is
//! [`jackfield_broker::peers`], without I/O; the server connects it with the pipe, [`jackfield_cluster`].
//! See decision 55.

mod claim;
mod counts;
mod decide;
mod exchange;
mod homes;
mod inquiries;
mod lease;
mod members;
mod mirrors;
mod numbered;
mod releases;
mod remote_subscribers;
mod rule_decision;
mod set_aside;
mod store_log;
mod streams;
mod waits;

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jackfield_broker::peers::{Barrier, InterestKey, NodeId, Notice, PeerView, Peers, Stake};
use jackfield_broker::{Cluster, Realm};
use jackfield_cluster::{Pipe, PipeSettings};
use jackfield_config::{Cluster as ClusterSettings, Leases, WhenAlone};
use jackfield_wamp::uri::MatchPolicy;
use tokio::sync::Notify;

pub(crate) use claim::Rule;
pub(crate) use counts::{ClusterCounts, ClusterNumbers};
pub(crate) use decide::{
    Change, Decision, HomeMessage, LateResult, Membership, Question, RemoteSession, Verdict,
    decode, encode,
};
pub(crate) use exchange::{Answering, Exchange, Service, Subject, Unanswered};
pub(crate) use homes::{Home, Homes, LeaseGuard, Move};
pub(crate) use lease::{HeldLease, Lease, Next, TIMES, now as lease_time};
pub(crate) use members::Members;
pub(crate) use mirrors::{HistoryQuestion, Mirrors};
pub(crate) use releases::{DifferentNodes, NodeView, OwnRelease};
pub(crate) use remote_subscribers::Ended;
pub(crate) use rule_decision::{Absence, RuleDecision};
pub(crate) use store_log::StoreLog;
pub(crate) use streams::Streams;

/// This node.
pub(crate) struct ClusterNode {
    id: NodeId,
    settings: ClusterSettings,
    name: String,
    cluster: Arc<Cluster>,
    exchange: Exchange,
    homes: Homes,
    mirrors: Mirrors,
    /// How nodes become homes: the byte of a [`Rule`].
    rule: AtomicU8,
    streams: OnceLock<Streams>,
    counts: ClusterCounts,
    began: Instant,
    /// Messages for peers wait.
    queued: Arc<Notify>,
    /// A peer has acknowledged or said something.
    progress: Notify,
    /// Notices that were found outside of the tasks.
    notices: Mutex<Vec<Notice>>,
    is_connected: AtomicBool,
    /// Whether all other nodes that are heard are incompatible, as of the last tick.
    is_apart: AtomicBool,
    /// The milliseconds from the start to the last own HELLO that came back; 0 before the first.
    heard_itself: AtomicU64,
    /// The milliseconds from the start to the last connection to NATS; 0 before the first.
    connected_at: AtomicU64,
    /// The value of `connected_at` with which the start has found the other nodes; 0 if it has not.
    found_at: AtomicU64,
    /// The milliseconds from the start to the last tick, and to the last one after a pause of this process.
    ticked_at: AtomicU64,
    resumed_at: AtomicU64,
}

/// The state of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PipeState {
    /// No server of NATS is connected.
    Disconnected,
    /// A server is connected, and messages do not pass.
    Silent,
    /// Messages pass.
    Working,
}

/// The maximum time for which SUBSCRIBED waits for the other nodes.
pub(crate) const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_millis(250);

/// The time without an own message after which the pipe does not work.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(10);

/// The time in which this node and each peer must have been heard, so that no event of another node is
/// missing unnoticed. HELLOs come each second.
const HEARD_WITHIN: Duration = Duration::from_millis(2_500);

/// The time between two ticks after which this process stood still.
const PAUSED_AFTER: Duration = Duration::from_secs(3);

impl ClusterNode {
    /// Creates this node, if the settings have a cluster. It has no peers until its tasks run.
    pub(crate) fn new(settings: &ClusterSettings) -> Result<Option<Arc<Self>>, getrandom::Error> {
        if settings.urls.is_empty() {
            return Ok(None);
        }
        let name = settings.node.clone().unwrap_or_else(machine_name);
        let id = NodeId(getrandom::u64()?);
        let homes = Homes::of_node(id, &name);
        let queued = Arc::new(Notify::new());
        let waking = Arc::clone(&queued);
        let peers = releases::peers(id, &name, &settings.urls);
        let cluster = Arc::new(Cluster::new(peers, move || waking.notify_one()));
        let rule = match settings.leases {
            Leases::Off => Rule::Heartbeat,
            Leases::Auto | Leases::Required => Rule::Undecided,
        };
        Ok(Some(Arc::new(Self {
            id,
            rule: AtomicU8::new(rule.byte()),
            streams: OnceLock::new(),
            settings: settings.clone(),
            name,
            homes,
            mirrors: Mirrors::default(),
            exchange: Exchange::new(Arc::clone(&cluster)),
            cluster,
            counts: ClusterCounts::default(),
            began: Instant::now(),
            queued,
            progress: Notify::new(),
            notices: Mutex::default(),
            is_connected: AtomicBool::new(false),
            is_apart: AtomicBool::new(false),
            heard_itself: AtomicU64::new(0),
            connected_at: AtomicU64::new(0),
            found_at: AtomicU64::new(0),
            ticked_at: AtomicU64::new(0),
            resumed_at: AtomicU64::new(0),
        })))
    }

    /// Returns the state that realms share.
    pub(crate) fn shared(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Returns the id of this node.
    pub(crate) const fn id(&self) -> NodeId {
        self.id
    }

    /// Returns the name and the id of this node, and the name of the cluster.
    pub(crate) fn names(&self) -> (&str, String, &str) {
        (&self.name, self.id.to_string(), &self.settings.name)
    }

    /// Returns the name of a node, also of one that has gone; its id if it was not joined.
    pub(crate) fn name_of(&self, node: NodeId) -> String {
        self.homes.name_of(node).unwrap_or_else(|| node.to_string())
    }

    /// Returns whether a node is joined now.
    pub(crate) fn has_joined(&self, node: NodeId) -> bool {
        self.members().contains(node)
    }

    /// Returns the homes of plugins.
    pub(crate) const fn homes(&self) -> &Homes {
        &self.homes
    }

    /// Returns the histories that other nodes are asked for.
    pub(crate) const fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// Notes the connection to the other nodes, once.
    pub(crate) fn connect(&self, pipe: &Arc<Pipe>) -> &Streams {
        self.streams.get_or_init(|| Streams::of(pipe))
    }

    /// Returns the streams; `None` before the connection is opened.
    pub(crate) fn streams(&self) -> Option<&Streams> {
        self.streams.get()
    }

    /// Chooses the homes of plugins again. `taken` is called for each one that comes here from another node.
    /// What has to follow waits for the tasks of the cluster.
    pub(crate) fn follow_homes(&self, plugins: &BTreeSet<String>, taken: impl Fn(&str)) {
        let rule = self.rule();
        // A node that may not act alone keeps the homes that it knows: those elsewhere do not answer.
        let is_alone = rule == Rule::Heartbeat
            && !self.may_publish()
            && plugins.iter().all(|it| self.homes.of(it).is_some());
        if is_alone {
            return;
        }
        if self.homes.follow(&self.cluster, (&self.name, rule), plugins, self.now(), taken) {
            self.queued.notify_one();
        }
    }

    /// Returns the number of subscribers of a topic on all nodes, as last heard. At the home of its plugin,
    /// which has been told of each, it is exact.
    pub(crate) fn count(&self, realm: &Realm, topic: &str, has_home: bool) -> usize {
        if has_home {
            realm.local_count(topic) + self.homes.subscribers.count(realm.name(), topic)
        } else {
            realm.count(topic)
        }
    }

    /// Returns the nodes that are joined now.
    pub(crate) fn members(&self) -> Members {
        Members::new(self.id, &self.name, self.cluster.read(Peers::joined))
    }

    /// Returns the questions and messages between this node and others.
    pub(crate) const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Takes what happened to the peers, before the messages that came with it.
    pub(crate) fn note(&self, notices: &[Notice]) {
        for notice in notices {
            self.counts.note(notice);
            match notice.broken() {
                Some(node) if notice.is_gap() => self.exchange.missed(node),
                Some(node) => self.exchange.interrupt(node),
                None => {}
            }
        }
        if !notices.is_empty() {
            self.homes.note_names(self.members().names());
        }
    }

    /// Takes a message of the host of a peer.
    pub(crate) fn hear(&self, from: NodeId, message: Bytes) {
        self.exchange.take(from, message);
    }

    /// Returns the peers.
    pub(crate) fn peers(&self) -> Vec<PeerView> {
        self.cluster.views(self.now())
    }

    /// Returns the state of the pipe, by its own messages.
    pub(crate) fn pipe(&self) -> PipeState {
        let heard = Duration::from_millis(self.heard_itself.load(Ordering::Relaxed));
        let is_heard = !heard.is_zero() && self.now().saturating_sub(heard) < SILENT_AFTER;
        match (self.is_connected.load(Ordering::Relaxed), is_heard) {
            (true, true) => PipeState::Working,
            (true, false) => PipeState::Silent,
            (false, _) => PipeState::Disconnected,
        }
    }

    /// Notes a tick, to know when this process stood still, and whether this node is apart.
    pub(crate) fn tick(&self) {
        self.is_apart.store(self.cluster.read(Peers::is_apart), Ordering::Relaxed);
        let now = self.now_millis();
        let last = self.ticked_at.swap(now, Ordering::Relaxed);
        if u128::from(now.saturating_sub(last)) >= PAUSED_AFTER.as_millis() {
            self.resumed_at.store(now, Ordering::Relaxed);
        }
    }

    /// Returns whether NATS is connected and passes no message. After a connection and after a pause of
    /// this process, messages have the same time again.
    pub(crate) fn is_stuck(&self) -> bool {
        let since = [&self.heard_itself, &self.connected_at, &self.resumed_at];
        let since = since.map(|millis| millis.load(Ordering::Relaxed)).into_iter().max();
        let since = Duration::from_millis(since.unwrap_or_default());
        self.is_connected.load(Ordering::Relaxed)
            && self.now().saturating_sub(since) >= SILENT_AFTER
    }

    /// Returns whether clients may publish now.
    pub(crate) fn may_publish(&self) -> bool {
        self.settings.when_alone == WhenAlone::Serve
            || (self.pipe() == PipeState::Working && !self.is_apart.load(Ordering::Relaxed))
    }

    /// Announces a subscription to the other nodes. Returns the wait for them; `None` if they know of it.
    pub(crate) fn announce(&self, realm: &str, policy: MatchPolicy, uri: &str) -> Option<Barrier> {
        let key = InterestKey::new(realm, policy, uri);
        self.cluster.announce(&key, self.now())
    }

    /// Sets the part of this node in a procedure or plugin. Returns the wait until the other nodes have
    /// applied it.
    pub(crate) fn offer(&self, key: &InterestKey, stake: &Stake) -> Option<Barrier> {
        self.cluster.offer(key, stake, self.now())
    }

    /// Leaves notices to the task that logs them.
    fn notice(&self, notices: Vec<Notice>) {
        self.lock_notices().extend(notices);
        self.queued.notify_one();
    }

    /// Notes whether a server of NATS is connected.
    pub(crate) fn set_connected(&self, is_connected: bool) {
        // The time comes first: with the one before, a new connection would pass for that of the start.
        if is_connected && !self.is_connected.load(Ordering::Acquire) {
            self.connected_at.store(self.now_millis(), Ordering::Relaxed);
        }
        self.is_connected.store(is_connected, Ordering::Release);
    }

    /// Notes that the start has found the other nodes by this connection.
    pub(crate) fn set_found(&self, connection: u64) {
        self.found_at.store(connection, Ordering::Relaxed);
    }

    /// Returns whether events of other nodes may be missing here, without a notice yet: this node or
    /// a peer was not heard just now, or a connection is new. A node that stood still knows it before its next
    /// tick.
    pub(crate) fn may_lack_events(&self) -> bool {
        let now = self.now();
        let age = |millis: &AtomicU64| {
            now.saturating_sub(Duration::from_millis(millis.load(Ordering::Relaxed)))
        };
        let is_connected = self.is_connected.load(Ordering::Acquire);
        let is_found = self.found_at.load(Ordering::Relaxed) == self.connection();
        !is_connected
            || (!is_found && age(&self.connected_at) < HEARD_WITHIN)
            || age(&self.heard_itself) >= HEARD_WITHIN
            || !self.cluster.read(|peers| peers.are_heard(now, HEARD_WITHIN))
    }

    /// Returns the counters.
    pub(crate) const fn counts(&self) -> &ClusterCounts {
        &self.counts
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes that an own HELLO has come back.
    pub(crate) fn hear_itself(&self) {
        self.heard_itself.store(self.now_millis(), Ordering::Relaxed);
    }

    /// The time since the start, at least a millisecond.
    fn now_millis(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.lock_notices())
    }

    fn lock_notices(&self) -> std::sync::MutexGuard<'_, Vec<Notice>> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the settings of the pipe.
    pub(crate) fn pipe_settings(&self, credentials: Option<&str>) -> PipeSettings {
        let ClusterSettings { urls, name, ca, certificate, key, .. } = &self.settings;
        PipeSettings {
            cluster: name.clone(),
            node: self.cluster.read(Peers::node).to_string(),
            name: self.name.clone(),
            urls: urls.clone(),
            credentials: credentials.map(str::to_owned),
            ca: ca.clone(),
            certificate: certificate.clone().zip(key.clone()),
        }
    }
}

impl PipeState {
    /// A short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Silent => "silent",
            Self::Working => "working",
        }
    }
}

/// The name of the machine.
fn machine_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "node".to_owned() } else { name.to_owned() }
}
