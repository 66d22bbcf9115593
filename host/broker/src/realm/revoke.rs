//! Revocation: the router ends subscriptions that the rules no longer allow.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_wamp::id::SubscriptionId;

use super::{Realm, Revoked};
use crate::publication::PatternAudience;
use crate::session::{PendingFlushes, Session};

impl Realm {
    /// Revokes the exact subscriptions of sessions that are not in the audience of their topic. The
    /// frame of `notice` is queued after the last event of each.
    ///
    /// `audience` is called without the lock, once per topic; a session that subscribes in the meantime
    /// was authorized by the routes now in force.
    pub fn revoke<'a>(
        &self,
        audience: impl Fn(&str) -> PatternAudience<'a>,
        batch: &mut PendingFlushes,
        notice: impl Fn(&Session, SubscriptionId) -> Option<Bytes>,
    ) -> Vec<Revoked> {
        let mut revoked = Vec::new();
        for topic in self.topics() {
            let audience = audience(&topic);
            if audience == PatternAudience::Everybody {
                continue;
            }
            let refused = |session: &&Arc<Session>| !audience.admits(session);
            let is_kept = {
                let state = self.read();
                let subscription = state.subscriptions.exact(&topic);
                subscription.is_none_or(|it| it.subscribers().find(refused).is_none())
            };
            if is_kept {
                continue;
            }
            let mut state = self.write();
            let Some(subscription) = state.subscriptions.exact(&topic) else { continue };
            let id = subscription.id;
            let sessions: Vec<_> =
                subscription.subscribers().filter(refused).map(Arc::clone).collect();
            for session in sessions {
                state.remove(session.id, id);
                if let Some(frame) = notice(&session, id) {
                    session.reply(frame, batch);
                }
                revoked.push(Revoked { session, subscription: id, topic: Arc::clone(&topic) });
            }
        }
        revoked
    }
}
