//! A session in its realm.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_auth::Authenticated;
use jackfield_broker::{Features, Identity, Session};
use jackfield_config::Config;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::protocol::Welcome;

use crate::admission;
use crate::admission::{Admission, Admittance, Registered};
use crate::dispatch::Dispatch;
use crate::shutdown::{self, Shutdown};
use crate::transport::ClientTransport;

/// A session, and the dispatch that handles its requests.
pub(super) struct Member {
    pub(super) session: Arc<Session>,
    pub(super) dispatch: Arc<Dispatch>,
    /// Its place among the sessions that are judged again; none for the server's own probe.
    kept: Option<Registered>,
}

impl Member {
    /// Creates a session of the authenticated user, or without a user.
    pub(super) fn new(
        id: SessionId,
        wire: &Arc<ClientTransport>,
        dialect: Dialect,
        features: Features,
        dispatch: Arc<Dispatch>,
        who: Option<&Authenticated>,
        client: IpAddr,
    ) -> Self {
        let nobody = || format!("anonymous-{id}");
        let identity = match who {
            None => Identity::anonymous(nobody(), client),
            Some(who) => Identity {
                authid: if who.is_anonymous() { nobody() } else { who.username.clone() },
                anonymous_from: who.is_anonymous().then_some(client),
                roles: who.roles.clone(),
                authmethod: who.method.as_str().to_owned(),
                claims: admission::claims(who),
            },
        };
        let outbox = Arc::clone(wire.outbox());
        let link = Arc::clone(wire) as Arc<_>;
        let session = Session::new(id, identity, dialect, features, outbox, link)
            .taking_compressed(wire.is_compressed());
        wire.set_client(session.client, client);
        Self { session: Arc::new(session), dispatch, kept: None }
    }

    pub(super) fn join(&self, shutdown: &Shutdown) {
        self.dispatch.join(&self.session);
        // A shutdown that began before the session joined has not closed it.
        if shutdown.is_requested() {
            let _first = self.session.close(shutdown::close_reason());
        }
    }

    /// Keeps the session among those that are judged again when the settings change.
    pub(super) fn keep(
        &mut self,
        admission: &Admission,
        admittance: Option<Box<Admittance>>,
        who: Option<&Authenticated>,
    ) {
        let basis = || who.map(|who| who.basis.clone());
        self.kept = admittance.map(|it| admission.keep(&self.session, *it, basis()));
    }

    /// Returns whether the session speaks for the application itself, whose rates have no limit.
    pub(super) fn is_backend(&self) -> bool {
        self.session.identity.roles.iter().any(|role| role == Config::BACKEND)
    }

    /// Returns the session and its dispatch, for its end.
    pub(super) fn joined(&self) -> (Arc<Session>, Arc<Dispatch>) {
        (Arc::clone(&self.session), Arc::clone(&self.dispatch))
    }

    /// Returns the content of WELCOME. `method` is the client's name of its authentication method,
    /// if it has one; `verifier` the router's proof; `retry` the window for its reconnects.
    pub(super) fn welcome<'a>(
        &'a self,
        method: Option<&'a str>,
        verifier: Option<(&'a str, &'a str)>,
        retry: Option<Duration>,
    ) -> Welcome<'a> {
        let Self { session, dispatch, .. } = self;
        Welcome {
            session: session.id,
            realm: dispatch.realm().name(),
            authid: &session.identity.authid,
            authrole: session.identity.authrole(),
            authmethod: method.unwrap_or(&session.identity.authmethod),
            agent: crate::AGENT,
            verifier,
            retry_max_ms: retry.and_then(|it| u64::try_from(it.as_millis()).ok()),
        }
    }
}
