//! The request of a hook: the topic, the route that it matched, and the session. The host is asked
//! for what the hook reads.

use std::{fmt::Display, str::FromStr, sync::Arc};

use crate::{Error, Route, Session, host, lazy::Lazy};

/// The topic, route and session that a hook is called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub(crate) route: Arc<Route>,
    pub(crate) topic: Lazy<String>,
    pub(crate) attributes: Lazy<Vec<(String, String)>>,
    pub(crate) session: Lazy<Option<Session>>,
    pub(crate) subscribers: Lazy<u32>,
}

impl Request {
    /// The name of the route's handler.
    pub fn handler(&self) -> &str {
        self.route.handler()
    }

    /// The name of the route that the topic matched.
    pub fn route(&self) -> &str {
        self.route.name()
    }

    /// The topic's URI, as the client sent it.
    pub fn topic(&self) -> &str {
        self.topic.get()
    }

    /// The name of the realm of the session, during the hook. Topics of two realms are different
    /// topics, even with the same URI, but a plugin has one store for all realms.
    pub fn realm(&self) -> String {
        host::realm()
    }

    /// An attribute that the route's channel captured from the topic, parsed:
    /// `request.attribute::<u64>("id")`.
    ///
    /// # Errors
    ///
    /// [`Error::NoAttribute`], if the channel has no attribute of this name; [`Error::Attribute`],
    /// if its text is no `T`.
    pub fn attribute<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Error> {
        let value = self.attribute_text(name).ok_or_else(|| Error::NoAttribute {
            name: name.to_owned(),
            route: self.route().to_owned(),
        })?;
        value.parse().map_err(|reason: T::Err| Error::Attribute {
            name: name.to_owned(),
            value: value.to_owned(),
            reason: reason.to_string(),
        })
    }

    /// The text of an attribute that the route's channel captured from the topic.
    pub fn attribute_text(&self, name: &str) -> Option<&str> {
        self.attributes().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// All attributes in the channel's order, with the route's defaults for omitted ones.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.get().iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The session of the client; `None` in `on_timer`. Events of the HTTP API have the session of
    /// their token.
    pub fn session(&self) -> Option<&Session> {
        self.session.get().as_ref()
    }

    /// The session of the client, for hooks that need one.
    ///
    /// # Errors
    ///
    /// [`Error::NoSession`], in `on_timer`.
    pub fn caller(&self) -> Result<&Session, Error> {
        self.session().ok_or(Error::NoSession)
    }

    /// The number of sessions subscribed to the topic: during `on_subscribe` without the
    /// subscribing one, during `on_unsubscribe` without the one that left.
    pub fn subscribers(&self) -> u32 {
        *self.subscribers.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_attributes() {
        let attributes: Vec<(String, String)> =
            vec![("id".into(), "7".into()), ("name".into(), "x".into())];
        let request = Request {
            route: Arc::new(Route {
                handler: "h".into(),
                name: "r".into(),
                channel: "t/{id}/{name}".into(),
                args: "null".into(),
            }),
            topic: "t/7/x".to_owned().into(),
            attributes: attributes.into(),
            session: None.into(),
            subscribers: 0.into(),
        };
        assert_eq!(request.attribute::<u64>("id"), Ok(7));
        assert_eq!(request.attribute::<String>("name"), Ok("x".to_owned()));
        assert!(matches!(request.attribute::<u64>("name"), Err(Error::Attribute { .. })));
        assert!(matches!(request.attribute::<u64>("nam"), Err(Error::NoAttribute { .. })));
        assert_eq!(request.caller(), Err(Error::NoSession));
    }
}
