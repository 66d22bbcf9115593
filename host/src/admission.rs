//! Admission: the access rules, applied to a request before it becomes a connection.
//!
//! A rejection is an HTTP response, because all clients in use handle it well: a browser reconnects
//! with a new ticket, and a backend reports the failure to publish. The response names no reason;
//! the reason is in the operator's log. Called while a connection is accepted. `jackfield-auth`
//! verifies the credentials.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jackfield_auth::{
    Auth, Authenticated, Basis, ChallengeError, ProofMethod, ProofRequest, ReplaysError, UsedTicket,
};
use jackfield_broker::Session;
use jackfield_config::{Access, Origins, Transports};
use jackfield_text::Untrusted;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::client_certificate::CertificateUser;
use crate::client_listener::ClientListener;
use crate::cluster::ClusterNode;
use crate::handshake::{ClientInfo, Credential, Forwarded, Refusal};

mod credentials;
mod files;
mod methods;
mod rejection;
mod used_tickets;

pub(crate) use credentials::{Admittance, Registered, SessionCredentials, revoked};
pub(crate) use files::Files;
use methods::Methods;
pub(crate) use methods::PendingProof;
pub(crate) use rejection::{Rejection, Rule};
pub(crate) use used_tickets::answer as answer_used_ticket;

/// The maximum size of a client's text in a log line.
const MAX_LOGGED_BYTES: usize = 100;

/// The access rules, and the verifiers of credentials.
pub(crate) struct Admission {
    /// Both change with the settings. A client is judged by those of one moment.
    rules: ArcSwap<Access>,
    auth: ArcSwap<Auth>,
    /// The state of the files before `auth` was opened from them. Held for an exchange.
    files: Mutex<Files>,
    /// Notified when `auth` and `files` are others.
    replaced: Notify,
    /// Counts the changes of rules, methods, users and keys.
    number: AtomicU64,
    /// Notified when sessions have to be judged again.
    changed: Notify,
    sessions: SessionCredentials,
    /// The other nodes, which have to know used tickets.
    cluster: OnceLock<Arc<ClusterNode>>,
}

/// The result of an accepted upgrade.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The user whom the handshake has authenticated, if any.
    pub(crate) proven: Option<Authenticated>,
    /// Whether a session requires authentication.
    pub(crate) must_prove: bool,
}

impl Admission {
    /// Creates the admission. `files` is the state of the files before `auth` was opened from them.
    pub(crate) fn new(rules: Access, auth: Auth, files: Files) -> Self {
        Self {
            rules: ArcSwap::from_pointee(rules),
            auth: ArcSwap::from_pointee(auth),
            files: Mutex::new(files),
            replaced: Notify::new(),
            number: AtomicU64::new(0),
            changed: Notify::new(),
            sessions: SessionCredentials::default(),
            cluster: OnceLock::new(),
        }
    }

    /// Makes tickets that are good for one connection known to the other nodes.
    pub(crate) fn join_cluster(&self, cluster: &Arc<ClusterNode>) {
        let _first_stays = self.cluster.set(Arc::clone(cluster));
    }

    /// Remembers a ticket that another node has admitted.
    ///
    /// # Errors
    /// [`ReplaysError`] if it was used before, or cannot be remembered.
    pub(crate) fn note_used(
        &self,
        ticket: &UsedTicket,
        now: SystemTime,
    ) -> Result<(), ReplaysError> {
        let auth = self.auth.load();
        let (tickets, _) = auth.tickets.as_ref().ok_or(ReplaysError::NotRemembered)?;
        tickets.note_used(ticket, now)
    }

    /// Replaces the access rules.
    pub(crate) fn set_rules(&self, rules: Access) {
        self.rules.store(Arc::new(rules));
        self.judge_again();
    }

    /// Replaces the authentication methods. Used tickets stay used.
    pub(crate) fn set_auth(&self, auth: Auth, files: Files) {
        let auth = auth.continuing(&self.auth.load());
        *self.files() = files;
        self.auth.store(Arc::new(auth));
        self.replaced.notify_one();
        self.judge_again();
    }

