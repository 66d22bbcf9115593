//! Caller of a plugin's call: a session without a connection, which is in no realm and ends with
//! the call. Handlers, the dealer and deferred results answer it as any session; its frames are
//! read here.

use std::io::IoSlice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jackfield_broker::{Bounds, Features, Identity, Outbox, Overflow, Session, Transport};
use jackfield_sandbox::{CallResult, HookRefusal, PluginEvent};
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::error_uri;
use jackfield_wamp::id::RequestId;
use jackfield_wamp::message::{Call, CallId, CallOptions};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::{Refusal, effects};
use crate::{frame, ids};

/// Authentication method and role of plugins.
const PLUGIN: &str = "plugin";
/// The outbox has one answer.
const MAX_FRAMES: usize = 4;
/// Codes of the two answers to a call. WAMP v2 specification, section "Message Codes".
const RESULT: &str = "50";
const ERROR: &str = "8";

/// The caller of one call.
pub(super) struct PluginCaller {
    session: Arc<Session>,
    inbox: Arc<Inbox>,
}

/// The transport of its session: it collects what is written.
struct Inbox {
    outbox: Arc<Outbox>,
    /// A std mutex: a leaf, held for a push or for taking the answer.
    received: Mutex<Vec<u8>>,
    arrived: Notify,
}

impl PluginCaller {
    /// Creates a caller for a plugin.
    ///
    /// # Errors
    /// When the operating system has no random bytes for an id.
    pub(super) fn new(plugin: &str, max_bytes: usize) -> Result<Self, getrandom::Error> {
        let bounds =
            Bounds { bytes: max_bytes, frames: MAX_FRAMES, overflow: Overflow::Disconnect };
        let inbox = Arc::new(Inbox {
            outbox: Arc::new(Outbox::new(bounds)),
            received: Mutex::default(),
            arrived: Notify::new(),
        });
        let identity = Identity {
            authid: format!("{PLUGIN}:{plugin}"),
            roles: vec![PLUGIN.to_owned()],
            authmethod: PLUGIN.to_owned(),
            claims: "{}".to_owned(),
            anonymous_from: None,
        };
        let (outbox, transport) = (Arc::clone(&inbox.outbox), Arc::clone(&inbox) as Arc<_>);
        let (dialect, features) = (Dialect::V2(Codec::Json), Features::default());
        let id = ids::session()?;
        let session = Session::new(id, identity, dialect, features, outbox, transport);
        Ok(Self { session: Arc::new(session), inbox })
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Returns the message of the call.
    pub(super) fn call(
        procedure: &str,
        event: &PluginEvent,
        timeout: Duration,
    ) -> Result<Call, Refusal> {
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let options = CallOptions { timeout: Some(milliseconds.max(1)), ..CallOptions::default() };
        let (request, procedure) = (CallId::V2(RequestId::default()), procedure.to_owned());
        Ok(Call { request, options, procedure, payload: effects::payload(event)? })
    }

    /// Waits for the result. Cancel-safe.
    pub(super) async fn result(&self) -> CallResult {
        loop {
            if let Some(result) = self.inbox.take() {
                return result;
            }
            self.inbox.arrived.notified().await;
        }
    }
}

impl Inbox {
    /// Takes the answer, if it has arrived.
    fn take(&self) -> Option<CallResult> {
        // The only error is a frame of no bytes, which no message has.
        let _drained = self.outbox.drain(|slices| Ok(self.collect(slices)));
        let frames = std::mem::take(&mut *self.lock());
        if frames.is_empty() {
            return self.outbox.closing().map(|closing| {
                let message = format!("there is no answer: {}", closing.message);
                Err(HookRefusal { uri: error_uri::CANCELED.to_owned(), message })
            });
        }
        Some(parse(frame::body(&frames)).unwrap_or_else(|| {
            let message = "the result cannot be read".to_owned();
            Err(HookRefusal { uri: error_uri::CANCELED.to_owned(), message })
        }))
    }

    /// Appends what is written; the first frame is the answer, and there is no other.
    fn collect(&self, slices: &[IoSlice<'_>]) -> usize {
        let mut received = self.lock();
        for slice in slices {
            received.extend_from_slice(slice);
        }
        slices.iter().map(|slice| slice.len()).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Inbox {
    fn flush(&self) {
        self.arrived.notify_one();
    }

    fn interrupt(&self) {
        self.arrived.notify_one();
    }
}

/// Reads RESULT or ERROR.
fn parse(message: &[u8]) -> Option<CallResult> {
    let parts: Vec<&RawValue> = serde_json::from_slice(message).ok()?;
    let part = |at: usize| parts.get(at).map(|part| part.get());
    match part(0)? {
        RESULT => Some(Ok(event(part(3), part(4)))),
        ERROR => {
            let uri: String = serde_json::from_str(part(4)?).ok()?;
            let args: Vec<serde_json::Value> =
                part(5).and_then(|args| serde_json::from_str(args).ok()).unwrap_or_default();
            let message = args.first().and_then(serde_json::Value::as_str).unwrap_or_default();
            Some(Err(HookRefusal { uri, message: message.to_owned() }))
        }
        _ => None,
    }
}

fn event(args: Option<&str>, kwargs: Option<&str>) -> PluginEvent {
    PluginEvent::of_host(args.unwrap_or("[]").to_owned(), kwargs.unwrap_or("{}").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_answers_of_calls() {
        let check = |message: &str, expected: Option<CallResult>| {
            assert_eq!(parse(message.as_bytes()), expected, "{message}");
        };
        check("[50,1,{}]", Some(Ok(event(None, None))));
        let whole = r#"[50, 1, {}, [1, "a"], {"b": 9007199254740993}]"#;
        check(whole, Some(Ok(event(Some(r#"[1, "a"]"#), Some(r#"{"b": 9007199254740993}"#)))));
        let error = |message: &str| {
            Some(Err(HookRefusal { uri: "a.b".to_owned(), message: message.to_owned() }))
        };
        check(r#"[8,48,1,{},"a.b"]"#, error(""));
        check(r#"[8,48,1,{},"a.b",["no",2]]"#, error("no"));
        check(r#"[8,48,1,{},"a.b",[2]]"#, error(""));
        check("[36,1]", None);
        check("", None);
    }
}
