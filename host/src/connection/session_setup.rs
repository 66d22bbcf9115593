//! Session setup of WAMP v2: by the credentials of the handshake, by the answer to CHALLENGE, or without a
//! user. WAMP v2 specification, sections "Session Establishment" and "Authentication Methods".

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use jackfield_auth::{Authenticated, ChallengeError, Extra, Proof, ProofMethod, ProofRequest};
use jackfield_broker::Features;
use jackfield_wamp::error_uri;
use jackfield_wamp::message::{Authenticate, Hello};
use jackfield_wamp::uri;
use jackfield_wamp::value::{Dict, Value};
use tokio::time::timeout_at;
use tracing::warn;

use super::close::CloseAction;
use super::member::Member;
use super::{Asked, Connection, Expiry};
use crate::admission::{PendingProof, revoked};
use crate::dispatch::{Claimant, KnownPrincipal, NoAnswer};
use crate::handshake::Credential;
use crate::ids;

/// The method of a ticket or a token.
const TICKET: &str = "ticket";
/// The method without credentials.
const ANONYMOUS: &str = "anonymous";

/// The maximum number of characters of a client's text in a log line.
const MAX_SHOWN: usize = 64;
/// The maximum number of methods that are looked at: more than there are.
const MAX_METHODS: usize = 16;

impl Connection {
    /// Opens the session, or sends a challenge.
    pub(super) async fn hello(&mut self, hello: &Hello) -> Result<(), CloseAction> {
        if !uri::is_uri(&hello.realm) {
            let message = format!("`{}` is not a URI", hello.realm);
            return Err(refused(error_uri::INVALID_URI, message));
        }
        let Some(dispatch) = self.context.realms.get(&hello.realm) else {
            let message = format!("there is no realm `{}` here", hello.realm);
            return Err(refused(error_uri::NO_SUCH_REALM, message));
        };
        let features = Features::announced(hello);
        let authid = hello.details.get("authid").and_then(Value::as_text).map(str::to_owned);
        let session = ids::session().map_err(unavailable)?;
        let (method, pending) = (named(hello), PendingProof::Credential);
        let asked = Asked { dispatch, features, authid, method, session, pending };
        if let Some(proven) = self.proven.take() {
            return self.welcome_proven(asked, &proven, None);
        }
        // The first method that the client can use here.
        let mut lacking = None;
        let mut seen = HashSet::new();
        for name in methods(hello).take(MAX_METHODS).filter(|name| seen.insert(*name)) {
            if name == ANONYMOUS && !self.must_prove {
                return self.welcome(asked, None, None);
            }
            let Some(method) = ProofMethod::named(name) else { continue };
            match self.challenge(method, hello, &asked).await? {
                Ok(Some(pending)) => {
                    let method = Some(name.to_owned());
                    self.asked = Some(Box::new(Asked { method, pending, ..asked }));
                    return Ok(());
                }
                Ok(None) => {}
                Err(error) => lacking = lacking.or(Some(error)),
            }
        }
        if let Some(lacking) = lacking {
            return Err(refused(error_uri::AUTHENTICATION_DENIED, lacking.to_string()));
        }
        // A client that names no method is treated as anonymous.
        let is_silent = methods(hello).next().is_none();
        if !self.must_prove && is_silent {
            return self.welcome(asked, None, None);
        }
        let mut names = self.context.admission.method_names(&self.listener);
        if let Some(authenticator) = self.context.admission.authenticator(&self.listener) {
            let methods = asked.dispatch.methods_of_plugin(&authenticator);
            let methods = methods.map_err(|no_answer| no_authenticator(&no_answer))?;
            names.extend(methods.into_iter().map(ProofMethod::name));
            // Tickets may be those of the application as well.
            names.sort_unstable();
            names.dedup();
        }
        names.extend((!self.must_prove).then_some(ANONYMOUS));
        let message = format!("sessions are opened with the authmethod `{}`", names.join("` or `"));
        Err(refused(error_uri::NO_MATCHING_AUTH_METHOD, message))
    }

