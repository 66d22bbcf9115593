//! Procedures of clients: who may offer them, and what comes back from those who do. Calls of them
//! are in [`super::calls`].
//!
//! A procedure that a handler answers is nobody else's. Elsewhere the route decides who may
//! register a procedure, and where no route is, whether clients may use what has none. A pattern
//! is accepted of a session that may register any procedure, and its callee is asked for those that
//! it may register by name: that is judged at each call, by the routes that are in force then.

use std::sync::Arc;

use jackfield_broker::{PendingFlushes, Session};
use jackfield_routing::Action;
use jackfield_sandbox::Hook;
use jackfield_wamp::message::{Register, Unregister};
use jackfield_wamp::protocol::{ErrorTo, Request};
use jackfield_wamp::uri::MatchPolicy;

use super::authorize::is_among;
use super::{Dispatch, Refusal, Unrouted, effects, uris};
use crate::frame;
use crate::generation::Generation;

impl Dispatch {
    /// What clients ask of the dealer, calls aside.
    pub(super) fn handle_rpc(
        &self,
        from: &Arc<Session>,
        request: &Request,
        batch: &mut PendingFlushes,
    ) {
        let refused = match request {
            Request::Register(register) => self.register(from, register, batch).map_err(|it| {
                it.log("register", from, uris::shown(&register.procedure));
                (ErrorTo::Register { request: register.request }, it)
            }),
            Request::Unregister(unregister) => self
                .unregister(from, unregister, batch)
                .map_err(|it| (ErrorTo::Unregister { request: unregister.request }, it)),
            // A call that is over, or a handler's, is nothing that could be cancelled or answered.
            Request::Cancel(cancel) => {
                self.dealer.cancel(from, cancel, batch);
                Ok(())
            }
            Request::Yield(answer) => {
                self.dealer.answer(from, answer, batch);
                Ok(())
            }
            Request::InvocationError(error) => {
                self.dealer.fail(from, error, batch);
                Ok(())
            }
            // Served by `dispatch` itself.
            Request::Publish(_)
            | Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::Call(_) => Ok(()),
        };
        if let Err((to, refusal)) = refused
            && let Some(frame) = frame::reply(from, &refusal.reply(to))
        {
            from.reply(frame, batch);
        }
    }

    fn register(
        &self,
        from: &Arc<Session>,
        register: &Register,
        batch: &mut PendingFlushes,
    ) -> Result<(), Refusal> {
        let Register { options, procedure, .. } = register;
        uris::check(from, procedure, options.policy)?;
        uris::check_reserved(procedure)?;
        let generation = self.generations.current();
        if options.policy == MatchPolicy::Exact {
            let routed = self.route(&generation, procedure)?;
            if let Some(routed) = &routed
                && routed.handler.hooks().contains(Hook::Call)
            {
                return Err(Refusal::handlers_own(&routed.route.name));
            }
            self.check_allowed(routed.as_ref(), Action::Register, from)?;
        } else if !self.may_register_any(&generation, from) {
            return Err(Refusal::not_allowed(Action::Register, None));
        }
        self.dealer.register(from, register, batch)?;
        // A reload on another thread may have looked for what to take away just before.
        let current = self.generations.current();
        if current.number() != generation.number() {
            self.revoke_registrations(&current, batch);
        }
        Ok(())
    }

    /// Whether there is a procedure that the session may register. One that may register none would
    /// only keep a pattern from others, or use up the realm's.
    fn may_register_any(&self, generation: &Generation, session: &Session) -> bool {
        let without_route = self.unrouted == Unrouted::Broadcast;
        if without_route && self.may(None, Action::Register, session) {
            return true;
        }
        generation
            .bound()
            .filter(|(_, handler)| !handler.hooks().contains(Hook::Call))
            .map(|(route, _)| route.allow.roles_or(&self.allow, Action::Register))
            .any(|roles| is_among(session, roles))
    }

    fn unregister(
        &self,
        from: &Arc<Session>,
        unregister: &Unregister,
        batch: &mut PendingFlushes,
    ) -> Result<(), Refusal> {
        Ok(self.dealer.unregister(from, unregister, batch)?)
    }

    /// Takes away the registrations that a new generation has no place for: their routes have
    /// gone, or have a handler that answers calls by now, or are not for their callees' roles any
    /// more. Subscribers of a topic stay in such a case; but whoever may not offer a procedure must
    /// not go on to read what others call it with.
    pub(super) fn revoke_registrations(&self, new: &Generation, batch: &mut PendingFlushes) {
        let keep = |procedure: &str, callee: &Session| match new.find(procedure) {
            Some(routed) if routed.handler.hooks().contains(Hook::Call) => false,
            None if self.unrouted == Unrouted::Refuse => false,
            routed => self.check_allowed(routed.as_ref(), Action::Register, callee).is_ok(),
        };
        self.dealer.revoke(keep, effects::REVOKED, batch);
    }
}
