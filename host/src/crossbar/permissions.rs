//! Roles with static permissions become rules.
//!
//! In Crossbar, each role has a list of its own. For a topic, the longest entry that begins it counts: one
//! without `match: prefix` only if it is the topic itself. A wildcard counts before them; of several
//! wildcards, the one with the longest text before its first open component. Of two entries for one URI,
//! the last counts.
//!
//! A rule has the roles of all these lists for one pattern: those that have the right for each of its
//! topics. A role that has it for some of them alone is left out, and this is noted.

use std::cmp::Reverse;
use std::collections::HashSet;

use jackfield_routing::Action;
use jackfield_wamp::uri::MatchPolicy;

use super::Note;
use super::authentication::Grant;
use super::section::Section;
use super::yaml::{list, map, text};

/// The role of sessions without authentication.
const ANONYMOUS: &str = "anonymous";
/// The maximum number of entries of all roles: each is compared with all others.
const MAX_ENTRIES: usize = 4_000;

/// A realm with its roles.
#[derive(Debug)]
pub(super) struct RealmRoles {
    pub(super) name: String,
    roles: Vec<Role>,
}

#[derive(Debug)]
struct Role {
    name: String,
    place: String,
    permissions: Vec<Permission>,
}

/// An entry of a role's list.
#[derive(Clone, Debug)]
struct Permission {
    pattern: Pattern,
    allowed: Vec<Action>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pattern {
    policy: MatchPolicy,
    uri: String,
}

/// An entry cannot be converted.
struct Unconverted;

impl RealmRoles {
    /// Reads a realm; `None` without a name.
    pub(super) fn read(mut realm: Section, notes: &mut Vec<Note>) -> Option<Self> {
        realm.ignore(&["id"]);
        let Some(name) = realm.text("name", notes) else {
            realm.note("the realm has no name, and is left out", notes);
            return None;
        };
        let mut roles: Vec<Role> = Vec::new();
        for role in realm.list("roles", notes) {
            let Some(role) = Role::read(role, notes) else { continue };
            if let Some(earlier) = roles.iter_mut().find(|it| it.name == role.name) {
                let message = "a role of this name comes earlier, and is replaced".to_owned();
                notes.push(Note { place: role.place.clone(), message });
                *earlier = role;
            } else {
                roles.push(role);
            }
        }
        if let Some(store) = realm.take("store") {
            let message = "write `history` for the routes whose events are kept: docs/history.md";
            store.note(message, notes);
        }
        realm.finish(notes);
        Some(Self { name, roles })
    }

    /// Returns the number of entries of all roles.
    pub(super) fn entries(&self) -> usize {
        self.roles.iter().map(|role| role.permissions.len()).sum()
    }
}

impl Role {
    fn read(mut role: Section, notes: &mut Vec<Note>) -> Option<Self> {
        role.ignore(&["id"]);
        let Some(name) = role.text("name", notes) else {
            role.note("the role has no name, and is left out", notes);
            return None;
        };
        let mut read = Self { name, place: role.place().to_owned(), permissions: Vec::new() };
        let mut is_whole = true;
        for permission in role.list("permissions", notes) {
            match Permission::read(permission, notes) {
                Ok(permission) => read.add(permission),
                Err(Unconverted) => is_whole = false,
            }
        }
        if let Some(authorizer) = role.take("authorizer") {
            let message = "a procedure that authorizes: write rules for the role, or a plugin; until then, \
                           the role may do nothing";
            authorizer.note(message, notes);
            read.permissions.clear();
        }
        if !is_whole {
            let message =
                "an entry is not converted, and might have denied a right: the role may do nothing";
            role.note(message, notes);
            read.permissions.clear();
        }
        role.ignore(&["disclose"]);
        role.finish(notes);
        read.hide();
        Some(read)
    }

    /// Adds an entry in place of one that it replaces.
    fn add(&mut self, permission: Permission) {
        let same = |it: &Permission| it.pattern.slot() == permission.pattern.slot();
        self.permissions.retain(|it| !same(it));
        self.permissions.push(permission);
    }

    /// Adds the denials of entries for single topics: they hide shorter prefixes from the topics that
    /// begin with their text.
    fn hide(&mut self) {
        let of = |policy: MatchPolicy| {
            self.permissions.iter().filter(move |it| it.pattern.policy == policy)
        };
        let is_hiding = |uri: &str| {
            let mut prefixes = of(MatchPolicy::Prefix);
            prefixes.any(|it| uri.starts_with(&it.pattern.uri) && !it.allowed.is_empty())
        };
        let single = of(MatchPolicy::Exact).map(|it| &it.pattern.uri);
        let hidden: Vec<Permission> = single
            .filter(|uri| is_hiding(uri))
            .map(|uri| {
                let pattern = Pattern { policy: MatchPolicy::Prefix, uri: uri.clone() };
                Permission { pattern, allowed: Vec::new() }
            })
            .collect();
        self.permissions.extend(hidden);
    }

