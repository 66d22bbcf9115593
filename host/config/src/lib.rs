//! Configuration: the operator's settings in `jackfield.yml`, variables and flags, and their
//! defaults.
//!
//! Everything in [`Config`] is valid by construction. This crate knows no routes, no admission and
//! no dispatch. The commands load the settings once, and the whole server reads them.
//!
//! In reading order:
//!
//! | module | content |
//! |---|---|
//! | `sources` | the sources of settings and their precedence |
//! | `settings` | the settings of a site: valid ones, errors, warnings |
//! | `overrides` | variables and `--set`, applied to the tree of the file |
//! | `schema` | the keys of the file, and their conversion into [`Config`] |
//! | `access`, `admin`, `api`, `cluster`, `control`, `health`, `history`, `listeners`, `listener_tls`, `metrics`, `rules`, `shutdown`, `state`, `traces`, `verify`, `versions` | parts of the schema |
//! | `origins`, `networks` | origins and addresses, parsed once |
//! | `validate` | errors of several settings together |
//! | `references` | unresolved references to variables |
//! | `open` | loads secrets and files, for the start of a server |
//! | `follow` | changes while a server runs; `secret_digests`: of the contents of secrets |
//! | `redact` | renders errors without secrets |
//! | `oro` | OroPlatform's variables |

#![forbid(unsafe_code)]

mod access;
mod admin;
mod api;
mod breaker;
mod cluster;
mod control;
mod data;
mod follow;
mod health;
mod history;
mod limits;
mod listener_tls;
mod listeners;
mod merge;
mod metrics;
mod networks;
mod open;
mod origins;
pub mod oro;
mod outgoing;
mod overrides;
mod place;
mod redact;
mod references;
mod rules;
mod schema;
mod secret_digests;
mod settings;
mod shutdown;
mod sources;
mod state;
mod traces;
mod validate;
mod verify;
mod versions;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield_auth::{AuthSettings, Secret};
use jackfield_routing::{Action, Allow};
use jackfield_sandbox::{CompileLimits, PluginPolicy, StateMode};
use jackfield_signing::TrustedKey;
use jackfield_tls::TlsFiles;

pub use access::{Access, Transports};
pub use admin::{ADMIN_LISTENER, Admin, AdminCertificates, AdminPlace, AdminTls, AdminToken};
pub use api::{Api, ApiToken};
pub use cluster::{Cluster, Leases, WhenAlone};
pub use control::{Control, ControlSocket, SocketCandidate, SocketEnvironment, SocketPlace};
pub use data::{DataEnvironment, DataFolder};
pub use follow::{Followed, RestartNeeded};
pub use health::{HealthChecks, ProbeTimes};
pub use history::{DurableMode, HistoryLimits};
pub use limits::{ByteRate, Limits, Rate};
pub use listener_tls::{CertificateUsers, UserName};
pub use listeners::{ListenerMethod, ListenerPlace, ListenerRules, ListenerSettings, Protocols};
pub use metrics::Metrics;
pub use networks::Networks;
pub use open::{OpenAdminToken, OpenToken, Opened, Opening};
pub use origins::Origins;
pub use overrides::Override;
pub use rules::Rule;
pub use secret_digests::SecretDigests;
pub use settings::Settings;
pub use shutdown::ShutdownTimes;
pub use sources::Sources;
pub use traces::Traces;

/// File name of a site's own settings.
pub const FILE_NAME: &str = "jackfield.yml";

