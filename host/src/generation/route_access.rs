//! Access by the settings, which each generation has a copy of: a message is judged by one set of rules
//! from start to end.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackfield_broker::Session;
use jackfield_config::{Config, Rule, Unrouted};
use jackfield_routing::{Action, Allow, Restriction, RestrictionOrigin, Route, restrictions};
use jackfield_wamp::uri::{MatchPolicy, is_reserved};
use serde_json::{Map, Value, json};

use super::Generation;

/// Access to topics, as far as routes do not decide. The default refuses all topics without a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteAccess {
    /// The rules for topics without a route, in their order.
    rules: Vec<Rule>,
    /// The rule for topics without a route and without any of these; `None` refuses them.
    default_unrouted: Option<Allow>,
    /// The handler of a plugin that authenticates clients.
    pub(super) authenticator: Option<String>,
    /// The roles for actions that neither the route nor the rule lists.
    pub(crate) allow: Allow,
    /// The trust levels of roles.
    trust_levels: BTreeMap<String, u32>,
}

/// A topic or procedure of a realm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealmUri<'a> {
    pub(crate) realm: &'a str,
    pub(crate) uri: &'a str,
}

impl RouteAccess {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            rules: config.rules.clone(),
            default_unrouted: (config.unrouted == Unrouted::Broadcast).then(Allow::default),
            authenticator: config.auth.authenticator.clone(),
            allow: config.allow.clone(),
            trust_levels: config.trust_levels.clone(),
        }
    }

    /// Returns the trust level of a session's publications and calls: the highest of its roles. `None` without
    /// levels in the settings.
    pub(crate) fn trust_level(&self, session: &Session) -> Option<u32> {
        if self.trust_levels.is_empty() {
            return None;
        }
        let levels = session.identity.roles.iter().filter_map(|role| self.trust_levels.get(role));
        Some(levels.copied().max().unwrap_or_default())
    }

    /// Returns whether there are rules.
    pub(crate) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Returns the rule for a topic without a route.
    pub(crate) fn rule(&self, topic: RealmUri<'_>) -> Option<&Rule> {
        Rule::find(&self.rules, topic.realm, topic.uri)
    }

    /// Returns the roles for a topic without a route, by its rule or by `unrouted`; `None` if neither
    /// admits it. Topics and procedures of the router itself need a rule.
    pub(crate) fn of_unrouted(&self, topic: RealmUri<'_>) -> Option<AccessLists<'_>> {
        let default_unrouted = || {
            self.default_unrouted
                .as_ref()
                .filter(|_| !is_reserved(topic.uri))
                .map(|own| AccessLists { own, default: Some(&self.allow), rule: None })
        };
        self.rule(topic).map(AccessLists::of_rule).or_else(default_unrouted)
    }

    /// Returns the rules with an authorizer that a pattern of clients in a realm meets.
    pub(crate) fn judges<'a>(
        &'a self,
        realm: &'a str,
        policy: MatchPolicy,
        pattern: &'a str,
    ) -> impl Iterator<Item = &'a Rule> {
        let is_here = move |rule: &&Rule| rule.realm.as_ref().is_none_or(|it| it == realm);
        let judges = self.rules.iter().filter(|rule| rule.authorizer.is_some()).filter(is_here);
        judges.filter(move |rule| rule.meets(policy, pattern))
    }

    /// Returns the authorizers with the positions of their rules.
    pub(crate) fn authorizers(&self) -> impl Iterator<Item = (usize, &str)> {
        let rules = self.rules.iter().enumerate();
        rules.filter_map(|(at, rule)| Some((at, rule.authorizer.as_deref()?)))
    }

    /// Returns whether others have the same rules.
    pub(crate) fn has_rules_of(&self, other: &Self) -> bool {
        self.rules == other.rules
    }

    /// Returns the roles for all topics of a realm that may have no route, but those of the router itself.
    pub(crate) fn all_unrouted<'a>(
        &'a self,
        realm: &'a str,
    ) -> impl Iterator<Item = AccessLists<'a>> {
        let is_here = move |rule: &&Rule| {
            rule.realm.as_ref().is_none_or(|it| it == realm) && !is_reserved(&rule.uri)
        };
        let default_unrouted = self.default_unrouted.iter().map(|own| AccessLists {
            own,
            default: Some(&self.allow),
            rule: None,
        });
        self.rules.iter().filter(is_here).map(AccessLists::of_rule).chain(default_unrouted)
    }

    /// Returns the roles for the topics of a route.
    pub(crate) fn of_route<'a>(&'a self, route: &'a Route) -> AccessLists<'a> {
        AccessLists { own: &route.allow, default: Some(&self.allow), rule: None }
    }
}

/// The roles that decide about a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessLists<'a> {
    /// Those of the route or the rule.
    pub(crate) own: &'a Allow,
    /// Those for actions that the route does not list; a rule lists all.
    default: Option<&'a Allow>,
    /// The rule, if there is no route.
    pub(crate) rule: Option<&'a Rule>,
}

impl<'a> AccessLists<'a> {
    fn of_rule(rule: &'a Rule) -> Self {
        Self { own: &rule.allow, default: None, rule: Some(rule) }
    }

    /// Returns the roles that may perform an action; `None` if all may.
    pub(crate) fn roles(self, action: Action) -> Option<&'a [String]> {
        self.own.roles(action).or_else(|| self.default?.roles(action))
    }

    /// Returns the restricted actions with the places of their lists.
    pub(crate) fn restrictions(self) -> Vec<Restriction<'a>> {
        const NONE: &Allow = &Allow::NONE;
        restrictions(self.own, self.default.unwrap_or(NONE)).collect()
    }

    /// Returns the roles of each restricted action, and the place of each list, for programs. `own` is the
    /// place of the lists of the route or of the rule.
    pub(crate) fn json(self, own: &str) -> (Map<String, Value>, Map<String, Value>) {
        let (mut allow, mut allow_from) = (Map::new(), Map::new());
        for Restriction { action, roles, origin } in self.restrictions() {
            let origin = match origin {
                RestrictionOrigin::Route => own,
                RestrictionOrigin::Configuration => origin.key(),
            };
            allow.insert(action.key().to_owned(), json!(roles));
            allow_from.insert(action.key().to_owned(), json!(origin));
        }
        (allow, allow_from)
    }
}

/// Returns a rule for programs, without its roles.
pub(crate) fn rule_json(rule: &Rule) -> Value {
    let Rule { realm, uri, policy, authorizer, disclose, .. } = rule;
    let mut shown = Map::new();
    shown.insert("uri".to_owned(), json!(uri));
    shown.insert("match".to_owned(), json!(policy.name()));
    shown.insert("realm".to_owned(), json!(realm));
    // Absent where they have no effect.
    shown.extend(authorizer.as_ref().map(|it| ("authorizer".to_owned(), json!(it))));
    shown.extend(disclose.then(|| ("disclose".to_owned(), json!(true))));
    Value::Object(shown)
}

impl Generation {
    /// Replaces the access by the settings.
    pub(crate) fn with_access(self, access: Arc<RouteAccess>) -> Self {
        Self { access, ..self }
    }

    /// Returns the access by the settings.
    pub(crate) fn access(&self) -> &RouteAccess {
        &self.access
    }
}
