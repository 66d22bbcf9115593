//! Principals: programs and users with credentials of their own, for the authentication methods of WAMP v2
//! that ask a client for a proof: `ticket`, `wampcra`, `scram`, `wamp-scram` and `cryptosign`.
//!
//! ```yaml
//! principals:
//!     billing:
//!         roles: [backend]
//!         wampcra: { secret: 'the shared secret' }
//!     sensor-7:
//!         roles: [sensor]
//!         cryptosign: ['545efb0a…']
//! ```
//!
//! A client learns from no answer whether a name is one of a principal: an unknown name gets a challenge
//! that no signature answers, of the form that the principals' own have.

mod challenge;
mod channel;
mod cra;
mod cryptosign;
mod file;
mod plugin;
mod scram;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jackfield_yaml::Diagnosis;
use ring::hmac;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::basis::{Basis, Fingerprint};
use crate::identity::{Authenticated, Method};
pub use challenge::{Challenge, ChallengeError, Extra, Proof, ProofRefusal, ProofRequest};
pub use channel::{NoChannelId, TLS_EXPORTER_LABEL};
pub use plugin::FoundPrincipal;

/// The maximum number of characters of an untrusted name in a log.
const MAX_SHOWN: usize = 64;

/// The principals of a file.
pub struct Principals {
    known: ArcSwap<Known>,
    /// Derives the challenges of unknown names: the same one for the same name, until the next start.
    decoy: hmac::Key,
}

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<String, Arc<Principal>>,
    /// The principals with a key of `cryptosign`, by key.
    by_key: HashMap<[u8; 32], Arc<Principal>>,
    /// The principals with a credential for each method, in the order of their names.
    able: HashMap<Credential, Vec<Arc<Principal>>>,
}

/// A kind of credential. The spellings of a method share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Credential {
    Ticket,
    Cra,
    Scram,
    Cryptosign,
}

/// A principal, with its credentials.
#[derive(Debug)]
struct Principal {
    name: String,
    id: String,
    roles: Vec<String>,
    /// The realms that it may join; `None` is any.
    realms: Option<Vec<String>>,
    claims: Map<String, Value>,
    ticket: Option<Ticket>,
    cra: Option<cra::Key>,
    scram: Option<scram::Keys>,
    /// Public keys of `cryptosign`.
    keys: Vec<[u8; 32]>,
    fingerprint: Fingerprint,
    /// Whether a plugin knows it, and no file.
    authenticator: Option<Arc<str>>,
    /// The end of its session.
    expires: Option<SystemTime>,
}

/// The secret of the method `ticket`, never printed.
struct Ticket(Zeroizing<String>);

/// A method that asks for a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofMethod {
    /// A secret text.
    Ticket,
    /// WAMP-CRA: a signature with a shared secret.
    Cra,
    /// WAMP-SCRAM: a password that the server does not know.
    Scram(Spelling),
    /// A signature with a private key.
    Cryptosign,
}

/// How a client computes and names WAMP-SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `wamp-scram`, as the specification has it.
    Specification,
    /// `scram`, as Autobahn and Crossbar have it.
    Autobahn,
}

impl ProofMethod {
    /// All methods, in all spellings.
    pub const ALL: [Self; 5] = [
        Self::Ticket,
        Self::Cra,
        Self::Scram(Spelling::Specification),
        Self::Scram(Spelling::Autobahn),
        Self::Cryptosign,
    ];

    /// Returns the method that HELLO names so.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ticket" => Self::Ticket,
            "wampcra" => Self::Cra,
            "wamp-scram" => Self::Scram(Spelling::Specification),
            "scram" => Self::Scram(Spelling::Autobahn),
            "cryptosign" => Self::Cryptosign,
            _ => return None,
        })
    }

    const fn credential(self) -> Credential {
        match self {
            Self::Ticket => Credential::Ticket,
            Self::Cra => Credential::Cra,
            Self::Scram(_) => Credential::Scram,
            Self::Cryptosign => Credential::Cryptosign,
        }
    }

    /// Returns the name in HELLO and CHALLENGE.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Cra => "wampcra",
            Self::Scram(Spelling::Specification) => "wamp-scram",
            Self::Scram(Spelling::Autobahn) => "scram",
            Self::Cryptosign => "cryptosign",
        }
    }
}

