//! Used tickets in a cluster: a ticket that is good for one connection is remembered by two nodes, which its
//! hash chooses, and by the one that admits it. They are asked in this order, so that of two nodes that
//! admit a ticket at the same time, the first of the two lets one through. See decision 60.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes};
use jackfield_auth::{ReplaysError, UsedTicket};

use super::Admission;
use crate::cluster::{ClusterNode, Subject};

/// The time in which a node answers.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// The difference between the clocks of nodes for which a ticket is remembered longer.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);

/// The answers.
const GOOD: u8 = 0;
const USED: u8 = 1;
const UNKNOWN: u8 = 2;

/// Asks the nodes that remember a ticket, and then this one: `here` remembers it.
///
/// # Errors
/// [`ReplaysError`]: `Used` if one of them knows it, `NotRemembered` if no other node remembers it.
pub(super) async fn claim(
    cluster: &Arc<ClusterNode>,
    ticket: UsedTicket,
    here: impl Fn(&UsedTicket) -> Result<(), ReplaysError>,
) -> Result<(), ReplaysError> {
    let homes = cluster.members().homes(&ticket.mark);
    let is_home = homes.contains(&cluster.id());
    // Another node has to remember it, if there is one: it must not be good on each side of a lost connection.
    let mut is_remembered = homes.iter().all(|home| *home == cluster.id());
    for home in homes {
        if home == cluster.id() {
            here(&ticket)?;
            continue;
        }
        let question = encode(&ticket);
        let answer = cluster.exchange().ask(home, Subject::Tickets, &question, ANSWER_TIME).await;
        match answer.ok().as_deref() {
            Some([GOOD]) => is_remembered = true,
            Some([USED]) => return Err(ReplaysError::Used),
            _ => {}
        }
    }
    match (is_remembered, is_home) {
        (false, _) => Err(ReplaysError::NotRemembered),
        (true, true) => Ok(()),
        (true, false) => here(&ticket),
    }
}

/// Answers another node.
pub(crate) fn answer(admission: &Admission, question: Bytes) -> u8 {
    let Some(ticket) = decode(question) else { return UNKNOWN };
    match admission.note_used(&ticket, SystemTime::now()) {
        Ok(()) => GOOD,
        Err(ReplaysError::Used) => USED,
        Err(ReplaysError::Full { .. } | ReplaysError::NotRemembered) => UNKNOWN,
    }
}

/// Writes the hash and the seconds of the end since the Unix epoch.
fn encode(ticket: &UsedTicket) -> Vec<u8> {
    let expires = ticket.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut out = ticket.mark.to_vec();
    out.put_u64_le((expires + MAX_CLOCK_DIFFERENCE).as_secs() + 1);
    out
}

fn decode(mut question: Bytes) -> Option<UsedTicket> {
    let mut mark = [0; 32];
    question.try_copy_to_slice(&mut mark).ok()?;
    let seconds = Duration::from_secs(question.try_get_u64_le().ok()?);
    Some(UsedTicket { mark, expires: SystemTime::UNIX_EPOCH.checked_add(seconds)? })
}

#[cfg(test)]
mod tests {
    use jackfield_broker::Cluster;
    use jackfield_broker::peers::{NodeId, Peers};
    use jackfield_config::{Cluster as ClusterSettings, Leases, WhenAlone};

    use super::*;

    /// Joins a node with one that answers no question.
    fn join_with_silent(node: &ClusterNode) {
        let silent = Cluster::new(Peers::new(NodeId(7), "silent", "1"), || {});
        let both = [node.shared().as_ref(), &silent];
        for (from, to) in [(0, 1), (1, 0)] {
            let hello = both[from].read(Peers::hello).into();
            both[to].write(|peers| peers.hear_hello(&hello, Duration::ZERO));
        }
        for (from, to) in [(0, 1), (1, 0)].repeat(5) {
            for (_, bytes) in both[from].take_messages() {
                drop(both[to].receive(&bytes.into(), Duration::ZERO));
            }
        }
    }

    #[tokio::test]
    async fn a_ticket_that_no_other_node_remembers_is_refused() {
        let settings = ClusterSettings {
            urls: vec!["nats://127.0.0.1:1".to_owned()],
            name: "tests".to_owned(),
            node: Some("web-1".to_owned()),
            credentials: None,
            ca: None,
            certificate: None,
            key: None,
            when_alone: WhenAlone::Serve,
            leases: Leases::Auto,
        };
        let node = ClusterNode::new(&settings).unwrap().unwrap();
        let ticket = || UsedTicket { mark: [7; 32], expires: SystemTime::now() };
        assert_eq!(claim(&node, ticket(), |_| Ok(())).await, Ok(()), "the node is alone");
        join_with_silent(&node);
        assert_eq!(node.members().others().count(), 1);
        let refused = claim(&node, ticket(), |_| Ok(())).await;
        assert_eq!(refused, Err(ReplaysError::NotRemembered));
    }

    #[test]
    fn tickets_are_read_as_they_are_written() {
        let expires = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        let ticket = UsedTicket { mark: [7; 32], expires };
        let read = decode(encode(&ticket).into()).unwrap();
        assert_eq!(read.mark, ticket.mark);
        assert!(read.expires >= expires);
        assert_eq!(decode(Bytes::from_static(&[1; 39])), None);
    }
}
