//! Tokens of the API, and the identity that routes and handlers see for each.

use std::sync::Arc;

use hyper::header::HeaderValue;
use jackfield_broker::{Bounds, Features, Identity, Outbox, Session, Transport};
use jackfield_config::OpenToken;
use jackfield_wamp::dialect::{Codec, Dialect};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::dispatch::Dispatch;
use crate::ids;
use crate::realms::Realms;

/// All tokens of a server.
pub(super) struct Tokens(Vec<Arc<Token>>);

/// A token of the API.
pub(super) struct Token {
    /// The name in the log and for handlers.
    pub(super) name: String,
    /// The only realm of the token; `None` for all realms.
    pub(super) realm: Option<String>,
    /// The session of the token's publications. It is in no realm, so nothing is delivered to it.
    pub(super) session: Arc<Session>,
    /// The SHA-256 digest of the token, whose text is not kept.
    digest: [u8; 32],
}

impl Tokens {
    /// Opens a session for each token; no two tokens have the same text.
    ///
    /// # Errors
    /// When the operating system cannot provide random bytes for the ids of the sessions.
    pub(super) fn new(tokens: Vec<OpenToken>, bounds: Bounds) -> Result<Self, getrandom::Error> {
        let token = |open: OpenToken| {
            let digest = Sha256::digest(open.text.as_bytes()).into();
            let OpenToken { name, roles, realm, .. } = open;
            let session = session(name.clone(), roles, bounds)?;
            Ok(Arc::new(Token { name, realm, session, digest }))
        };
        tokens.into_iter().map(token).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|token| token.name.as_str())
    }

    /// Finds the token of a request. RFC 6750, section 2.1.
    ///
    /// Compares digests of the same length, each to its end, and all of them: the time reveals
    /// nothing about any token.
    pub(super) fn find(&self, authorization: Option<&HeaderValue>) -> Result<Arc<Token>, Problem> {
        let credentials = authorization.and_then(|it| it.as_bytes().split_first_chunk::<7>());
        let Some((_, token)) = credentials.filter(|it| it.0.eq_ignore_ascii_case(b"bearer "))
        else {
            return Err(Problem::unauthenticated());
        };
        let digest: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
        let mut found = None;
        for known in &self.0 {
            if bool::from(known.digest.ct_eq(&digest)) {
                found = Some(known);
            }
        }
        found.map(Arc::clone).ok_or_else(Problem::wrong_token)
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

fn session(
    authid: String,
    roles: Vec<String>,
    bounds: Bounds,
) -> Result<Arc<Session>, getrandom::Error> {
    let identity = Identity {
        authid,
        roles,
        authmethod: "token".to_owned(),
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
    use jackfield_broker::Overflow;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbb";

    fn open(tokens: &[(&str, &str)]) -> Tokens {
        let token = |(name, text): &(&str, &str)| OpenToken {
            name: (*name).to_owned(),
            text: (*text).to_owned().into(),
            roles: vec!["backend".to_owned()],
            realm: None,
        };
        let bounds = Bounds { bytes: 1, frames: 1, overflow: Overflow::DropEvent };
        Tokens::new(tokens.iter().map(token).collect(), bounds).unwrap()
    }

    #[test]
    fn compares_tokens_in_full() {
        let tokens = open(&[("a", A), ("b", B)]);
        let check = |header: Option<&str>, expect: Option<&str>| {
            let value = header.map(|it| HeaderValue::from_str(it).unwrap());
            let found = tokens.find(value.as_ref()).ok();
            assert_eq!(found.as_ref().map(|it| it.name.as_str()), expect, "{header:?}");
        };
        check(Some(&format!("Bearer {A}")), Some("a"));
        check(Some(&format!("bearer  {B}")), Some("b"));
        check(Some(&format!("Bearer {A}a")), None);
        check(Some(&format!("Bearer {}", &A[1..])), None);
        check(Some("Bearer"), None);
        check(Some("Bearer "), None);
        check(Some(&format!("Basic {A}")), None);
        check(Some(A), None);
        check(None, None);
        let session = &tokens.0[0].session;
        assert_eq!(session.identity.authmethod, "token");
        assert_eq!(
            (session.identity.authid.as_str(), session.identity.authrole()),
            ("a", "backend")
        );
    }
}
