//! Live settings: applies changed settings to the parts of a running server.
//!
//! [`crate::settings`] finds the changes, and `jackfield_config` decides which settings change while the
//! server runs. Each of those has its place here, or in a part that reads it from [`LiveSettings`].
//!
//! [`LiveSettings`]: crate::connection::LiveSettings

use std::sync::Arc;

use jackfield_config::{Config, OpenToken, Opened};
use tracing::error;

use super::parts::{self, Parts};
use crate::admission::Admission;
use crate::api::Api;
use crate::connection::Context;
use crate::connection_limit::ConnectionLimit;
use crate::control::AdminTokens;
use crate::generation::RouteAccess;
use crate::http::LiveHttp;
use crate::scrape::Scrape;
use crate::server_state::ServerState;
use crate::settings::{AppliedSettings, SettingsChange, SettingsFollower};

/// The parts whose settings change while the server runs.
pub(super) struct LiveParts {
    admission: Arc<Admission>,
    context: Arc<Context>,
    limit: ConnectionLimit,
    state: Arc<ServerState>,
    scrape: Arc<Scrape>,
    /// None without an admin listener at an address.
    admin_tokens: Option<AdminTokens>,
}

/// Settings that the HTTP API has a copy of.
const OF_HTTP: [&str; 7] = [
    "api",
    "metrics",
    "limits.handshake",
    "limits.depth",
    "limits.publisher_delay",
    "limits.outbox",
    "slow_subscriber",
];

impl LiveParts {
    pub(super) fn new(parts: &Parts, admin_tokens: Option<AdminTokens>) -> Self {
        Self {
            admission: Arc::clone(&parts.admission),
            context: Arc::clone(&parts.context),
            limit: parts.limit.clone(),
            state: Arc::clone(&parts.state),
            scrape: Arc::clone(&parts.scrape),
            admin_tokens,
        }
    }

    /// Applies each change of the settings, forever.
    pub(super) async fn follow(self, mut follower: SettingsFollower) {
        loop {
            let change = follower.next().await;
            // Compared as a whole: no setting that generations have a copy of can be forgotten.
            let access = RouteAccess::of(&change.config);
            let is_of_generations =
                access != RouteAccess::of(follower.running()) || change.has("plugins");
            let of_generations = is_of_generations.then(|| (access, change.config.plugins.clone()));
            let applied = self.apply(follower.running(), change);
            if let Some((access, plugins)) = of_generations {
                // Until subscriptions that are no longer allowed have ended.
                self.state.reloader.follow_settings(access, &plugins).await;
            }
            follower.applied(applied);
        }
    }

    /// Applies a change. Nothing of it fails: everything was opened before.
    fn apply(&self, running: &Config, change: SettingsChange) -> AppliedSettings {
        let has = |settings: &[&str]| settings.iter().any(|it| change.has(it));
        let (access, auth) = (has(&["access"]), has(&["auth"]));
        let (http, admin) = (has(&OF_HTTP), has(&["admin.tokens"]));
        let (config, opened, files, applied) = change.take();
        // Listeners follow their certificates themselves; traces and the cluster need a restart.
        let Opened {
            auth: methods,
            tokens,
            admin_tokens,
            metrics_token,
            tls: _,
            admin_tls: _,
            trace_headers: _,
            cluster_credentials: _,
        } = opened;
        // Rules that admit fewer clients come first, and so do those about clients that are admitted.
        if access {
            self.admission.set_rules(config.access.clone());
        }
        if auth {
            self.admission.set_auth(methods, files);
        }
        if admin && let Some(before) = &self.admin_tokens {
            before.replace(&admin_tokens);
        }
        if http {
            self.apply_http(&config, tokens, metrics_token.as_deref());
        }
        let limits = &config.limits;
        if running.limits.connections != limits.connections {
            self.limit.set_limit(parts::max_connections(limits));
        }
        self.limit.set_address_limit(limits.address_connections);
        self.context.new_connections.follow(&running.limits, limits);
        self.state.totals.follow(limits);
        self.state.realms.follow(limits, config.history);
        self.context.settings.set(&config);
        self.state.shutdown.set_times(config.shutdown);
        applied
    }

    /// Replaces the API and the page of metrics.
    fn apply_http(&self, config: &Config, tokens: Vec<OpenToken>, metrics_token: Option<&String>) {
        let ServerState { realms, totals, shutdown, .. } = &*self.state;
        let (realms, totals) = (Arc::clone(realms), Arc::clone(totals));
        let live = &self.context.http.live;
        let before = live.load_full();
        let api = match Api::new(tokens, config, realms, totals, Arc::clone(shutdown)) {
            Ok(api) => api,
            Err(error) => {
                // Without random bytes for ids, no client can be served, either.
                error!(name: "settings.api_off", "the HTTP API is off: cannot read random bytes: {error}");
                None
            }
        };
        let api = match (api, &before.api) {
            (Some(api), Some(before)) => Some(api.continuing(before)),
            (api, _) => api,
        };
        live.store(Arc::new(LiveHttp {
            api,
            metrics_page: parts::metrics_page(config, &self.scrape, metrics_token),
            idle_timeout: config.api.idle_timeout,
            max_head_bytes: config.limits.handshake_bytes,
        }));
    }
}
