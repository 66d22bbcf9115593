//! Effects of hooks: publications, messages, unsubscriptions and closings. Their events go directly
//! to subscribers, without a handler. Those with an answer begin here, see [`super::outgoing`].

use std::sync::Arc;

use bytes::Bytes;
use jackfield_broker::{
    CloseCause, CloseReason, DeliveryError, PendingFlushes, Publication, Session,
};
use jackfield_sandbox::{Effect, Passage, PluginEvent};
use jackfield_wamp::id::{SessionId, SubscriptionId};
use jackfield_wamp::message::ReceiverFilter;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::Reply;
use tracing::warn;

use super::authorize::{overflow, pattern_audience};
use super::{Dispatch, Refusal, history};
use crate::generation::{Generation, RealmUri, RouteMatch};
use crate::{frame, ids};

/// A session that an effect removed from a topic.
pub(super) type Removed = (Arc<Session>, Arc<str>);

impl Dispatch {
    /// Applies the effects of a hook, and informs the handlers of topics whose subscribers it
    /// removed. The hook has passed when its effects are queued: those handlers may be behind it.
    pub(super) async fn apply(
        &self,
        generation: &Generation,
        effects: Vec<Effect>,
        passage: Passage<'_>,
        batch: &mut PendingFlushes,
    ) {
        if !effects.is_empty() {
            let left = self.perform(generation, effects, batch).await;
            drop(passage);
            // Boxed to keep a connection's task small.
            Box::pin(self.notify_unsubscribed(generation, left, batch)).await;
        }
    }

    /// Performs the effects of a hook in order, none of which is to be saved. Returns the sessions that it
    /// removed from topics.
    pub(super) fn perform_now(
        &self,
        generation: &Generation,
        effects: Vec<Effect>,
        batch: &mut PendingFlushes,
    ) -> Vec<Removed> {
        let mut left = Vec::new();
        for effect in effects {
            match effect {
                Effect::Publish { topic, event, exclude, eligible } => {
                    let narrowed = filter(exclude, eligible);
                    emit(generation, self.at(&topic), &event, |publication| {
                        let publication = Publication { narrowed: Some(&narrowed), ..publication };
                        self.publish_effect(&publication, batch)
                    });
                }
                Effect::Send { session, topic, event } => {
                    let Some(session) = SessionId::new(session) else { continue };
                    if self.is_elsewhere(session) {
                        self.send_to_node(session, &topic, &event);
                        continue;
                    }
                    emit(generation, self.at(&topic), &event, |publication| {
                        self.send_effect(session, &publication, batch)
                    });
                }
                Effect::Unsubscribe { session, topic } => {
                    let Some(session) = SessionId::new(session) else { continue };
                    if self.is_elsewhere(session) {
                        self.unsubscribe_on_node(session, &topic);
                    }
                    left.extend(self.remove(session, &topic, batch));
                }
                Effect::Request(request) => self.outgoing.begin_request(request),
                Effect::Call(call) => self.outgoing.begin_call(call),
                Effect::Complete(completion) => completion.perform(),
                Effect::Close { session, reason, message } => {
                    let Some(session) = SessionId::new(session) else { continue };
                    if self.is_elsewhere(session) {
                        self.close_on_node(session, &reason, &message);
                    }
                    self.close(session, reason, message);
                }
            }
        }
        left
    }

    /// Ends a session of this node.
    pub(super) fn close(&self, session: SessionId, reason: String, message: String) {
        if let Some(session) = self.realm.session(session) {
            let cause = CloseCause::Handler;
            // A session that is closing already keeps its first reason.
            let _first = session.close(CloseReason { cause, reason, message });
        }
    }

    /// Removes a session from a topic. Its handler is to be informed.
    pub(super) fn remove(
        &self,
        session: SessionId,
        topic: &str,
        batch: &mut PendingFlushes,
    ) -> Option<(Arc<Session>, Arc<str>)> {
        let session = self.realm.session(session)?;
        let subscription = self.realm.subscription(session.id, topic)?;
        let notice = revocation(&session, subscription);
        let topic = self.realm.unsubscribe(session.id, subscription, batch, notice).ok()??;
        self.tell_subscriptions(batch);
        Some((session, topic))
    }
}

pub(super) fn emit(
    generation: &Generation,
    at: RealmUri<'_>,
    event: &PluginEvent,
    deliver: impl FnOnce(Publication<'_>) -> Result<(), DeliveryError>,
) {
    let topic = at.uri;
    let routed = generation.find(topic).map(RouteMatch::for_events);
    let recording = history::recording(routed.as_ref());
    let delivered = payload(event).and_then(|payload| {
        let delivered = deliver(Publication {
            patterns: pattern_audience(generation, at, routed.as_ref()),
            overflow: overflow(routed.as_ref()),
            recording: recording.as_ref(),
            ..Publication::new(topic, ids::publication(), &payload)
        });
        Ok(delivered?)
    });
    if let Err(refusal) = delivered {
        warn_of_dropped(topic, &refusal);
    }
}

/// Logs that an event of a handler is not delivered.
pub(super) fn warn_of_dropped(topic: &str, refusal: &Refusal) {
    warn!(name: "handler.event_dropped", topic, "an event of a handler was dropped: {refusal}");
}

/// Drops effects that would unsubscribe further sessions, with a warning.
pub(super) fn drop_unsubscribes(effects: &mut Vec<Effect>, topic: &str) {
    let all = effects.len();
    effects.retain(|effect| !matches!(effect, Effect::Unsubscribe { .. }));
    if effects.len() < all {
        warn!(
            name: "handler.unsubscribe_cascade",
            topic,
            "unsubscribe cascade too long; ignoring further unsubscribes from on_unsubscribe"
        );
    }
}

/// Returns the receivers that a handler names. Invalid session ids match no session.
pub(super) fn filter(exclude: Vec<u64>, eligible: Option<Vec<u64>>) -> ReceiverFilter {
    let sessions = |ids: Vec<u64>| ids.into_iter().filter_map(SessionId::new).collect();
    ReceiverFilter {
        exclude: sessions(exclude),
        eligible: eligible.map(sessions),
        ..ReceiverFilter::default()
    }
}

/// Converts a handler's event into a payload.
pub(super) fn payload(event: &PluginEvent) -> Result<Payload, Refusal> {
    Payload::from_json(event.args(), event.kwargs()).map_err(|error| Refusal::bad_event(&error))
}

/// Returns the notice of a revoked subscription, for clients that announce the feature.
pub(super) fn revocation(session: &Session, subscription: SubscriptionId) -> Option<Bytes> {
    if !session.features.subscription_revocation {
        return None;
    }
    frame::reply(session, &Reply::Revoked { subscription, reason: REVOKED })
}

/// The reason of revoked subscriptions and registrations.
pub(super) const REVOKED: &str = "jackfield.close.revoked";
