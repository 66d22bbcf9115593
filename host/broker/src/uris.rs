//! Values by URI and match policy, and which of them a concrete URI meets: what subscriptions and
//! registrations have in common.
//!
//! A concrete URI finds its exact value by one look-up, those of prefixes by one look-up for each
//! prefix length in use, and those of wildcards by one for each set of components that is left open
//! by some pattern with as many components. WAMP v2 specification, sections "Pattern-based
//! Subscriptions" and "Pattern-based Registrations".

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jackfield_wamp::uri::MatchPolicy;

/// A value for each of some URIs and patterns.
pub(crate) struct UriTable<V> {
    exact: HashMap<Arc<str>, V>,
    prefix: HashMap<Arc<str>, V>,
    /// How many prefixes there are of each length in bytes.
    prefix_lengths: BTreeMap<usize, usize>,
    /// By the number of components, then by which of them are open. Of two patterns that a URI
    /// meets, the one whose first open component comes later is the first.
    wildcard: HashMap<usize, BTreeMap<Mask, HashMap<Arc<str>, V>>>,
}

/// Which components of a wildcard pattern are empty, and so meet any.
type Mask = Box<[bool]>;

/// Names a value in its table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) policy: MatchPolicy,
    pub(crate) uri: Arc<str>,
}

impl<V> UriTable<V> {
    /// Adds a value, in place of one that is there.
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
                let tables = self.wildcard.entry(components(&uri)).or_default();
                tables.entry(mask(&uri)).or_default().insert(uri, value);
            }
        }
    }

    /// Takes a value out.
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
                let (length, mask) = (components(&key.uri), mask(&key.uri));
                let tables = self.wildcard.get_mut(&length)?;
                let table = tables.get_mut(&mask)?;
                let gone = table.remove(&key.uri);
                if table.is_empty() {
                    tables.remove(&mask);
                }
                if tables.is_empty() {
                    self.wildcard.remove(&length);
                }
                gone
            }
        }
    }

    /// The value of a URI or pattern.
    pub(crate) fn get(&self, uri: &str, policy: MatchPolicy) -> Option<&V> {
        match policy {
            MatchPolicy::Exact => self.exact.get(uri),
            MatchPolicy::Prefix => self.prefix.get(uri),
            MatchPolicy::Wildcard => self.wildcard.get(&components(uri))?.get(&mask(uri))?.get(uri),
        }
    }

    /// The value of a URI or pattern, to be changed.
    pub(crate) fn get_mut(&mut self, uri: &str, policy: MatchPolicy) -> Option<&mut V> {
        match policy {
            MatchPolicy::Exact => self.exact.get_mut(uri),
            MatchPolicy::Prefix => self.prefix.get_mut(uri),
            MatchPolicy::Wildcard => {
                self.wildcard.get_mut(&components(uri))?.get_mut(&mask(uri))?.get_mut(uri)
            }
        }
    }

    /// The value of exactly this URI.
    pub(crate) fn exact(&self, uri: &str) -> Option<&V> {
        self.exact.get(uri)
    }

    /// Every URI that has an exact value.
    pub(crate) fn exact_uris(&self) -> impl Iterator<Item = &Arc<str>> {
        self.exact.keys()
    }

    /// The values of patterns that the URI meets, the most specific first: prefixes by their
    /// length, then wildcards.
    pub(crate) fn patterns<'a>(&'a self, uri: &'a str) -> impl Iterator<Item = &'a V> {
        let prefixes = self
            .prefix_lengths
            .keys()
            .rev()
            .filter_map(move |&length| uri.get(..length))
            .filter_map(|head| self.prefix.get(head));
        // Splitting the URI is left out where there is nothing to compare it with.
        let tables =
            if self.wildcard.is_empty() { None } else { self.wildcard.get(&components(uri)) };
        let wildcards = tables
            .into_iter()
            .flatten()
            .filter_map(move |(mask, table)| table.get(opened(uri, mask).as_str()));
        prefixes.chain(wildcards)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let Self { exact, prefix, prefix_lengths, wildcard } = self;
        exact.is_empty() && prefix.is_empty() && prefix_lengths.is_empty() && wildcard.is_empty()
    }
}

impl<V> Default for UriTable<V> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            prefix: HashMap::new(),
            prefix_lengths: BTreeMap::new(),
            wildcard: HashMap::new(),
        }
    }
}

fn components(uri: &str) -> usize {
    uri.bytes().filter(|&byte| byte == b'.').count() + 1
}

fn mask(pattern: &str) -> Mask {
    pattern.split('.').map(str::is_empty).collect()
}

/// The pattern of that mask which the URI meets: the URI with those components left empty.
fn opened(uri: &str, mask: &[bool]) -> String {
    let mut pattern = String::with_capacity(uri.len());
    for (number, (component, &open)) in uri.split('.').zip(mask).enumerate() {
        if number > 0 {
            pattern.push('.');
        }
        if !open {
            pattern.push_str(component);
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use MatchPolicy::{Exact, Prefix, Wildcard};

    /// Which of the patterns a URI meets, the most specific first.
    fn check(patterns: &[(&str, MatchPolicy)], uri: &str, expect: &[&str]) {
        let mut table = UriTable::default();
        let key = |&(uri, policy): &(&str, _)| Key { policy, uri: uri.into() };
        for pattern in patterns {
            table.insert(key(pattern), pattern.0.to_owned());
            table.insert(key(pattern), pattern.0.to_owned());
        }
        let found: Vec<&str> =
            table.exact(uri).into_iter().chain(table.patterns(uri)).map(String::as_str).collect();
        assert_eq!(found, expect, "{uri} among {patterns:?}");
        for pattern in patterns {
            assert_eq!(table.get(pattern.0, pattern.1).map(String::as_str), Some(pattern.0));
            assert_eq!(table.remove(&key(pattern)).as_deref(), Some(pattern.0));
            assert_eq!(table.remove(&key(pattern)), None);
        }
        assert!(table.is_empty());
    }

    #[test]
    fn which_patterns_a_uri_meets() {
        check(&[("a.b", Exact), ("a.c", Exact)], "a.b", &["a.b"]);
        check(&[("a", Exact)], "a.b", &[]);
        // A prefix is one of text, not of components.
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
        // The longest beginning without an open component counts, then the longest second part.
        let specified = [
            ("a1..b3.c4.d5", Wildcard),
            ("a1.b2..c4.d5", Wildcard),
            ("a1.b2..c4.", Wildcard),
            ("a1.b2...d5", Wildcard),
        ];
        let order = ["a1.b2..c4.d5", "a1.b2..c4.", "a1.b2...d5"];
        check(&specified, "a1.b2.x.c4.d5", &order);
    }

    /// WAMP v2 specification, section "Pattern-based Subscriptions", word for word.
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
        fn the_tables_find_what_one_by_one_comparison_finds(
            patterns in proptest::collection::btree_set(("[ab.]{0,5}", 0..3_usize), 0..20),
            uri in "[ab](\\.[ab]){0,3}",
        ) {
            let policies = [Exact, Prefix, Wildcard];
            let mut table = UriTable::default();
            for (uri, policy) in &patterns {
                let key = Key { policy: policies[*policy], uri: uri.as_str().into() };
                table.insert(key, uri.clone());
            }
            let found = table.exact(&uri).into_iter().chain(table.patterns(&uri));
            let mut found: Vec<_> = found.cloned().collect();
            let expected = patterns.iter().filter(|(it, policy)| meets(it, policies[*policy], &uri));
            let mut expected: Vec<_> = expected.map(|(uri, _)| uri.clone()).collect();
            found.sort_unstable();
            expected.sort_unstable();
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
