//! Trace of one message: the steps that `dispatch` records.

use std::sync::Arc;

use jackfield_broker::Session;
use jackfield_wamp::payload::Payload;

use super::steps::{At, PayloadText, Receiver, Step, cut};
use super::{MAX_RECEIVERS, Tracer};

/// A message that may be traced.
pub(crate) struct TracedMessage<'a> {
    /// `publish`, `subscribe` and so on.
    pub(crate) kind: &'static str,
    pub(crate) realm: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) payload: Option<&'a Payload>,
}

/// A message that is traced, until this is dropped.
pub(crate) struct MessageTrace {
    number: u64,
    kind: &'static str,
    realm: String,
    topic: String,
    session: Option<u64>,
    user: Option<String>,
    tracers: Vec<Arc<Tracer>>,
    /// Traces of a user, of whom the message is not: they want its deliveries to the user.
    watchers: Vec<Arc<Tracer>>,
}

impl MessageTrace {
    pub(super) fn begin(
        number: u64,
        session: Option<&Session>,
        message: &TracedMessage<'_>,
        tracers: Vec<Arc<Tracer>>,
        watchers: Vec<Arc<Tracer>>,
    ) -> Box<Self> {
        let id = session.map(|session| session.id.get());
        if let Some(id) = id {
            for tracer in &tracers {
                tracer.opened(id, number);
            }
        }
        let TracedMessage { kind, realm, topic, .. } = *message;
        let (realm, topic) = (realm.to_owned(), topic.to_owned());
        let user = session.map(|session| cut(&session.identity.authid));
        Self { number, kind, realm, topic, session: id, user, tracers, watchers }.begun(message)
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
    }
}

/// Whether a session is of the user of a trace.
fn is_of(tracer: &Tracer, session: &Session) -> bool {
    tracer.filter.user.as_ref() == Some(&session.identity.authid)
}
