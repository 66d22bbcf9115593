//! Challenges: what a client has to prove, and whether it has.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::channel::{NoChannelId, TLS_EXPORTER};
use super::scram::{Exchange, Keys};
use super::{Principal, Principals, ProofMethod, Spelling, cra, cryptosign, shown};
use crate::identity::Authenticated;

/// The maximum length of a client's nonce in bytes.
const MAX_NONCE: usize = 256;

/// What HELLO asks for.
#[derive(Clone, Copy, Debug)]
pub struct ProofRequest<'a> {
    /// `authid`.
    pub authid: Option<&'a str>,
    /// `authextra`, of one key.
    pub extra: &'a dyn Extra,
    /// The realm.
    pub realm: &'a str,
    /// The id of the session to come.
    pub session: u64,
    /// The time.
    pub now: SystemTime,
    /// The channel id of the connection for `tls-exporter`.
    pub channel_id: Result<[u8; 32], NoChannelId>,
}

/// The texts of `authextra`, or of the `Extra` of AUTHENTICATE.
pub trait Extra: std::fmt::Debug {
    /// Returns a text; `None` if the key is absent, null, or something else.
    fn text(&self, key: &str) -> Option<&str>;
}

/// A challenge, and what it waits for.
#[derive(Debug)]
pub struct Challenge {
    /// The method.
    pub method: ProofMethod,
    /// The `Extra` of CHALLENGE.
    pub extra: Map<String, Value>,
    /// The principal; `None` for an unknown name, which no proof answers.
    principal: Option<Arc<Principal>>,
    expected: Expected,
    realm: String,
    /// The name that was asked for, for the log.
    asked: String,
}

#[derive(Debug)]
enum Expected {
    Ticket,
    Cra {
        text: String,
        decoy: Option<cra::Key>,
    },
    Scram {
        exchange: Exchange,
        decoy: Option<Keys>,
    },
    /// `message` is the challenge, XORed with the channel id if the client binds its channel.
    Cryptosign {
        message: [u8; 32],
        key: [u8; 32],
    },
}

/// A client that has proven who it is.
#[derive(Debug)]
pub struct Proof {
    /// The client.
    pub client: Authenticated,
    /// An entry of WELCOME's `authextra`, by which the server proves itself.
    pub verifier: Option<(&'static str, String)>,
}

/// HELLO lacks what a method needs; the text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// `authid` is missing.
    #[error("the authmethod `{0}` needs HELLO.Details.authid")]
    NoAuthid(&'static str),
    /// The nonce is missing, too long, or not Base64.
    #[error(
        "the authmethod `{0}` needs HELLO.Details.authextra.nonce: at most 256 bytes of Base64"
    )]
    Nonce(&'static str),
    /// The public key is missing or malformed.
    #[error(
        "the authmethod `cryptosign` needs HELLO.Details.authextra.pubkey: 64 hexadecimal digits"
    )]
    PublicKey,
    /// The method has no channel binding of this kind.
    #[error(
        "the authmethod `{0}` has no channel binding `{1}` here: {help}",
        help = binding_help(.0)
    )]
    NoBinding(&'static str, String),
    /// The connection has no channel id.
    #[error("the channel binding `tls-exporter` is not possible: {0}")]
    NoChannelId(#[from] NoChannelId),
    /// The system has no random numbers.
    #[error("the server has no random numbers at the moment")]
    Random,
}

fn binding_help(method: &str) -> &'static str {
    if method == ProofMethod::Cryptosign.name() {
        "use `tls-exporter`, or leave HELLO.Details.authextra.channel_binding out"
    } else {
        "leave HELLO.Details.authextra.channel_binding out"
    }
}

