//! Changes of settings while a server runs: which of them take effect, and which need a restart.
//!
//! [`Config::follow`] compares every field of two configurations. It names all of them without a
//! wildcard, so that a new setting needs a decision here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::path::PathBuf;

use jackfield_auth::AuthSettings;
use jackfield_broker::Bounds;
use jackfield_routing::Action;
use jackfield_sandbox::{CompileLimits, PluginPolicy};

use super::{
    Access, Admin, AdminPlace, Api, Cluster, Config, Control, ControlSocket, DataFolder,
    HealthChecks, HistoryLimits, Keepalive, Limits, Log, Metrics, Plugins, ShutdownTimes, Traces,
    Transports, Watch,
};

/// New settings of a running server.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The settings from now on: the new ones, and the running values of those that need a restart.
    pub config: Config,
    /// The names of the settings that change now.
    pub changed: Vec<String>,
    /// The settings that have changed and need a restart.
    pub restart: Vec<RestartNeeded>,
}

/// A setting that has changed, and that takes effect at the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartNeeded {
    /// The name of the setting.
    pub setting: String,
    /// Its value until then. No secret needs a restart, so it can be shown.
    pub running: String,
}

impl Config {
    /// Compares new settings with the running ones.
    pub fn follow(&self, mut next: Self) -> Followed {
        let mut all = Comparison::default();
        all.config(self, &mut next);
        let Comparison { changed, restart } = all;
        Followed { config: next, changed, restart }
    }
}

/// The differences so far.
#[derive(Default)]
struct Comparison {
    changed: Vec<String>,
    restart: Vec<RestartNeeded>,
}

impl Comparison {
    /// A setting that changes while the server runs.
    fn live<T: PartialEq>(&mut self, setting: &str, running: &T, next: &T) {
        if running != next {
            self.changed.push(setting.to_owned());
        }
    }

    /// A setting that keeps its value until the next start; `shown` is that value.
    fn restart<T: Clone + PartialEq, S: Display>(
        &mut self,
        setting: &str,
        running: &T,
        next: &mut T,
        shown: impl FnOnce(&T) -> S,
    ) {
        if running != next {
            let running = running.clone();
            let shown = shown(&running).to_string();
            self.restart.push(RestartNeeded { setting: setting.to_owned(), running: shown });
            *next = running;
        }
    }

