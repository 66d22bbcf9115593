//! REGISTER and UNREGISTER: procedures of clients. Calls of them are in [`super::call`].
//!
//! A procedure that a handler answers cannot be registered. For others, the roles of the route
//! decide, or the settings if no route matches. A pattern requires a session that may register any
//! procedure at all. In a cluster, it is granted for all nodes ([`super::remote_calls`]). Its callee is called only for procedures that it may register by name: this is
//! checked at each call, against the current routes.

use std::sync::Arc;

use jackfield_broker::{PendingFlushes, Session};
use jackfield_routing::Action;
use jackfield_sandbox::Hook;
use jackfield_wamp::message::{Register, Unregister};
use jackfield_wamp::protocol::ErrorTo;
use jackfield_wamp::uri::MatchPolicy;

use super::authorize::{check_allowed, is_among, may, route};
use super::authorizer::Wish;
use super::trace::{self, MessageKind};
use super::{Dispatch, Refusal, effects, reply, uris};
use crate::generation::Generation;
use crate::metrics::RequestKind;

impl Dispatch {
    pub(super) async fn handle_register(
        &self,
        from: &Arc<Session>,
        register: &Register,
        batch: &mut PendingFlushes,
    ) {
        let trace = self.trace(from, MessageKind::Register, &register.procedure, None);
        let registered = self.register(from, register, batch).await;
        self.tell_registrations(batch);
        trace::ended(trace.as_deref(), &registered);
        if let Err(refusal) = registered {
            self.refused(RequestKind::Register, &refusal, from, &register.procedure);
            let to = ErrorTo::Register { request: register.request };
            reply(from, &refusal.reply(to), batch);
        }
    }

    pub(super) fn handle_unregister(
        &self,
        from: &Arc<Session>,
        unregister: &Unregister,
        batch: &mut PendingFlushes,
    ) {
        let unregistered = self.dealer.unregister(from, unregister, batch);
        self.tell_registrations(batch);
        if let Err(error) = unregistered {
            let refusal = Refusal::from(error);
            self.refused(RequestKind::Unregister, &refusal, from, "");
            let to = ErrorTo::Unregister { request: unregister.request };
            reply(from, &refusal.reply(to), batch);
        }
    }

    async fn register(
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
            let at = self.at(procedure);
            let routed = route(&generation, at)?;
            if let Some(routed) = routed.as_ref().filter(|it| it.has(Hook::Call)) {
                return Err(Refusal::handlers_own(&routed.route.name));
            }
            let rule = check_allowed(&generation, at, routed.as_ref(), Action::Register, from)?;
            let wish = Wish::register(from, procedure, options);
            self.authorize(&generation, rule, wish, batch).await?;
        } else if may_register_any(&generation, self.realm.name(), from) {
            let wish = Wish::register(from, procedure, options);
            let (action, policy) = (Action::Register, options.policy);
            self.authorize_pattern(&generation, action, wish, policy, batch).await?;
        } else {
            return Err(Refusal::not_allowed(Action::Register, None));
        }
        match &self.cluster {
            None => self.dealer.register(from, register, batch)?,
            Some(cluster) => self.register_everywhere(cluster, from, register, batch).await?,
        }
        // A reload on another thread may have revoked registrations just before this one.
        let current = self.generations.current();
        if current.number() != generation.number() {
            self.revoke_registrations(None, &current, batch);
            let is_other = |uri: &str, policy: MatchPolicy, callee: &Session| {
                (uri, policy, callee.id) != (procedure, options.policy, from.id)
            };
            if self.is_judged_anew(&generation, &current, procedure, options.policy) {
                self.dealer.revoke(is_other, effects::REVOKED, batch);
            }
        }
        Ok(())
    }

    /// Revokes the registrations that a new generation does not allow: no route matches, the
    /// handler of the route answers calls, the roles of the callee may not register, or an authorizer that
    /// the old generation did not have has to be asked.
    pub(super) fn revoke_registrations(
        &self,
        old: Option<&Generation>,
        new: &Generation,
        batch: &mut PendingFlushes,
    ) {
        let keep = |procedure: &str, policy: MatchPolicy, callee: &Session| {
            let is_judged_anew = |old| self.is_judged_anew(old, new, procedure, policy);
            if old.is_some_and(is_judged_anew) {
                return false;
            }
            match new.find(procedure) {
                // The callee of a pattern is checked at each call.
                _ if policy != MatchPolicy::Exact => true,
                Some(routed) if routed.has(Hook::Call) => false,
                routed => may(new, self.at(procedure), routed.as_ref(), Action::Register, callee),
            }
        };
        self.dealer.revoke(keep, effects::REVOKED, batch);
    }
}

/// Returns whether there is a procedure that the session may register. Without one, it would only
/// block a pattern for others, or use up the realm's quota.
fn may_register_any(generation: &Generation, realm: &str, session: &Session) -> bool {
    let access = generation.access();
    let routes = generation.bound().filter(|(_, handler)| !handler.hooks().contains(Hook::Call));
    let routes = routes.map(|(route, _)| access.of_route(route));
    access
        .all_unrouted(realm)
        .chain(routes)
        .any(|lists| is_among(session, lists.roles(Action::Register)))
}
