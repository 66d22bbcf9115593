//! What can go wrong inside a handler. Each is also a [`Refusal`], so that `?` in a hook turns
//! it into an answer for the client.

use crate::Refusal;

/// Completes the sentence "failed to …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The event does not have the shape that the handler asked for.
    #[error("read the {part} of the event: {reason}")]
    Event {
        /// `args` or `kwargs`.
        part: &'static str,
        /// In the words of the parser.
        reason: String,
    },
    /// A value of the handler cannot be written as JSON of the wanted kind.
    #[error("write the event: {0}")]
    Encode(String),
    /// The route's channel does not have the attribute.
    #[error("find the attribute `{name}`: the channel of route `{route}` does not capture it")]
    NoAttribute {
        /// The attribute that was asked for.
        name: String,
        /// The route that the topic matched.
        route: String,
    },
    /// The topic has something else in the attribute's place.
    #[error("read the attribute `{name}` from `{value}`: {reason}")]
    Attribute {
        /// The attribute that was asked for.
        name: String,
        /// What the topic has there.
        value: String,
        /// In the words of the parser.
        reason: String,
    },
    /// The host itself acts, where the handler needs somebody.
    #[error("find the session: the host itself acts")]
    NoSession,
    /// The user source describes the user in another shape.
    #[error("read the claims of the session: {0}")]
    Claims(String),
    /// `handler.args` of the route are not what the handler takes, or `configure` said so.
    #[error("{0}")]
    Route(String),
    /// The plugin's share of the store is used up, or the key or the value is too long.
    #[error("store `{key}`: the plugin's store is full, or the key or the value is too long")]
    StoreFull {
        /// The key that was to be written.
        key: String,
    },
    /// Only numbers can be counted up.
    #[error("count up `{key}`: its value is not a whole number")]
    NotANumber {
        /// The key that was to be counted up.
        key: String,
    },
    /// The store holds something else under this key than the handler asked for.
    #[error("read `{key}` from the store: {reason}")]
    Stored {
        /// The key that was read.
        key: String,
        /// In the words of the parser.
        reason: String,
    },
}

impl From<String> for Error {
    /// What is wrong with a route, for `configure`.
    fn from(message: String) -> Self {
        Self::Route(message)
    }
}

impl From<&str> for Error {
    /// What is wrong with a route, for `configure`.
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

/// What a parser says without the place: the text is one line that nobody has in front of them.
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
        assert_eq!(refusal.message(), "Failed to find the session: the host itself acts.");
    }
}
