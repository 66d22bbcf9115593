//! Tickets that are good for one connection, of all nodes together.

use jackfield_tests::site::Site;

use super::{Nats, config, until_peers};
use crate::access::{Guarded, in_query};

const USERS: &str = "users: { ann: { id: 7, password: hash-of-ann, roles: [member] } }\n";

fn node(nats: &Nats, name: &str) -> Guarded {
    let site = Site::open();
    site.write("users.yml", USERS);
    let auth = "auth: { tickets: { secret: s3cret, once: true }, users: { file: users.yml } }\n";
    Guarded::with(site, &format!("{auth}{}", config(name, &[nats.url()], "")))
}

/// Connects with a ticket. Returns whether it was admitted.
async fn uses(node: &Guarded, ticket: &str) -> bool {
    match node.page(&in_query(ticket)).await {
        Ok(_) => true,
        Err((status, _)) => {
            assert_eq!(status, Some(403));
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_used_once_in_the_cluster() {
    let nats = Nats::start();
    let nodes = ["web-1", "web-2", "web-3"].map(|name| node(&nats, name));
    let [one, two, three] = &nodes;
    let mut used = Vec::new();
    for _ in 0..8 {
        let ticket = one.ticket(Some("ann")).await;
        assert!(uses(one, &ticket).await);
        for node in &nodes {
            assert!(!uses(node, &ticket).await);
        }
        used.push(ticket);
        // On two nodes at the same time.
        let ticket = one.ticket(Some("ann")).await;
        let (first, second) = tokio::join!(uses(two, &ticket), uses(three, &ticket));
        assert_ne!(first, second);
        used.push(ticket);
    }
    two.server.logged("the ticket of \"ann\" is refused: it was used before");
    // One of the nodes that know them is gone.
    one.server.signal("KILL");
    until_peers(&two.server, 1).await;
    for ticket in &used {
        assert!(!uses(two, ticket).await && !uses(three, ticket).await);
    }
    let ticket = two.ticket(Some("ann")).await;
    assert!(uses(two, &ticket).await);
    assert!(!uses(three, &ticket).await);
}
