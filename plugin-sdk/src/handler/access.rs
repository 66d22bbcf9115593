//! Hooks that decide about access.

use super::Handler;
#[cfg(target_family = "wasm")]
use super::Hooks;
use crate::{
    Answer, Refusal, Request,
    access::{Attempt, Authorize, Login, Principal},
};

pub(super) type FindHook<S> =
    Box<dyn FnMut(&mut S, &Request, &Login) -> Result<Option<Principal>, Refusal>>;
pub(super) type TicketHook<S> =
    Box<dyn FnMut(&mut S, &Request, &Login, &str) -> Result<Option<Principal>, Refusal>>;
pub(super) type AuthorizeHook<S> =
    Box<dyn FnMut(&mut S, &Request, Attempt) -> Result<Authorize, Refusal>>;

impl<S: 'static> Handler<S> {
    /// Registers the hook that decides whether a session may do something, where a rule of the
    /// operator's settings names the handler: see [`access`](crate::access). An error refuses.
    #[must_use]
    pub fn on_authorize<R: Answer<Authorize>>(
        mut self,
        mut hook: impl FnMut(&mut S, &Request, Attempt) -> R + 'static,
    ) -> Self {
        self.authorize = Some(Box::new(move |state, request, attempt| {
            hook(state, request, attempt).into_answer()
        }));
        self
    }

    /// Registers the hook that finds principals with their credentials, where the operator's settings name
    /// the handler in `auth.authenticator`: see [`access`](crate::access). `models` are examples of
    /// principals: an unknown name gets a challenge in the form of one of them, so that clients cannot tell
    /// it from a known one. The methods are those of the models' credentials, which are never accepted
    /// themselves. A refusal is as `None`, except for [`Refusal::RUNTIME_ERROR`], a fault: the client may try
    /// again.
    #[must_use]
    pub fn on_find<R: Answer<Option<Principal>>>(
        mut self,
        models: impl IntoIterator<Item = Principal>,
        mut hook: impl FnMut(&mut S, &Request, &Login) -> R + 'static,
    ) -> Self {
        let hook: FindHook<S> =
            Box::new(move |state, request, login| hook(state, request, login).into_answer());
        self.find = Some((models.into_iter().collect(), hook));
        self
    }

    /// Registers the hook that verifies tickets, where the operator's settings name the handler in
    /// `auth.authenticator`: see [`access`](crate::access). `None` refuses the ticket, and so does a
    /// refusal, except for [`Refusal::RUNTIME_ERROR`], a fault: the client may try again.
    #[must_use]
    pub fn on_ticket<R: Answer<Option<Principal>>>(
        mut self,
        mut hook: impl FnMut(&mut S, &Request, &Login, &str) -> R + 'static,
    ) -> Self {
        self.ticket = Some(Box::new(move |state, request, login, ticket| {
            hook(state, request, login, ticket).into_answer()
        }));
        self
    }
}

#[cfg(target_family = "wasm")]
impl Hooks {
    /// Whether the handler decides about access.
    pub(crate) const fn is_of_access(self) -> bool {
        self.authorize || self.find || self.ticket
    }
}
