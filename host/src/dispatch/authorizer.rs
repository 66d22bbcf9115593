//! Authorization by plugins: the authorizer that a rule names decides about actions which the lists of the
//! rule admit ([decision 66](../../../docs/decisions/0066-authorizers.md)).
//!
//! It fails closed: an authorizer that is missing, disabled or faulty refuses. A pattern is judged by the
//! authorizers of all rules that it meets; its subscriber or callee is not judged again for each topic.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use jackfield_broker::{PatternAudience, PendingFlushes, Session};
use jackfield_config::Rule;
use jackfield_routing::Action;
use jackfield_sandbox::{
    AccessAction, AccessAttempt, AccessOptions, AccessPolicy, Fault, Hook, HookRequest, KeepFor,
};
use jackfield_wamp::error_uri;
use jackfield_wamp::message::{CallOptions, PublishOptions, RegisterOptions};
use jackfield_wamp::message::{InvocationPolicy, Subscribe};
use jackfield_wamp::uri::MatchPolicy;
use tracing::warn;

use super::authorize::is_among;
use super::caller::caller;
use super::{Dispatch, Refusal, flush_before_wait};
use crate::generation::{AccessHandler, DecisionKey, Generation, RealmUri, access_route_name};

/// An action of a session on a topic, procedure or pattern.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) from: &'a Session,
    pub(super) uri: &'a str,
    pub(super) attempt: AccessAttempt,
}

impl Dispatch {
    /// Asks the authorizer of the rule, if there is one. Returns whether the publisher or caller is
    /// disclosed in any case.
    pub(super) async fn authorize(
        &self,
        generation: &Generation,
        rule: Option<&Rule>,
        wish: Wish<'_>,
        batch: &mut PendingFlushes,
    ) -> Result<bool, Refusal> {
        let Some(rule) = rule else { return Ok(false) };
        let Some(authorizer) = &rule.authorizer else { return Ok(rule.disclose) };
        // Boxed to keep a connection's task small.
        let asked = Box::pin(self.ask_authorizer(generation, authorizer, wish, batch)).await;
        asked.map(|disclose| disclose || rule.disclose)
    }

    /// Asks the authorizers of all rules that a pattern meets, and whose lists admit the session.
    pub(super) async fn authorize_pattern(
        &self,
        generation: &Generation,
        action: Action,
        wish: Wish<'_>,
        policy: MatchPolicy,
        batch: &mut PendingFlushes,
    ) -> Result<(), Refusal> {
        let judges = generation.access().judges(self.realm.name(), policy, wish.uri);
        let judges = judges.filter(|rule| is_among(wish.from, rule.allow.roles(action)));
        let names: BTreeSet<&str> = judges.filter_map(|it| it.authorizer.as_deref()).collect();
        for authorizer in names {
            Box::pin(self.ask_authorizer(generation, authorizer, wish, batch)).await?;
        }
        Ok(())
    }

    async fn ask_authorizer(
        &self,
        generation: &Generation,
        authorizer: &str,
        wish: Wish<'_>,
        batch: &mut PendingFlushes,
    ) -> Result<bool, Refusal> {
        let handler = self.authorizer(generation, authorizer)?;
        let Wish { from, uri, attempt } = wish;
        let [of_session, of_principal] = self.keys(authorizer, wish);
        let now = Instant::now();
        let kept = handler.kept.get(&of_session, now);
        let kept = kept.or_else(|| handler.kept.get(&of_principal, now));
        if let Some(answer) = kept {
            return Ok(answer?.disclose);
        }
        let request = HookRequest {
            realm: self.token,
            handler: authorizer,
            route: &access_route_name(authorizer),
            topic: uri,
            attributes: &[],
            session: Some(caller(from)),
            login: None,
            subscribers: 0,
            depth: 0,
        };
        let decided = handler.lanes.of(uri).authorize(&request, attempt);
        let decided = flush_before_wait(batch, decided).await;
        let decision = decided.map_err(|fault| failed(authorizer, &fault))?;
        if let Some(keep) = decision.keep {
            let key = match keep.audience {
                KeepFor::Session => of_session,
                KeepFor::Principal => of_principal,
            };
            handler.kept.put(key, &decision.answer, keep, now);
        }
        Ok(decision.answer?.disclose)
    }

