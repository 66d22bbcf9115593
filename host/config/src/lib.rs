//! The operator's settings: `jackfield.yml`, variables, flags, and the defaults of everything else.
//!
//! Everything in [`Config`] is valid by construction. This crate knows no routes, no admission and
//! no dispatch; the commands make the settings once, and the whole server reads them.
//!
//! In reading order:
//!
//! | module | its one thing |
//! |---|---|
//! | `sources` | which place of a setting wins |
//! | `settings` | the settings for a site, as they were found: what holds, and what is wrong |
//! | `overrides` | variables and `--set`, put into the tree of the file |
//! | `schema` | the keys of the file, and their way into [`Config`]; `access`, `api`: two of them |
//! | `origins`, `networks` | pages and addresses, parsed once |
//! | `validate` | errors of several settings together; `references`: variables that nothing expands |
//! | `open` | secrets are fetched and files are read: what a server starts with |
//! | `redact` | errors are rendered without secrets |
//! | `oro` | OroPlatform's variables |

#![forbid(unsafe_code)]

mod access;
mod api;
mod merge;
mod networks;
mod open;
mod origins;
pub mod oro;
mod overrides;
mod redact;
mod references;
mod schema;
mod settings;
mod sources;
mod validate;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield_auth::AuthSettings;
use jackfield_broker::{Bounds, Overflow};
use jackfield_routing::{Action, Allow};
use jackfield_sandbox::{CompileLimits, PluginPolicy};
use jackfield_wamp::payload::DEFAULT_DEPTH;

pub use access::Access;
pub use api::{Api, ApiToken};
pub use networks::Networks;
pub use open::{OpenToken, Opened, Opening};
pub use origins::Origins;
pub use overrides::Override;
pub use settings::Settings;
pub use sources::Sources;

/// The name under which a site may hold its settings.
pub const FILE_NAME: &str = "jackfield.yml";

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The realms that clients may join; the first is the one of WAMP v1, which has none.
    pub realms: Vec<String>,
    /// What becomes of topics that no route matches.
    pub unrouted: Unrouted,
    /// Who may connect.
    pub access: Access,
    /// How clients prove who they are.
    pub auth: AuthSettings,
    /// Who may do what on routes that do not say.
    pub allow: Allow,
    /// How much clients may use.
    pub limits: Limits,
    /// How clients that have gone are noticed.
    pub keepalive: Keepalive,
    /// How long a client may take from connecting to its handshake's end.
    pub handshake_timeout: Duration,
    /// How long a shutdown waits for clients to take what is queued for them.
    pub shutdown_grace: Duration,
    /// What plugins may do.
    pub plugins: Plugins,
    /// How changes of the site are noticed.
    pub watch: Watch,
    /// How the log is written.
    pub log: Log,
    /// Who may publish over HTTP.
    pub api: Api,
}

/// What becomes of topics that no route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// No session may subscribe or publish.
    Refuse,
    /// All sessions may, as on a broker without handlers.
    Broadcast,
}

/// How much clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the longest message.
    pub message_bytes: usize,
    /// How many lists and dictionaries of a message may lie inside each other.
    pub depth: usize,
    /// Bytes of the longest handshake head.
    pub handshake_bytes: usize,
    /// Bytes of the longest event, as one of its receivers gets it.
    pub event_bytes: usize,
    /// What may wait for one client, and what happens beyond.
    pub outbox: Bounds,
    /// Bytes that may wait for all clients together.
    pub outbox_total_bytes: usize,
    /// Bytes that may have arrived of messages that are not complete, of all clients together.
    pub incomplete_bytes: usize,
    /// Bytes of messages that may wait for handlers, of all clients together.
    pub waiting_bytes: usize,
    /// How long a publisher is read no further, at a time, while subscribers do not keep up.
    pub publisher_delay: Duration,
    /// Subscriptions of one session.
    pub subscriptions: usize,
    /// Prefixes and wildcards among them.
    pub patterns: usize,
    /// Subscriptions of all sessions of a realm together.
    pub realm_subscriptions: usize,
    /// The share of each total that one client may use, in per cent.
    pub client_percent: u32,
    /// Connections at one time.
    pub connections: usize,
}

/// How clients that have gone are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Between two pings; not zero.
    pub interval: Duration,
    /// How long after a ping a silent client is given up.
    pub timeout: Duration,
}

/// What plugins may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugins {
    /// Where compiled plugins are kept; none is a place of the user's.
    pub cache: Option<PathBuf>,
    /// How much compiling one may take.
    pub compile: CompileLimits,
    /// Whether the server compiles by itself, without these limits.
    pub compile_in_process: bool,
    /// Bytes that all instances of all plugins may hold together.
    pub instance_memory: usize,
    /// For plugins that are not named below.
    pub default: PluginPolicy,
    /// By the name that the plugin's manifest gives it.
    pub named: BTreeMap<String, PluginPolicy>,
}

/// How changes of the site are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Look every so often, instead of being told by the operating system; not zero.
    pub poll: Option<Duration>,
    /// How long nothing may have changed before a change counts as complete.
    pub settle: Duration,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// One line an event, in which form.
    pub format: LogFormat,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Config {
    /// The role of those who publish for the application itself.
    pub const BACKEND: &'static str = "backend";

    /// The settings for a site, put together from all sources, and what is wrong with them.
    pub fn find(sources: &Sources, site: &Path) -> Settings {
        sources.settings(site)
    }

    /// What follows from several settings together, once all are known. Relative paths start at
    /// `base`, the folder of the file.
    fn settle(&mut self, base: &Path) {
        if self.auth.tickets.is_some() || self.auth.jwt.is_some() {
            // Browsers come with proofs as well. They are not to publish what they like, nor to
            // offer procedures, by which they would be given what the backend calls with.
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
        if let Some(cache) = &mut self.plugins.cache {
            *cache = base.join(&*cache);
        }
    }
}

/// Where to listen, as it is written.
///
/// # Errors
/// What to write instead.
pub fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, such as 0.0.0.0:8080 or [::]:8080")
}

/// Stated in `docs/configuration.md` too; a test holds the two together.
impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            realms: vec!["realm1".to_owned()],
            unrouted: Unrouted::Refuse,
            access: Access::default(),
            auth: AuthSettings::default(),
            allow: Allow::default(),
            limits: Limits::default(),
            keepalive: Keepalive {
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(10),
            },
            handshake_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(10),
            plugins: Plugins::default(),
            watch: Watch { poll: None, settle: Duration::from_millis(100) },
            log: Log { format: LogFormat::Text },
            api: Api::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            depth: DEFAULT_DEPTH,
            handshake_bytes: 16 << 10,
            event_bytes: 2 << 20,
            outbox_total_bytes: 512 << 20,
            incomplete_bytes: 256 << 20,
            waiting_bytes: 256 << 20,
            outbox: Bounds { bytes: 4 << 20, frames: 4096, overflow: Overflow::Disconnect },
            publisher_delay: Duration::from_secs(1),
            subscriptions: 1_000,
            patterns: 100,
            realm_subscriptions: 500_000,
            client_percent: 25,
            connections: 10_000,
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
            default: PluginPolicy::default(),
            named: BTreeMap::new(),
        }
    }
}

impl Plugins {
    /// What the plugin of this name may do.
    pub fn policy(&self, name: &str) -> &PluginPolicy {
        self.named.get(name).unwrap_or(&self.default)
    }
}
