//! Realms of a server by name, each with the dispatch that handles its requests.
//!
//! Built by `server`. Connections and the API look realms up here; reloads and shutdowns apply to
//! all of them.

use std::collections::HashMap;
use std::sync::Arc;

use jackfield_broker::{Clock, EventHistory, HistoryNumbers, Realm, RealmLimits, Session};
use jackfield_config::{Config, HistoryLimits, Limits};
use jackfield_sandbox::RealmId;

use crate::audience::Subscribers;
use crate::cluster::ClusterNode;
use crate::dispatch::{Dispatch, PROBE_REALM};
use crate::frame::framing;
use crate::generation::{CurrentGeneration, Generation};
use crate::history_log::HistoryLog;
use crate::trace::Traces;
use crate::wall_clock;

/// The realms that the configuration names: at least one.
pub(crate) struct Realms {
    by_name: HashMap<String, Arc<Dispatch>>,
    default: Arc<Dispatch>,
    history: Arc<EventHistory>,
}

impl Realms {
    /// Creates the realms of the settings, and shows their subscribers to hooks. The first realm is
    /// the default. `None` without any.
    pub(crate) fn of(
        config: &Config,
        generations: &Arc<CurrentGeneration>,
        audience: &Subscribers,
        traces: &Arc<Traces>,
        cluster: Option<&Arc<ClusterNode>>,
        history_log: Option<&Arc<HistoryLog>>,
    ) -> Option<Self> {
        let HistoryLimits { memory_bytes, replay, durable: _ } = config.history;
        let history = EventHistory::new(memory_bytes, replay);
        history.set_client_percent(config.limits.client_percent);
        let realm = |name: &String| {
            let realm = realm(name, config.limits, &history);
            Arc::new(match cluster {
                Some(cluster) => realm.in_cluster(cluster.shared()),
                None => realm,
            })
        };
        let realms: Vec<Arc<Realm>> = config.realms.iter().map(realm).collect();
        let node = cluster.map(|it| (Arc::clone(it), Arc::clone(generations)));
        audience.set(realms.clone(), node);
        let dispatch = |(id, realm): (u64, Arc<Realm>)| {
            let (generations, traces) = (Arc::clone(generations), Arc::clone(traces));
            let dispatch = Dispatch::new(realm, RealmId(id), generations, traces, cluster.cloned());
            Arc::new(dispatch.saved_by(history_log.cloned()))
        };
        Self::new((0..).zip(realms).map(dispatch).collect(), history)
    }

    /// Creates the realm of the server's own probe, alone. No client finds it among the others.
    pub(crate) fn of_probe(limits: Limits, generations: &Arc<CurrentGeneration>) -> Self {
        let history = Arc::default();
        let realm = Arc::new(realm(PROBE_REALM, limits, &history));
        let dispatch = Arc::new(Dispatch::of_probe(realm, Arc::clone(generations)));
        let by_name = HashMap::from([(PROBE_REALM.to_owned(), Arc::clone(&dispatch))]);
        Self { by_name, default: dispatch, history }
    }

    fn new(dispatches: Vec<Arc<Dispatch>>, history: Arc<EventHistory>) -> Option<Self> {
        let default = Arc::clone(dispatches.first()?);
        let by_name = |it: Arc<Dispatch>| (it.realm().name().to_owned(), it);
        let by_name = dispatches.into_iter().map(by_name).collect();
        Some(Self { by_name, default, history })
    }

    /// Returns the realm with this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Dispatch>> {
        self.by_name.get(name).map(Arc::clone)
    }

    /// Returns the realm of clients that cannot name one: those of WAMP v1.
    pub(crate) fn default_realm(&self) -> Arc<Dispatch> {
        Arc::clone(&self.default)
    }

    /// Returns every realm.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Dispatch>> {
        self.by_name.values()
    }

    /// Returns the numbers of the history of all realms.
    pub(crate) fn history_numbers(&self) -> HistoryNumbers {
        self.history.numbers()
    }

    /// Returns the number of sessions in all realms.
    pub(crate) fn session_count(&self) -> usize {
        self.iter().map(|dispatch| dispatch.realm().session_count()).sum()
    }

    /// Returns the sessions of all realms.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        self.iter().map(|dispatch| dispatch.realm()).flat_map(Realm::sessions).collect()
    }

    /// Follows changed limits. Subscriptions and registrations beyond them stay.
    pub(crate) fn follow(&self, limits: &Limits, history: HistoryLimits) {
        self.history.set_limits(history.memory_bytes, history.replay);
        self.history.set_client_percent(limits.client_percent);
        for dispatch in self.iter() {
            let (own, max_bytes) = (realm_limits(limits), limits.event_bytes);
            dispatch.realm().set_limits(own, max_bytes);
            dispatch.dealer().set_limits(own, max_bytes);
        }
    }

    /// Ends saved histories of routes that are not durable any more, with the first generation.
    pub(crate) fn started(&self, first: &Generation) {
        for dispatch in self.iter() {
            dispatch.end_durable(first, |_| false);
        }
    }

    /// Updates every realm for a new generation.
    pub(crate) fn reloaded(&self, old: &Arc<Generation>, new: &Generation) {
        for dispatch in self.iter() {
            dispatch.reloaded(old, new);
        }
    }
}

fn realm(name: &str, limits: Limits, history: &Arc<EventHistory>) -> Realm {
    let framing = framing(limits.event_bytes);
    Realm::new(name.to_owned(), framing, realm_limits(&limits), history)
        .with_clock(Clock(wall_clock::since_epoch))
}

fn realm_limits(limits: &Limits) -> RealmLimits {
    let Limits {
        subscriptions,
        patterns,
        realm_subscriptions,
        realm_topics: topics,
        client_percent,
        ..
    } = *limits;
    RealmLimits { subscriptions, patterns, realm_subscriptions, topics, client_percent }
}
