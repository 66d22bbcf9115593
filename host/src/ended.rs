//! Ended sessions: a ring of the last ones, each with the reason of its end and its traffic.
//!
//! A session is added by its connection when it ends; the control channel reads the ring.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use jackfield_broker::{CloseReason, Session};
use jackfield_text::Untrusted;
use jackfield_wamp::dialect::Dialect;

use crate::connection_end::ConnectionEnd;

/// The number of sessions that are kept.
pub(crate) const MAX_ENDED: usize = 1_000;
/// The maximum size of a text of a session.
const MAX_TEXT_BYTES: usize = 256;

/// A session that has ended.
#[derive(Clone, Debug)]
pub(crate) struct EndedSession {
    pub(crate) id: u64,
    pub(crate) realm: String,
    pub(crate) user: String,
    pub(crate) dialect: Dialect,
    pub(crate) address: Option<IpAddr>,
    pub(crate) since: Option<SystemTime>,
    pub(crate) ended: SystemTime,
    pub(crate) reason: ConnectionEnd,
    /// The URI and the sentence of a close by the server, or the sentence about an error.
    pub(crate) uri: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) messages_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) bytes_out: u64,
    pub(crate) dropped: u64,
}

/// The last sessions that have ended.
#[derive(Debug, Default)]
pub(crate) struct EndedSessions {
    /// Held for one change or to copy entries.
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The newest last.
    sessions: VecDeque<EndedSession>,
    /// All ends since the start, by reason.
    counts: BTreeMap<ConnectionEnd, u64>,
}

/// The end of a session, as its connection knows it.
#[derive(Clone, Debug)]
pub(crate) struct SessionEnd {
    pub(crate) reason: ConnectionEnd,
    pub(crate) uri: Option<String>,
    pub(crate) message: Option<String>,
}

impl SessionEnd {
    /// An end without a message.
    pub(crate) const fn plain(reason: ConnectionEnd) -> Self {
        Self { reason, uri: None, message: None }
    }

    /// An end with a sentence about it.
    pub(crate) fn with_message(reason: ConnectionEnd, message: &str) -> Self {
        Self { reason, uri: None, message: Some(cut(message)) }
    }

    /// A close by the server.
    pub(crate) fn closed(reason: ConnectionEnd, closing: &CloseReason) -> Self {
        let CloseReason { reason: uri, message, .. } = closing;
        Self { reason, uri: Some(cut(uri)), message: Some(cut(message)) }
    }
}

impl EndedSessions {
    /// Adds a session that ends now.
    pub(crate) fn add(&self, session: &Session, realm: &str, end: SessionEnd, now: SystemTime) {
        let connection = session.connection();
        let usage = session.outbox().traffic();
        let SessionEnd { reason, uri, message } = end;
        let ended = EndedSession {
            id: session.id.get(),
            realm: realm.to_owned(),
            user: cut(&session.identity.authid),
            dialect: session.dialect,
            address: connection.address,
            since: connection.since,
            ended: now,
            reason,
            uri,
            message,
            messages_in: connection.messages,
            bytes_in: connection.bytes,
            messages_out: usage.messages,
            bytes_out: usage.written,
            dropped: usage.dropped,
        };
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.sessions.len() >= MAX_ENDED {
            ring.sessions.pop_front();
        }
        ring.sessions.push_back(ended);
        *ring.counts.entry(reason).or_default() += 1;
    }

    /// Returns up to `limit` sessions that are wanted, the newest first.
    pub(crate) fn last(
        &self,
        limit: usize,
        wants: impl Fn(&EndedSession) -> bool,
    ) -> Vec<EndedSession> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.sessions.iter().rev().filter(|it| wants(it)).take(limit).cloned().collect()
    }

    /// Returns the number of all ends since the start, by reason.
    pub(crate) fn counts(&self) -> BTreeMap<ConnectionEnd, u64> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).counts.clone()
    }
}

/// A text of others, on one line of bounded length.
fn cut(text: &str) -> String {
    Untrusted::new(text).at_most(MAX_TEXT_BYTES).to_string()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use jackfield_broker::{Bounds, CloseCause, Features, Identity, Outbox, Overflow, Transport};
    use jackfield_wamp::id::SessionId;

    use super::*;

    struct Nowhere;

    impl Transport for Nowhere {
        fn flush(&self) {}

        fn interrupt(&self) {}
    }

    fn session(id: u64, authid: &str) -> Session {
        let identity = Identity::anonymous(authid.to_owned(), Ipv4Addr::LOCALHOST.into());
        let bounds = Bounds { bytes: 9, frames: 9, overflow: Overflow::Disconnect };
        let outbox = Arc::new(Outbox::new(bounds));
        let id = SessionId::new(id).unwrap();
        Session::new(id, identity, Dialect::V1, Features::default(), outbox, Arc::new(Nowhere))
    }

    #[test]
    fn keeps_the_last_sessions_and_counts_all() {
        let ended = EndedSessions::default();
        for id in 1..=MAX_ENDED as u64 + 5 {
            let reason = if id % 2 == 0 { ConnectionEnd::Left } else { ConnectionEnd::Goodbye };
            let end = SessionEnd::plain(reason);
            ended.add(&session(id, "ann"), "realm1", end, SystemTime::UNIX_EPOCH);
        }
        let all = ended.last(usize::MAX, |_| true);
        assert_eq!(all.len(), MAX_ENDED);
        assert_eq!((all[0].id, all[MAX_ENDED - 1].id), (MAX_ENDED as u64 + 5, 6));
        let even = ended.last(2, |it| it.reason == ConnectionEnd::Left);
        assert_eq!(even.iter().map(|it| it.id).collect::<Vec<_>>(), [1_004, 1_002]);
        assert_eq!(ended.counts().values().sum::<u64>(), MAX_ENDED as u64 + 5);
    }

    #[test]
    fn texts_of_clients_are_escaped_and_cut() {
        let ended = EndedSessions::default();
        let closing = CloseReason {
            cause: CloseCause::Handler,
            reason: "x\u{1b}[2J".to_owned(),
            message: "m".repeat(10_000),
        };
        let user = "\n".repeat(10_000);
        let end = SessionEnd::closed(ConnectionEnd::Handler, &closing);
        ended.add(&session(1, &user), "realm1", end, SystemTime::UNIX_EPOCH);
        let [one] = &ended.last(1, |_| true)[..] else { panic!("one session") };
        assert_eq!(one.reason, ConnectionEnd::Handler);
        assert_eq!(one.uri.as_deref(), Some(r"x\u{1b}[2J"));
        assert!(one.user.len() < 1_000 && one.message.as_ref().unwrap().len() < 1_000);
        assert!(!one.user.contains('\n'));
    }
}
