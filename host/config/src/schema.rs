//! Schema of `jackfield.yml`, and its conversion into [`Config`].
//!
//! Each struct is one level of the file; an omitted key keeps its default.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use jackfield_auth::AuthSettings;
use jackfield_broker::Overflow;
use jackfield_sandbox::{CompileLimits, Grant, Limits as PluginLimits, LogRate, PluginPolicy};
use jackfield_text::Untrusted;
use jackfield_yaml::{ByteSize, NonZeroDuration};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::access::{RawAccess, RawAllow};
use super::admin::RawAdmin;
use super::api::RawApi;
use super::breaker::RawBreaker;
use super::cluster::RawCluster;
use super::control::RawControl;
use super::data::RawData;
use super::health::RawHealth;
use super::history::RawHistory;
use super::limits::RawLimits;
use super::listeners::{Listen, RawListeners};
use super::merge::{set_bytes, set_count, set_duration};
use super::metrics::RawMetrics;
use super::outgoing::{self, RawCalls, RawHttp, RawLater};
use super::rules::{RawRule, Rule};
use super::shutdown::RawShutdown;
use super::state::RawState;
use super::traces::RawTraces;
use super::verify::RawVerify;
use super::versions::{KeptVersions, RawTakeBack};
use super::{Config, Keepalive, Log, LogFormat, Plugins, Unrouted, Watch};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    listen: Option<Listen>,
    listeners: Option<RawListeners>,
    realms: Option<Realms>,
    unrouted: Option<RawUnrouted>,
    rules: Option<Vec<RawRule>>,
    access: RawAccess,
    auth: Option<AuthSettings>,
    allow: RawAllow,
    trust_levels: Option<BTreeMap<String, u32>>,
    limits: RawLimits,
    history: RawHistory,
    slow_subscriber: Option<RawOverflow>,
    keepalive: RawKeepalive,
    handshake_timeout: Option<NonZeroDuration>,
    shutdown: RawShutdown,
    data: Option<RawData>,
    plugins: RawPlugins,
    watch: RawWatch,
    log: RawLog,
    api: RawApi,
    control: RawControl,
    admin: RawAdmin,
    metrics: RawMetrics,
    traces: RawTraces,
    health: RawHealth,
    cluster: RawCluster,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawUnrouted {
    Refuse,
    Broadcast,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawOverflow {
    Disconnect,
    Drop,
    Latest,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawKeepalive {
    interval: Option<NonZeroDuration>,
    timeout: Option<NonZeroDuration>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawPlugins {
    cache: Option<PathBuf>,
    compile: RawCompile,
    instance_memory: Option<ByteSize>,
    lanes: Option<NonZeroUsize>,
    stores: Option<ByteSize>,
    in_flight: Option<NonZeroUsize>,
    keep_versions: Option<KeptVersions>,
    take_back: RawTakeBack,
    verify: Option<RawVerify>,
    refuse_downgrades: Option<bool>,
    default: RawPolicy,
    named: BTreeMap<String, RawPolicy>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawCompile {
    memory: Option<ByteSize>,
    cpu: Option<NonZeroDuration>,
    time: Option<NonZeroDuration>,
    at_once: Option<NonZeroUsize>,
    in_process: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawPolicy {
    memory: Option<ByteSize>,
    deadline: Option<NonZeroDuration>,
    output: Option<ByteSize>,
    effects: Option<NonZeroUsize>,
    table_elements: Option<NonZeroUsize>,
    store: Option<ByteSize>,
    log: RawLogRate,
    cpu_percent: Option<NonZeroU32>,
    circuit_breaker: RawBreaker,
    recycle: Option<bool>,
    state: Option<RawState>,
    grant: Option<Vec<RawGrant>>,
    http: RawHttp,
    calls: RawCalls,
    later: RawLater,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawLogRate {
    per_second: Option<NonZeroU32>,
    burst: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum RawGrant {
    Topics,
    Sessions,
    Store,
    Log,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawWatch {
    poll: Option<NonZeroDuration>,
    settle: Option<NonZeroDuration>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawLog {
    format: Option<RawFormat>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawFormat {
    Text,
    Json,
}

/// Realms: at least one, each once.
struct Realms(Vec<String>);

impl Written {
    /// Applies the settings of the file; omitted ones stay unchanged.
    pub(super) fn apply(self, config: &mut Config) {
        if let Some(listeners) = self.listeners {
            listeners.apply(config);
        }
        if let Some(Listen(listen)) = self.listen {
            config.listen = Some(listen);
        }
        if let Some(Realms(realms)) = self.realms {
            config.realms = realms;
        }
        if let Some(unrouted) = self.unrouted {
            config.unrouted = match unrouted {
                RawUnrouted::Refuse => Unrouted::Refuse,
                RawUnrouted::Broadcast => Unrouted::Broadcast,
            };
        }
        if let Some(rules) = self.rules {
            config.rules = rules.into_iter().map(Rule::from).collect();
        }
        self.access.apply(&mut config.access);
        if let Some(auth) = self.auth {
            config.auth = auth;
        }
        for (action, roles) in self.allow {
            config.allow.set(action.into(), roles);
        }
        if let Some(levels) = self.trust_levels {
            config.trust_levels = levels;
        }
        self.limits.apply(&mut config.limits);
        self.history.apply(&mut config.history);
        if let Some(overflow) = self.slow_subscriber {
            config.limits.outbox.overflow = match overflow {
                RawOverflow::Disconnect => Overflow::Disconnect,
                RawOverflow::Drop => Overflow::DropEvent,
                RawOverflow::Latest => Overflow::Latest,
            };
        }
        self.keepalive.apply(&mut config.keepalive);
        set_duration(&mut config.handshake_timeout, self.handshake_timeout);
        self.shutdown.apply(&mut config.shutdown);
        if let Some(RawData(data)) = self.data {
            config.data = data;
        }
        self.plugins.apply(&mut config.plugins);
        self.watch.apply(&mut config.watch);
        self.log.apply(&mut config.log);
        self.api.apply(&mut config.api);
        self.control.apply(&mut config.control);
        self.admin.apply(&mut config.admin);
        self.metrics.apply(&mut config.metrics);
        self.traces.apply(&mut config.traces);
        self.health.apply(&mut config.health);
        self.cluster.apply(&mut config.cluster);
    }
}

impl RawKeepalive {
    fn apply(self, keepalive: &mut Keepalive) {
        set_duration(&mut keepalive.interval, self.interval);
        set_duration(&mut keepalive.timeout, self.timeout);
    }
}

impl RawPlugins {
    /// A named plugin inherits omitted settings from the file's default.
    fn apply(self, plugins: &mut Plugins) {
        if let Some(cache) = self.cache {
            plugins.cache = Some(cache);
        }
        plugins.compile_in_process = self.compile.in_process.unwrap_or(plugins.compile_in_process);
        self.compile.apply(&mut plugins.compile);
        set_bytes(&mut plugins.instance_memory, self.instance_memory);
        set_count(&mut plugins.lanes, self.lanes);
        set_bytes(&mut plugins.stores, self.stores);
        set_count(&mut plugins.in_flight, self.in_flight);
        plugins.keep_versions = self.keep_versions.map_or(plugins.keep_versions, |it| it.0);
        self.take_back.apply(plugins);
        plugins.default_state = self.default.state.map(Into::into).or(plugins.default_state);
        if let Some(RawVerify(keys)) = self.verify {
            plugins.verify = keys;
        }
        plugins.refuse_downgrades = self.refuse_downgrades.unwrap_or(plugins.refuse_downgrades);
        self.default.apply(&mut plugins.default);
        for (name, written) in self.named {
            if let Some(state) = written.state {
                plugins.states.insert(name.clone(), state.into());
            }
            let mut policy = plugins.policy(&name).clone();
            written.apply(&mut policy);
            plugins.named.insert(name, policy);
        }
    }
}

impl RawCompile {
    fn apply(self, limits: &mut CompileLimits) {
        set_bytes(&mut limits.memory, self.memory);
        set_duration(&mut limits.cpu, self.cpu);
        set_duration(&mut limits.time, self.time);
        set_count(&mut limits.at_once, self.at_once);
    }
}

impl RawPolicy {
    fn apply(self, policy: &mut PluginPolicy) {
        let limits: &mut PluginLimits = &mut policy.limits;
        set_bytes(&mut limits.memory, self.memory);
        set_duration(&mut limits.deadline, self.deadline);
        set_bytes(&mut limits.output, self.output);
        set_count(&mut limits.effects, self.effects);
        set_count(&mut limits.table_elements, self.table_elements);
        set_bytes(&mut limits.store, self.store);
        limits.log = LogRate {
            per_second: self.log.per_second.map_or(limits.log.per_second, NonZeroU32::get),
            burst: self.log.burst.map_or(limits.log.burst, NonZeroU32::get),
        };
        limits.cpu_percent = self.cpu_percent.map_or(limits.cpu_percent, NonZeroU32::get);
        self.circuit_breaker.apply(&mut limits.breaker);
        policy.recycle = self.recycle.unwrap_or(policy.recycle);
        if let Some(grant) = self.grant {
            let has = |what| grant.contains(&what);
            policy.grant = Grant {
                topics: has(RawGrant::Topics),
                sessions: has(RawGrant::Sessions),
                store: has(RawGrant::Store),
                log: has(RawGrant::Log),
                ..policy.grant
            };
        }
        outgoing::apply(self.http, self.calls, self.later, policy);
    }
}

impl RawWatch {
    fn apply(self, watch: &mut Watch) {
        watch.poll = self.poll.map(NonZeroDuration::get).or(watch.poll);
        set_duration(&mut watch.settle, self.settle);
    }
}

impl RawLog {
    fn apply(self, log: &mut Log) {
        if let Some(format) = self.format {
            log.format = match format {
                RawFormat::Text => LogFormat::Text,
                RawFormat::Json => LogFormat::Json,
            };
        }
    }
}

/// A realm is a URI (WAMP v2 specification, section "Realms"), in the loose sense of "URIs": no
/// white space, no `#`, no empty part.
impl<'de> Deserialize<'de> for Realms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let realms = Vec::<String>::deserialize(deserializer)?;
        let good = |part: &str| {
            !part.is_empty() && !part.contains(|c: char| c == '#' || c.is_whitespace())
        };
        if realms.is_empty() {
            let help = "name at least one, or leave the key out for realm1";
            return Err(D::Error::custom(format!("there is no realm\n{help}")));
        }
        if let Some(realm) = realms.iter().find(|realm| !realm.split('.').all(good)) {
            let help = "write a URI such as realm1 or com.acme.shop";
            let realm = Untrusted::new(realm);
            return Err(D::Error::custom(format!("`{realm}` is not a realm\n{help}")));
        }
        let twice = |(at, realm): (usize, &String)| realms.iter().take(at).any(|it| it == realm);
        if let Some((_, realm)) = realms.iter().enumerate().find(|it| twice(*it)) {
            let realm = Untrusted::new(realm);
            let message = format!("the realm `{realm}` is listed twice\nremove one of them");
            return Err(D::Error::custom(message));
        }
        Ok(Self(realms))
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
