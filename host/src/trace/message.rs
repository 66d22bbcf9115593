//! Trace of one message: the steps that `dispatch` records.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jackfield_broker::Session;
use jackfield_sandbox::Hook;
use jackfield_wamp::payload::Payload;

use super::span::{MessageSpan, SampledExport};
use super::steps::{At, PayloadText, Receiver, Step, TracedMessage, cut};
use super::{MAX_RECEIVERS, Tracer};

/// A message that is traced, until this is dropped.
pub(crate) struct MessageTrace {
    number: u64,
    kind: &'static str,
    realm: String,
    topic: String,
    session: Option<u64>,
    user: Option<String>,
    tracers: Vec<Arc<Tracer>>,
    watchers: Vec<Arc<Tracer>>,
    export: Option<Arc<SampledExport>>,
    /// Held to record a step.
    span: Mutex<Option<MessageSpan>>,
}

/// The takers of a message's steps.
pub(super) struct Takers {
    /// The traces that want the message.
    pub(super) tracers: Vec<Arc<Tracer>>,
    /// Traces of a user, of whom the message is not: they want its deliveries to the user.
    pub(super) watchers: Vec<Arc<Tracer>>,
    /// The export of spans, if the message is sampled.
    pub(super) span: Option<(Arc<SampledExport>, MessageSpan)>,
}

impl MessageTrace {
    pub(super) fn begin(
        number: u64,
        session: Option<&Session>,
        message: &TracedMessage<'_>,
        takers: Takers,
    ) -> Box<Self> {
        let Takers { tracers, watchers, span } = takers;
        let (export, span) = span.unzip();
        let span = Mutex::new(span);
        let id = session.map(|session| session.id.get());
        if let Some(id) = id {
            for tracer in &tracers {
                tracer.opened(id, number);
            }
        }
        let TracedMessage { kind, realm, topic, .. } = *message;
        let (realm, topic) = (realm.to_owned(), topic.to_owned());
        let user = session.map(|session| cut(&session.identity.authid));
        let begun =
            Self { number, kind, realm, topic, session: id, user, tracers, watchers, export, span };
        begun.begun(message)
    }

    /// Records the first step.
    fn begun(self, message: &TracedMessage<'_>) -> Box<Self> {
        for tracer in &self.tracers {
            let payload = message.payload.filter(|_| tracer.filter.payload);
            let payload = payload.map(PayloadText::of);
            tracer.line(&self.at(), &Step::Message { kind: self.kind, payload });
        }
        Box::new(self)
    }

    /// Records a step.
    pub(crate) fn step(&self, step: &Step<'_>) {
        for tracer in &self.tracers {
            tracer.line(&self.at(), step);
        }
        if let Some(span) = self.span.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            span.step(step);
        }
    }

    /// Records a hook that was asked at this time, and has answered now, perhaps with an error.
    pub(crate) fn hook(&self, hook: Hook, asked: Instant, error: Option<&str>) {
        if let Some(span) = self.span.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            span.hook(hook, asked, error);
        }
    }

    /// Whether any trace wants to know receivers. A span has their number alone.
    pub(crate) fn wants_receivers(&self) -> bool {
        !self.tracers.is_empty() || !self.watchers.is_empty()
    }

    /// Whether any trace wants to know that a session receives the event.
    pub(crate) fn wants_receiver(&self, session: &Session) -> bool {
        !self.tracers.is_empty() || self.watchers.iter().any(|it| is_of(it, session))
    }

    /// The number of receivers to look up: all for traces of a user.
    pub(crate) fn max_receivers(&self) -> usize {
        if self.watchers.is_empty() { MAX_RECEIVERS } else { usize::MAX }
    }

    /// Records the receivers of an event.
    pub(crate) fn receivers(&self, found: &[Arc<Session>], total: usize, payload: &Payload) {
        let receivers = |wanted: &dyn Fn(&Session) -> bool| -> Vec<Receiver> {
            let wanted = found.iter().filter(|session| wanted(session)).take(MAX_RECEIVERS);
            wanted.map(Receiver::of).collect()
        };
        let all = receivers(&|_| true);
        for tracer in &self.tracers {
            tracer.line(&self.at(), &Step::Deliver { receivers: &all, receiver_count: total });
        }
        for tracer in &self.watchers {
            let of_user = receivers(&|session| is_of(tracer, session));
            if of_user.is_empty() {
                continue;
            }
            let payload = Some(payload).filter(|_| tracer.filter.payload).map(PayloadText::of);
            tracer.line(&self.at(), &Step::Message { kind: self.kind, payload });
            let step = Step::Deliver { receivers: &of_user, receiver_count: total };
            tracer.line(&self.at(), &step);
        }
    }

    fn at(&self) -> At<'_> {
        At {
            message: Some(self.number),
            realm: Some(&self.realm),
            topic: Some(&self.topic),
            session: self.session,
            user: self.user.clone(),
        }
    }
}

impl Drop for MessageTrace {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            for tracer in &self.tracers {
                tracer.ended(session, self.number);
            }
        }
        let span = self.span.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((export, span)) = self.export.as_ref().zip(span) {
            span.end(&export.export);
        }
    }
}

/// Whether a session is of the user of a trace.
fn is_of(tracer: &Tracer, session: &Session) -> bool {
    tracer.filter.user.as_ref() == Some(&session.identity.authid)
}
