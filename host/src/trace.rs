//! Traces: the steps of chosen messages, live, as lines of JSON (observer pattern).
//!
//! `dispatch` records the steps of a message, and the sandbox those of hooks. Without a trace, a message
//! reads one flag. A step is queued or dropped at once: no message waits for the reader of a trace.

mod message;
mod span;
mod steps;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use jackfield_broker::Session;
use jackfield_metrics::TokenBucket;
use jackfield_otlp::{SpanCounts, SpanExport};
use jackfield_sandbox::{
    CallObserver, CallObservers, CallRecord, Hook, HookRequest, Observation, PluginVersion,
};
use serde::Serialize;
use tokio::sync::mpsc;

pub(crate) use message::MessageTrace;
use message::Takers;
use span::SampledExport;
pub(crate) use span::within;
use steps::{At, TraceLine, hook_step};
pub(crate) use steps::{Step, TracedMessage};

use crate::timestamp::time;

/// The maximum number of lines that wait for the reader of a trace.
const MAX_WAITING_LINES: usize = 1_024;
/// The maximum number of lines a second of a trace.
const MAX_LINES_PER_SECOND: u32 = 1_000;
/// The maximum size of a payload in a line, in bytes.
const MAX_PAYLOAD_BYTES: usize = 1_024;
/// The maximum size of a name or sentence in a line, in bytes.
const MAX_TEXT_BYTES: usize = 256;
/// The maximum number of receivers in a line.
const MAX_RECEIVERS: usize = 10;
/// The format of the lines.
const FORMAT: u32 = 1;

/// The messages that are traced: those that every given part matches.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TraceFilter {
    pub(crate) topic: Option<String>,
    /// The user who sends a message; also events that the user's sessions receive.
    pub(crate) user: Option<String>,
    /// Whether lines have the payloads.
    pub(crate) payload: bool,
}

/// The traces of a server.
#[derive(Default)]
pub(crate) struct Traces {
    is_any: AtomicBool,
    /// A std lock, held to copy the list.
    list: RwLock<Vec<Arc<Tracer>>>,
    /// Gets the spans of sampled messages, if a collector is configured.
    spans: OnceLock<Arc<SampledExport>>,
    /// The number of the last message that was traced.
    messages: AtomicU64,
}

/// One trace: its filter and the lines that wait.
struct Tracer {
    filter: TraceFilter,
    lines: mpsc::Sender<Bytes>,
    /// Held to take one line's place.
    bucket: Mutex<TokenBucket>,
    dropped: AtomicU64,
    /// The messages that are under way, by session: the hooks of a message are found by it.
    open: Mutex<HashMap<u64, u64>>,
}

/// A trace ends when this is dropped.
pub(crate) struct RunningTrace {
    traces: Arc<Traces>,
    tracer: Arc<Tracer>,
    _hooks: Observation,
}

impl Traces {
    /// Starts a trace. Returns its lines, the first of which names the filter.
    pub(crate) fn start(
        self: &Arc<Self>,
        observers: &Arc<CallObservers>,
        filter: TraceFilter,
    ) -> (RunningTrace, mpsc::Receiver<Bytes>) {
        let (lines, taken) = mpsc::channel(MAX_WAITING_LINES);
        let tracer = Arc::new(Tracer {
            filter,
            lines,
            bucket: Mutex::new(TokenBucket::full(
                MAX_LINES_PER_SECOND,
                MAX_LINES_PER_SECOND,
                Instant::now(),
            )),
            dropped: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let server = env!("CARGO_PKG_VERSION");
        tracer
            .line(&At::default(), &Step::Begin { format: FORMAT, server, filter: &tracer.filter });
        let hooks = observers.observe(Arc::clone(&tracer) as Arc<dyn CallObserver>);
        self.change(|list| list.push(Arc::clone(&tracer)));
        (RunningTrace { traces: Arc::clone(self), tracer, _hooks: hooks }, taken)
    }

    /// Sends the spans of sampled messages from now on. Only the first call has an effect.
    pub(crate) fn export(&self, export: SpanExport, sample: f64) {
        let _first = self.spans.set(Arc::new(SampledExport { export, sample }));
        self.change(|_| {});
    }

    /// The counts of spans.
    pub(crate) fn span_counts(&self) -> SpanCounts {
        self.spans.get().map(|spans| spans.export.counts()).unwrap_or_default()
    }

    /// Sends the spans that wait, and ends the export. Blocks for some seconds at most.
    pub(crate) fn close_export(&self) {
        if let Some(spans) = self.spans.get() {
            spans.export.close();
        }
    }

    /// Whether there is any trace, or an export of spans.
    // Relaxed: a trace is owed no message that began before it was told of.
    pub(crate) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Relaxed)
    }