/// Complete configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address to listen on; `None` leaves it to `listeners`.
    pub listen: Option<SocketAddr>,
    /// Further places to listen on, with rules of their own.
    pub listeners: Vec<ListenerSettings>,
    /// The realms that clients may join. WAMP v1, which has no realms, uses the first.
    pub realms: Vec<String>,
    /// The access to topics that no route and no rule matches.
    pub unrouted: Unrouted,
    /// The access to topics that no route matches. The first rule that matches a topic counts.
    pub rules: Vec<Rule>,
    /// The admission of connections.
    pub access: Access,
    /// The authentication methods.
    pub auth: AuthSettings,
    /// The access lists of routes without their own.
    pub allow: Allow,
    /// The trust levels of the publications and calls of roles. Without any, there are none.
    pub trust_levels: BTreeMap<String, u32>,
    /// The limits of clients: of one, of a realm, and of all together.
    pub limits: Limits,
    /// The limits of the recent events that routes keep.
    pub history: HistoryLimits,
    /// The detection of dead connections.
    pub keepalive: Keepalive,
    /// The maximum time from a client's connection to the end of its handshake.
    pub handshake_timeout: Duration,
    /// The times of an orderly shutdown.
    pub shutdown: ShutdownTimes,
    /// The limits and permissions of plugins.
    pub plugins: Plugins,
    /// The detection of changes of the site.
    pub watch: Watch,
    /// The format of the log.
    pub log: Log,
    /// The HTTP API.
    pub api: Api,
    /// The folder of what survives the end of the server.
    pub data: DataFolder,
    /// The control channel of the operator.
    pub control: Control,
    /// The admin listener, of the same API.
    pub admin: Admin,
    /// The page of metrics.
    pub metrics: Metrics,
    /// The collector of spans.
    pub traces: Traces,
    /// Health checks.
    pub health: HealthChecks,
    /// The other servers of a cluster.
    pub cluster: Cluster,
}

/// Access to topics that no route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// No session may subscribe or publish.
    Refuse,
    /// All sessions may, as on a broker without handlers.
    Broadcast,
}

/// Detection of dead connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// The time between two pings; not zero.
    pub interval: Duration,
    /// The time after a ping after which a silent client is disconnected.
    pub timeout: Duration,
}

/// Limits and permissions of plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugins {
    /// The folder of compiled plugins; `None` is `jackfield` in the user's cache folder.
    pub cache: Option<PathBuf>,
    /// The limits of a compilation.
    pub compile: CompileLimits,
    /// Whether the server compiles in its own process, without these limits.
    pub compile_in_process: bool,
    /// The maximum memory of all instances of all plugins together, in bytes.
    pub instance_memory: usize,
    /// The maximum number of lanes of all plugins together.
    pub lanes: usize,
    /// The maximum size of the stores of all plugins together, in bytes: of their limits, not of
    /// what they hold now.
    pub stores: usize,
    /// The maximum number of requests and calls of all plugins that wait for their answers.
    pub in_flight: usize,
    /// The number of components of each plugin that are kept, to return to them.
    pub keep_versions: usize,
    /// The time for which a new version may be taken back by the server; `None` never takes one
    /// back.
    pub take_back: Option<Duration>,
    /// The keys that may sign plugins; without any, no signature is needed.
    pub verify: Vec<TrustedKey>,
    /// Whether a signed plugin whose number is below that of an earlier one is refused.
    pub refuse_downgrades: bool,
    /// The policy of plugins that are not in `named`.
    pub default: PluginPolicy,
    /// Policies by the name in the plugin's manifest.
    pub named: BTreeMap<String, PluginPolicy>,
    /// How stores are kept that are not in `states`; `None` depends on the data folder.
    pub default_state: Option<StateMode>,
    /// How the stores of plugins are kept, by name.
    pub states: BTreeMap<String, StateMode>,
}

/// Detection of changes of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The polling interval, not zero; `None` uses the operating system's notifications.
    pub poll: Option<Duration>,
    /// The time without changes after which a change is complete.
    pub settle: Duration,
}

/// Settings of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The format; one line per event.
    pub format: LogFormat,
}

/// Format of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

impl Config {
    /// The role of clients that publish for the application itself.
    pub const BACKEND: &'static str = "backend";

    /// Loads the settings of a site from all sources. The result contains their errors.
    pub fn find(sources: &Sources, site: &Path) -> Settings {
        sources.settings(site)
    }

