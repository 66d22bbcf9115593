//! Attempts of clients to authenticate themselves, and the principals that authenticators know.

use std::time::Duration;

use crate::contract::authenticator;
use crate::verdict::Answer;

/// A client that authenticates itself. The request of the hook has the realm, and its name as the topic.
#[derive(Debug, Clone, Copy)]
pub struct AuthenticationAttempt<'a> {
    /// The method.
    pub method: AuthenticationMethod,
    /// The name that the client gives.
    pub authid: Option<&'a str>,
    /// The public key of `cryptosign`.
    pub pubkey: Option<&'a str>,
    /// The IP address of the client.
    pub address: Option<&'a str>,
    /// The origin of its web page.
    pub origin: Option<&'a str>,
    /// Whether it uses TLS.
    pub is_encrypted: bool,
    /// The name of the listener.
    pub listener: Option<&'a str>,
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

impl<'a> From<AuthenticationAttempt<'a>> for authenticator::Attempt<'a> {
    fn from(attempt: AuthenticationAttempt<'a>) -> Self {
        let AuthenticationAttempt { method, authid, pubkey, address, origin, .. } = attempt;
        let AuthenticationAttempt { is_encrypted: encrypted, listener, .. } = attempt;
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
