//! Steps of messages, as lines of JSON. Texts of others are cut and escaped.

use std::sync::Arc;

use jackfield_broker::Session;
use jackfield_sandbox::{CallRecord, Effect, Hook, HookAnswer};
use jackfield_text::Untrusted;
use jackfield_wamp::payload::Payload;
use serde::Serialize;

use super::{MAX_PAYLOAD_BYTES, MAX_TEXT_BYTES, TraceFilter};

/// A message that may be traced.
pub(crate) struct TracedMessage<'a> {
    /// `publish`, `subscribe` and so on.
    pub(crate) kind: &'static str,
    pub(crate) realm: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) payload: Option<&'a Payload>,
}

/// A line: the place of a step, and the step.
#[derive(Serialize)]
pub(super) struct TraceLine<'a> {
    pub(super) time: String,
    #[serde(flatten)]
    pub(super) at: &'a At<'a>,
    #[serde(flatten)]
    pub(super) step: &'a Step<'a>,
    /// The lines that were dropped until now.
    pub(super) dropped: u64,
}

/// The message of a step; the other keys are absent where there is none.
#[derive(Default, Serialize)]
pub(super) struct At<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) realm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
}

/// A step.
#[derive(Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum Step<'a> {
    /// The first line of a trace.
    Begin { format: u32, server: &'static str, filter: &'a TraceFilter },
    /// A message has come from a session, or an event from a handler.
    Message {
        kind: &'static str,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        payload: Option<PayloadText>,
    },
    /// The route of the topic; without values if none matches.
    Route {
        route: Option<&'a str>,
        handler: Option<&'a str>,
        plugin: Option<&'a str>,
        /// The hook that is asked; none if the handler has none for the message.
        hook: Option<Hook>,
    },
    /// A hook has answered.
    Hook {
        hook: Hook,
        handler: &'a str,
        plugin: &'a str,
        version: &'a str,
        verdict: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        effects: Vec<&'static str>,
        writes: usize,
        took_ms: f64,
    },
    /// The receivers of an event, up to a number, and the number of all.
    Deliver { receivers: &'a [Receiver], receiver_count: usize },
    /// The end of a message that was accepted.
    Accept {
        #[serde(skip_serializing_if = "Option::is_none")]
        delivered: Option<usize>,
        /// The further way of a call: `client` or `later`.
        #[serde(skip_serializing_if = "Option::is_none")]
        answered_by: Option<&'static str>,
    },
    /// The end of a message that was refused.
    Refuse { error: String, reason: String },
    /// The last line of a trace.
    End { reason: &'a str },
}

/// A session that receives an event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Receiver {
    session: u64,
    user: String,
}

/// The arguments of a message in JSON, cut and escaped.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PayloadText {
    args: String,
    kwargs: String,
}

impl Step<'_> {
    /// The end of a message that was refused.
    pub(crate) fn refused(uri: &str, message: &str) -> Self {
        Self::Refuse { error: cut(uri), reason: cut(message) }
    }
}

impl Receiver {
    pub(super) fn of(session: &Arc<Session>) -> Self {
        Self { session: session.id.get(), user: cut(&session.identity.authid) }
    }
}

impl PayloadText {
    pub(super) fn of(payload: &Payload) -> Self {
        let cut = |text: &str| Untrusted::new(text).at_most(MAX_PAYLOAD_BYTES).to_string();
        Self { args: cut(&payload.args_json()), kwargs: cut(&payload.kwargs_json()) }
    }
}

/// A text of others.
pub(super) fn cut(text: &str) -> String {
    Untrusted::new(text).at_most(MAX_TEXT_BYTES).to_string()
}

/// The step of a hook that has ended.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a call, shown in milliseconds")]
pub(super) fn hook_step(record: &CallRecord) -> Step<'_> {
    let CallRecord { version, input, outcome, cost, .. } = record;
    let (verdict, refusal) = match &outcome.answer {
        HookAnswer::Done => ("done", None),
        HookAnswer::Allow => ("allow", None),
        HookAnswer::Deny(refusal) => ("deny", Some((&refusal.uri, &refusal.message))),
        HookAnswer::Broadcast => ("broadcast", None),
        HookAnswer::Deliver(_) => ("deliver", None),
        HookAnswer::Drop => ("drop", None),
        HookAnswer::Reject(refusal) => ("reject", Some((&refusal.uri, &refusal.message))),
        HookAnswer::Result(_) => ("result", None),
        HookAnswer::Error(refusal) => ("error", Some((&refusal.uri, &refusal.message))),
        HookAnswer::Later => ("later", None),
        HookAnswer::Fault(fault) => ("fault", Some((&fault.fault, &fault.message))),
    };
    Step::Hook {
        hook: input.hook,
        handler: &input.handler,
        plugin: &version.plugin,
        version: &version.version,
        verdict,
        error: refusal.map(|(uri, _)| cut(uri)),
        reason: refusal.map(|(_, message)| cut(message)),
        effects: outcome.effects.iter().take(super::MAX_RECEIVERS).map(effect).collect(),
        writes: outcome.writes.len(),
        took_ms: cost.took_ns as f64 / 1_000_000.0,
    }
}

const fn effect(effect: &Effect) -> &'static str {
    match effect {
        Effect::Publish { .. } => "publish",
        Effect::Send { .. } => "send",
        Effect::Unsubscribe { .. } => "unsubscribe",
        Effect::Close { .. } => "close",
        Effect::Request(_) => "request",
        Effect::Call(_) => "call",
        Effect::Complete(_) => "complete",
    }
}
