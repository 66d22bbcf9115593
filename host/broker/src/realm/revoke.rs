//! Revocation: the router ends subscriptions that the rules no longer allow.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_wamp::id::SubscriptionId;
use jackfield_wamp::uri::MatchPolicy;

use super::{Realm, Revoked};
use crate::publication::PatternAudience;
use crate::session::{PendingFlushes, Session};

impl Realm {
    /// Revokes the subscriptions of sessions that are not in the audience of their topic or pattern. The
    /// frame of `notice` is queued after the last event of each. Returns the exact ones.
    ///
    /// `audience` is called without the lock, once per topic or pattern; a session that subscribes in the meantime
    /// was authorized by the routes now in force.
    pub fn revoke<'a>(
        &self,
        audience: impl Fn(&str, MatchPolicy) -> PatternAudience<'a>,
        batch: &mut PendingFlushes,
        notice: impl Fn(&Session, SubscriptionId) -> Option<Bytes>,
    ) -> Vec<Revoked> {
        let mut revoked = Vec::new();
        let keys: Vec<_> = self.read().subscriptions.keys().cloned().collect();
        for key in keys {
            let audience = audience(&key.uri, key.policy);
            if audience == PatternAudience::Everybody {
                continue;
            }
            let refused = |session: &&Arc<Session>| !audience.admits(session);
            let is_kept = {
                let state = self.read();
                let subscription = state.subscriptions.get(&key);
                subscription.is_none_or(|it| it.subscribers().find(refused).is_none())
            };
            if is_kept {
                continue;
            }
            let mut state = self.write();
            let Some(subscription) = state.subscriptions.get(&key) else { continue };
            let id = subscription.id;
            let sessions: Vec<_> =
                subscription.subscribers().filter(refused).map(Arc::clone).collect();
            for session in sessions {
                state.remove(session.id, id);
                if let Some(frame) = notice(&session, id) {
                    session.reply(frame, batch);
                }
                if key.policy == MatchPolicy::Exact {
                    let topic = Arc::clone(&key.uri);
                    revoked.push(Revoked { session, subscription: id, topic });
                }
            }
        }
        revoked
    }
}