    /// Requests that open sessions are judged again.
    fn judge_again(&self) {
        self.number.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// Ends open sessions whose clients could not connect any more, after each change.
    pub(crate) async fn follow_sessions(&self) {
        loop {
            self.changed.notified().await;
            self.sessions.judge(self).await;
        }
    }

    /// Keeps a session that has joined, so that it is judged again after changes.
    pub(crate) fn keep(
        &self,
        session: &Arc<Session>,
        admittance: Admittance,
        basis: Option<Basis>,
    ) -> Registered {
        let number = admittance.number;
        let registered = self.sessions.add(session, admittance, basis);
        if self.number() != number {
            // A change since the client was judged has not found the session.
            self.changed.notify_one();
        }
        registered
    }

    /// Returns whether nothing has changed since a client was judged.
    pub(crate) fn is_current(&self, admittance: &Admittance) -> bool {
        admittance.number == self.number()
    }

    /// Returns the number of changes so far.
    fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    fn auth(&self) -> Arc<Auth> {
        self.auth.load_full()
    }

    /// Returns what the admission of a client rests on, before it is judged.
    pub(crate) fn admittance(
        &self,
        visitor: &ClientInfo,
        peer: IpAddr,
        listener: &Arc<ClientListener>,
    ) -> Admittance {
        let rules = self.rules.load();
        Admittance {
            client: rules.proxies.client(peer, &visitor.forwarded.addresses),
            origin: visitor.origin.as_deref().map(Into::into),
            is_secure: is_secure(&rules, &visitor.forwarded, peer, listener),
            is_raw: visitor.has_no_path,
            number: self.number(),
            listener: Arc::clone(listener),
        }
    }

    /// Returns whether the rules would still admit a client, as far as they can be judged later: its
    /// path, and the word of its proxy, are not asked again.
    fn admits_still(&self, client: &Admittance, is_proven: bool) -> bool {
        let (rules, auth) = (self.rules.load(), self.auth.load());
        let methods = Methods { auth: &auth, listener: &client.listener };
        let is_page = match (origins(&rules, &client.listener), &client.origin) {
            (Some(origins), Some(origin)) => origins.check(origin).is_ok(),
            // Programs have to prove who they are.
            (Some(origins), None) => is_proven || origins.admit_programs(),
            (None, _) => true,
        };
        // An unknown address may be a blocked one.
        let is_blocked = match client.client {
            Some(client) => rules.blocked.contain(client),
            None => !rules.blocked.is_empty(),
        };
        !is_blocked
            && (!client.is_raw || self.transports(&client.listener).rawsocket)
            && is_page
            && (client.is_secure || !rules.https)
            && (is_proven || methods.admit_anybody(&rules))
    }

    /// Loads users and keys again when their files change, as long as it is polled.
    pub(crate) async fn follow(&self) {
        loop {
            let (auth, files) = (self.auth.load_full(), self.files().clone());
            let changed = || self.judge_again();
            tokio::select! {
                () = files.follow(&auth, &changed) => self.replaced.notified().await,
                () = self.replaced.notified() => {}
            }
        }
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits or rejects a client that connects from `peer`, after [`check`](Self::check). The result has no user if the client
    /// sent no credentials. `may_follow` is true if credentials can follow in the WAMP session.
    pub(crate) async fn admit(
        &self,
        visitor: &ClientInfo,
        peer: IpAddr,
        may_follow: bool,
        listener: &ClientListener,
        certificate: Option<&CertificateUser>,
    ) -> Result<Admitted, Rejection> {
        let (rules, auth) = (self.rules.load_full(), self.auth.load_full());
        let methods = Methods { auth: &auth, listener };
        // Browsers name the page that connects. Other programs do not act for a page, and are
        // admitted by their credentials (`docs/decisions/0025-origins-are-for-browsers.md`).
        let admit_programs = origins(&rules, listener).is_none_or(Origins::admit_programs);
        let is_nameless = visitor.origin.is_none() && !admit_programs;
        let must_prove = is_nameless || !methods.admit_anybody(&rules);
        // A page may also send credentials that are meant for the application.
        let of_use = visitor.proofs.iter().find(|proof| methods.take(proof));
        match of_use.or(visitor.proofs.first()) {
            Some(proof) if methods.take_proofs() => {
                let client = self.client(&visitor.forwarded, peer).unwrap_or(peer);
                let proven = methods.prove(proof, client, self.cluster.get()).await?;
                Ok(Admitted { proven: Some(proven), must_prove })
            }
            // A ticket or a token says more than the certificate of a program or a machine.
            Some(_) | None if let Some(user) = certificate => {
                let proven = user.clone().map_err(Rejection::proof)?;
                Ok(Admitted { proven: Some(proven), must_prove })
            }
            // Without a configured method, a ticket counts as none.
            Some(_) | None if !must_prove || (may_follow && methods.take_any()) => {
                Ok(Admitted { proven: None, must_prove })
            }
            Some(_) | None if is_nameless => Err(Rejection::nameless()),
            Some(_) | None => Err(Rejection::unproven()),
        }
    }

    /// Returns the transports that clients of the listener may use besides plain WebSocket.
    pub(crate) fn transports(&self, listener: &ClientListener) -> Transports {
        let Transports { rawsocket, compression, echo } = self.rules.load().transports;
        Transports {
            rawsocket: listener.rules.rawsocket.unwrap_or(rawsocket),
            compression: listener.rules.compression.unwrap_or(compression),
            echo,
        }
    }

    /// Returns the address of the client: behind a configured proxy, the forwarded address. `None`
    /// if the proxy does not know it.
    pub(crate) fn client(&self, forwarded: &Forwarded, peer: IpAddr) -> Option<IpAddr> {
        self.rules.load().proxies.client(peer, &forwarded.addresses)
    }

    /// Returns the client of a connection before its request; `None` behind a configured proxy.
    pub(crate) fn direct_client(&self, peer: IpAddr) -> Option<IpAddr> {
        (!self.rules.load().proxies.contain(peer)).then_some(peer)
    }

    /// Returns whether connections from this address are blocked, whatever they ask for.
    pub(crate) fn is_blocked(&self, peer: IpAddr) -> bool {
        let rules = self.rules.load();
        !rules.proxies.contain(peer) && rules.blocked.contain(peer)
    }

    /// Returns whether clients can send a ticket or a token to the listener.
    pub(crate) fn takes_proofs(&self, listener: &ClientListener) -> bool {
        Methods { auth: &self.auth.load(), listener }.take_proofs()
    }

    /// Returns the authentication methods of WAMP v2 that the listener has.
    pub(crate) fn method_names(&self, listener: &ClientListener) -> Vec<&'static str> {
        Methods { auth: &self.auth.load(), listener }.names()
    }

    /// Returns the handler of a plugin that authenticates clients of the listener, if there is one.
    pub(crate) fn authenticator(&self, listener: &ClientListener) -> Option<String> {
        Methods { auth: &self.auth.load(), listener }.authenticator().map(str::to_owned)
    }

    /// Returns what a client has to prove by an authentication method of WAMP v2; `None` if the listener
    /// does not have the method.
    ///
    /// # Errors
    /// If HELLO lacks what the method needs.
    pub(crate) fn challenge(
        &self,
        method: ProofMethod,
        asked: &ProofRequest<'_>,
        listener: &ClientListener,
    ) -> Result<Option<PendingProof>, ChallengeError> {
        Methods { auth: &self.auth.load(), listener }.challenge(method, asked)
    }

    /// Authenticates a client at this address by its credential.
    pub(crate) async fn prove(
        &self,
        proof: &Credential,
        from: IpAddr,
        listener: &ClientListener,
    ) -> Result<Authenticated, Rejection> {
        let methods = Methods { auth: &self.auth.load_full(), listener };
        methods.prove(proof, from, self.cluster.get()).await
    }

    /// Applies the rules that need no credentials.
    pub(crate) fn check(
        &self,
        visitor: &ClientInfo,
        peer: IpAddr,
        listener: &ClientListener,
    ) -> Result<(), Rejection> {
        self.check_address(&visitor.forwarded, peer)?;
        self.check_transport(&visitor.forwarded, peer, listener)?;
        let rules = self.rules.load();
        let path = listener.rules.path.as_ref().unwrap_or(&rules.path);
        if !visitor.has_no_path && !is_below(&visitor.path, path) {
            let refusal = Refusal::new("404 Not Found", "there is no WebSocket at this path");
            let asked = shown(&visitor.path);
            let reason = format!("`{asked}` was asked for, which is not below `{path}`");
            return Err(Rejection { refusal, reason, rule: Rule::Path });
        }
        if let (Some(origins), Some(origin)) = (origins(&rules, listener), &visitor.origin) {
            let checked = origins.check(origin);
            checked.map_err(|reason| Rejection::forbidden(Rule::Origin, reason))?;
        }
        Ok(())
    }

    /// Checks that requests from this address are allowed.
    pub(crate) fn check_address(
        &self,
        forwarded: &Forwarded,
        peer: IpAddr,
    ) -> Result<(), Rejection> {
        let rules = self.rules.load();
        let blocked = &rules.blocked;
        match rules.proxies.client(peer, &forwarded.addresses) {
            Some(client) if blocked.contain(client) => {
                let reason = format!("the address {client} is blocked");
                Err(Rejection::forbidden(Rule::Address, reason))
            }
            // The unknown address may be a blocked one.
            None if !blocked.is_empty() => {
                let named = forwarded.addresses.last().map_or("", String::as_str);
                let reason = format!("the proxy {peer} forwards for `{}`", shown(named));
                Err(Rejection::forbidden(Rule::Address, format!("{reason}, which is no address")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that the connection is encrypted, if the rules require it.
    pub(crate) fn check_transport(
        &self,
        forwarded: &Forwarded,
        peer: IpAddr,
        listener: &ClientListener,
    ) -> Result<(), Rejection> {
        let rules = self.rules.load();
        if rules.https && !is_secure(&rules, forwarded, peer, listener) {
            let refusal = Refusal::new("403 Forbidden", HTTPS_REQUIRED);
            let reason = format!("{peer} did not come through HTTPS, as `https` demands");
            return Err(Rejection { refusal, reason, rule: Rule::Transport });
        }
        Ok(())
    }
}

/// Returns whether the client uses HTTPS: as a trusted proxy says, or at an encrypted listener.
fn is_secure(
    rules: &Access,
    forwarded: &Forwarded,
    peer: IpAddr,
    listener: &ClientListener,
) -> bool {
    let through_proxy = rules.proxies.contain(peer);
    // A proxy may speak TLS to the server, and nothing to the client.
    match forwarded.proto.as_deref().filter(|_| through_proxy) {
        Some(proto) => is_https(proto),
        None => listener.is_encrypted() && !through_proxy,
    }
}

/// Returns the origins from which browsers may connect.
fn origins<'a>(rules: &'a Access, listener: &'a ClientListener) -> Option<&'a Origins> {
    listener.rules.origins.as_ref().or(rules.origins.as_ref())
}

/// The answer to a client that `access.https` rejects.
pub(crate) const HTTPS_REQUIRED: &str = "connect through HTTPS";

/// Returns the claims of a user, as plugins get them: the text of a JSON object.
pub(crate) fn claims(who: &Authenticated) -> String {
    let mut claims: Map<String, Value> = who.claims.clone();
    let mut set = |key: &str, value: Option<&String>| {
        if let Some(value) = value {
            claims.insert(key.to_owned(), Value::from(value.as_str()));
        }
    };
    set("id", who.id.as_ref());
    set("organization_id", who.organization.as_ref());
    if who.id.is_none() {
        // Without a user there is no user id, even if a claim has that name.
        claims.remove("id");
    }
    Value::Object(claims).to_string()
}

/// Escapes a client's text for the log. It is cut at `&` or `=`, which a ticket may follow if its
/// question mark was forgotten in a path.
fn shown(written: &str) -> String {
    let end = written.find(['&', '=', ';']).unwrap_or(written.len());
    let text = written.get(..end).unwrap_or_default();
    Untrusted::new(text).at_most(MAX_LOGGED_BYTES).to_string()
}

fn is_https(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss")
}

/// Returns whether a path equals `above` or lies below it.
fn is_below(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_paths_by_segment() {
        let cases = [
            ("/", "/", true),
            ("/ws", "/", true),
            ("/ws", "/ws", true),
            ("/ws/", "/ws", true),
            ("/ws/x", "/ws/", true),
            ("/wss", "/ws", false),
            ("/", "/ws", false),
        ];
        for (path, above, expect) in cases {
            assert_eq!(is_below(path, above), expect, "{path} below {above}");
        }
    }
}
