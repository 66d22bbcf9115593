//! Authentication by plugins: the handler that `auth.authenticator` names knows the principals
//! ([decision 67](../../../docs/decisions/0067-authenticators.md)). The server makes the challenges and judges
//! the answers; the plugin itself verifies tickets alone.
//!
//! It fails closed: an authenticator that is missing, disabled or faulty authenticates no client.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use jackfield_auth::{
    Authenticated, Challenge, ChallengeError, FoundPrincipal, Principals, ProofMethod, ProofRequest,
};
use jackfield_sandbox::{
    AuthenticationAttempt, AuthenticationMethod, Fault, Hook, HookRequest, LoginFrom,
    PluginPrincipal,
};
use jackfield_text::Untrusted;
use tracing::warn;

use super::{Dispatch, Refusal};
use crate::generation::{AccessHandler, Generation, access_route_name};

/// No plugin has the handler.
const MISSING: &str = "is not in service";

/// The maximum number of bytes of a login in a log line.
const MAX_SHOWN_BYTES: usize = 64;

/// The claims of a client, before its proof.
#[derive(Debug)]
pub(crate) struct Claimant {
    pub(crate) method: ProofMethod,
    pub(crate) authid: Option<String>,
    /// The public key of `cryptosign`.
    pub(crate) pubkey: Option<String>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) origin: Option<Box<str>>,
    pub(crate) is_encrypted: bool,
    pub(crate) listener: Option<String>,
}

impl Claimant {
    /// Returns the name, or else the public key.
    fn login(&self) -> &str {
        self.authid.as_ref().or(self.pubkey.as_ref()).map_or("", String::as_str)
    }
}

/// The answer of an authenticator about a claimant.
pub(crate) struct KnownPrincipal {
    /// The forms of challenges.
    models: Arc<Principals>,
    found: Option<FoundPrincipal>,
}

/// The authenticator gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("the authenticator `{name}` {reason}")]
pub(crate) struct NoAnswer {
    name: String,
    reason: &'static str,
}

impl KnownPrincipal {
    /// Returns the challenge.
    ///
    /// # Errors
    /// [`ChallengeError`]
    pub(crate) fn challenge(
        self,
        method: ProofMethod,
        asked: &ProofRequest<'_>,
    ) -> Result<Option<Challenge>, ChallengeError> {
        self.models.challenge_found(method, asked, self.found)
    }
}

impl Dispatch {
    /// Returns the methods of an authenticator.
    ///
    /// # Errors
    /// [`NoAnswer`]
    pub(crate) fn methods_of_plugin(&self, name: &str) -> Result<Vec<ProofMethod>, NoAnswer> {
        let generation = self.generations.current();
        let handler = self.authenticator(&generation, name)?;
        let has = |method: &ProofMethod| handler.authenticates(*method);
        Ok(ProofMethod::ALL.into_iter().filter(has).collect())
    }

    /// Asks the authenticator for the principal of a challenge.
    ///
    /// # Errors
    /// [`NoAnswer`]
    pub(crate) async fn find_principal(
        &self,
        name: &str,
        claimant: &Claimant,
    ) -> Result<KnownPrincipal, NoAnswer> {
        let generation = self.generations.current();
        let handler = self.authenticator(&generation, name)?;
        let found = self.ask_authenticator(handler, name, claimant, None).await?;
        let authentication = handler.authentication.ok_or_else(|| NoAnswer::new(name, MISSING))?;
        // An unknown name takes as long: a model is read in its place.
        let entry = match (&found, authentication.models.first()) {
            (Some(found), _) => found.entry.as_str(),
            (None, model) => model.map_or("{}", String::as_str),
        };
        let parsed = parse(name, found.as_ref(), claimant, entry);
        let found = parsed.filter(|_| found.is_some());
        Ok(KnownPrincipal { models: Arc::clone(&authentication.principals), found })
    }

