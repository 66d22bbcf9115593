//! Views for operators: pages of sessions and subscriptions, and the receivers of a publication.

use super::*;

fn id(number: u64) -> SessionId {
    SessionId::new(number).unwrap()
}

#[test]
fn pages_have_each_session_once_in_order() {
    let realm = realm();
    let members: Vec<Peer> =
        [5, 1, 4, 2, 3].map(|id| Peer::join(&realm, id, Dialect::V1, &["a"])).into();
    members[0].subscribe(&realm, "a", MatchPolicy::Exact);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = realm.session_page(after, 2, |_| true);
        assert_eq!(page.total, 5);
        seen.extend(page.entries.iter().map(|it| (it.session.id.get(), it.subscriptions)));
        after = page.entries.last().map(|it| it.session.id);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, [(1, 0), (2, 0), (3, 0), (4, 0), (5, 1)]);
    let even = realm.session_page(Some(id(2)), 10, |session| session.id.get() % 2 == 0);
    assert_eq!((even.total, even.has_more), (2, false));
    assert_eq!(even.entries.iter().map(|it| it.session.id.get()).collect::<Vec<_>>(), [4]);
}

#[test]
fn pages_of_subscriptions_are_sorted_by_text_and_policy() {
    let realm = realm();
    let one = Peer::join(&realm, 1, Dialect::V1, &["a"]);
    let two = Peer::join(&realm, 2, Dialect::V1, &["a"]);
    for uri in ["b", "a.c", "c"] {
        one.subscribe(&realm, uri, MatchPolicy::Exact);
    }
    two.subscribe(&realm, "b", MatchPolicy::Exact);
    two.subscribe(&realm, "b", MatchPolicy::Prefix);
    two.subscribe(&realm, ".c", MatchPolicy::Wildcard);
    let list = |prefix: &str, after, limit| {
        let page = realm.subscription_page(prefix, after, limit);
        let entries = page.entries.iter();
        let shown = entries.map(|it| format!("{} {} {}", it.uri, it.policy.name(), it.subscribers));
        (shown.collect::<Vec<_>>(), page.total, page.has_more)
    };
    let all = [".c wildcard 1", "a.c exact 1", "b exact 2", "b prefix 1", "c exact 1"];
    assert_eq!(list("", None, 10), (all.map(str::to_owned).to_vec(), 5, false));
    let next = Some(("b", MatchPolicy::Exact));
    assert_eq!(list("", next, 1), (vec!["b prefix 1".to_owned()], 5, true));
    assert_eq!(list("a", None, 10), (vec!["a.c exact 1".to_owned()], 1, false));

    let (some, total) = realm.subscriptions_of(id(2), 2);
    assert_eq!((some.len(), total), (2, 3));
    assert_eq!((some[0].0, &*some[0].1), (MatchPolicy::Wildcard, ".c"));
    assert_eq!(realm.sessions_subscribed("b.c"), [id(2)].into());
    assert_eq!(realm.sessions_subscribed("b"), [id(1), id(2)].into());
}

#[test]
fn receivers_are_those_of_the_publication() {
    let realm = realm();
    let one = Peer::join(&realm, 1, Dialect::V1, &["a"]);
    let two = Peer::join(&realm, 2, Dialect::V1, &["b"]);
    for member in [&one, &two] {
        member.subscribe(&realm, "t", MatchPolicy::Exact);
    }
    two.subscribe(&realm, "", MatchPolicy::Prefix);
    let payload = Payload::from_json("[]", "{}").unwrap();
    let everyone = publication("t", &payload);
    let found = |publication: &Publication<'_>, limit| {
        let (some, total) = realm.receivers(publication, limit, |_| true);
        (some.iter().map(|it| it.id.get()).collect::<Vec<_>>(), total)
    };
    let (mut some, total) = found(&everyone, 10);
    some.sort_unstable();
    assert_eq!((some, total), (vec![1, 2, 2], 3));
    assert_eq!(found(&Publication { except: Some(id(2)), ..everyone }, 10), (vec![1], 1));
    assert_eq!(found(&everyone, 0), (vec![], 3));
    let report = realm.publish(&everyone, &mut PendingFlushes::default()).unwrap();
    assert_eq!(report.delivered, total);
}
