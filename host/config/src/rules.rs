//! Setting `rules`: access to topics and procedures without a route, by URI pattern.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

use jackfield_routing::Allow;
use jackfield_text::Untrusted;
use jackfield_wamp::uri::{self, MatchPolicy};
use jackfield_yaml::ValueError;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::access::RawAction;

/// The maximum number of rules: each is compared with the topic until one matches.
const MAX_RULES: usize = 1_000;

/// Access to the topics and procedures that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The only realm of the rule; `None` is all realms.
    pub realm: Option<String>,
    /// The pattern.
    pub uri: String,
    /// The meaning of the pattern.
    pub policy: MatchPolicy,
    /// The roles for each action. One without a list is for all roles.
    pub allow: Allow,
    /// The handler of a plugin that decides about actions which `allow` admits.
    pub authorizer: Option<String>,
    /// Whether publishers and callers are disclosed, also if they do not ask for it.
    pub disclose: bool,
    /// Those of a wildcard.
    components: Vec<String>,
}

/// The roles of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Roles {
    Listed(Vec<String>),
    Everyone,
}

/// The word for all roles.
const EVERYONE: &str = "everyone";

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RolesVisitor)
    }
}

struct RolesVisitor;

impl<'de> Visitor<'de> for RolesVisitor {
    type Value = Roles;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of roles, or `everyone`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Roles, E> {
        if text == EVERYONE {
            return Ok(Roles::Everyone);
        }
        let text = Untrusted::new(text);
        Err(E::custom(format!("`{text}` is no list of roles\nwrite [{text}], or `everyone`")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Roles, A::Error> {
        let mut roles = Vec::new();
        while let Some(role) = list.next_element::<String>()? {
            if role == EVERYONE {
                let message = format!("`{EVERYONE}` is no role\nwrite {EVERYONE} without brackets");
                return Err(A::Error::custom(message));
            }
            roles.push(role);
        }
        Ok(Roles::Listed(roles))
    }
}

impl Rule {
    /// Returns the first rule for this topic or procedure of a realm. One of the router itself (`wamp.…`)
    /// needs a rule that begins with `wamp`, so that a rule for all topics does not open it.
    pub fn find<'r>(rules: &'r [Self], realm: &str, uri: &str) -> Option<&'r Self> {
        // Split once, for all wildcards.
        let components = OnceCell::new();
        let matches = |rule: &&Self| match rule.policy {
            MatchPolicy::Wildcard => {
                let components = components.get_or_init(|| uri.split('.').collect::<Vec<_>>());
                rule.components.len() == components.len()
                    && rule
                        .components
                        .iter()
                        .zip(components)
                        .all(|(own, it)| own.is_empty() || own == it)
            }
            policy => policy.matches(&rule.uri, uri),
        };
        let is_reserved = uri::is_reserved(uri);
        let is_here = |rule: &&Self| {
            rule.realm.as_ref().is_none_or(|it| it == realm)
                && (!is_reserved || uri::is_reserved(&rule.uri))
        };
        rules.iter().filter(is_here).find(matches)
    }

    /// Returns a rule that opens all URIs with a beginning to everyone.
    pub fn open(beginning: &str) -> Self {
        Self::new(None, beginning.to_owned(), MatchPolicy::Prefix, Allow::default())
    }

    fn new(realm: Option<String>, uri: String, policy: MatchPolicy, allow: Allow) -> Self {
        let is_wildcard = policy == MatchPolicy::Wildcard;
        let components = uri.split('.').filter(|_| is_wildcard).map(str::to_owned).collect();
        Self { realm, uri, policy, allow, authorizer: None, disclose: false, components }
    }

    /// Returns whether a pattern of a client and the rule may have a URI in common. Patterns get nothing of
    /// the router itself.
    pub fn meets(&self, policy: MatchPolicy, pattern: &str) -> bool {
        !uri::is_reserved(&self.uri)
            && match (self.policy, policy) {
                (MatchPolicy::Exact, _) => policy.matches(pattern, &self.uri),
                (_, MatchPolicy::Exact) => self.policy.matches(&self.uri, pattern),
                (MatchPolicy::Prefix, MatchPolicy::Prefix) => {
                    self.uri.starts_with(pattern) || pattern.starts_with(&self.uri)
                }
                (MatchPolicy::Prefix, MatchPolicy::Wildcard) => begins(&self.uri, pattern),
                (MatchPolicy::Wildcard, MatchPolicy::Prefix) => begins(pattern, &self.uri),
                (MatchPolicy::Wildcard, MatchPolicy::Wildcard) => {
                    let theirs = pattern.split('.');
                    theirs.clone().count() == self.components.len()
                        && self
                            .components
                            .iter()
                            .zip(theirs)
                            .all(|(own, it)| own.is_empty() || it.is_empty() || own == it)
                }
            }
    }
}

/// Returns whether any URI of a wildcard may begin with a text.
fn begins(beginning: &str, wildcard: &str) -> bool {
    let mut components = wildcard.split('.');
    let mut parts = beginning.split('.').peekable();
    while let Some(part) = parts.next() {
        let Some(component) = components.next() else { return false };
        // The last part may be the beginning of a component.
        let is_last = parts.peek().is_none();
        let fits = if is_last { component.starts_with(part) } else { component == part };
        if !fits && !component.is_empty() {
            return false;
        }
    }
    true
}

/// A rule whose keys go together.
#[derive(serde::Deserialize)]
#[serde(try_from = "RuleKeys")]
pub(super) struct RawRule(Rule);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleKeys {
    uri: String,
    #[serde(default, rename = "match")]
    policy: RawPolicy,
    realm: Option<String>,
    allow: Option<BTreeMap<RawAction, Roles>>,
    authorizer: Option<String>,
    #[serde(default)]
    disclose: bool,
}

/// Values of the WAMP option `match`.
#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawPolicy {
    #[default]
    Exact,
    Prefix,
    Wildcard,
}

