//! Errors inside a handler. Each converts into a [`Refusal`], so that `?` in a hook turns it into
//! an answer for the client.

use crate::Refusal;

/// An error of the event, the request, the route or the store. Its text completes "failed to …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The event does not have the requested shape.
    #[error("read the {part} of the event: {reason}")]
    Event {
        /// `args` or `kwargs`.
        part: &'static str,
        /// The parser's message.
        reason: String,
    },
    /// A value cannot be serialized as JSON of the required kind.
    #[error("write the event: {0}")]
    Encode(String),
    /// The route's channel does not have the attribute.
    #[error("find the attribute `{name}`: the channel of route `{route}` does not capture it")]
    NoAttribute {
        /// The name of the attribute.
        name: String,
        /// The route that the topic matched.
        route: String,
    },
    /// The attribute's text in the topic cannot be parsed.
    #[error("read the attribute `{name}` from `{value}`: {reason}")]
    Attribute {
        /// The name of the attribute.
        name: String,
        /// The text in the topic.
        value: String,
        /// The parser's message.
        reason: String,
    },
    /// The hook has no session, as `on_timer`, and the handler needs one.
    #[error("find the session: this hook has none")]
    NoSession,
    /// The claims do not have the requested shape.
    #[error("read the claims of the session: {0}")]
    Claims(String),
    /// The route's `handler.args` are invalid, or `configure` refused the route.
    #[error("{0}")]
    Route(String),
    /// The plugin's store is full, or the key or the value is too long.
    #[error("store `{key}`: the plugin's store is full, or the key or the value is too long")]
    StoreFull {
        /// The key of the write.
        key: String,
    },
    /// The value to increment is not a whole number.
    #[error("count up `{key}`: its value is not a whole number")]
    NotANumber {
        /// The key of the increment.
        key: String,
    },
    /// The stored value does not have the requested type.
    #[error("read `{key}` from the store: {reason}")]
    Stored {
        /// The key of the value.
        key: String,
        /// The parser's message.
        reason: String,
    },
}

impl From<String> for Error {
    /// An error of a route, for `configure`.
    fn from(message: String) -> Self {
        Self::Route(message)
    }
}

impl From<&str> for Error {
    /// An error of a route, for `configure`.
    fn from(message: &str) -> Self {
        Self::Route(message.to_owned())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let uri = match error {
            Error::Event { .. } | Error::Attribute { .. } => Self::INVALID_ARGUMENT,
            Error::NoSession => Self::NOT_AUTHORIZED,
            Error::Encode(_)
            | Error::NoAttribute { .. }
            | Error::Claims(_)
            | Error::Route(_)
            | Error::StoreFull { .. }
            | Error::NotANumber { .. }
            | Error::Stored { .. } => Self::RUNTIME_ERROR,
        };
        Self::new(uri, format!("Failed to {error}."))
    }
}

/// The parser's message without the position, which means nothing to the client.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(place) = text.rfind(" at line ") {
        text.truncate(place);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_omit_the_source_location() {
        let error = serde_json::from_str::<u8>("\"x\"").unwrap_err();
        assert_eq!(reason(&error), "invalid type: string \"x\", expected u8");
    }

    #[test]
    fn errors_become_sentences_for_the_client() {
        let refusal = Refusal::from(Error::NoSession);
        assert_eq!(refusal.uri(), "wamp.error.not_authorized");
        assert_eq!(refusal.message(), "Failed to find the session: this hook has none.");
    }
}