/// The proof is refused; for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefusal {
    /// There is no such principal.
    #[error(
        "the proof of {0:?} is refused: no principal has this name or key, and a credential for `{1}`"
    )]
    Unknown(String, &'static str),
    /// The proof is wrong.
    #[error("the proof of {0:?} is refused: it does not answer the challenge of `{1}`")]
    Wrong(String, &'static str),
    /// The realm is not one of the principal's.
    #[error("the proof of {0:?} is refused: the principal may not join the realm {1:?}")]
    Realm(String, String),
}

impl ProofRequest<'_> {
    /// Checks that HELLO has all that a method needs, before a principal is looked up.
    ///
    /// # Errors
    /// [`ChallengeError`]
    pub fn check(&self, method: ProofMethod) -> Result<(), ChallengeError> {
        match method {
            ProofMethod::Ticket | ProofMethod::Cra => self.name(method).map(drop),
            ProofMethod::Scram(_) => {
                self.name(method)?;
                self.nonce(method).map(drop)
            }
            ProofMethod::Cryptosign => {
                self.binding()?;
                self.key().map(drop)
            }
        }
    }

    fn name(&self, method: ProofMethod) -> Result<&str, ChallengeError> {
        let name = self.authid.filter(|name| !name.is_empty());
        name.ok_or(ChallengeError::NoAuthid(method.name()))
    }

    /// Returns the nonce of the client for SCRAM, which has no channel binding here.
    fn nonce(&self, method: ProofMethod) -> Result<&str, ChallengeError> {
        if let Some(binding) = self.extra.text("channel_binding") {
            return Err(ChallengeError::NoBinding(method.name(), shown(binding)));
        }
        let nonce = self.extra.text("nonce").filter(|nonce| {
            nonce.len() <= MAX_NONCE && STANDARD.decode(nonce).is_ok_and(|bytes| !bytes.is_empty())
        });
        nonce.ok_or(ChallengeError::Nonce(method.name()))
    }

    /// Returns the channel binding of cryptosign, and the id of the channel; `None` without one.
    fn binding(&self) -> Result<Option<(&str, [u8; 32])>, ChallengeError> {
        let Some(binding) = self.extra.text("channel_binding") else { return Ok(None) };
        if binding != TLS_EXPORTER {
            let method = ProofMethod::Cryptosign.name();
            return Err(ChallengeError::NoBinding(method, shown(binding)));
        }
        Ok(Some((binding, self.channel_id?)))
    }

    fn key(&self) -> Result<[u8; 32], ChallengeError> {
        let key = self.extra.text("pubkey").and_then(cryptosign::from_hex);
        key.ok_or(ChallengeError::PublicKey)
    }
}

impl Principals {
    /// Returns the challenge of a method for the client; `None` if no principal has a credential for it.
    ///
    /// # Errors
    /// [`ChallengeError`]
    pub fn challenge(
        &self,
        method: ProofMethod,
        asked: &ProofRequest<'_>,
    ) -> Result<Option<Challenge>, ChallengeError> {
        let found = if method == ProofMethod::Cryptosign {
            let key = asked.extra.text("pubkey").and_then(cryptosign::from_hex);
            key.and_then(|key| self.known.load().by_key.get(&key).cloned())
        } else {
            asked.authid.and_then(|name| self.find(name))
        };
        self.challenge_of(method, asked, found)
    }

    /// Returns the challenge for a principal, or for an unknown name in the form of those here.
    pub(super) fn challenge_of(
        &self,
        method: ProofMethod,
        asked: &ProofRequest<'_>,
        found: Option<Arc<Principal>>,
    ) -> Result<Option<Challenge>, ChallengeError> {
        if !self.use_method(method) {
            return Ok(None);
        }
        if method == ProofMethod::Cryptosign {
            return Self::cryptosign(asked, found).map(Some);
        }
        let name = asked.name(method)?;
        let principal = found.filter(|principal| principal.has(method));
        let (expected, extra) = match method {
            ProofMethod::Ticket | ProofMethod::Cryptosign => (Expected::Ticket, Map::new()),
            ProofMethod::Cra => self.cra(principal.as_deref(), asked, name)?,
            ProofMethod::Scram(spelling) => {
                self.scram(principal.as_deref(), spelling, asked, name)?
            }
        };
        let (realm, asked) = (asked.realm.to_owned(), shown(name));
        Ok(Some(Challenge { method, extra, principal, expected, realm, asked }))
    }

    fn cra(
        &self,
        principal: Option<&Principal>,
        asked: &ProofRequest<'_>,
        name: &str,
    ) -> Result<(Expected, Map<String, Value>), ChallengeError> {
        let model = self.model(ProofMethod::Cra, name);
        // An unknown name gets a role of the principals.
        let role = principal.or(model.as_deref()).and_then(|it| it.roles.first());
        let role = role.map_or("user", String::as_str);
        let text = cra::text(name, role, asked.session, asked.now, &STANDARD.encode(random()?));
        let decoy = || {
            let salting = model.as_ref().and_then(|it| it.cra.as_ref()?.salting.clone());
            let salting =
                salting.map(|it| cra::Salting { salt: self.salt_like(&it.salt, name), ..it });
            cra::Key::decoy(&self.decoy("key", name), salting)
        };
        let decoy = principal.is_none().then(decoy);
        let key = principal.and_then(|it| it.cra.as_ref()).or(decoy.as_ref());
        let extra = key.map(|key| key.extra(&text)).unwrap_or_default();
        Ok((Expected::Cra { text, decoy }, extra))
    }