impl From<RawPolicy> for MatchPolicy {
    fn from(written: RawPolicy) -> Self {
        match written {
            RawPolicy::Exact => Self::Exact,
            RawPolicy::Prefix => Self::Prefix,
            RawPolicy::Wildcard => Self::Wildcard,
        }
    }
}

impl TryFrom<RuleKeys> for RawRule {
    type Error = String;

    fn try_from(keys: RuleKeys) -> Result<Self, String> {
        let RuleKeys { uri, policy, realm, allow: written, authorizer, disclose } = keys;
        if authorizer.as_ref().is_some_and(String::is_empty) {
            return Err("`authorizer` is empty\nwrite the name of a handler of a plugin".to_owned());
        }
        let mut allow = Allow::default();
        match (written, &authorizer) {
            (Some(mut written), _) => {
                for action in RawAction::ALL {
                    match written.remove(&action) {
                        Some(Roles::Everyone) => {}
                        Some(Roles::Listed(roles)) => allow.set(action.into(), roles),
                        None => allow.set(action.into(), Vec::new()),
                    }
                }
            }
            // The authorizer alone decides.
            (None, Some(_)) => {}
            (None, None) => {
                let help = "write the roles of each action, or `authorizer: NAME`";
                return Err(format!("the key `allow` is missing\n{help}"));
            }
        }
        Ok(Self(Rule { authorizer, disclose, ..Rule::new(realm, uri, policy.into(), allow) }))
    }
}

impl From<RawRule> for Rule {
    fn from(RawRule(rule): RawRule) -> Self {
        rule
    }
}

/// Returns the errors of rules that are valid one by one.
pub(super) fn mistakes(rules: &[Rule], realms: &[String]) -> Vec<ValueError> {
    let mut wrongs = Vec::new();
    if rules.len() > MAX_RULES {
        let message = format!("there are {} rules; the maximum is {MAX_RULES}", rules.len());
        let help = "replace rules for single topics by one with `match: prefix`";
        return vec![ValueError::at("rules", message, help)];
    }
    for (at, rule) in rules.iter().enumerate() {
        let mut wrong = |key: &str, message: String, help: &str| {
            wrongs.push(ValueError::at(&format!("rules.{at}.{key}"), message, help));
        };
        let Rule { realm, uri, policy, .. } = rule;
        let shown = Untrusted::new(uri);
        if !uri::is_pattern(uri, *policy) {
            let message = format!("`{shown}` is not a URI for `match: {}`", policy.name());
            wrong(
                "uri",
                message,
                match policy {
                    MatchPolicy::Exact => {
                        "write a URI such as com.example.ping, or add `match: prefix`"
                    }
                    MatchPolicy::Prefix => "write the beginning of a URI, such as com.example.",
                    MatchPolicy::Wildcard => "leave out components, as in com.example..status",
                },
            );
        }
        let is_star = |component: &str| component == "*";
        if uri.split('.').any(is_star) {
            let message = format!("a star in `{shown}` is plain text");
            let help = "write `match: prefix` and leave out the star at the end, or `match: wildcard` and leave \
                        the component empty";
            wrong("uri", message, help);
        }
        if let Some(realm) = realm.as_ref().filter(|realm| !realms.contains(realm)) {
            let message = format!("there is no realm `{}`", Untrusted::new(realm));
            wrong("realm", message, "add it to `realms`, or correct the name");
        }
        let earlier = rules.iter().take(at).position(|earlier| earlier.hides(rule));
        if let Some(earlier) = earlier {
            let message =
                format!("rule {} has no effect: rule {} comes first", at + 1, earlier + 1);
            wrong("uri", message, "put the rule for fewer topics first, or remove one of them");
        }
    }
    wrongs
}

