//! Attempts of clients to authenticate themselves, and the principals that authenticators know.

use std::time::Duration;

use crate::contract::authenticator;
use crate::verdict::Answer;

/// A client that authenticates itself. The request of the hook has the realm, and its name as the topic.
#[derive(Debug, Clone)]
pub struct AuthenticationAttempt {
    /// The method.
    pub method: AuthenticationMethod,
    /// The name that the client gives.
    pub authid: Option<String>,
    /// The public key of `cryptosign`.
    pub pubkey: Option<String>,
    /// The IP address of the client.
    pub address: Option<String>,
    /// The origin of its web page.
    pub origin: Option<String>,
    /// Whether it uses TLS.
    pub is_encrypted: bool,
    /// The name of the listener.
    pub listener: Option<String>,
}

/// A method with which a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in WAMP")]
pub enum AuthenticationMethod {
    Ticket,
    Cra,
    Scram,
    Cryptosign,
}

/// A principal that a plugin knows. Never printed: it has a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginPrincipal {
    /// The name.
    pub authid: String,
    /// The text of a JSON object, not validated.
    pub entry: String,
    /// The time until its session ends.
    pub ttl: Option<Duration>,
}

impl std::fmt::Debug for PluginPrincipal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginPrincipal").field("authid", &self.authid).finish_non_exhaustive()
    }
}

impl From<AuthenticationAttempt> for authenticator::Attempt {
    fn from(attempt: AuthenticationAttempt) -> Self {
        let AuthenticationAttempt { method, authid, pubkey, address, origin, .. } = attempt;
        let (encrypted, listener) = (attempt.is_encrypted, attempt.listener);
        Self {
            method: match method {
                AuthenticationMethod::Ticket => authenticator::Method::Ticket,
                AuthenticationMethod::Cra => authenticator::Method::Wampcra,
                AuthenticationMethod::Scram => authenticator::Method::Scram,
                AuthenticationMethod::Cryptosign => authenticator::Method::Cryptosign,
            },
            authid,
            pubkey,
            client: authenticator::Client { address, origin, encrypted, listener },
        }
    }
}

impl Answer for Option<PluginPrincipal> {
    type Raw = Option<authenticator::Principal>;

    fn parse(raw: Self::Raw) -> Result<Self, String> {
        Ok(raw.map(|authenticator::Principal { authid, entry, ttl }| PluginPrincipal {
            authid,
            entry,
            ttl: ttl.map(Duration::from_millis),
        }))
    }

    fn len(&self) -> usize {
        self.as_ref().map_or(0, |it| it.authid.len() + it.entry.len())
    }
}