    fn config(&mut self, running: &Config, next: &mut Config) {
        let Config {
            listen,
            listeners,
            realms,
            unrouted,
            rules,
            access,
            auth,
            allow,
            trust_levels,
            limits,
            history,
            keepalive,
            handshake_timeout,
            shutdown,
            plugins,
            watch,
            log,
            api,
            data,
            control,
            admin,
            metrics,
            traces,
            health,
            cluster,
        } = next;
        // Rules may move between `access` and a listener: a half of such a change would admit others.
        let is_whole = running.listen == *listen && running.listeners == *listeners;
        self.restart("listen", &running.listen, listen, |it| {
            it.map_or_else(|| "off".to_owned(), |address| address.to_string())
        });
        let shown = listeners::running_values(&running.listeners, listeners);
        self.restart("listeners", &running.listeners, listeners, |_| shown);
        self.restart("realms", &running.realms, realms, |it| it.join(", "));
        self.live("unrouted", &running.unrouted, unrouted);
        self.live("rules", &running.rules, rules);
        self.access(&running.access, access, is_whole);
        self.auth(&running.auth, auth);
        for action in Action::ALL {
            let setting = format!("allow.{}", action.key());
            self.live(&setting, &running.allow.roles(action), &allow.roles(action));
        }
        self.live("trust_levels", &running.trust_levels, trust_levels);
        self.limits(&running.limits, limits);
        let HistoryLimits { memory_bytes, replay, durable } = history;
        self.live("history.memory", &running.history.memory_bytes, memory_bytes);
        self.live("history.replay.events", &running.history.replay.events, &replay.events);
        self.live("history.replay.bytes", &running.history.replay.bytes, &replay.bytes);
        self.restart("history.durable", &running.history.durable, durable, |it| it.name());
        let Keepalive { interval, timeout } = keepalive;
        self.live("keepalive.interval", &running.keepalive.interval, interval);
        self.live("keepalive.timeout", &running.keepalive.timeout, timeout);
        self.live("handshake_timeout", &running.handshake_timeout, handshake_timeout);
        let ShutdownTimes { wait, spread, grace } = shutdown;
        self.live("shutdown.wait", &running.shutdown.wait, wait);
        self.live("shutdown.spread", &running.shutdown.spread, spread);
        self.live("shutdown.grace", &running.shutdown.grace, grace);
        self.plugins(&running.plugins, plugins);
        let Watch { poll, settle } = watch;
        self.restart("watch.poll", &running.watch.poll, poll, debug);
        self.restart("watch.settle", &running.watch.settle, settle, debug);
        let Log { format } = log;
        self.restart("log.format", &running.log.format, format, |it| {
            format!("{it:?}").to_lowercase()
        });
        self.api(&running.api, api);
        self.restart("data", &running.data, data, |it| match it {
            DataFolder::Default => "auto".to_owned(),
            DataFolder::Off => "off".to_owned(),
            DataFolder::At(path) => path.display().to_string(),
        });
        let Control { socket } = control;
        self.restart("control.socket", &running.control.socket, socket, |it| match it {
            ControlSocket::Default => "auto".to_owned(),
            ControlSocket::Off => "off".to_owned(),
            ControlSocket::At(path) => path.display().to_string(),
        });
        let Admin { listen, tokens, tls } = admin;
        self.restart("admin.listen", &running.admin.listen, listen, |it| match it {
            None => "off".to_owned(),
            Some(AdminPlace::Address(address)) => address.to_string(),
            Some(AdminPlace::Socket(path)) => path.display().to_string(),
        });
        self.live("admin.tokens", &running.admin.tokens, tokens);
        self.restart("admin.tls", &running.admin.tls, tls, |it| {
            let pairs = it.iter().flat_map(|it| &it.files.pairs);
            let files: Vec<String> = pairs.map(|it| it.certificate.display().to_string()).collect();
            if files.is_empty() { "off".to_owned() } else { files.join(", ") }
        });
        let Metrics { enabled, token } = metrics;
        self.live("metrics.enabled", &running.metrics.enabled, enabled);
        self.live("metrics.token", &running.metrics.token, token);
        self.traces(&running.traces, traces);
        self.health(&running.health, health);
        self.cluster(&running.cluster, cluster);
    }

    fn cluster(&mut self, running: &Cluster, next: &mut Cluster) {
        let Cluster { urls, name, node, credentials, ca, certificate, key, when_alone, leases } =
            next;
        let path = |it: &Option<PathBuf>| {
            it.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
        };
        self.restart("cluster.nats.urls", &running.urls, urls, |it| {
            if it.is_empty() { "off".to_owned() } else { it.join(", ") }
        });
        self.restart("cluster.name", &running.name, name, String::clone);
        self.restart("cluster.node", &running.node, node, |it| {
            it.clone().unwrap_or_else(|| "the name of the machine".to_owned())
        });
        // It is a secret.
        self.restart("cluster.nats.credentials", &running.credentials, credentials, |it| {
            if it.is_some() { "others" } else { "none" }
        });
        self.restart("cluster.nats.tls.ca", &running.ca, ca, path);
        self.restart("cluster.nats.tls.certificate", &running.certificate, certificate, path);
        self.restart("cluster.nats.tls.key", &running.key, key, path);
        self.restart("cluster.when_alone", &running.when_alone, when_alone, |it| it.name());
        self.restart("cluster.leases", &running.leases, leases, |it| it.name());
    }

    fn traces(&mut self, running: &Traces, next: &mut Traces) {
        let Traces { endpoint, sample, headers, service } = next;
        self.restart("traces.endpoint", &running.endpoint, endpoint, |it| {
            it.clone().unwrap_or_else(|| "off".to_owned())
        });
        self.restart("traces.sample", &running.sample, sample, f64::clone);
        // Their values are secrets.
        self.restart("traces.headers", &running.headers, headers, |it| {
            let names: Vec<&str> = it.keys().map(String::as_str).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        });
        self.restart("traces.service", &running.service, service, String::clone);
    }

