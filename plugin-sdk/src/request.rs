//! The request of a hook: the topic, the route that it matched, and the session.

use std::{fmt::Display, str::FromStr};

use crate::{Error, Session};

/// The topic, route and session that a hook is called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub(crate) handler: String,
    pub(crate) route: String,
    pub(crate) topic: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) session: Option<Session>,
    pub(crate) subscribers: u32,
}

impl Request {
    /// The name of the route's handler.
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// The name of the route that the topic matched.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The topic's URI, as the client sent it.
    pub fn topic(&self) -> &str {
        &self.topic
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
            route: self.route.clone(),
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
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The session of the client; `None` in `on_timer`. Events of the HTTP API have the session of
    /// their token.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The session of the client, for hooks that need one.
    ///
    /// # Errors
    ///
    /// [`Error::NoSession`], in `on_timer`.
    pub fn caller(&self) -> Result<&Session, Error> {
        self.session.as_ref().ok_or(Error::NoSession)
    }

    /// The number of sessions subscribed to the topic: during `on_subscribe` without the
    /// subscribing one, during `on_unsubscribe` without the one that left.
    pub const fn subscribers(&self) -> u32 {
        self.subscribers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_attributes() {
        let request = Request {
            handler: "h".into(),
            route: "r".into(),
            topic: "t/7/x".into(),
            attributes: vec![("id".into(), "7".into()), ("name".into(), "x".into())],
            session: None,
            subscribers: 0,
        };
        assert_eq!(request.attribute::<u64>("id"), Ok(7));
        assert_eq!(request.attribute::<String>("name"), Ok("x".to_owned()));
        assert!(matches!(request.attribute::<u64>("name"), Err(Error::Attribute { .. })));
        assert!(matches!(request.attribute::<u64>("nam"), Err(Error::NoAttribute { .. })));
        assert_eq!(request.caller(), Err(Error::NoSession));
    }
}