    /// Begins to trace a message of a session, or an event that a handler publishes, if any trace wants
    /// it. `may_deliver` is set if it may have receivers: traces of a user show what the user receives.
    #[cold]
    pub(crate) fn begin(
        &self,
        session: Option<&Session>,
        message: &TracedMessage<'_>,
        may_deliver: bool,
    ) -> Option<Box<MessageTrace>> {
        let user = session.map(|session| session.identity.authid.as_str());
        let (mut tracers, mut watchers) = (Vec::new(), Vec::new());
        for tracer in self.list.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if tracer.wants(message.topic, user) {
                tracers.push(Arc::clone(tracer));
            } else if may_deliver && tracer.watches(message.topic) {
                watchers.push(Arc::clone(tracer));
            }
        }
        let span = self.spans.get().zip(user).and_then(|(spans, user)| {
            let span = spans.begin(message, user)?;
            Some((Arc::clone(spans), span))
        });
        if tracers.is_empty() && watchers.is_empty() && span.is_none() {
            return None;
        }
        Some(MessageTrace::begin(self.next(), session, message, Takers { tracers, watchers, span }))
    }

    fn next(&self) -> u64 {
        self.messages.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Tracer>>)) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut list);
        let is_any = !list.is_empty() || self.spans.get().is_some();
        self.is_any.store(is_any, Ordering::Relaxed);
    }
}

impl RunningTrace {
    /// Waits until the reader has left.
    pub(crate) async fn closed(&self) {
        self.tracer.lines.closed().await;
    }

    /// Writes the last line.
    pub(crate) fn end(&self, reason: &str) {
        self.tracer.line(&At::default(), &Step::End { reason });
    }
}

impl Drop for RunningTrace {
    fn drop(&mut self) {
        self.traces.change(|list| list.retain(|it| !Arc::ptr_eq(it, &self.tracer)));
    }
}

impl Tracer {
    /// Whether the messages of a user about a topic are traced.
    fn wants(&self, topic: &str, user: Option<&str>) -> bool {
        let TraceFilter { topic: wanted, user: of_user, .. } = &self.filter;
        wanted.as_ref().is_none_or(|wanted| wanted == topic)
            && of_user.as_ref().is_none_or(|of_user| user == Some(of_user.as_str()))
    }

    /// Whether events of others about a topic are traced, if the user receives them.
    fn watches(&self, topic: &str) -> bool {
        let TraceFilter { topic: wanted, user, .. } = &self.filter;
        user.is_some() && wanted.as_ref().is_none_or(|wanted| wanted == topic)
    }

    /// Queues a line, or counts it as dropped.
    fn line(&self, at: &At<'_>, step: &Step<'_>) {
        let is_bounded = !matches!(step, Step::Begin { .. } | Step::End { .. });
        if is_bounded && !self.take_place() {
            return self.drop_line();
        }
        let Ok(room) = self.lines.try_reserve() else { return self.drop_line() };
        let dropped = self.dropped.load(Ordering::Relaxed);
        // Types of ours, whose keys are texts, cannot fail to be written.
        let line = TraceLine { time: time(SystemTime::now()), at, step, dropped };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        room.send(bytes.into());
    }

    fn take_place(&self) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(Instant::now())
    }

    fn drop_line(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn opened(&self, session: u64, message: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(session, message);
    }

    /// A message has ended. A later one of the session, which began before, stays open.
    fn ended(&self, session: u64, message: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&session) == Some(&message) {
            open.remove(&session);
        }
    }

    fn message_of(&self, session: u64) -> Option<u64> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&session).copied()
    }
}

impl CallObserver for Tracer {
    fn wants(&self, _version: &PluginVersion, _hook: Hook, request: &HookRequest<'_>) -> bool {
        Self::wants(self, request.topic, request.session.as_ref().map(|it| it.authid))
    }

    fn observe(&self, record: &Arc<CallRecord>) {
        let session = record.input.session.as_ref();
        let at = At {
            message: session.and_then(|it| self.message_of(it.id)),
            realm: Some(&record.input.realm),
            topic: Some(&record.input.topic),
            session: session.map(|it| it.id),
            user: session.map(|it| steps::cut(&it.authid)),
        };
        self.line(&at, &hook_step(record));
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_message_leaves_the_next_one_open() {
        let (lines, _taken) = mpsc::channel(1);
        let bucket = Mutex::new(TokenBucket::full(1, 1, Instant::now()));
        let (dropped, open) = (AtomicU64::new(0), Mutex::default());
        let tracer = Tracer { filter: TraceFilter::default(), lines, bucket, dropped, open };
        tracer.opened(7, 1);
        // The hook of the first message still runs when the next one begins.
        tracer.opened(7, 2);
        tracer.ended(7, 1);
        assert_eq!(tracer.message_of(7), Some(2));
        tracer.ended(7, 2);
        assert_eq!(tracer.message_of(7), None);
    }
}
