//! Syntax of URIs and patterns. The protocol passes URIs on unchecked; the dispatcher checks them
//! with this module and answers `wamp.error.invalid_uri`. Version 1 validates nothing: its topics
//! may hold `#` and any other character.
//!
//! The rules are the loose ones (WAMP v2 specification, section "URIs"): letters of any script,
//! `/`, `*` and upper case are valid, so that `acme/chat/*` and `oro/ping` are URIs of one
//! component.

/// Match policy of a subscription or registration (the option `match`). WAMP v2 specification,
/// section "Pattern-based Subscription".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum MatchPolicy {
    /// Matches the URI itself.
    #[default]
    Exact,
    /// Matches every URI with this prefix, even inside a component.
    Prefix,
    /// Matches any one component where a component is empty.
    Wildcard,
}

impl MatchPolicy {
    /// Returns the policy that an option's value names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "exact" => Some(Self::Exact),
            "prefix" => Some(Self::Prefix),
            "wildcard" => Some(Self::Wildcard),
            _ => None,
        }
    }

    /// Returns the option's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefix => "prefix",
            Self::Wildcard => "wildcard",
        }
    }

    /// Returns whether a pattern of this policy matches the URI.
    pub fn matches(self, pattern: &str, uri: &str) -> bool {
        match self {
            Self::Exact => pattern == uri,
            Self::Prefix => uri.starts_with(pattern),
            Self::Wildcard => {
                let mut components = uri.split('.');
                let mut parts = pattern.split('.');
                let all = parts
                    .all(|part| components.next().is_some_and(|it| part.is_empty() || part == it));
                all && components.next().is_none()
            }
        }
    }
}

/// Returns whether the text is a URI: components separated by dots, none empty, without white space
/// and without `#`.
pub fn is_uri(text: &str) -> bool {
    text.split('.').all(|component| !component.is_empty() && is_component(component))
}

/// Returns whether the text is a URI or a pattern of that policy. A prefix may end with a dot, or
/// be empty and match everything; a wildcard may have empty components anywhere.
pub fn is_pattern(text: &str, policy: MatchPolicy) -> bool {
    match policy {
        MatchPolicy::Exact => is_uri(text),
        MatchPolicy::Prefix => text.is_empty() || is_uri(text.strip_suffix('.').unwrap_or(text)),
        MatchPolicy::Wildcard => text.split('.').all(is_component),
    }
}

/// Returns whether the URI is reserved for the router: its first component is `wamp` (WAMP v2
/// specification, section "Reserved URIs").
pub fn is_reserved(text: &str) -> bool {
    text.strip_prefix("wamp").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn is_component(text: &str) -> bool {
    !text.chars().any(|letter| letter == '#' || letter.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_reserved_uris() {
        let check = |text: &str, expect: bool| assert_eq!(is_reserved(text), expect, "{text:?}");
        check("wamp", true);
        check("wamp.session.on_join", true);
        check("wamp.", true);
        check("wampum.x", false);
        check("com.wamp.x", false);
        check("WAMP.x", false);
        check("", false);
    }

    #[test]
    fn matches_patterns() {
        use MatchPolicy::{Exact, Prefix, Wildcard};
        let check = |policy: MatchPolicy, pattern: &str, uri: &str, expect: bool| {
            assert_eq!(policy.matches(pattern, uri), expect, "{policy:?} {pattern:?} {uri:?}");
        };
        check(Exact, "com.a", "com.a", true);
        check(Exact, "com.a", "com.a.b", false);
        check(Prefix, "com.a", "com.ab", true);
        check(Prefix, "com.a.", "com.a", false);
        check(Prefix, "", "com", true);
        check(Wildcard, "com..b", "com.a.b", true);
        check(Wildcard, "com..b", "com.a.a.b", false);
        check(Wildcard, "com..b", "com.b", false);
        check(Wildcard, "com..", "com.a.b", true);
        check(Wildcard, "com..", "com.a", false);
        check(Wildcard, "", "com", true);
        check(Wildcard, "", "com.a", false);
    }

    #[test]
    fn validates_uris() {
        let check = |text: &str, expect: bool| assert_eq!(is_uri(text), expect, "{text:?}");
        check("com.example.topic", true);
        check("oro/ping", true);
        check("acme/chat/*", true);
        check("http://example.com/simple", true);
        check("Ünïcode.Größe", true);
        check("", false);
        check(".", false);
        check("com.", false);
        check(".com", false);
        check("com..b", false);
        check("com.a b", false);
        check("com.a\u{a0}b", false);
        check("http://example.com/simple#x", false);
    }

    #[test]
    fn validates_patterns() {
        use MatchPolicy::{Exact, Prefix, Wildcard};
        let check = |text: &str, policy: MatchPolicy, expect: bool| {
            assert_eq!(is_pattern(text, policy), expect, "{text:?} {policy:?}");
        };
        check("com.a", Exact, true);
        check("com.a.", Exact, false);
        check("", Exact, false);
        check("", Prefix, true);
        check("com.a.", Prefix, true);
        check("com.a", Prefix, true);
        check(".", Prefix, false);
        check("com..", Prefix, false);
        check("com..b", Prefix, false);
        check("com..b", Wildcard, true);
        check("..", Wildcard, true);
        check("", Wildcard, true);
        check(".com", Wildcard, true);
        check("com.a b", Wildcard, false);
        check("com.#", Wildcard, false);
    }
}
