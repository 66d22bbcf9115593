//! A listener for clients, as its connections see it: its name and its rules.

use std::sync::Arc;

use jackfield_config::ListenerRules;

use crate::listener_tls::ListenerTls;

/// A listener for clients.
#[derive(Debug)]
pub(crate) struct ClientListener {
    /// The name of the settings, if it has one.
    pub(crate) name: Option<String>,
    /// The place for people and clients: `ws://127.0.0.1:8080/`, or `unix:` and a path.
    pub(crate) url: String,
    /// The rules, which go before those of `access`.
    pub(crate) rules: ListenerRules,
    /// TLS, if it is encrypted.
    pub(crate) tls: Option<Arc<ListenerTls>>,
}

impl ClientListener {
    /// The listener of connections that the server makes to itself.
    pub(crate) fn of_probe() -> Self {
        let rules = ListenerRules::default();
        Self { name: None, url: "inside".to_owned(), rules, tls: None }
    }

    /// Whether its connections are encrypted.
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The address or the path, as settings name it.
    pub(crate) fn place(&self) -> &str {
        let place = self.url.split_once("://").or_else(|| self.url.split_once(':'));
        place.map_or("", |(_, place)| place).trim_end_matches('/')
    }
}
