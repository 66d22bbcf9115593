//! Tests of the shares of clients: a client at its share leaves room for others, and ended
//! subscriptions are not counted.

use super::*;

#[test]
fn leaves_subscriptions_to_other_clients() {
    let realm = limited(RealmLimits { realm_subscriptions: 8, client_percent: 50, ..LIMITS });
    let [first, second] = [1, 2].map(|id| Peer::join(&realm, id, V2, &[]));
    let other = Peer::join_from(&realm, 3, [192, 0, 2, 1]);
    let subscribe = |peer: &Peer, uri: &str| {
        let exact = MatchPolicy::Exact;
        realm.subscribe(peer.session.id, uri, exact, None, &mut PendingFlushes::default(), |_| None)
    };
    for (peer, uri) in [(&first, "a"), (&first, "b"), (&second, "a"), (&second, "b")] {
        subscribe(peer, uri).unwrap();
    }
    for peer in [&first, &second] {
        match subscribe(peer, "c").unwrap_err() {
            SubscribeError::Quota(error) => assert!(error.is_of_client(), "{error}"),
            error => panic!("{error}"),
        }
    }
    subscribe(&other, "c").unwrap();
    realm.leave(second.session.id);
    subscribe(&first, "c").unwrap();
}

proptest::proptest! {
    /// No subscription is counted after its end, however it ends.
    #[test]
    fn counts_nothing_that_has_ended(
        steps in proptest::collection::vec((1..4_u64, 0..3_usize, 0..3_usize, 0..6_u8), 0..60)
    ) {
        let limits = RealmLimits { realm_subscriptions: 6, client_percent: 50, ..LIMITS };
        let realm = limited(limits);
        let join = |id: u64| Peer::join_from(&realm, id, [192, 0, 2, u8::from(id == 1)]);
        let mut peers: Vec<Peer> = (1..4).map(join).collect();
        let policies = [MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard];
        for (session, uri, policy, what) in steps {
            let uri = ["a.b", "a.", "c"][uri];
            let place = usize::try_from(session).unwrap() - 1;
            let id = peers[place].session.id;
            let batch = &mut PendingFlushes::default();
            match what {
                0 => {
                    realm.leave(id);
                    peers[place] = join(session);
                }
                1 => drop(realm.revoke(
                    |topic, _| if topic == uri { PatternAudience::Nobody } else { PatternAudience::Everybody },
                    batch,
                    |_, _| None,
                )),
                2 => {
                    let held = realm.subscription(id, uri);
                    held.map(|held| realm.unsubscribe(id, held, batch, None).unwrap());
                }
                _ => drop(realm.subscribe(id, uri, policies[policy], None, batch, |_| None)),
            }
            let state = realm.read();
            let held: usize = state.members.values().map(|it| it.subscribed.len()).sum();
            proptest::prop_assert_eq!(state.subscribed.used(), held);
        }
        for peer in &peers {
            realm.leave(peer.session.id);
        }
        let state = realm.read();
        proptest::prop_assert!(state.subscribed.is_empty() && state.subscriptions.is_empty());
    }
}
