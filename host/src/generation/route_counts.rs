//! Counts of publications by route. A route keeps its counts while it has its name.
//!
//! The number of routes with counts of their own is bounded, because a monitoring system stores each
//! series: 10 000 routes would be 20 000 of them, and two megabytes of text in each scrape. The routes
//! beyond share one series. A route that has counts of its own keeps them as long as it exists: new
//! routes get the places that are left.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jackfield_broker::PublicationCounts;
use jackfield_routing::RouteTable;

/// The maximum number of routes with counts of their own.
pub(crate) const MAX_COUNTED_ROUTES: usize = 500;
/// The maximum size of the name of a route with counts of its own.
const MAX_NAME_BYTES: usize = 256;

/// The name of the routes without counts of their own.
const OTHERS: &str = "(other)";
/// The name of publications to topics without a route.
const UNROUTED: &str = "(none)";

/// The counts of a generation's routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteCounts {
    /// Those of each route, by its position; `None` for a route without counts of its own.
    own: Vec<Option<NamedCounts>>,
    others: Arc<PublicationCounts>,
    unrouted: Arc<PublicationCounts>,
}

/// The counts of a route.
#[derive(Clone, Debug)]
struct NamedCounts {
    name: Arc<str>,
    counts: Arc<PublicationCounts>,
}

impl RouteCounts {
    /// The counts of these routes. They go on from those of the generation before.
    pub(super) fn of(routes: &RouteTable, before: Option<&Self>) -> Self {
        let names = || routes.routes().iter().map(|route| route.name.as_str());
        let known: HashMap<&str, &NamedCounts> =
            before.iter().flat_map(|it| it.each()).map(|it| (&*it.name, it)).collect();
        let kept = names().filter(|name| known.contains_key(name)).count();
        let new = names().filter(|name| !known.contains_key(name) && may_be_own(name));
        let new: HashSet<&str> = new.take(MAX_COUNTED_ROUTES.saturating_sub(kept)).collect();
        let of_name = |name: &str| {
            let of_new = || NamedCounts { name: Arc::from(name), counts: Arc::default() };
            let known = known.get(name).map(|known| (*known).clone());
            known.or_else(|| new.contains(name).then(of_new))
        };
        let mut own: Vec<_> = names().map(of_name).collect();
        // Routes beyond the last one with counts of its own take no memory.
        own.truncate(own.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
        let shared = |of: fn(&Self) -> &Arc<PublicationCounts>| {
            before.map_or_else(Arc::default, |before| Arc::clone(of(before)))
        };
        Self { own, others: shared(|it| &it.others), unrouted: shared(|it| &it.unrouted) }
    }

    /// The counts of the route at this position.
    pub(super) fn at(&self, position: usize) -> &Arc<PublicationCounts> {
        self.named_at(position).map_or(&self.others, |it| &it.counts)
    }

    /// The counts of the route at this position, if it has counts of its own.
    pub(crate) fn own(&self, position: usize) -> Option<&PublicationCounts> {
        self.named_at(position).map(|it| &*it.counts)
    }

    /// The number of routes with counts of their own.
    pub(crate) fn own_count(&self) -> usize {
        self.each().count()
    }

    fn named_at(&self, position: usize) -> Option<&NamedCounts> {
        self.own.get(position)?.as_ref()
    }

    fn each(&self) -> impl Iterator<Item = &NamedCounts> {
        self.own.iter().flatten()
    }

    /// The counts of publications without a route.
    pub(crate) fn unrouted(&self) -> &Arc<PublicationCounts> {
        &self.unrouted
    }

    /// All counts with their names.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &PublicationCounts)> {
        let own = self.each().map(|it| (&*it.name, &*it.counts));
        own.chain([(OTHERS, &*self.others), (UNROUTED, &*self.unrouted)])
    }
}

