//! Effects of hooks: publications, messages, unsubscriptions and closings. Their events go straight to
//! subscribers and enter no handler.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_broker::{CloseReason, DeliveryError, PendingFlushes, Publication, Session};
use jackfield_sandbox::{Effect, PluginEvent};
use jackfield_wamp::id::{SessionId, SubscriptionId};
use jackfield_wamp::message::ReceiverFilter;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::Reply;
use tracing::warn;

use super::{Dispatch, Refusal};
use crate::generation::Generation;
use crate::{frame, ids};

impl Dispatch {
    /// Does what a hook wants done, and tells the handlers of topics that sessions left by it.
    pub(super) async fn apply(
        &self,
        generation: &Generation,
        effects: Vec<Effect>,
        batch: &mut PendingFlushes,
    ) {
        if !effects.is_empty() {
            let left = self.perform(generation, effects, batch);
            // Boxed for the size of a connection's task.
            Box::pin(self.notify_unsubscribed(generation, left, batch)).await;
        }
    }

    /// Does what a hook wants done, in its order. Returns the sessions that left topics by it.
    pub(super) fn perform(
        &self,
        generation: &Generation,
        effects: Vec<Effect>,
        batch: &mut PendingFlushes,
    ) -> Vec<(Arc<Session>, Arc<str>)> {
        let mut left = Vec::new();
        for effect in effects {
            match effect {
                Effect::Publish { topic, event, exclude, eligible } => {
                    let narrowed = filter(exclude, eligible);
                    self.emit(generation, &topic, &event, |publication| {
                        let publication = Publication { narrowed: Some(&narrowed), ..publication };
                        self.realm.publish(&publication, batch).map(drop)
                    });
                }
                Effect::Send { session, topic, event } => {
                    let Some(session) = SessionId::new(session) else { continue };
                    self.emit(generation, &topic, &event, |publication| {
                        self.realm.send(session, &publication, batch).map(drop)
                    });
                }
                Effect::Unsubscribe { session, topic } => {
                    let session = SessionId::new(session);
                    left.extend(session.and_then(|it| self.remove(it, &topic, batch)));
                }
                Effect::Close { session, reason, message } => {
                    let session = SessionId::new(session).and_then(|id| self.realm.session(id));
                    if let Some(session) = session {
                        session.close(CloseReason { reason, message });
                    }
                }
            }
        }
        left
    }

    /// Takes a session out of a topic by the router's will, and lets the handler know.
    pub(super) async fn evict(
        &self,
        generation: &Generation,
        session: SessionId,
        topic: &str,
        batch: &mut PendingFlushes,
    ) {
        let left = self.remove(session, topic, batch);
        self.notify_unsubscribed(generation, left, batch).await;
    }

    fn remove(
        &self,
        session: SessionId,
        topic: &str,
        batch: &mut PendingFlushes,
    ) -> Option<(Arc<Session>, Arc<str>)> {
        let session = self.realm.session(session)?;
        let subscription = self.realm.subscription(session.id, topic)?;
        let notice = revocation(&session, subscription);
        let topic = self.realm.unsubscribe(session.id, subscription, batch, notice).ok()??;
        Some((session, topic))
    }

    fn emit(
        &self,
        generation: &Generation,
        topic: &str,
        event: &PluginEvent,
        deliver: impl FnOnce(Publication<'_>) -> Result<(), DeliveryError>,
    ) {
        let routed = generation.find(topic);
        let delivered = payload(event).and_then(|payload| {
            let delivered = deliver(Publication {
                topic,
                id: ids::publication(),
                disclosed: None,
                except: None,
                filter: None,
                narrowed: None,
                patterns: self.pattern_audience(routed.as_ref()),
                payload: &payload,
            });
            Ok(delivered?)
        });
        if let Err(refusal) = delivered {
            warn!(topic, "an event of a handler was dropped: {refusal}");
        }
    }
}

/// Leaves out what would make further sessions leave, and tells the operator.
pub(super) fn drop_unsubscribes(effects: &mut Vec<Effect>, topic: &str) {
    let all = effects.len();
    effects.retain(|effect| !matches!(effect, Effect::Unsubscribe { .. }));
    if effects.len() < all {
        warn!(
            topic,
            "unsubscribe cascade too long; ignoring further unsubscribes from on_unsubscribe"
        );
    }
}

/// The receivers that a handler names. Invalid session ids match no session.
pub(super) fn filter(exclude: Vec<u64>, eligible: Option<Vec<u64>>) -> ReceiverFilter {
    let sessions = |ids: Vec<u64>| ids.into_iter().filter_map(SessionId::new).collect();
    ReceiverFilter {
        exclude: sessions(exclude),
        eligible: eligible.map(sessions),
        ..ReceiverFilter::default()
    }
}

/// A handler's event as a payload.
pub(super) fn payload(event: &PluginEvent) -> Result<Payload, Refusal> {
    Payload::from_json(event.args(), event.kwargs()).map_err(|error| Refusal::bad_event(&error))
}

/// The notice that the router took a subscription away, for clients that understand it.
pub(super) fn revocation(session: &Session, subscription: SubscriptionId) -> Option<Bytes> {
    if !session.features.subscription_revocation {
        return None;
    }
    frame::reply(session, &Reply::Revoked { subscription, reason: REVOKED })
}

/// Why a subscription or a registration ends by the router's will.
pub(super) const REVOKED: &str = "jackfield.close.revoked";