    /// `is_whole` is false if listeners wait for a restart: the rules that may have moved to them, or
    /// rest on them, wait for it, too.
    fn access(&mut self, running: &Access, next: &mut Access, is_whole: bool) {
        let Access { path, origins, blocked, proxies, https, anonymous, transports } = next;
        let Transports { rawsocket, compression, echo } = transports;
        self.live("access.echo", &running.transports.echo, echo);
        if is_whole {
            self.live("access.path", &running.path, path);
            self.live("access.origins", &running.origins, origins);
            self.live("access.blocked", &running.blocked, blocked);
            self.live("access.proxies", &running.proxies, proxies);
            self.live("access.https", &running.https, https);
            self.live("access.anonymous", &running.anonymous, anonymous);
            self.live("access.rawsocket", &running.transports.rawsocket, rawsocket);
            self.live("access.compression", &running.transports.compression, compression);
            return;
        }
        self.restart("access.path", &running.path, path, String::clone);
        self.restart("access.origins", &running.origins, origins, |it| {
            if it.is_some() { "the earlier list" } else { "all" }
        });
        self.live("access.blocked", &running.blocked, blocked);
        self.restart("access.proxies", &running.proxies, proxies, |_| "the earlier list");
        self.restart("access.https", &running.https, https, bool::to_string);
        self.restart("access.anonymous", &running.anonymous, anonymous, |it| {
            it.map_or_else(|| "auto".to_owned(), |it| it.to_string())
        });
        self.restart("access.rawsocket", &running.transports.rawsocket, rawsocket, bool::to_string);
        self.restart(
            "access.compression",
            &running.transports.compression,
            compression,
            bool::to_string,
        );
    }

    fn auth(&mut self, running: &AuthSettings, next: &AuthSettings) {
        let AuthSettings { tickets, users, jwt, principals, authenticator } = next;
        self.live("auth.tickets", &running.tickets, tickets);
        self.live("auth.users", &running.users, users);
        self.live("auth.jwt", &running.jwt, jwt);
        self.live("auth.principals", &running.principals, principals);
        self.live("auth.authenticator", &running.authenticator, authenticator);
    }

    fn limits(&mut self, running: &Limits, next: &Limits) {
        let Limits {
            message_bytes,
            depth,
            handshake_bytes,
            event_bytes,
            outbox,
            outbox_total_bytes,
            incomplete_bytes,
            waiting_bytes,
            publisher_delay,
            subscriptions,
            patterns,
            realm_subscriptions,
            realm_topics,
            client_percent,
            connections,
            address_connections,
            user_connections,
            connection_rate,
            address_connection_rate,
            message_rate,
            byte_rate,
            rate_grace,
        } = next;
        self.live("limits.message", &running.message_bytes, message_bytes);
        self.live("limits.depth", &running.depth, depth);
        self.live("limits.handshake", &running.handshake_bytes, handshake_bytes);
        self.live("limits.event", &running.event_bytes, event_bytes);
        let Bounds { bytes, frames, overflow } = outbox;
        self.live("limits.outbox.bytes", &running.outbox.bytes, bytes);
        self.live("limits.outbox.messages", &running.outbox.frames, frames);
        self.live("slow_subscriber", &running.outbox.overflow, overflow);
        self.live("limits.outbox.total", &running.outbox_total_bytes, outbox_total_bytes);
        self.live("limits.incomplete", &running.incomplete_bytes, incomplete_bytes);
        self.live("limits.waiting", &running.waiting_bytes, waiting_bytes);
        self.live("limits.publisher_delay", &running.publisher_delay, publisher_delay);
        self.live("limits.subscriptions", &running.subscriptions, subscriptions);
        self.live("limits.patterns", &running.patterns, patterns);
        self.live("limits.realm_subscriptions", &running.realm_subscriptions, realm_subscriptions);
        self.live("limits.realm_topics", &running.realm_topics, realm_topics);
        self.live("limits.client_percent", &running.client_percent, client_percent);
        self.live("limits.connections", &running.connections, connections);
        self.live("limits.address_connections", &running.address_connections, address_connections);
        self.live("limits.user_connections", &running.user_connections, user_connections);
        self.live("limits.connection_rate", &running.connection_rate, connection_rate);
        self.live(
            "limits.address_connection_rate",
            &running.address_connection_rate,
            address_connection_rate,
        );
        self.live("limits.message_rate", &running.message_rate, message_rate);
        self.live("limits.byte_rate", &running.byte_rate, byte_rate);
        self.live("limits.rate_grace", &running.rate_grace, rate_grace);
    }