impl Rule {
    /// Returns whether the rule takes every topic of a later one, as far as that is easily seen.
    fn hides(&self, later: &Self) -> bool {
        let takes = match (self.policy, later.policy) {
            (MatchPolicy::Prefix, MatchPolicy::Wildcard) => {
                // The text before the first open component begins each of its topics.
                let end = later.uri.find("..").map(|at| at + 1);
                let end = if later.uri.starts_with('.') { Some(0) } else { end };
                let ends_open = later.uri.ends_with('.').then_some(later.uri.len());
                let fixed = end.or(ends_open).and_then(|end| later.uri.get(..end));
                fixed.unwrap_or(&later.uri).starts_with(&self.uri)
            }
            (policy, MatchPolicy::Exact) => policy.matches(&self.uri, &later.uri),
            (MatchPolicy::Prefix, MatchPolicy::Prefix) => later.uri.starts_with(&self.uri),
            (one, other) => one == other && self.uri == later.uri,
        };
        let is_reserved = uri::is_reserved(&later.uri) && !uri::is_reserved(&self.uri);
        takes && !is_reserved && (self.realm.is_none() || self.realm == later.realm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(policy: MatchPolicy, uri: &str, realm: Option<&str>) -> Rule {
        let (realm, uri) = (realm.map(str::to_owned), uri.to_owned());
        Rule::new(realm, uri, policy, Allow::default())
    }

    #[test]
    fn names_of_the_router_need_a_rule_that_begins_with_wamp() {
        let all = rule(MatchPolicy::Prefix, "", None);
        let own = rule(MatchPolicy::Prefix, "wamp.session.", None);
        let rules = [all.clone(), own.clone()];
        assert_eq!(Rule::find(&rules, "shop", "wamp.session.list"), Some(&own));
        assert_eq!(Rule::find(&rules, "shop", "wamp.subscription.list"), None);
        assert_eq!(Rule::find(&rules, "shop", "wampum"), Some(&all));
        assert!(!all.hides(&own));
    }

    #[test]
    fn a_rule_can_be_of_one_realm() {
        let all = rule(MatchPolicy::Prefix, "com.", None);
        let shop = rule(MatchPolicy::Prefix, "com.", Some("shop"));
        let rules = [shop.clone(), all.clone()];
        assert_eq!(Rule::find(&rules, "realm1", "com.a"), Some(&all));
        assert_eq!(Rule::find(&rules, "shop", "com.a"), Some(&shop));
        assert_eq!(Rule::find(&rules, "shop", "org.a"), None);
        assert!(all.hides(&shop) && !shop.hides(&all));
    }

    #[test]
    fn finds_the_rules_that_a_pattern_meets() {
        use MatchPolicy::{Exact, Prefix, Wildcard};
        let check = |own: (MatchPolicy, &str), pattern: (MatchPolicy, &str), expect: bool| {
            let meets = rule(own.0, own.1, None).meets(pattern.0, pattern.1);
            assert_eq!(meets, expect, "{own:?} {pattern:?}");
        };
        check((Exact, "com.a"), (Prefix, "com."), true);
        check((Exact, "com.a"), (Wildcard, ".b"), false);
        check((Prefix, "com.a."), (Prefix, ""), true);
        check((Prefix, "com.a."), (Prefix, "com.a.b"), true);
        check((Prefix, "com.a."), (Prefix, "com.b"), false);
        check((Prefix, "com.a."), (Wildcard, "com..x"), true);
        check((Prefix, "com.a."), (Wildcard, "com.b."), false);
        check((Prefix, "com.a."), (Wildcard, "com.a"), false);
        check((Prefix, "com.a"), (Wildcard, "com.abc."), true);
        check((Wildcard, "com..x"), (Prefix, "com.a"), true);
        check((Wildcard, "com..x"), (Prefix, "org"), false);
        check((Wildcard, "com..x"), (Wildcard, ".a."), true);
        check((Wildcard, "com..x"), (Wildcard, ".a.y"), false);
        check((Wildcard, "com..x"), (Wildcard, ".a"), false);
        check((Prefix, "wamp."), (Prefix, ""), false);
    }

    #[test]
    fn finds_rules_without_effect() {
        use MatchPolicy::{Exact, Prefix, Wildcard};
        let check = |one: (MatchPolicy, &str), other: (MatchPolicy, &str), expect: bool| {
            let hides = rule(one.0, one.1, None).hides(&rule(other.0, other.1, None));
            assert_eq!(hides, expect, "{one:?} {other:?}");
        };
        check((Prefix, ""), (Exact, "com"), true);
        check((Prefix, "com."), (Prefix, "com.a"), true);
        check((Prefix, "com.a"), (Prefix, "com."), false);
        check((Prefix, "com."), (Wildcard, "com..x"), true);
        check((Prefix, "com"), (Wildcard, "com..x"), true);
        check((Prefix, "com.a"), (Wildcard, "com..x"), false);
        check((Prefix, ""), (Wildcard, ""), true);
        check((Prefix, "com.a."), (Wildcard, "com.a"), false);
        check((Prefix, "com.a."), (Wildcard, "com.a."), true);
        check((Prefix, "com."), (Wildcard, ".com"), false);
        check((Wildcard, "com..x"), (Exact, "com.a.x"), true);
        check((Wildcard, "com..x"), (Prefix, "com."), false);
        check((Wildcard, "com.."), (Wildcard, "com.."), true);
        check((Exact, "com.a"), (Exact, "com.a"), true);
        check((Exact, "com.a"), (Prefix, "com.a"), false);
    }
}