    /// Returns the secrets of all settings.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let api = self.api.tokens.iter().map(|token| &token.secret);
        let admin = self.admin.tokens.iter().map(|token| &token.secret);
        let traces = self.traces.headers.values();
        let all = self.auth.secrets().chain(api).chain(admin).chain(&self.metrics.token);
        all.chain(traces).chain(&self.cluster.credentials)
    }

    /// Applies defaults that depend on several settings, and resolves relative paths against
    /// `base`, the folder of the file.
    fn settle(&mut self, base: &Path) {
        if self.auth.has_method() {
            // Browsers authenticate as well. They must not publish freely, nor register procedures,
            // because those would receive the arguments of the backend's calls.
            for action in [Action::Publish, Action::Register] {
                if self.allow.roles(action).is_none() {
                    self.allow.set(action, vec![Self::BACKEND.to_owned()]);
                }
            }
        }
        for path in self.auth.paths_mut() {
            *path = base.join(&*path);
        }
        for token in &mut self.api.tokens {
            if let Some(path) = token.secret.path_mut() {
                *path = base.join(&*path);
            }
        }
        if let Some(path) = self.metrics.token.as_mut().and_then(Secret::path_mut) {
            *path = base.join(&*path);
        }
        for path in self.traces.headers.values_mut().filter_map(Secret::path_mut) {
            *path = base.join(&*path);
        }
        for path in self.cluster.paths_mut() {
            *path = base.join(&*path);
        }
        for token in &mut self.admin.tokens {
            if let Some(path) = token.secret.path_mut() {
                *path = base.join(&*path);
            }
        }
        if let Some(AdminPlace::Socket(path)) = &mut self.admin.listen {
            *path = base.join(&*path);
        }
        let files = self.admin.tls.iter_mut().map(|tls| &mut tls.files);
        for path in files.flat_map(TlsFiles::paths_mut) {
            *path = base.join(&*path);
        }
        if let Some(cache) = &mut self.plugins.cache {
            *cache = base.join(&*cache);
        }
        if let DataFolder::At(path) = &mut self.data {
            *path = base.join(&*path);
        }
        if let ControlSocket::At(path) = &mut self.control.socket {
            *path = base.join(&*path);
        }
        for listener in &mut self.listeners {
            listener.resolve(base);
        }
    }
}

/// Parses the address to listen on.
///
/// # Errors
/// The help for an invalid address.
pub fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, such as 0.0.0.0:8080 or [::]:8080")
}

/// The defaults, as in `docs/configuration.md`; a test compares the two.
impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            listeners: Vec::new(),
            realms: vec!["realm1".to_owned()],
            unrouted: Unrouted::Refuse,
            rules: Vec::new(),
            access: Access::default(),
            auth: AuthSettings::default(),
            allow: Allow::default(),
            trust_levels: BTreeMap::new(),
            limits: Limits::default(),
            history: HistoryLimits::default(),
            keepalive: Keepalive {
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(10),
            },
            handshake_timeout: Duration::from_secs(10),
            shutdown: ShutdownTimes::default(),
            plugins: Plugins::default(),
            watch: Watch { poll: None, settle: Duration::from_millis(100) },
            log: Log { format: LogFormat::Text },
            api: Api::default(),
            data: DataFolder::default(),
            control: Control::default(),
            admin: Admin::default(),
            metrics: Metrics::default(),
            traces: Traces::default(),
            cluster: Cluster::default(),
            health: HealthChecks::default(),
        }
    }
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            cache: None,
            compile: CompileLimits::default(),
            compile_in_process: false,
            instance_memory: 1 << 30,
            lanes: 4_096,
            stores: 16 << 30,
            in_flight: 256,
            keep_versions: 5,
            take_back: Some(Duration::from_mins(10)),
            verify: Vec::new(),
            refuse_downgrades: false,
            default: PluginPolicy::default(),
            named: BTreeMap::new(),
            default_state: None,
            states: BTreeMap::new(),
        }
    }
}

impl Plugins {
    /// Returns the policy of the plugin of this name.
    pub fn policy(&self, name: &str) -> &PluginPolicy {
        self.named.get(name).unwrap_or(&self.default)
    }

    /// Returns how the store of the plugin of this name is kept, if there is a data folder.
    pub fn state(&self, name: &str) -> StateMode {
        self.states.get(name).copied().or(self.default_state).unwrap_or_default()
    }

    /// Returns the key of the first setting that needs a data folder.
    pub fn needs_data(&self) -> Option<String> {
        let saves = |mode: StateMode| mode != StateMode::Memory;
        if self.default_state.is_some_and(saves) {
            return Some("plugins.default.state".to_owned());
        }
        let named = self.states.iter().find(|(_, mode)| saves(**mode));
        named.map(|(name, _)| format!("plugins.named.{name}.state"))
    }
}