    /// Lets the authenticator verify a ticket. `None` refuses it.
    ///
    /// # Errors
    /// [`NoAnswer`]
    pub(crate) async fn verify_ticket(
        &self,
        name: &str,
        claimant: &Claimant,
        ticket: &str,
    ) -> Result<Option<Authenticated>, NoAnswer> {
        let generation = self.generations.current();
        let handler = self.authenticator(&generation, name)?;
        let found = self.ask_authenticator(handler, name, claimant, Some(ticket)).await?;
        let Some(found) = found else { return Ok(None) };
        let parsed = parse(name, Some(&found), claimant, &found.entry);
        Ok(parsed.and_then(|it| it.by_ticket(self.realm.name())))
    }

    async fn ask_authenticator(
        &self,
        handler: AccessHandler<'_>,
        name: &str,
        claimant: &Claimant,
        ticket: Option<&str>,
    ) -> Result<Option<PluginPrincipal>, NoAnswer> {
        let Claimant { method, authid, pubkey, address, origin, is_encrypted, listener } = claimant;
        let who = claimant.login();
        let attempt = AuthenticationAttempt {
            method: match method {
                ProofMethod::Ticket => AuthenticationMethod::Ticket,
                ProofMethod::Cra => AuthenticationMethod::Cra,
                ProofMethod::Scram(_) => AuthenticationMethod::Scram,
                ProofMethod::Cryptosign => AuthenticationMethod::Cryptosign,
            },
            authid: authid.clone(),
            pubkey: pubkey.clone(),
            address: address.map(|address| address.to_string()),
            origin: origin.as_deref().map(str::to_owned),
            is_encrypted: *is_encrypted,
            listener: listener.clone(),
        };
        let request = HookRequest {
            realm: self.token,
            handler: name,
            route: &access_route_name(name),
            topic: who,
            attributes: &[],
            session: None,
            login: Some(LoginFrom { address: *address }),
            subscribers: 0,
            depth: 0,
        };
        // Boxed to keep a connection's task small.
        let asked = Box::pin(handler.lanes.of(who).authenticate(&request, attempt, ticket));
        asked.await.map_err(|fault| failed(name, &fault))
    }

    /// Returns the authenticator of this name.
    fn authenticator<'g>(
        &self,
        generation: &'g Generation,
        name: &str,
    ) -> Result<AccessHandler<'g>, NoAnswer> {
        let handler = generation.access_handler(name, Hook::Authenticate);
        let no_answer = |reason| {
            warn!(name: "authenticator.unavailable", authenticator = name, "the authenticator `{name}` {reason}; its clients are refused");
            NoAnswer::new(name, reason)
        };
        let handler = handler.ok_or_else(|| no_answer(MISSING))?;
        self.check_access_handler(generation, &handler).map_err(no_answer)?;
        Ok(handler)
    }
}

impl NoAnswer {
    fn new(name: &str, reason: &'static str) -> Self {
        Self { name: name.to_owned(), reason }
    }
}

/// Returns the principal of an entry; `None` if it is not usable, which the log says.
fn parse(
    authenticator: &str,
    found: Option<&PluginPrincipal>,
    claimant: &Claimant,
    entry: &str,
) -> Option<FoundPrincipal> {
    let asked = claimant.authid.as_deref().filter(|name| !name.is_empty());
    let name = found.map(|it| it.authid.as_str()).or(asked).unwrap_or("model");
    let expires = found.and_then(|it| it.ttl).map(|ttl| SystemTime::now().checked_add(ttl));
    let parsed = match (asked, expires) {
        (Some(asked), _) if asked != name => {
            Err("its name is not the one that was asked for".into())
        }
        (_, Some(None)) => Err("its time to live is too long".to_owned()),
        (_, expires) => FoundPrincipal::parse(authenticator, name, entry, expires.flatten()),
    };
    let tell = |error: &String| {
        let login = Untrusted::new(claimant.login()).at_most(MAX_SHOWN_BYTES);
        let method = claimant.method.name();
        warn!(name: "authenticator.invalid", authenticator, method, %login, "a principal of the authenticator `{authenticator}` cannot be used (`{method}` of `{login}`): {error}");
    };
    // The name of an unknown client may be none.
    if found.is_some() { parsed.inspect_err(tell).ok() } else { parsed.ok() }
}

/// The authenticator failed. The details are in the log.
fn failed(name: &str, fault: &Fault) -> NoAnswer {
    // It logs the fault.
    let _refusal_of_handler = Refusal::fault(name, fault);
    NoAnswer::new(name, "gave no answer")
}