    /// Returns the actions that the role may perform on each topic of a pattern, and whether it has more
    /// rights on some of them. `is_decided` is true of patterns whose rules come earlier.
    fn allowed(
        &self,
        pattern: &Pattern,
        is_decided: impl Fn(&Pattern) -> bool,
    ) -> (Vec<Action>, bool) {
        // The meta API is opened on purpose alone, and not by an entry for all URIs.
        let is_reserved = jackfield_wamp::uri::is_reserved(&pattern.uri);
        let is_able =
            |it: &&Permission| !is_reserved || jackfield_wamp::uri::is_reserved(&it.pattern.uri);
        let covering = self.permissions.iter().filter(|it| it.pattern.covers(pattern));
        let covering = covering.filter(is_able);
        let cover = covering.min_by_key(|it| it.pattern.rank());
        let rank = cover.map(|it| it.pattern.rank());
        let mut allowed = cover.map_or(Vec::new(), |it| it.allowed.clone());
        let mut loses = false;
        let others = self.permissions.iter().filter(|it| {
            let is_cover = cover.is_some_and(|cover| cover.pattern == it.pattern);
            !is_cover && it.pattern.meets(pattern) && !is_decided(&it.pattern)
        });
        for other in others {
            let counts = rank.is_none_or(|rank| other.pattern.rank() < rank)
                || cover.is_some_and(|it| it.pattern.may_yield(self));
            if counts {
                let before = allowed.len();
                allowed.retain(|action| other.allowed.contains(action));
                let has_more = other.allowed.iter().any(|action| !allowed.contains(action));
                loses |= before > allowed.len() || has_more;
            }
        }
        if cover.is_some_and(|it| it.pattern.may_yield(self))
            && !self
                .permissions
                .iter()
                .any(|it| it.pattern.policy != MatchPolicy::Wildcard && it.pattern.covers(pattern))
        {
            loses |= !allowed.is_empty();
            allowed.clear();
        }
        (allowed, loses)
    }
}

impl Permission {
    fn read(mut permission: Section, notes: &mut Vec<Note>) -> Result<Self, Unconverted> {
        let uri = permission.text("uri", notes).ok_or(Unconverted)?;
        let (uri, policy) = match permission.text_or("match", notes).map_err(|()| Unconverted)? {
            Some(name) => {
                let Some(policy) = MatchPolicy::from_name(&name) else {
                    permission.note(&format!("`{name}` is no value of `match`"), notes);
                    return Err(Unconverted);
                };
                (uri, policy)
            }
            None => starred(uri),
        };
        let policy = match policy {
            // An entry for all topics.
            MatchPolicy::Exact if uri.is_empty() => MatchPolicy::Prefix,
            policy => policy,
        };
        if policy == MatchPolicy::Wildcard && !uri.contains("..") {
            permission.note("Crossbar compares a wildcard without `..` as plain text", notes);
            return Err(Unconverted);
        }
        let has_star = uri.split('.').any(|part| part == "*");
        if has_star || !jackfield_wamp::uri::is_pattern(&uri, policy) {
            permission.note("the URI is not valid for a rule", notes);
            return Err(Unconverted);
        }
        let mut allowed = Vec::new();
        if let Some(mut allow) = permission.take("allow") {
            for action in Action::ALL {
                if allow.flag(action.key(), notes) {
                    allowed.push(action);
                }
            }
            allow.finish(notes);
        }
        let opens_meta = allowed.contains(&Action::Call) || allowed.contains(&Action::Subscribe);
        if opens_meta && policy == MatchPolicy::Prefix && "wam".starts_with(&uri) {
            let message =
                "the meta API stays closed: if the role needs it, add it to a rule for `wamp.`";
            permission.note(message, notes);
        }
        if let Some(mut disclose) = permission.take("disclose")
            && (disclose.flag("caller", notes) | disclose.flag("publisher", notes))
        {
            let message =
                "callers and publishers are disclosed only if they ask for it (`disclose_me`)";
            disclose.note(message, notes);
        }
        if let Some(validate) = permission.take("validate") {
            validate.note("check payloads in a plugin", notes);
        }
        permission.ignore(&["cache"]);
        permission.finish(notes);
        Ok(Self { pattern: Pattern { policy, uri }, allowed })
    }
}

/// Returns the pattern of an entry without `match`: a star at the end is a prefix, and one between dots is
/// a wildcard.
fn starred(uri: String) -> (String, MatchPolicy) {
    if let Some(prefix) = uri.strip_suffix('*').filter(|it| !it.contains('*')) {
        return (prefix.to_owned(), MatchPolicy::Prefix);
    }
    if uri.split('.').any(|part| part == "*") {
        let parts = uri.split('.').map(|part| if part == "*" { "" } else { part });
        return (parts.collect::<Vec<_>>().join("."), MatchPolicy::Wildcard);
    }
    (uri, MatchPolicy::Exact)
}

impl Pattern {
    /// The order of rules: single topics, wildcards, then the longest prefix.
    fn rank(&self) -> (u8, Reverse<usize>) {
        match self.policy {
            MatchPolicy::Exact => (0, Reverse(0)),
            MatchPolicy::Wildcard => (1, Reverse(self.stem().len())),
            MatchPolicy::Prefix => (2, Reverse(self.uri.len())),
        }
    }

