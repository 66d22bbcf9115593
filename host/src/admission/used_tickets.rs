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

/// The answers.
const GOOD: u8 = 0;
const USED: u8 = 1;
const UNKNOWN: u8 = 2;

/// Asks the nodes that remember a ticket, and then this one: `here` remembers it.
///
/// # Errors
/// [`ReplaysError`]: `Used` if one of them knows it, `Unreached` if none of the two answers.
pub(super) async fn claim(
    cluster: &Arc<ClusterNode>,
    ticket: UsedTicket,
    here: impl Fn(&UsedTicket) -> Result<(), ReplaysError>,
) -> Result<(), ReplaysError> {
    let homes = cluster.members().borrow().homes(&ticket.mark);
    let (mut is_remembered, mut is_home) = (false, false);
    for home in homes {
        if home == cluster.id() {
            here(&ticket)?;
            (is_remembered, is_home) = (true, true);
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
        (false, _) => Err(ReplaysError::Unreached),
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
        Err(ReplaysError::Full { .. } | ReplaysError::Unreached) => UNKNOWN,
    }
}

/// Writes the hash and the seconds of the end since the Unix epoch.
fn encode(ticket: &UsedTicket) -> Vec<u8> {
    let expires = ticket.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut out = ticket.mark.to_vec();
    // Not before its end.
    out.put_u64_le(expires.as_secs() + 1);
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
    use super::*;

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
