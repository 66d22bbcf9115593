//! Reload under load: fifty clients publish and receive without pause while their plugin is
//! replaced repeatedly, and each checks the events of every other.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::{VERSIONED_WASM, ask, ask_until, asker, component, version, versioned_site};
use jackfield_tests::client::counting::{Peer, Workload, run_client};
use jackfield_tests::server::Server;

/// Five topics with ten clients each.
const TOPICS: usize = 5;
const CLIENTS: usize = 50;
/// Number of replacements of the plugin.
const REPLACEMENTS: u32 = 4;
/// Round trips of a bystander between two replacements, so that each version sees some traffic.
const BETWEEN: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_under_load_loses_no_client_and_no_event() {
    let site = versioned_site();
    let server = Server::start(site.path());
    let topics = (0..TOPICS).map(|number| format!("v/{number}")).collect();
    let workload = Workload::new(CLIENTS, topics, None);
    let (stop, stopping) = watch::channel(false);
    let mut players = Vec::new();
    for me in 0..CLIENTS {
        let peer = Peer::connect(server.addr, me).await;
        let (workload, stopping) = (Arc::clone(&workload), stopping.clone());
        players.push(tokio::spawn(async move {
            let mut received = Vec::new();
            run_client(peer, me, workload, stopping, |event| received.push(event)).await;
            received
        }));
    }

    let mut bystander = asker(&server).await;
    for number in 2..=1 + REPLACEMENTS {
        for _ in 0..BETWEEN {
            assert_eq!(ask(&mut bystander).await, version(number - 1));
        }
        site.rename_over(VERSIONED_WASM, component(number));
        ask_until(&mut bystander, number - 1, number).await;
    }
    stop.send(true).unwrap();

    // All receivers of an event received it from the same version.
    let mut handled = BTreeMap::new();
    for player in players {
        for (event, by) in player.await.expect("the client played to the end") {
            let first = handled.entry(event).or_insert_with(|| by.clone());
            assert_eq!(*first, by, "{event:?} was handled by two versions");
        }
    }
    for (me, published) in workload.published().enumerate() {
        let of = |sequence| handled[&(me as u64, sequence)].as_str();
        assert_eq!(of(0), version(1), "the first event of client {me}");
        assert_eq!(of(published - 1), version(1 + REPLACEMENTS), "the last event of client {me}");
    }
}
