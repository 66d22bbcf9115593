//! A listener for clients, as its connections see it: its name and its rules.

use std::sync::Arc;

use jackfield_config::ListenerRules;

use crate::listener_tls::ListenerTls;
use crate::log::NamedListener;

/// A listener for clients.
#[derive(Debug)]
pub(crate) struct ClientListener {
    /// The name of the settings, if it has one.
    pub(crate) name: Option<String>,
    /// The place for people and clients: `ws://127.0.0.1:8080/ws`, or `unix:` and the path of the socket.
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
        match self.url.split_once("://") {
            Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
            None => self.url.split_once(':').map_or("", |(_, path)| path),
        }
    }
}

impl NamedListener for ClientListener {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn url(&self) -> &str {
        &self.url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_that_of_the_settings() {
        let check = |url: &str, expect: &str| {
            let listener = ClientListener { url: url.to_owned(), ..ClientListener::of_probe() };
            assert_eq!(listener.place(), expect, "{url}");
        };
        check("ws://127.0.0.1:8080/", "127.0.0.1:8080");
        check("wss://[::1]:8443/ws/a", "[::1]:8443");
        check("unix:/run/jackfield/ws.sock", "/run/jackfield/ws.sock");
    }
}
