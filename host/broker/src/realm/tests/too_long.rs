//! Tests of events at the size limit, as each receiver gets them.

use super::*;

#[test]
fn an_event_over_the_limit_for_one_receiver_reaches_none() {
    const MAX_BYTES: usize = 200;
    let finish = |_, message: Vec<u8>| Bytes::from(message);
    let framing = Framing { headroom: 0, max_bytes: MAX_BYTES, finish, compress: |_| None };
    let realm = Realm::new("realm1".into(), framing, LIMITS, &Arc::default());
    let topic = "com.acme.a_long_name_of_a_topic";
    let [exact, prefix] = [1, 2].map(|id| Peer::join(&realm, id, V2, &[]));
    exact.subscribe(&realm, topic, MatchPolicy::Exact);
    // Its EVENT has the topic, too.
    prefix.subscribe(&realm, "com", MatchPolicy::Prefix);
    for peer in [&exact, &prefix] {
        peer.read();
    }
    let mut longest = [0; 2];
    for length in 100..MAX_BYTES {
        let payload = Payload::from_json(&format!("[\"{}\"]", "x".repeat(length)), "{}").unwrap();
        let mut batch = PendingFlushes::default();
        let published = realm.publish(&publication(topic, &payload), &mut batch);
        batch.flush();
        let read = [&exact, &prefix].map(Peer::read);
        match published {
            Ok(report) => {
                assert_eq!(report.delivered, 2);
                longest = read.map(|frames| frames[0].len());
            }
            Err(error) => {
                assert!(matches!(error, DeliveryError::TooLarge(_)), "{error}");
                assert_eq!(read, [vec![""; 0], vec![]], "{length}");
            }
        }
    }
    assert_eq!(longest[1], MAX_BYTES);
    assert!(longest[0] < MAX_BYTES);
}
