//! Decisions about access in tests.

use std::sync::Arc;

use super::Harness;
use crate::{
    Plugin, Refusal, Request, Route, SessionId,
    access::{Attempt, Authorize, Login, Principal},
    testing::Failure,
};

impl Harness {
    /// Configures the handler that decides about access, as the host does for one that the settings name.
    #[track_caller]
    pub fn access(&mut self, handler: &str) {
        let own = self.handler(handler);
        // Without one, the host has no method for `on_find`.
        assert!(!own.hooks().find || !own.models().is_empty(), "`on_find` needs a model");
        self.route(&access_route(handler), handler);
    }

    /// Asks the only handler of [`Harness::access`] about an attempt of the session on a URI.
    ///
    /// # Errors
    ///
    /// The fault of the handler. A refusal is an answer.
    #[track_caller]
    pub fn authorize(
        &mut self,
        session: SessionId,
        uri: &str,
        attempt: Attempt,
    ) -> Result<Authorize, Failure> {
        let request = self.ask_about_access(Some(session), uri);
        let answer = self.run(|plugin| plugin.on_authorize(&request, attempt))?;
        self.check_no_effects()?;
        Ok(answer)
    }

    /// Asks the only handler of [`Harness::access`] for the principal of a client.
    ///
    /// # Errors
    ///
    /// The fault or error of the handler.
    #[track_caller]
    pub fn find(&mut self, realm: &str, login: &Login) -> Result<Option<Principal>, Failure> {
        self.authenticate(realm, login, |plugin, request| plugin.on_find(request, login))
    }

    /// Lets the only handler of [`Harness::access`] verify the ticket of a client.
    ///
    /// # Errors
    ///
    /// The fault or error of the handler.
    #[track_caller]
    pub fn verify(
        &mut self,
        realm: &str,
        login: &Login,
        ticket: &str,
    ) -> Result<Option<Principal>, Failure> {
        self.authenticate(realm, login, |plugin, request| plugin.on_ticket(request, login, ticket))
    }

    #[track_caller]
    fn authenticate(
        &mut self,
        realm: &str,
        login: &Login,
        hook: impl FnOnce(&mut Plugin, &Request) -> Result<Option<Principal>, Refusal>,
    ) -> Result<Option<Principal>, Failure> {
        let name = login.authid.as_ref().or(login.pubkey.as_ref());
        let request = self.ask_about_access(None, name.map_or("", String::as_str));
        realm.clone_into(&mut self.world.realm);
        let answer = self.run(|plugin| hook(plugin, &request))?;
        self.check_no_effects()?;
        Ok(answer?)
    }

    /// The request of a hook that decides about access.
    #[track_caller]
    pub(super) fn ask_about_access(&mut self, session: Option<SessionId>, uri: &str) -> Request {
        let is_access = |route: &&Route| route.channel == access_route(&route.handler);
        let Some(route) = self.routes.iter().find(is_access).cloned() else {
            panic!("no handler decides about access: call `access` first")
        };
        self.begin(session, uri);
        self.world.may_wait = true;
        Request {
            route: Arc::new(route),
            topic: uri.to_owned().into(),
            attributes: Vec::new().into(),
            session: session.map(|id| self.member(id).session.clone()).into(),
            subscribers: 0.into(),
        }
    }

    /// Fails if the hook has had effects, as in the host.
    pub(super) fn check_no_effects(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.world.effects).is_empty() {
            return Ok(());
        }
        let message = "a hook that decides about access has no effects";
        Err(Refusal::new(Refusal::RUNTIME_ERROR, message).into())
    }
}

fn access_route(handler: &str) -> String {
    format!("access by {handler}")
}