impl Principals {
    /// Parses principals; errors name `path`.
    ///
    /// # Errors
    /// The first error, with its place.
    pub fn parse(path: &str, text: &str) -> Result<Self, Diagnosis> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| {
            Diagnosis::without_place(path, format!("the system has no random numbers: {error}"))
        })?;
        let decoy = hmac::Key::new(hmac::HMAC_SHA256, &seed);
        Ok(Self { known: ArcSwap::from_pointee(file::read(path, text)?), decoy })
    }

    /// Replaces all principals by those in `text`.
    ///
    /// # Errors
    /// The first error, with its place; the previous principals stay.
    pub fn replace(&self, path: &str, text: &str) -> Result<(), Diagnosis> {
        self.known.store(Arc::new(file::read(path, text)?));
        Ok(())
    }

    /// Returns the number of principals.
    pub fn count(&self) -> usize {
        self.known.load().by_name.len()
    }

    /// Returns whether any principal has a credential for this method.
    pub fn use_method(&self, method: ProofMethod) -> bool {
        self.known.load().able.contains_key(&method.credential())
    }

    /// Returns whether a principal of this name has a secret for the method `ticket`.
    pub fn have_ticket_of(&self, name: &str) -> bool {
        self.find(name).is_some_and(|principal| principal.ticket.is_some())
    }

    /// Returns whether a principal is as it was when it was authenticated.
    pub(crate) fn still_has(&self, name: &str, fingerprint: Fingerprint) -> bool {
        self.find(name).is_some_and(|principal| principal.fingerprint == fingerprint)
    }

    fn find(&self, name: &str) -> Option<Arc<Principal>> {
        self.known.load().by_name.get(name).cloned()
    }

    /// Returns bytes that look random, and are the same for the same name and purpose.
    fn decoy(&self, purpose: &str, name: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.decoy);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(name.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        bytes
    }

    /// Returns a principal with this method whose form the challenge of an unknown name takes: a name gets
    /// the same one each time, and each form is as frequent as among the principals.
    fn model(&self, method: ProofMethod, name: &str) -> Option<Arc<Principal>> {
        let known = self.known.load();
        let models = known.able.get(&method.credential())?;
        let [first, second, ..] = self.decoy("model", name);
        let at = usize::from(u16::from_be_bytes([first, second]));
        models.get(at.checked_rem(models.len())?).map(Arc::clone)
    }
}

impl Known {
    /// Lists the principals by method.
    fn list_methods(&mut self) {
        for method in ProofMethod::ALL {
            let able = self.by_name.values().filter(|it| it.has(method));
            let mut able: Vec<_> = able.map(Arc::clone).collect();
            able.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            if !able.is_empty() {
                self.able.insert(method.credential(), able);
            }
        }
    }
}

impl Principal {
    fn has(&self, method: ProofMethod) -> bool {
        match method {
            ProofMethod::Ticket => self.ticket.is_some(),
            ProofMethod::Cra => self.cra.is_some(),
            ProofMethod::Scram(_) => self.scram.is_some(),
            ProofMethod::Cryptosign => !self.keys.is_empty(),
        }
    }

    fn may_join(&self, realm: &str) -> bool {
        self.realms.as_ref().is_none_or(|realms| realms.iter().any(|it| it == realm))
    }

    fn authenticated(&self, method: ProofMethod) -> Authenticated {
        Authenticated {
            id: Some(self.id.clone()),
            username: self.name.clone(),
            roles: self.roles.clone(),
            organization: None,
            method: match method {
                ProofMethod::Ticket => Method::Ticket,
                ProofMethod::Cra => Method::Cra,
                ProofMethod::Scram(_) => Method::Scram,
                ProofMethod::Cryptosign => Method::Cryptosign,
            },
            claims: self.claims.clone(),
            expires: self.expires,
            basis: match &self.authenticator {
                Some(authenticator) => Basis::Plugin { authenticator: Arc::clone(authenticator) },
                None => Basis::Principal { name: self.name.clone(), fingerprint: self.fingerprint },
            },
        }
    }
}

impl Ticket {
    /// Compares digests, so that neither content nor length can be measured.
    fn is(&self, other: &str) -> bool {
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        digest(&self.0).ct_eq(&digest(other)).into()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

impl fmt::Debug for Principals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Principals").field(&self.count()).finish()
    }
}

/// Shortens a client's text for a log.
fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests;