    fn scram(
        &self,
        principal: Option<&Principal>,
        spelling: Spelling,
        asked: &ProofRequest<'_>,
        name: &str,
    ) -> Result<(Expected, Map<String, Value>), ChallengeError> {
        let method = ProofMethod::Scram(spelling);
        let client_nonce = asked.nonce(method)?.to_owned();
        let nonce = format!("{client_nonce}{}", STANDARD.encode(random()?));
        let exchange = Exchange { spelling, authid: name.to_owned(), client_nonce, nonce };
        // Also for a known name: the time tells nothing.
        let model = self.model(method, name);
        let decoy = || {
            let model = model.as_ref()?;
            let Keys { function, salt, iterations, .. } = model.scram.as_ref()?;
            Some(Keys {
                function: *function,
                salt: self.salt_like(salt, name),
                iterations: *iterations,
                stored_key: self.decoy("stored", name),
                server_key: self.decoy("server", name),
            })
        };
        let decoy = if principal.is_none() { decoy() } else { None };
        let keys = principal.and_then(|it| it.scram.as_ref()).or(decoy.as_ref());
        let extra = keys.map(|keys| keys.extra(&exchange)).unwrap_or_default();
        Ok((Expected::Scram { exchange, decoy }, extra))
    }

    /// The client may leave its name out: the key has one.
    fn cryptosign(
        asked: &ProofRequest<'_>,
        found: Option<Arc<Principal>>,
    ) -> Result<Challenge, ChallengeError> {
        let method = ProofMethod::Cryptosign;
        let (binding, channel_id) = asked.binding()?.unzip();
        let key = asked.key()?;
        let principal = found.filter(|principal| principal.keys.contains(&key));
        let name = asked.authid.filter(|name| !name.is_empty());
        let principal =
            principal.filter(|principal| name.is_none_or(|name| name == principal.name));
        let challenge = random()?;
        let message = cryptosign::message(challenge, channel_id);
        let challenge = cryptosign::to_hex(&challenge);
        let extra = json!({ "challenge": challenge, "channel_binding": binding });
        Ok(Challenge {
            method,
            extra: extra.as_object().cloned().unwrap_or_default(),
            principal,
            expected: Expected::Cryptosign { message, key },
            realm: asked.realm.to_owned(),
            asked: name.map_or_else(|| cryptosign::to_hex(&key), shown),
        })
    }

    /// Returns a salt of the form of another one.
    fn salt_like(&self, model: &str, name: &str) -> String {
        let bytes = self.decoy("salt", name);
        if model.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return cryptosign::to_hex(&bytes).chars().cycle().take(model.len()).collect();
        }
        if let Ok(decoded) = STANDARD.decode(model) {
            // A salt that is Base64 has as many bytes.
            let bytes: Vec<u8> = bytes.iter().cycle().take(decoded.len()).copied().collect();
            return STANDARD.encode(bytes);
        }
        let alike = |(like, byte): (char, &u8)| match like {
            'a'..='z' => char::from(b'a' + byte % 26),
            'A'..='Z' => char::from(b'A' + byte % 26),
            '0'..='9' => char::from(b'0' + byte % 10),
            other => other,
        };
        model.chars().zip(bytes.iter().cycle()).map(alike).collect()
    }
}

impl Challenge {
    /// Judges the client's answer: the `Signature` and `Extra` of AUTHENTICATE.
    ///
    /// # Errors
    /// [`ProofRefusal`]
    pub fn judge(&self, signature: &str, extra: &dyn Extra) -> Result<Proof, ProofRefusal> {
        let method = self.method.name();
        let asked = || self.asked.clone();
        let mut verifier = None;
        let principal = self.principal.as_deref();
        let is_right = match &self.expected {
            Expected::Ticket => {
                principal.and_then(|it| it.ticket.as_ref()).is_some_and(|it| it.is(signature))
            }
            Expected::Cra { text, decoy } => {
                let key = principal.and_then(|it| it.cra.as_ref()).or(decoy.as_ref());
                key.is_some_and(|key| key.verify(text, signature))
            }
            Expected::Scram { exchange, decoy } => {
                let keys = principal.and_then(|it| it.scram.as_ref()).or(decoy.as_ref());
                let is_same = match extra.text("nonce") {
                    Some(nonce) => nonce == exchange.nonce,
                    // Autobahn's draft has none. The signature covers it.
                    None => exchange.spelling == Spelling::Autobahn,
                };
                let signed = keys.and_then(|keys| keys.verify(exchange, signature));
                verifier = signed.filter(|_| is_same).map(|signed| exchange.verifier(&signed));
                verifier.is_some()
            }
            Expected::Cryptosign { message, key } => cryptosign::verify(key, message, signature),
        };
        let Some(principal) = principal else { return Err(ProofRefusal::Unknown(asked(), method)) };
        if !is_right {
            return Err(ProofRefusal::Wrong(asked(), method));
        }
        if !principal.may_join(&self.realm) {
            return Err(ProofRefusal::Realm(asked(), shown(&self.realm)));
        }
        Ok(Proof { client: principal.authenticated(self.method), verifier })
    }
}

fn random() -> Result<[u8; 32], ChallengeError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| ChallengeError::Random)?;
    Ok(bytes)
}