    fn plugins(&mut self, running: &Plugins, next: &mut Plugins) {
        let Plugins {
            cache,
            compile,
            compile_in_process,
            instance_memory,
            lanes,
            stores,
            in_flight,
            keep_versions,
            take_back,
            verify,
            refuse_downgrades,
            default,
            named,
            default_state,
            states,
        } = next;
        self.restart("plugins.cache", &running.cache, cache, |it| match it {
            None => "the user's cache folder".to_owned(),
            Some(path) => path.display().to_string(),
        });
        let CompileLimits { memory, cpu, time, at_once } = compile;
        self.restart("plugins.compile.memory", &running.compile.memory, memory, debug);
        self.restart("plugins.compile.cpu", &running.compile.cpu, cpu, debug);
        self.restart("plugins.compile.time", &running.compile.time, time, debug);
        self.restart("plugins.compile.at_once", &running.compile.at_once, at_once, debug);
        self.restart(
            "plugins.compile.in_process",
            &running.compile_in_process,
            compile_in_process,
            debug,
        );
        self.restart("plugins.instance_memory", &running.instance_memory, instance_memory, debug);
        self.live("plugins.lanes", &running.lanes, lanes);
        self.live("plugins.stores", &running.stores, stores);
        self.restart("plugins.in_flight", &running.in_flight, in_flight, debug);
        self.restart("plugins.keep_versions", &running.keep_versions, keep_versions, debug);
        self.restart("plugins.take_back", &running.take_back, take_back, |it| match it {
            None => "off".to_owned(),
            Some(within) => format!("within {within:?}"),
        });
        self.live("plugins.verify", &running.verify, verify);
        self.restart(
            "plugins.refuse_downgrades",
            &running.refuse_downgrades,
            refuse_downgrades,
            debug,
        );
        self.live("plugins.default", &running.default, default);
        self.policies((&running.named, &running.default), (named, default));
        let state = |mode: &Option<_>| mode.map_or("auto", jackfield_sandbox::StateMode::label);
        self.restart("plugins.default.state", &running.default_state, default_state, state);
        let names: BTreeSet<String> = running.states.keys().chain(states.keys()).cloned().collect();
        for name in names {
            let setting = format!("plugins.named.{name}.state");
            let mut after = states.get(&name).copied();
            self.restart(&setting, &running.states.get(&name).copied(), &mut after, state);
        }
        *states = running.states.clone();
    }

    /// Policies by name, each with the default in force with it.
    fn policies(
        &mut self,
        (running, running_default): (&BTreeMap<String, PluginPolicy>, &PluginPolicy),
        (next, next_default): (&BTreeMap<String, PluginPolicy>, &PluginPolicy),
    ) {
        let names: BTreeSet<&String> = running.keys().chain(next.keys()).collect();
        for name in names {
            let before = running.get(name).unwrap_or(running_default);
            let after = next.get(name).unwrap_or(next_default);
            self.live(&format!("plugins.named.{name}"), before, after);
        }
    }

    fn api(&mut self, running: &Api, next: &Api) {
        let Api { tokens, body, batch, requests, body_timeout, idle_timeout } = next;
        self.live("api.tokens", &running.tokens, tokens);
        self.live("api.body", &running.body, body);
        self.live("api.batch", &running.batch, batch);
        self.live("api.requests", &running.requests, requests);
        self.live("api.body_timeout", &running.body_timeout, body_timeout);
        self.live("api.idle_timeout", &running.idle_timeout, idle_timeout);
    }

    fn health(&mut self, running: &HealthChecks, next: &mut HealthChecks) {
        let HealthChecks { probe } = next;
        self.restart("health.probe", &running.probe, probe, |it| match it {
            None => "off".to_owned(),
            Some(times) => format!("every {:?}, within {:?}", times.interval, times.timeout),
        });
    }
}

fn debug<T: Debug>(value: &T) -> String {
    format!("{value:?}")
}

mod listeners;

#[cfg(test)]
mod tests;