    /// Sends a challenge of this method. Returns what the client has to answer; `None` without the method.
    async fn challenge(
        &mut self,
        method: ProofMethod,
        hello: &Hello,
        asked: &Asked,
    ) -> Result<Result<Option<PendingProof>, ChallengeError>, CloseAction> {
        match self.known_by_plugin(method, hello, asked).await? {
            Ok(by_plugin) => Ok(self.send_challenge(method, hello, asked, by_plugin)),
            Err(lacking) => Ok(Err(lacking)),
        }
    }

    /// Asks the authenticator of the settings, if it has the method and HELLO all that it needs.
    async fn known_by_plugin(
        &self,
        method: ProofMethod,
        hello: &Hello,
        asked: &Asked,
    ) -> Result<Result<Option<ByPlugin>, ChallengeError>, CloseAction> {
        let Some(name) = self.context.admission.authenticator(&self.listener) else {
            return Ok(Ok(None));
        };
        // Without its plugin, the other methods of the settings remain.
        let methods = asked.dispatch.methods_of_plugin(&name).unwrap_or_default();
        if !methods.contains(&method) {
            return Ok(Ok(None));
        }
        let extra = Extras(hello.details.get("authextra").and_then(Value::as_map));
        let admittance = self.admittance.as_deref();
        let claimant = Claimant {
            method,
            authid: asked.authid.clone(),
            pubkey: extra.text("pubkey").filter(|it| it.len() <= MAX_SHOWN).map(str::to_owned),
            address: admittance.and_then(|it| it.client),
            origin: admittance.and_then(|it| it.origin.clone()),
            is_encrypted: admittance.is_some_and(|it| it.is_secure),
            listener: self.listener.name.clone(),
        };
        if method == ProofMethod::Ticket {
            return Ok(Ok(Some(ByPlugin::Ticket(claimant))));
        }
        if let Err(lacking) = self.proof_request(hello, asked, &extra).check(method) {
            return Ok(Err(lacking));
        }
        let finding = asked.dispatch.find_principal(&name, &claimant);
        match timeout_at(self.opened_by, finding).await {
            Ok(Ok(known)) => Ok(Ok(Some(ByPlugin::Principal(known)))),
            Ok(Err(no_answer)) => Err(no_authenticator(&no_answer)),
            Err(_elapsed) => Err(overdue()),
        }
    }

