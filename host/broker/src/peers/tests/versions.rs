//! Nodes of different releases.

use super::*;

/// Creates a node of a cluster that is being upgraded: every second one of some is of a later release.
pub(super) fn of_some_release(index: usize, seed: u64) -> Peers {
    let peers = Peers::new(NodeId(index as u64 + 1), &format!("n{index}"), "1");
    let is_later = seed.is_multiple_of(2) && index.is_multiple_of(2);
    let versions = Versions { lowest: 1, highest: 2 };
    if is_later { peers.as_later_release(versions) } else { peers }
}

/// The number of records that may be on their way in a calm cluster: a later release sends one each second.
pub(super) fn max_lag(peers: &Peers) -> u64 {
    u64::from(peers.versions() != Versions::SPOKEN)
}

/// Two nodes, the second of a later release, that have exchanged HELLOs and all messages.
fn mixed(second: Versions) -> (Peers, Peers, Vec<Notice>) {
    let mut one = Peers::new(NodeId(1), "web-1", "1.0");
    let mut other = Peers::new(NodeId(2), "web-2", "2.0").as_later_release(second);
    other.set_site("0af");
    let now = Duration::ZERO;
    one.hear_hello(&other.hello().into(), now);
    other.hear_hello(&one.hello().into(), now);
    let notices = exchange(&mut one, &mut other, now);
    (one, other, notices)
}

#[test]
fn a_later_release_and_this_one_exchange_events_and_skip_unknown_records() {
    let (mut one, mut other, notices) = mixed(Versions { lowest: 1, highest: 2 });
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(one.is_synced() && other.is_synced());
    let now = Duration::from_secs(1);
    let _barrier = one.announce(&key((MatchPolicy::Exact, "a.b")), now).unwrap();
    assert_eq!(pass_second(&mut other, &mut one, now), []);
    let payload = Payload::from_json("[1]", "").unwrap();
    assert!(other.publish(REALM, &publication("a.b", &payload)).0);
    let (_, bytes) = other.take_messages().remove(0);
    assert_eq!(bytes[0], 1, "the version of the older one");
    assert_eq!(one.receive(&bytes.into(), now).events().len(), 1);
    let view = &one.views(now)[0];
    // A key in the snapshot, and a record of the tick.
    assert_eq!((view.skipped, view.gaps, view.is_incomplete), (2, 0, false));
    assert_eq!((view.envelope, view.site.as_str(), view.version.as_str()), (1, "0af", "2.0"));
    assert_eq!((view.lag, view.keys), (0, 0));
    assert_eq!(other.views(now)[0].envelope, 1);
}

#[test]
fn two_nodes_of_the_later_release_use_its_version() {
    let versions = Versions { lowest: 1, highest: 2 };
    let later = |id, name| Peers::new(NodeId(id), name, "2.0").as_later_release(versions);
    let (mut one, mut other) = (later(1, "web-1"), later(2, "web-2"));
    let now = Duration::ZERO;
    one.hear_hello(&other.hello().into(), now);
    let (_, first) = one.take_messages().remove(0);
    assert_eq!(first[0], 2);
    // It comes before the HELLO, and is answered in its version.
    other.receive(&first.into(), now);
    let (_, answer) = other.take_messages().remove(0);
    assert_eq!(answer[0], 2);
    one.receive(&answer.into(), now);
    exchange(&mut one, &mut other, now);
    assert!(one.is_synced() && other.is_synced());
}

#[test]
fn a_node_without_a_common_version_is_reported_and_no_peer() {
    let (mut one, mut other, notices) = mixed(Versions { lowest: 2, highest: 3 });
    assert_eq!(notices, []);
    assert!(one.is_synced() && one.views(Duration::ZERO).is_empty());
    // Its events are missing.
    assert!(!one.are_heard(Duration::ZERO, Duration::MAX));
    assert!(one.is_apart() && other.is_apart());
    let second = Duration::from_secs(1);
    for (node, name) in [(&mut one, "web-2"), (&mut other, "web-1")] {
        let (notices, _) = node.tick(second);
        let is_it = |it: &Notice| matches!(it, Notice::Incompatible(node) if node.name == name);
        assert!(notices.len() == 1 && is_it(&notices[0]), "{notices:?}");
        assert_eq!(node.incompatible().len(), 1);
        assert_eq!(node.tick(second).0, [], "once");
    }
    // Its envelopes are not read, and a peer stays one whatever is said in its name.
    let (mut third, _, _) = mixed(Versions { lowest: 1, highest: 1 });
    let forged = Hello { from: NodeId(2), ..other.about.hello() };
    third.hear_hello(&forged.encode().into(), second);
    assert_eq!((third.views(second).len(), third.incompatible().len()), (1, 0));
    third.hear_hello(&Hello { from: NodeId(9), ..forged }.encode().into(), second);
    assert!(!third.is_apart(), "it has a peer besides");
    // It is upgraded: another process.
    let upgraded = Peers::new(NodeId(3), "web-2", "1.0");
    one.hear_hello(&upgraded.hello().into(), Duration::from_secs(7));
    one.tick(Duration::from_secs(7));
    assert_eq!((one.incompatible().len(), one.views(second).len()), (0, 1));
}

#[test]
fn keys_of_unknown_kinds_end_like_others() {
    let read = |bytes: &[u8]| interest::decode(Bytes::copy_from_slice(bytes));
    let (mut bytes, hash) = interest::unknown_key();
    assert_eq!(read(&bytes), Some(interest::Told::Unknown(hash)));
    for length in 0..bytes.len() {
        assert_eq!(read(&bytes[..length]), None);
    }
    bytes.extend_from_slice(b"of a still later version");
    assert_eq!(read(&bytes), Some(interest::Told::Unknown(hash)));
}