    /// The key of Crossbar: one entry replaces another with the same one.
    fn slot(&self) -> (bool, &str) {
        let is_wildcard = self.policy == MatchPolicy::Wildcard;
        (is_wildcard, if is_wildcard { self.stem() } else { &self.uri })
    }

    /// The text before the first open component of a wildcard.
    fn stem(&self) -> &str {
        self.uri.find("..").and_then(|at| self.uri.get(..at)).unwrap_or(&self.uri)
    }

    /// The text with which each topic of the pattern begins.
    fn fixed(&self) -> &str {
        match self.policy {
            MatchPolicy::Exact | MatchPolicy::Prefix => &self.uri,
            MatchPolicy::Wildcard if self.uri.starts_with('.') => "",
            MatchPolicy::Wildcard => self.stem(),
        }
    }

    /// Returns whether it matches each topic of the other pattern.
    fn covers(&self, other: &Self) -> bool {
        match (self.policy, other.policy) {
            (policy, MatchPolicy::Exact) => policy.matches(&self.uri, &other.uri),
            (MatchPolicy::Prefix, _) => other.fixed().starts_with(&self.uri),
            _ => self == other,
        }
    }

    /// Returns whether a topic may match both.
    fn meets(&self, other: &Self) -> bool {
        let (one, two) = (self.fixed(), other.fixed());
        match (self.policy, other.policy) {
            (MatchPolicy::Exact, _) => other.covers(self),
            (_, MatchPolicy::Exact) => self.covers(other),
            // More often than they do.
            _ => one.starts_with(two) || two.starts_with(one),
        }
    }

    /// Returns whether another wildcard of the role may be tried in place of this one: Crossbar tries one
    /// of them alone, and the other entries if it does not match.
    fn may_yield(&self, role: &Role) -> bool {
        self.policy == MatchPolicy::Wildcard
            && role.permissions.iter().any(|it| {
                it.pattern.policy == MatchPolicy::Wildcard
                    && it.pattern != *self
                    && it.pattern.stem().starts_with(self.stem())
            })
    }
}

/// Returns the rules of all realms, one a line, in the order in which they count. Sessions without
/// authentication have the rights that each of `grants` has.
pub(super) fn rules(
    realms: &[RealmRoles],
    grants: &[Grant],
    notes: &mut Vec<Note>,
) -> Result<Vec<String>, &'static str> {
    if realms.iter().map(RealmRoles::entries).sum::<usize>() > MAX_ENTRIES {
        return Err("there are more than 4000 permissions");
    }
    let mut rules = Vec::new();
    for realm in realms {
        let all = realm.roles.iter().flat_map(|role| &role.permissions).map(|it| &it.pattern);
        let mut patterns: Vec<&Pattern> = all.collect::<HashSet<_>>().into_iter().collect();
        patterns.sort_by_key(|pattern| (pattern.rank(), &pattern.uri));
        let mut decided: HashSet<&Pattern> = HashSet::new();
        for pattern in patterns {
            let mut able: Vec<(&str, Vec<Action>)> = Vec::new();
            for role in &realm.roles {
                let (allowed, loses) = role.allowed(pattern, |it| decided.contains(it));
                if loses {
                    let message = format!(
                        "the role has fewer rights at topics of `{}` ({}) than in Crossbar",
                        pattern.uri,
                        pattern.policy.name()
                    );
                    notes.push(Note { place: role.place.clone(), message });
                }
                able.push((role.name.as_str(), allowed));
            }
            decided.insert(pattern);
            let allow = Action::ALL.map(|action| {
                let may = |name: &str| {
                    able.iter().any(|(role, allowed)| *role == name && allowed.contains(&action))
                };
                let others = able.iter().map(|(role, _)| *role).filter(|role| *role != ANONYMOUS);
                let mut names: Vec<&str> = others.filter(|role| may(role)).collect();
                let is_granted = |grant: &Grant| {
                    grant.realm.as_ref().is_none_or(|it| *it == realm.name) && may(&grant.role)
                };
                if !grants.is_empty() && grants.iter().all(is_granted) {
                    names.push(ANONYMOUS);
                }
                (action.key(), list(&names))
            });
            let policy = pattern.policy;
            let policy =
                (policy != MatchPolicy::Exact).then(|| ("match", policy.name().to_owned()));
            let own_realm = (realms.len() > 1).then(|| ("realm", text(&realm.name)));
            let keys = [("uri", text(&pattern.uri))].into_iter().chain(policy).chain(own_realm);
            rules.push(map(keys.chain([("allow", map(allow))])));
        }
    }
    Ok(rules)
}