    fn proof_request<'a>(
        &self,
        hello: &'a Hello,
        asked: &'a Asked,
        extra: &'a Extras<'a>,
    ) -> ProofRequest<'a> {
        ProofRequest {
            authid: asked.authid.as_deref(),
            extra,
            realm: &hello.realm,
            session: asked.session.get(),
            now: SystemTime::now(),
            channel_id: self.wire.channel_id(),
        }
    }

    /// Sends a challenge of this method, by the authenticator if it has the method.
    fn send_challenge(
        &mut self,
        method: ProofMethod,
        hello: &Hello,
        asked: &Asked,
        by_plugin: Option<ByPlugin>,
    ) -> Result<Option<PendingProof>, ChallengeError> {
        let extra = Extras(hello.details.get("authextra").and_then(Value::as_map));
        let request = self.proof_request(hello, asked, &extra);
        let pending = match by_plugin {
            None => self.context.admission.challenge(method, &request, &self.listener)?,
            Some(ByPlugin::Ticket(claimant)) => Some(PendingProof::Plugin(Box::new(claimant))),
            Some(ByPlugin::Principal(known)) => {
                known.challenge(method, &request)?.map(|it| PendingProof::Principal(Box::new(it)))
            }
        };
        let Some(pending) = pending else { return Ok(None) };
        let extra = match &pending {
            PendingProof::Credential | PendingProof::Plugin(_) => Dict::new(),
            PendingProof::Principal(challenge) => {
                challenge.extra.iter().map(|(key, value)| (key.as_str(), plain(value))).collect()
            }
        };
        if let Some(challenge) = self.dialogue.challenge(method.name(), &extra) {
            self.wire.send(self.wrap(&challenge));
        }
        Ok(Some(pending))
    }

    /// Opens the session that was waiting for this proof.
    pub(super) async fn authenticate(&mut self, proof: Authenticate) -> Result<(), CloseAction> {
        let Some(asked) = self.asked.take() else { return Ok(()) };
        if let PendingProof::Plugin(claimant) = &asked.pending {
            match self.verified_by_plugin(&asked, claimant, &proof.signature).await? {
                Some(client) => {
                    self.take_place(&client)?;
                    return self.welcome_proven(*asked, &client, None);
                }
                // A ticket may be one of the application.
                None if self.context.admission.takes_proofs(&self.listener) => {}
                None => {
                    let name: String =
                        claimant.authid.iter().flat_map(|it| it.chars()).take(MAX_SHOWN).collect();
                    warn!(name: "session.denied", "a session is refused: the authenticator refuses the ticket ({name:?})");
                    let message = "the ticket or token is not accepted";
                    return Err(refused(error_uri::AUTHENTICATION_DENIED, message.to_owned()));
                }
            }
        }
        if let PendingProof::Principal(challenge) = &asked.pending {
            match challenge.judge(&proof.signature, &Extras(Some(&proof.extra))) {
                Ok(Proof { client, verifier }) => {
                    self.take_place(&client)?;
                    return self.welcome_proven(*asked, &client, verifier.as_ref());
                }
                // A ticket may be one of the application. The time of the answer tells nothing, then.
                Err(_)
                    if challenge.method == ProofMethod::Ticket
                        && self.context.admission.takes_proofs(&self.listener) => {}
                Err(refusal) => {
                    warn!(name: "session.denied", "a session is refused: {refusal}");
                    let message = "the ticket or token is not accepted";
                    let message = match challenge.method {
                        ProofMethod::Ticket => message,
                        ProofMethod::Cra | ProofMethod::Scram(_) | ProofMethod::Cryptosign => {
                            "the answer to the challenge is not accepted"
                        }
                    };
                    return Err(refused(error_uri::AUTHENTICATION_DENIED, message.to_owned()));
                }
            }
        }
        let admission = Arc::clone(&self.context.admission);
        let proof = Credential::of_either_kind(proof.signature);
        let proving = admission.prove(&proof, self.client, &self.listener);
        let Ok(verdict) = timeout_at(self.opened_by, proving).await else {
            return Err(overdue());
        };
        match verdict {
            Ok(proven) => {
                self.take_place(&proven)?;
                self.welcome_proven(*asked, &proven, None)
            }
            Err(denial) => {
                warn!(name: "session.denied", "a session is refused: {}", denial.reason);
                let reason = if denial.is_temporary() {
                    error_uri::AUTHENTICATION_FAILED
                } else {
                    error_uri::AUTHENTICATION_DENIED
                };
                Err(refused(reason, denial.refusal.message))
            }
        }
    }

    /// Lets the authenticator verify a ticket. Returns the client, unless it refuses the ticket.
    async fn verified_by_plugin(
        &self,
        asked: &Asked,
        claimant: &Claimant,
        ticket: &str,
    ) -> Result<Option<Authenticated>, CloseAction> {
        // The settings may have changed since the challenge.
        let Some(name) = self.context.admission.authenticator(&self.listener) else {
            return Ok(None);
        };
        let verifying = asked.dispatch.verify_ticket(&name, claimant, ticket);
        match timeout_at(self.opened_by, verifying).await {
            Ok(verified) => verified.map_err(|no_answer| no_authenticator(&no_answer)),
            Err(_elapsed) => Err(overdue()),
        }
    }

    /// Takes a place among the connections of the user.
    fn take_place(&mut self, proven: &Authenticated) -> Result<(), CloseAction> {
        let place = self.context.new_connections.place(Some(proven));
        self.place = place.map_err(|exceeded| {
            drop(exceeded.log(&self.settings.limits));
            CloseAction::UserLimit { message: exceeded.message() }
        })?;
        Ok(())
    }

    /// Opens the session of the authenticated user. HELLO with the name of another user is an
    /// error: the client has mixed up its users, and would act as a different one than it assumes.
    fn welcome_proven(
        &mut self,
        asked: Asked,
        proven: &Authenticated,
        verifier: Option<&(&'static str, String)>,
    ) -> Result<(), CloseAction> {
        if let Some(authid) = &asked.authid
            && !may_be_called(proven, authid)
        {
            let asked: String = authid.chars().take(MAX_SHOWN).collect();
            let name = &proven.username;
            warn!(name: "session.other_user", "a session is refused: it was asked for as {asked:?} with the proof of {name:?}");
            let message = "the ticket or token is not of the `authid` that was asked for";
            return Err(refused(error_uri::AUTHENTICATION_DENIED, message.to_owned()));
        }
        self.welcome(asked, Some(proven), verifier)
    }

    fn welcome(
        &mut self,
        asked: Asked,
        who: Option<&Authenticated>,
        verifier: Option<&(&'static str, String)>,
    ) -> Result<(), CloseAction> {
        // Rules, users or keys have changed since the request: the client has to connect again.
        let admission = &self.context.admission;
        if self.admittance.as_ref().is_some_and(|it| !admission.is_current(it)) {
            return Err(CloseAction::CloseReason(revoked()));
        }
        let Asked { dispatch, features, method, session, .. } = asked;
        let dialect = self.dialogue.dialect();
        let mut member =
            Member::new(session, &self.wire, dialect, features, dispatch, who, self.client);
        let method = method.filter(|_| who.is_some());
        let sessions = self.context.realms.session_count();
        let retry = self.context.shutdown.retry_window(sessions);
        let verifier = verifier.map(|(key, text)| (*key, text.as_str()));
        let welcome = self.dialogue.welcome(&member.welcome(method.as_deref(), verifier, retry));
        self.expiry = Expiry::of(who);
        member.join(&self.context.shutdown);
        member.keep(&self.context.admission, self.admittance.take(), who);
        if member.is_backend() {
            self.rate.exempt();
        }
        self.wire.send(self.wrap(&welcome));
        self.member = Some(member);
        Ok(())
    }
}

/// The answer of the authenticator of the settings to HELLO.
enum ByPlugin {
    /// It verifies the ticket that the client sends.
    Ticket(Claimant),
    Principal(KnownPrincipal),
}

/// Refuses a session whose authenticator does not answer. The client may try again.
fn no_authenticator(no_answer: &NoAnswer) -> CloseAction {
    warn!(name: "session.denied", "a session is refused: {no_answer}");
    let message = "the client could not be authenticated; try again later".to_owned();
    refused(error_uri::AUTHENTICATION_FAILED, message)
}

fn overdue() -> CloseAction {
    let message = "the authentication took too long; try again later".to_owned();
    refused(error_uri::UNAVAILABLE, message)
}

/// Returns whether the user may use this authid: the name, in any case because databases may
/// compare names so, or the id. A session without a user, such as a backend's, may have any name,
/// because some clients have to send one.
fn may_be_called(proven: &Authenticated, authid: &str) -> bool {
    let Some(id) = &proven.id else { return true };
    let is_name = authid.to_lowercase() == proven.username.to_lowercase();
    authid.is_empty() || is_name || authid == id
}

/// The texts of a dictionary of HELLO or AUTHENTICATE.
#[derive(Debug)]
struct Extras<'a>(Option<&'a Dict>);

