//! A listener for clients, as its connections see it: its name and its rules.

use jackfield_config::ListenerRules;

/// A listener for clients.
#[derive(Debug)]
pub(crate) struct ClientListener {
    /// The name of the settings, if it has one.
    pub(crate) name: Option<String>,
    /// The place for people and clients: `ws://127.0.0.1:8080/`, or `unix:` and a path.
    pub(crate) url: String,
    /// The rules, which go before those of `access`.
    pub(crate) rules: ListenerRules,
}

impl ClientListener {
    /// The listener of connections that the server makes to itself.
    pub(crate) fn of_probe() -> Self {
        Self { name: None, url: "inside".to_owned(), rules: ListenerRules::default() }
    }

    /// The address or the path, as settings name it.
    pub(crate) fn place(&self) -> &str {
        let place = self.url.split_once("://").or_else(|| self.url.split_once(':'));
        place.map_or("", |(_, place)| place).trim_end_matches('/')
    }
}
