//! URI table: values by URI and match policy, and lookup of the values that match a concrete URI.
//! Subscriptions and registrations are built on it.
//!
//! Exact values take one hash lookup, prefixes one for each prefix length in use. Wildcards are a
//! trie by component, in which each node has at most one branch for a component's text and one for
//! any component: a URI visits at most as many nodes as the wildcards have components together,
//! [`MAX_WILDCARDS`] × [`MAX_WILDCARD_COMPONENTS`], with two lookups each. WAMP v2 specification,
//! sections "Pattern-based Subscriptions" and "Pattern-based Registrations".

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jackfield_wamp::uri::MatchPolicy;

/// Values by URI and pattern.
pub(crate) struct UriTable<V> {
    exact: HashMap<Arc<str>, V>,
    prefix: HashMap<Arc<str>, V>,
    /// Number of prefixes by length in bytes.
    prefix_lengths: BTreeMap<usize, usize>,
    wildcard: Node<V>,
    /// Number of wildcards.
    wildcards: usize,
}

/// Most components of a wildcard. URIs in use have less than ten.
pub const MAX_WILDCARD_COMPONENTS: usize = 16;

/// Most different wildcards of a table; its owner counts them. Holders of the same wildcard share
/// its place.
pub(crate) const MAX_WILDCARDS: usize = 10_000;

/// A trie node: the wildcards with the same leading components.
struct Node<V> {
    /// The wildcard that ends here.
    value: Option<V>,
    /// Children by a component's text.
    texts: HashMap<Box<str>, Node<V>>,
    /// The child for an empty component, which matches any.
    open: Option<Box<Node<V>>>,
}

/// The key of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) policy: MatchPolicy,
    pub(crate) uri: Arc<str>,
}

impl<V> UriTable<V> {
    /// Inserts a value, replacing an existing one.
    pub(crate) fn insert(&mut self, key: Key, value: V) {
        let Key { policy, uri } = key;
        match policy {
            MatchPolicy::Exact => {
                self.exact.insert(uri, value);
            }
            MatchPolicy::Prefix => {
                let length = uri.len();
                if self.prefix.insert(uri, value).is_none() {
                    *self.prefix_lengths.entry(length).or_default() += 1;
                }
            }
            MatchPolicy::Wildcard => {
                let new = self.wildcard.insert(uri.split('.'), value).is_none();
                self.wildcards += usize::from(new);
            }
        }
    }

    /// Removes a value.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<V> {
        match key.policy {
            MatchPolicy::Exact => self.exact.remove(&key.uri),
            MatchPolicy::Prefix => {
                let gone = self.prefix.remove(&key.uri)?;
                if let Some(count) = self.prefix_lengths.get_mut(&key.uri.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.prefix_lengths.remove(&key.uri.len());
                    }
                }
                Some(gone)
            }
            MatchPolicy::Wildcard => {
                let gone = self.wildcard.remove(key.uri.split('.'))?;
                self.wildcards -= 1;
                Some(gone)
            }
        }
    }

    /// Returns the value of a URI or pattern.
    pub(crate) fn get(&self, uri: &str, policy: MatchPolicy) -> Option<&V> {
        match policy {
            MatchPolicy::Exact => self.exact.get(uri),
            MatchPolicy::Prefix => self.prefix.get(uri),
            MatchPolicy::Wildcard => self.wildcard.get(uri.split('.')),
        }
    }

    /// Returns the value of a URI or pattern, mutable.
    pub(crate) fn get_mut(&mut self, uri: &str, policy: MatchPolicy) -> Option<&mut V> {
        match policy {
            MatchPolicy::Exact => self.exact.get_mut(uri),
            MatchPolicy::Prefix => self.prefix.get_mut(uri),
            MatchPolicy::Wildcard => self.wildcard.get_mut(uri.split('.')),
        }
    }

    /// Returns the exact value of a URI.
    pub(crate) fn exact(&self, uri: &str) -> Option<&V> {
        self.exact.get(uri)
    }

    /// Returns all URIs with an exact value.
    pub(crate) fn exact_uris(&self) -> impl Iterator<Item = &Arc<str>> {
        self.exact.keys()
    }

    /// Returns the values of patterns that match the URI, the most specific first: prefixes by
    /// length, then wildcards. Also returns the number of lookups.
    pub(crate) fn patterns<'a>(&'a self, uri: &'a str) -> (impl Iterator<Item = &'a V>, usize) {
        let prefixes = self
            .prefix_lengths
            .keys()
            .rev()
            .filter_map(move |&length| uri.get(..length))
            .filter_map(|head| self.prefix.get(head));
        let (wildcards, visited) = self.wildcards(uri);
        (prefixes.chain(wildcards), self.prefix_lengths.len() + visited)
    }

    /// Returns the values of wildcards that match the URI, the most specific first, and the number
    /// of nodes visited.
    fn wildcards<'a>(&'a self, uri: &'a str) -> (Vec<&'a V>, usize) {
        let (mut found, mut visited) = (Vec::new(), 0);
        // Skipped without wildcards, and for a URI that is longer than any wildcard.
        let count = || uri.split('.').take(MAX_WILDCARD_COMPONENTS + 1).count();
        if self.wildcards > 0 && count() <= MAX_WILDCARD_COMPONENTS {
            self.wildcard.find(uri.split('.'), &mut found, &mut visited);
        }
        (found, visited)
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Self { exact, prefix, prefix_lengths, wildcard, wildcards } = self;
        let nothing = exact.is_empty() && prefix.is_empty() && prefix_lengths.is_empty();
        nothing && wildcard.is_empty() && *wildcards == 0
    }
}