impl Extra for Extras<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0?.get(key)?.as_text()
    }
}

/// A value of a challenge: a text, a number or null.
fn plain(value: &serde_json::Value) -> Value {
    match (value.as_str(), value.as_u64()) {
        (Some(text), _) => text.into(),
        (None, Some(number)) => number.into(),
        (None, None) => Value::Null,
    }
}

fn unavailable(error: getrandom::Error) -> CloseAction {
    refused(error_uri::UNAVAILABLE, error.to_string())
}

fn refused(reason: &'static str, message: String) -> CloseAction {
    CloseAction::Refused { reason, message }
}

/// Returns the authentication methods that a client offers.
fn methods(hello: &Hello) -> impl Iterator<Item = &str> {
    let methods = hello.details.get("authmethods").into_iter().flat_map(Value::elements);
    methods.filter_map(Value::as_text)
}

/// Returns the method that WELCOME names for an authenticated client. It is always one that the
/// client has offered, even if the ticket is a JSON Web Token or came with the handshake: clients
/// look for the code of that method, and autobahn-python ends the session if it has none.
fn named(hello: &Hello) -> Option<String> {
    let offered = methods(hello).find(|method| *method == TICKET);
    let named = offered.or_else(|| methods(hello).next());
    named.filter(|method| method.len() <= MAX_SHOWN).map(str::to_owned)
}
