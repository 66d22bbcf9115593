//! Span of one message: its steps, as an OpenTelemetry collector gets them.

use std::time::{Duration, Instant, SystemTime};

use jackfield_otlp::{Parent, Span, SpanExport};
use jackfield_sandbox::Hook;

use super::steps::{Step, TracedMessage, cut};

tokio::task_local! {
    /// The span of the caller of an HTTP request, in the task that answers it.
    static PARENT: Parent;
}

/// The export of spans, and the share of messages that it gets.
pub(super) struct SampledExport {
    pub(super) export: SpanExport,
    /// Above 0, at most 1.
    pub(super) sample: f64,
}

/// The span of a message, until it ends.
pub(super) struct MessageSpan {
    parent: Option<Parent>,
    span: Span,
    began: Instant,
}

/// Runs the answer to a request within the span of its caller.
pub(crate) async fn within<T>(parent: Option<Parent>, answer: impl Future<Output = T>) -> T {
    match parent {
        Some(parent) => PARENT.scope(parent, answer).await,
        None => answer.await,
    }
}

impl SampledExport {
    /// Begins the span of a message, if it is sampled. A caller with a span of its own has decided.
    pub(super) fn begin(&self, message: &TracedMessage<'_>, user: &str) -> Option<MessageSpan> {
        let parent = PARENT.try_with(|parent| *parent).ok();
        let is_sampled = parent.map_or_else(|| fastrand::f64() < self.sample, |it| it.is_sampled);
        is_sampled.then(|| MessageSpan::begin(parent, message, user))
    }
}

impl MessageSpan {
    fn begin(parent: Option<Parent>, message: &TracedMessage<'_>, user: &str) -> Self {
        let now = SystemTime::now();
        let span = Span {
            name: message.kind.to_owned(),
            began: now,
            ended: now,
            attributes: vec![
                ("messaging.system", "wamp".to_owned()),
                ("messaging.operation.name", message.kind.to_owned()),
                ("messaging.destination.name", cut(message.topic)),
                ("wamp.realm", message.realm.to_owned()),
                ("enduser.id", cut(user)),
            ],
            error: None,
            within: Vec::new(),
        };
        Self { parent, span, began: Instant::now() }
    }

    /// Records a step.
    pub(super) fn step(&mut self, step: &Step<'_>) {
        let attributes = &mut self.span.attributes;
        match step {
            Step::Route { route, handler, plugin, .. } => {
                let parts = [
                    ("jackfield.route", route),
                    ("jackfield.handler", handler),
                    ("jackfield.plugin", plugin),
                ];
                let known = parts.into_iter().filter_map(|(key, value)| Some((key, (*value)?)));
                attributes.extend(known.map(|(key, value)| (key, cut(value))));
                // One name a route, so that backends can group by it.
                if let Some(route) = route {
                    self.span.name = format!("{} {}", self.span.name, cut(route));
                }
            }
            Step::Accept { delivered, answered_by } => {
                let delivered = delivered.map(|count| ("jackfield.delivered", count.to_string()));
                let answered = answered_by.map(|by| ("jackfield.answered_by", by.to_owned()));
                attributes.extend(delivered.into_iter().chain(answered));
            }
            Step::Refuse { error, reason } => {
                attributes.push(("error.type", error.clone()));
                self.span.error = Some(reason.clone());
            }
            Step::Begin { .. }
            | Step::Message { .. }
            | Step::Hook { .. }
            | Step::Deliver { .. }
            | Step::End { .. } => {}
        }
    }

    /// Records a hook that was asked at this time, and has answered now.
    pub(super) fn hook(&mut self, hook: Hook, asked: Instant, error: Option<&str>) {
        let now = Instant::now();
        self.span.within.push(Span {
            name: hook.name().to_owned(),
            began: self.at(asked),
            ended: self.at(now),
            attributes: Vec::new(),
            error: error.map(cut),
            within: Vec::new(),
        });
    }

    /// Ends the span, and sends it.
    pub(super) fn end(mut self, export: &SpanExport) {
        self.span.ended = self.at(Instant::now());
        export.send(self.span, self.parent);
    }

    /// The time of a moment since the begin, whatever the clock of the system does meanwhile.
    fn at(&self, moment: Instant) -> SystemTime {
        let passed: Duration = moment.saturating_duration_since(self.began);
        self.span.began + passed
    }
}