impl<V> Default for UriTable<V> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            prefix: HashMap::new(),
            prefix_lengths: BTreeMap::new(),
            wildcard: Node::default(),
            wildcards: 0,
        }
    }
}

impl<V> Node<V> {
    /// Inserts a value and returns the old one. The recursion is bounded, as wildcards are short.
    fn insert<'u>(&mut self, mut uri: impl Iterator<Item = &'u str>, value: V) -> Option<V> {
        match uri.next() {
            None => self.value.replace(value),
            Some("") => self.open.get_or_insert_default().insert(uri, value),
            Some(text) => self.texts.entry(text.into()).or_default().insert(uri, value),
        }
    }

    /// Removes a value, and nodes without children.
    fn remove<'u>(&mut self, mut uri: impl Iterator<Item = &'u str>) -> Option<V> {
        match uri.next() {
            None => self.value.take(),
            Some("") => {
                let open = self.open.as_mut()?;
                let gone = open.remove(uri);
                if open.is_empty() {
                    self.open = None;
                }
                gone
            }
            Some(text) => {
                let node = self.texts.get_mut(text)?;
                let gone = node.remove(uri);
                if node.is_empty() {
                    self.texts.remove(text);
                }
                gone
            }
        }
    }

    fn get<'u>(&self, uri: impl Iterator<Item = &'u str>) -> Option<&V> {
        let mut node = self;
        for component in uri {
            node = match component {
                "" => node.open.as_deref()?,
                text => node.texts.get(text)?,
            };
        }
        node.value.as_ref()
    }

    fn get_mut<'u>(&mut self, uri: impl Iterator<Item = &'u str>) -> Option<&mut V> {
        let mut node = self;
        for component in uri {
            node = match component {
                "" => node.open.as_deref_mut()?,
                text => node.texts.get_mut(text)?,
            };
        }
        node.value.as_mut()
    }

    /// Finds the values of all matching wildcards. Of two wildcards, the one whose first empty
    /// component comes later is found first.
    fn find<'a, 'u>(
        &'a self,
        mut uri: impl Iterator<Item = &'u str> + Clone,
        found: &mut Vec<&'a V>,
        visited: &mut usize,
    ) {
        *visited += 1;
        let Some(component) = uri.next() else {
            found.extend(&self.value);
            return;
        };
        if let Some(node) = self.texts.get(component) {
            node.find(uri.clone(), found, visited);
        }
        if let Some(node) = &self.open {
            node.find(uri, found, visited);
        }
    }

    fn is_empty(&self) -> bool {
        self.value.is_none() && self.texts.is_empty() && self.open.is_none()
    }
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { value: None, texts: HashMap::new(), open: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MatchPolicy::{Exact, Prefix, Wildcard};

    /// Checks the patterns that match a URI, the most specific first.
    fn check(patterns: &[(&str, MatchPolicy)], uri: &str, expect: &[&str]) {
        let mut table = UriTable::default();
        let key = |&(uri, policy): &(&str, _)| Key { policy, uri: uri.into() };
        for pattern in patterns {
            table.insert(key(pattern), pattern.0.to_owned());
            table.insert(key(pattern), pattern.0.to_owned());
        }
        let found: Vec<&str> =
            table.exact(uri).into_iter().chain(table.patterns(uri).0).map(String::as_str).collect();
        assert_eq!(found, expect, "{uri} among {patterns:?}");
        for pattern in patterns {
            assert_eq!(table.get(pattern.0, pattern.1).map(String::as_str), Some(pattern.0));
            assert_eq!(table.remove(&key(pattern)).as_deref(), Some(pattern.0));
            assert_eq!(table.remove(&key(pattern)), None);
        }
        assert!(table.is_empty());
    }

    #[test]
    fn matches_patterns_against_a_uri() {
        check(&[("a.b", Exact), ("a.c", Exact)], "a.b", &["a.b"]);
        check(&[("a", Exact)], "a.b", &[]);
        // A prefix is compared as text, not by components.
        check(&[("a", Prefix), ("a.b", Prefix), ("b", Prefix)], "a.bc", &["a.b", "a"]);
        check(&[("", Prefix)], "any/thing", &[""]);
        check(&[("oro/", Prefix)], "oro/ping", &["oro/"]);
        check(&[("ü", Prefix), ("xx", Prefix)], "xü", &[]);
        check(&[("a..c", Wildcard), ("..", Wildcard)], "a.b.c", &["a..c", ".."]);
        check(&[("a..c", Wildcard)], "a.b.d", &[]);
        check(&[("a..c", Wildcard)], "a.b.c.d", &[]);
        check(&[("", Wildcard)], "oro/ping", &[""]);
        check(&[(".b", Wildcard), ("a.", Wildcard), (".c", Wildcard)], "a.b", &["a.", ".b"]);
        check(&[("a.b", Exact), ("a.", Prefix), ("a.", Wildcard)], "a.b", &["a.b", "a.", "a."]);
        // The longest beginning without an empty component decides, then the longest second part.
        let specified = [
            ("a1..b3.c4.d5", Wildcard),
            ("a1.b2..c4.d5", Wildcard),
            ("a1.b2..c4.", Wildcard),
            ("a1.b2...d5", Wildcard),
        ];
        let order = ["a1.b2..c4.d5", "a1.b2..c4.", "a1.b2...d5"];
        check(&specified, "a1.b2.x.c4.d5", &order);
    }

    /// Wildcards that match the topic's beginning in every possible way and differ at the end.
    #[test]
    fn bounds_the_steps_of_the_worst_wildcards() {
        let mut table = UriTable::default();
        let topic = vec!["a"; MAX_WILDCARD_COMPONENTS].join(".");
        let mut masks = 0_usize;
        while masks < MAX_WILDCARDS {
            let component = |place: usize| if (masks >> place) & 1 == 0 { "a" } else { "" };
            let mut parts: Vec<_> = (1..MAX_WILDCARD_COMPONENTS).map(component).collect();
            parts.push("b");
            table.insert(Key { policy: Wildcard, uri: parts.join(".").into() }, masks);
            masks += 1;
        }
        let (mut found, steps) = table.patterns(&topic);
        assert!(found.next().is_none());
        assert!(steps <= 5 * MAX_WILDCARDS, "{steps} steps");
        let long = vec!["a"; 500].join(".");
        assert_eq!(table.patterns(&long).1, 0, "it is longer than any wildcard");
    }

    /// Implements the matching rules of the WAMP v2 specification, section "Pattern-based
    /// Subscriptions", as literally as possible.
    fn meets(pattern: &str, policy: MatchPolicy, uri: &str) -> bool {
        let (want, have): (Vec<_>, Vec<_>) =
            (pattern.split('.').collect(), uri.split('.').collect());
        match policy {
            Exact => pattern == uri,
            Prefix => uri.starts_with(pattern),
            Wildcard => {
                let meets = |(want, have): (&&str, &&str)| want.is_empty() || want == have;
                want.len() == have.len() && want.iter().zip(&have).all(meets)
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn tables_agree_with_linear_search(
            patterns in proptest::collection::btree_set(("[ab.]{0,5}", 0..3_usize), 0..20),
            uri in "[ab](\\.[ab]){0,3}",
        ) {
            let policies = [Exact, Prefix, Wildcard];
            let mut table = UriTable::default();
            for (uri, policy) in &patterns {
                let key = Key { policy: policies[*policy], uri: uri.as_str().into() };
                table.insert(key, uri.clone());
            }
            let found = table.exact(&uri).into_iter().chain(table.patterns(&uri).0);
            let mut found: Vec<_> = found.cloned().collect();
            let expected = patterns.iter().filter(|(it, policy)| meets(it, policies[*policy], &uri));
            let mut expected: Vec<_> = expected.map(|(uri, _)| uri.clone()).collect();
            found.sort_unstable();
            expected.sort_unstable();
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