    /// Returns the authorizer of this name.
    fn authorizer<'g>(
        &self,
        generation: &'g Generation,
        name: &str,
    ) -> Result<AccessHandler<'g>, Refusal> {
        let refused = |reason: &str| {
            let message = format!("the authorizer `{name}` {reason}; requests are refused");
            warn!(name: "authorizer.unavailable", authorizer = name, "{message}");
            Refusal::new(error_uri::AUTHORIZATION_FAILED, message)
        };
        let handler = generation.access_handler(name, Hook::Authorize);
        let handler = handler.ok_or_else(|| refused("is not in service"))?;
        self.check_access_handler(generation, &handler).map_err(refused)?;
        Ok(handler)
    }

    /// Checks that a handler may decide about access here.
    ///
    /// # Errors
    /// A text that follows the name of the handler.
    pub(super) fn check_access_handler(
        &self,
        generation: &Generation,
        handler: &AccessHandler<'_>,
    ) -> Result<(), &'static str> {
        if handler.is_disabled {
            return Err("is disabled");
        }
        if self.cluster.is_some() && generation.has_home(handler.plugin) {
            // It would write to a store that another node has.
            return Err("is of a plugin with a home in the cluster");
        }
        Ok(())
    }

    /// Returns the keys of a decision for the session, and for all with its identity.
    fn keys(&self, authorizer: &str, wish: Wish<'_>) -> [DecisionKey; 2] {
        let Wish { from, uri, attempt } = wish;
        let id = from.id.get().to_le_bytes();
        let identity = &from.identity;
        let texts = [self.realm.name(), &identity.authid, &identity.authmethod, &identity.claims];
        let roles = identity.roles.iter().map(String::as_str);
        let who = texts.into_iter().chain(roles).map(str::as_bytes);
        [
            DecisionKey::new(authorizer, uri, attempt, [id.as_slice()]),
            DecisionKey::new(authorizer, uri, attempt, who),
        ]
    }

    /// Returns whether a reload has put a topic or a pattern under an authorizer that has not judged its
    /// subscribers and callees: their subscriptions and registrations end, and clients ask again.
    pub(super) fn is_judged_anew(
        &self,
        old: &Generation,
        new: &Generation,
        uri: &str,
        policy: MatchPolicy,
    ) -> bool {
        let at = RealmUri { realm: self.realm.name(), uri };
        let (before, after) = (old.access(), new.access());
        match policy {
            MatchPolicy::Exact => {
                let rule = after.rule(at).filter(|_| new.find(uri).is_none());
                let is_same = || old.find(uri).is_none() && before.rule(at) == rule;
                rule.is_some_and(|it| it.authorizer.is_some()) && !is_same()
            }
            MatchPolicy::Prefix | MatchPolicy::Wildcard => {
                !after.has_rules_of(before) && after.judges(at.realm, policy, uri).next().is_some()
            }
        }
    }

    /// Returns the audience of a subscription after a reload, if it is judged anew: no session.
    pub(super) fn audience_anew(
        &self,
        old: &Arc<Generation>,
        new: &Generation,
        uri: &str,
        policy: MatchPolicy,
    ) -> Option<PatternAudience<'static>> {
        self.is_judged_anew(old, new, uri, policy).then_some(PatternAudience::Nobody)
    }
}

impl<'a> Wish<'a> {
    pub(super) fn publish(from: &'a Session, topic: &'a str, options: &PublishOptions) -> Self {
        let options = AccessOptions {
            disclose_me: options.disclose_me,
            acknowledge: options.acknowledge,
            retain: options.retain,
            ..AccessOptions::default()
        };
        Self::new(from, topic, AccessAction::Publish, MatchPolicy::Exact, options)
    }

    pub(super) fn subscribe(from: &'a Session, subscribe: &'a Subscribe) -> Self {
        let Subscribe { policy, get_retained, topic, .. } = subscribe;
        let options = AccessOptions { get_retained: *get_retained, ..AccessOptions::default() };
        Self::new(from, topic, AccessAction::Subscribe, *policy, options)
    }

    pub(super) fn register(from: &'a Session, uri: &'a str, options: &RegisterOptions) -> Self {
        let RegisterOptions { policy, invoke, force_reregister, .. } = *options;
        let shared = invoke != InvocationPolicy::Single;
        let options = AccessOptions { shared, force_reregister, ..AccessOptions::default() };
        Self::new(from, uri, AccessAction::Register, policy, options)
    }

    pub(super) fn call(from: &'a Session, procedure: &'a str, options: &CallOptions) -> Self {
        let CallOptions { disclose_me, progress, .. } = *options;
        let options = AccessOptions { disclose_me, progress, ..AccessOptions::default() };
        Self::new(from, procedure, AccessAction::Call, MatchPolicy::Exact, options)
    }

    fn new(
        from: &'a Session,
        uri: &'a str,
        action: AccessAction,
        policy: MatchPolicy,
        options: AccessOptions,
    ) -> Self {
        let policy = match policy {
            MatchPolicy::Exact => AccessPolicy::Exact,
            MatchPolicy::Prefix => AccessPolicy::Prefix,
            MatchPolicy::Wildcard => AccessPolicy::Wildcard,
        };
        Self { from, uri, attempt: AccessAttempt { action, policy, options } }
    }
}

/// Refuses a request whose authorizer failed. The details are in the operator's log.
fn failed(authorizer: &str, fault: &Fault) -> Refusal {
    // It logs the fault.
    let _refusal_of_handler = Refusal::fault(authorizer, fault);
    let message = format!("the authorizer `{authorizer}` gave no decision; the request is refused");
    Refusal::new(error_uri::AUTHORIZATION_FAILED, message)
}
