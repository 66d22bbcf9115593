//! Tokens of the API, and the identity that routes and handlers see for each.

use std::sync::Arc;

use hyper::header::HeaderMap;
use jackfield_broker::{Bounds, Features, Identity, Outbox, Session, Transport};
use jackfield_config::OpenToken;
use jackfield_wamp::dialect::{Codec, Dialect};

use super::problem::Problem;
use crate::bearer::{BearerError, BearerTokens};
use crate::dispatch::Dispatch;
use crate::ids;
use crate::realms::Realms;

/// All tokens of a server.
pub(super) struct Tokens(BearerTokens<Arc<Token>>);

/// A token of the API.
pub(super) struct Token {
    /// The name in the log and for handlers.
    pub(super) name: String,
    /// The only realm of the token; `None` for all realms.
    pub(super) realm: Option<String>,
    /// The session of the token's publications. It is in no realm, so nothing is delivered to it.
    pub(super) session: Arc<Session>,
}

impl Tokens {
    /// Opens a session for each token; no two tokens have the same text.
    ///
    /// # Errors
    /// When the operating system cannot provide random bytes for the ids of the sessions.
    pub(super) fn new(tokens: Vec<OpenToken>, bounds: Bounds) -> Result<Self, getrandom::Error> {
        let token = |OpenToken { name, text, roles, realm }: OpenToken| {
            let session = session_without_connection(name.clone(), roles, "token", bounds)?;
            Ok((text, Arc::new(Token { name, realm, session })))
        };
        let tokens: Vec<_> = tokens.into_iter().map(token).collect::<Result<_, _>>()?;
        let texts = tokens.iter().map(|(text, token)| (text.as_str(), Arc::clone(token)));
        Ok(Self(BearerTokens::new(texts)))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|token| token.name.as_str())
    }

    /// Finds the token of a request.
    pub(super) fn find(&self, headers: &HeaderMap) -> Result<Arc<Token>, Problem> {
        self.0.find(headers).map(Arc::clone).map_err(|error| match error {
            BearerError::Missing | BearerError::OtherScheme | BearerError::Repeated => {
                Problem::unauthenticated()
            }
            BearerError::Unknown => Problem::wrong_token(),
        })
    }
}

impl Token {
    /// Returns the realm of a request: the named one, or the token's own, or the server's first.
    pub(super) fn dispatch(
        &self,
        realms: &Realms,
        asked: Option<&str>,
    ) -> Result<Arc<Dispatch>, Problem> {
        match (asked, self.realm.as_deref()) {
            (Some(asked), Some(own)) if asked != own => {
                Err(Problem::other_realm(&self.name, asked))
            }
            (Some(realm), _) | (None, Some(realm)) => {
                realms.get(realm).ok_or_else(|| Problem::no_such_realm(realm))
            }
            (None, None) => Ok(realms.default_realm()),
        }
    }
}

/// Creates the session of publications without a connection. It is in no realm, so nothing is
/// delivered to it.
///
/// # Errors
/// When the operating system cannot provide random bytes for its id.
pub(crate) fn session_without_connection(
    authid: String,
    roles: Vec<String>,
    authmethod: &str,
    bounds: Bounds,
) -> Result<Arc<Session>, getrandom::Error> {
    let identity = Identity {
        authid,
        roles,
        authmethod: authmethod.to_owned(),
        claims: "{}".to_owned(),
        anonymous_from: None,
    };
    let outbox = Arc::new(Outbox::new(bounds));
    let dialect = Dialect::V2(Codec::Json);
    let features = Features::default();
    let session =
        Session::new(ids::session()?, identity, dialect, features, outbox, Arc::new(Nobody));
    Ok(Arc::new(session))
}

/// The transport of a session without a connection.
struct Nobody;

impl Transport for Nobody {
    fn flush(&self) {}

    fn interrupt(&self) {}
}

#[cfg(test)]
mod tests {
    use hyper::header::{AUTHORIZATION, HeaderValue};
    use jackfield_broker::Overflow;

    use super::*;

    #[test]
    fn a_token_has_a_session_of_its_own() {
        let open = OpenToken {
            name: "a".to_owned(),
            text: "aaaaaaaaaaaaaaaaaaaaaaaa".to_owned().into(),
            roles: vec!["backend".to_owned()],
            realm: None,
        };
        let bounds = Bounds { bytes: 1, frames: 1, overflow: Overflow::DropEvent };
        let tokens = Tokens::new(vec![open], bounds).unwrap();
        let mut headers = HeaderMap::new();
        assert!(tokens.find(&headers).is_err());
        let value = HeaderValue::from_static("Bearer aaaaaaaaaaaaaaaaaaaaaaaa");
        headers.insert(AUTHORIZATION, value);
        let found = tokens.find(&headers).unwrap();
        let identity = &found.session.identity;
        assert_eq!(identity.authmethod, "token");
        assert_eq!((identity.authid.as_str(), identity.authrole()), ("a", "backend"));
    }
}
