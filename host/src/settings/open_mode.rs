//! Open mode of `jackfield serve --open`: clients of this machine may use every topic without a route and
//! a rule. Its addresses are loopback ones, and it has no authentication.

use std::net::SocketAddr;

use jackfield_auth::AuthSettings;
use jackfield_config::{
    Config, DataFolder, ListenerPlace, Networks, Origins, Rule, Settings, Unrouted,
};
use jackfield_wamp::uri;
use jackfield_yaml::Diagnosis;
use tracing::warn;

/// The source that problems name.
const OPTION: &str = "--open";

/// The open mode, with further realms.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenMode {
    /// Realms besides those of the settings.
    realms: Vec<String>,
    /// Whether the site is an empty folder for this process alone.
    is_empty: bool,
}

impl OpenMode {
    pub(crate) fn new(realms: Vec<String>, is_empty: bool) -> Self {
        Self { realms, is_empty }
    }

    /// Opens the settings, and reports those with which other machines could connect.
    pub(super) fn apply(&self, settings: &mut Settings) {
        let config = &mut settings.config;
        config.unrouted = Unrouted::Broadcast;
        // The procedures and topics of the router itself.
        config.rules.push(Rule::open("wamp."));
        // Any page that a browser on this machine shows could connect otherwise.
        config.access.origins = Some(Origins::of_this_machine());
        config.access.transports.rawsocket = true;
        for listener in &mut config.listeners {
            listener.rules.origins = None;
        }
        if self.is_empty {
            config.data = DataFolder::Off;
        }
        for realm in &self.realms {
            if !config.realms.contains(realm) {
                config.realms.push(realm.clone());
            }
        }
        let problem = problem_of(config);
        settings.problems.extend(problem);
    }

    /// Says what is open, and how to close it.
    pub(crate) fn announce(config: &Config) {
        let realms = config.realms.join(", ");
        warn!(
            name: "server.open",
            realms,
            "open mode: every program on this machine may publish, subscribe, register and call; \
             help: to close it, serve a site without --open, with routes or `rules`"
        );
    }
}

/// A realm of the command line.
///
/// # Errors
/// The help for text that is not a URI.
pub(crate) fn parse_realm(text: &str) -> Result<String, &'static str> {
    let error = "write a URI, such as realm1 or com.example.shop";
    uri::is_uri(text).then(|| text.to_owned()).ok_or(error)
}

fn problem_of(config: &Config) -> Option<Diagnosis> {
    let of_listeners = config.listeners.iter().filter_map(|listener| match listener.place {
        ListenerPlace::Address(address) => Some(address),
        ListenerPlace::Socket { .. } => None,
    });
    let addresses: Vec<SocketAddr> = config.listen.into_iter().chain(of_listeners).collect();
    let is_local = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
    if let Some(address) = addresses.iter().find(|address| !is_local(address)) {
        let message = format!("open mode is for this machine, and {address} is open to others");
        let problem = Diagnosis::without_place(OPTION, message);
        return Some(problem.with_help("listen on 127.0.0.1 or [::1], or serve without --open"));
    }
    if config.access.proxies != Networks::default() {
        let message =
            "open mode is for this machine, and clients of `access.proxies` are elsewhere";
        let problem = Diagnosis::without_place(OPTION, message);
        return Some(problem.with_help("remove `access.proxies`, or serve without --open"));
    }
    if !config.cluster.urls.is_empty() {
        let message = "open mode is for this machine, and the settings have `cluster`";
        let problem = Diagnosis::without_place(OPTION, message);
        return Some(problem.with_help("remove `cluster`, or serve without --open"));
    }
    if config.auth != AuthSettings::default() {
        let message = "open mode admits every client, and the settings have `auth`";
        let problem = Diagnosis::without_place(OPTION, message);
        return Some(problem.with_help("serve without --open; `unrouted: broadcast` opens topics"));
    }
    None
}