/// Whether a route of this name may have counts of its own: a long name would make the page of metrics
/// large, and the names of shared series are taken.
fn may_be_own(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES && ![OTHERS, UNROUTED].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_broker::PendingFlushes;
    use jackfield_routing::{NoFiles, SourceFile};

    fn routes(names: impl Iterator<Item = String>) -> RouteTable {
        let entry = |(number, name): (usize, String)| {
            format!("{name}:\n    channel: 'c/{number}'\n    handler: {{ callback: h }}\n")
        };
        let text = names.enumerate().map(entry).collect::<Vec<_>>().concat();
        let file = SourceFile { path: "websocket_routing.yml".to_owned(), text };
        jackfield_routing::load(&[file], &NoFiles).unwrap()
    }

    fn publications(counts: &RouteCounts) -> Vec<(String, u64)> {
        counts
            .named()
            .filter(|(_, it)| it.publications() > 0)
            .map(|(name, it)| (name.to_owned(), it.publications()))
            .collect()
    }

    #[test]
    fn counts_go_on_after_a_reload() {
        let names = |of: &[&str]| {
            routes(of.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>().into_iter())
        };
        let before = RouteCounts::of(&names(&["a", "b", "c"]), None);
        let mut batch = PendingFlushes::default();
        batch.count(before.at(0), 1);
        batch.count(before.at(1), 1);
        batch.count(before.unrouted(), 1);
        batch.flush();
        let after = RouteCounts::of(&names(&["b", "d"]), Some(&before));
        let expect = [("b".to_owned(), 1), (UNROUTED.to_owned(), 1)];
        assert_eq!(publications(&after), expect);
        assert_eq!(after.named().count(), 4);
    }

    #[test]
    fn a_route_keeps_its_counts_behind_new_ones() {
        let old = RouteCounts::of(&routes(["kept".to_owned()].into_iter()), None);
        let mut batch = PendingFlushes::default();
        batch.count(old.at(0), 1);
        batch.flush();
        let many = (0..MAX_COUNTED_ROUTES).map(|number| format!("new{number}"));
        let names: Vec<String> = many.chain(["kept".to_owned()]).collect();
        let table = routes(names.into_iter());
        let new = RouteCounts::of(&table, Some(&old));
        assert_eq!(publications(&new), [("kept".to_owned(), 1)]);
        assert_eq!(new.own_count(), MAX_COUNTED_ROUTES);
        let position = table.routes().iter().position(|route| route.name == "kept").unwrap();
        assert_eq!(new.own(position).unwrap().publications(), 1);
    }

    #[test]
    fn routes_with_names_of_shared_series_or_long_ones_are_counted_together() {
        let names = ["(other)".to_owned(), "(none)".to_owned(), "x".repeat(MAX_NAME_BYTES + 1)];
        let counts = RouteCounts::of(&routes(names.into_iter()), None);
        let mut batch = PendingFlushes::default();
        (0..3).for_each(|position| batch.count(counts.at(position), 1));
        batch.flush();
        assert_eq!(publications(&counts), [(OTHERS.to_owned(), 3)]);
    }

    #[test]
    fn series_and_memory_are_bounded() {
        let counts = RouteCounts::of(&routes((0..10_000).map(|number| format!("r{number}"))), None);
        assert_eq!(counts.named().count(), MAX_COUNTED_ROUTES + 2);
        let mut batch = PendingFlushes::default();
        batch.count(counts.at(0), 1);
        (MAX_COUNTED_ROUTES..10_000).for_each(|position| batch.count(counts.at(position), 0));
        batch.flush();
        let expect = [("r0".to_owned(), 1), (OTHERS.to_owned(), 9_500)];
        assert_eq!(publications(&counts), expect);
        let each = size_of::<Option<NamedCounts>>() + size_of::<PublicationCounts>();
        // With the names and the allocations.
        assert!(counts.own.len() * (each + 128) < 256 << 10, "{each} bytes each");
    }
}
