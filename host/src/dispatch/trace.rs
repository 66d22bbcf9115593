//! Steps of messages for traces: the calls of dispatch into [`crate::trace`].
//!
//! Without a trace, each message reads one flag here.

use std::sync::Arc;
use std::time::Instant;

use jackfield_broker::{DeliveryError, PendingFlushes, Publication, Session};
use jackfield_sandbox::Hook;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::Unsubscribe;
use jackfield_wamp::payload::Payload;

use super::{Dispatch, Refusal, uris};
use crate::generation::RouteMatch;
use crate::trace::{MessageTrace, Step, TracedMessage};

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    Publish,
    Subscribe,
    /// Of a prefix or a wildcard, which has no route.
    SubscribePattern,
    Unsubscribe,
    Call,
    Register,
}

impl MessageKind {
    const fn label(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe | Self::SubscribePattern => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Call => "call",
            Self::Register => "register",
        }
    }

    /// The hook that may be asked.
    const fn hook(self) -> Option<Hook> {
        match self {
            Self::Publish => Some(Hook::Publish),
            Self::Subscribe => Some(Hook::Subscribe),
            Self::Unsubscribe => Some(Hook::Unsubscribe),
            Self::Call => Some(Hook::Call),
            Self::SubscribePattern | Self::Register => None,
        }
    }
}

impl Dispatch {
    /// Begins to trace a message, if it is wanted.
    pub(super) fn trace(
        &self,
        from: &Session,
        kind: MessageKind,
        topic: &str,
        payload: Option<&Payload>,
    ) -> Option<Box<MessageTrace>> {
        if !self.traces.is_any() {
            return None;
        }
        self.begin_trace(from, kind, topic, payload)
    }

    #[cold]
    fn begin_trace(
        &self,
        from: &Session,
        kind: MessageKind,
        topic: &str,
        payload: Option<&Payload>,
    ) -> Option<Box<MessageTrace>> {
        let realm = self.realm.name();
        let shown = uris::shown(topic);
        let message = TracedMessage { kind: kind.label(), realm, topic: shown, payload };
        let trace = self.traces.begin(Some(from), &message, kind == MessageKind::Publish)?;
        if kind != MessageKind::SubscribePattern {
            let generation = self.generations.current();
            let routed = generation.find(topic).map(RouteMatch::for_events);
            trace.step(&Step::Route {
                route: routed.map(|it| it.route.name.as_str()),
                handler: routed.map(|it| it.handler.name()),
                plugin: routed.map(|it| it.handler.manifest().name.as_str()),
                hook: kind.hook().filter(|hook| routed.is_some_and(|it| it.has(*hook))),
            });
        }
        Some(trace)
    }

    /// Begins to trace the end of a subscription, if it is wanted.
    pub(super) fn trace_unsubscribe(
        &self,
        from: &Session,
        unsubscribe: &Unsubscribe,
    ) -> Option<Box<MessageTrace>> {
        if !self.traces.is_any() {
            return None;
        }
        match unsubscribe {
            Unsubscribe::ByTopic { topic } => {
                self.begin_trace(from, MessageKind::Unsubscribe, topic, None)
            }
            Unsubscribe::ById { subscription, .. } => {
                let (uri, _) = self.realm.subscribed_to(from.id, *subscription)?;
                self.begin_trace(from, MessageKind::Unsubscribe, &uri, None)
            }
        }
    }

    /// Passes an event to the broker. Returns the number of its receivers.
    pub(super) fn fan_out(
        &self,
        publication: &Publication<'_>,
        batch: &mut PendingFlushes,
        trace: Option<&MessageTrace>,
    ) -> Result<usize, DeliveryError> {
        self.trace_audience(publication, trace);
        let report = self.realm.publish(publication, batch)?;
        if report.has_ended_durable {
            self.has_ended_durable();
        }
        Ok(report.delivered)
    }

    /// Traces the receivers of an event.
    pub(super) fn trace_audience(
        &self,
        publication: &Publication<'_>,
        trace: Option<&MessageTrace>,
    ) {
        if let Some(trace) = trace.filter(|trace| trace.wants_receivers()) {
            self.trace_receivers(trace, publication);
        }
    }

    #[cold]
    fn trace_receivers(&self, trace: &MessageTrace, publication: &Publication<'_>) {
        let wants = |session: &Session| trace.wants_receiver(session);
        let (found, total) = self.realm.receivers(publication, trace.max_receivers(), wants);
        trace.receivers(&found, total, publication.payload);
    }

    /// Passes an event of a handler to the broker.
    pub(super) fn publish_effect(
        &self,
        publication: &Publication<'_>,
        batch: &mut PendingFlushes,
    ) -> Result<(), DeliveryError> {
        let trace = self.trace_effect(publication);
        let delivered = self.fan_out(publication, batch, trace.as_deref())?;
        accepted(trace.as_deref(), Some(delivered), None);
        Ok(())
    }

    /// Passes an event of a handler for one session to the broker.
    pub(super) fn send_effect(
        &self,
        to: SessionId,
        publication: &Publication<'_>,
        batch: &mut PendingFlushes,
    ) -> Result<(), DeliveryError> {
        let trace = self.trace_effect(publication);
        let is_sent = self.realm.send(to, publication, batch)?;
        if let Some(trace) = &trace {
            let receiver = self.realm.session(to).filter(|_| is_sent);
            let found: Vec<Arc<Session>> =
                receiver.into_iter().filter(|it| trace.wants_receiver(it)).collect();
            trace.receivers(&found, usize::from(is_sent), publication.payload);
            accepted(Some(trace), Some(usize::from(is_sent)), None);
        }
        Ok(())
    }

    pub(super) fn trace_effect(&self, publication: &Publication<'_>) -> Option<Box<MessageTrace>> {
        if !self.traces.is_any() {
            return None;
        }
        let Publication { topic, payload, .. } = *publication;
        let realm = self.realm.name();
        let payload = Some(payload);
        let message = TracedMessage { kind: "effect", realm, topic, payload };
        self.traces.begin(None, &message, true)
    }
}

/// The time at which a hook is asked, if it is recorded.
pub(super) fn asked(trace: Option<&MessageTrace>) -> Option<Instant> {
    trace.map(|_| Instant::now())
}

/// Records the answer of a hook that was asked at this time.
pub(super) fn answered<T>(
    trace: Option<&MessageTrace>,
    hook: Hook,
    asked: Option<Instant>,
    answer: &Result<T, Refusal>,
) {
    if let Some((trace, asked)) = trace.zip(asked) {
        trace.hook(hook, asked, answer.as_ref().err().map(Refusal::message));
    }
}

/// Records the end of a message.
pub(super) fn ended<T>(trace: Option<&MessageTrace>, result: &Result<T, Refusal>) {
    match (trace, result) {
        (Some(trace), Err(refusal)) => refused(trace, refusal),
        (trace, Ok(_)) => accepted(trace, None, None),
        (None, Err(_)) => {}
    }
}

/// Records the end of a message that was accepted.
pub(super) fn accepted(
    trace: Option<&MessageTrace>,
    delivered: Option<usize>,
    answered_by: Option<&'static str>,
) {
    if let Some(trace) = trace {
        trace.step(&Step::Accept { delivered, answered_by });
    }
}

/// Records the end of a message that was refused.
#[cold]
pub(super) fn refused(trace: &MessageTrace, refusal: &Refusal) {
    trace.step(&Step::refused(refusal.uri(), refusal.message()));
}
