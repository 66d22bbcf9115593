//! `POST /v1/record`: streams the hook calls of live traffic as the lines of a recording, until the
//! client closes the connection or the server ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use super::audit::{self, Caller, Subject};
use super::plugin_lookup::find_plugin;
use super::problem::Problem;
use super::{Context, MAX_FILTER_BYTES};
use crate::recording::line::Encoder;
use crate::recording::redact::Redaction;
use crate::recording::{Filter, Recorder, Recording};
use crate::server_state::ServerState;

/// The time for a client to take the last lines when the server ends. It is shorter than the time
/// that the listener waits for connections.
const MAX_END_TIME: Duration = Duration::from_millis(500);
/// The lines that wait for the socket.
const MAX_WAITING_LINES: usize = 16;

/// The body of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RecordRequest {
    topic: Option<String>,
    plugin: Option<String>,
    with_payload: bool,
    with_claims: bool,
    with_headers: bool,
}

/// The body of an answer that has no end of its own.
pub(super) struct LineStream(mpsc::Receiver<Bytes>);

impl LineStream {
    pub(super) const fn new(lines: mpsc::Receiver<Bytes>) -> Self {
        Self(lines)
    }
}

impl Body for LineStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|lines| lines.map(|lines| Ok(Frame::data(lines))))
    }
}

/// Starts a recording.
pub(super) fn answer(
    context: &Context,
    caller: &Caller,
    request: RecordRequest,
) -> Result<LineStream, Problem> {
    let RecordRequest { topic, plugin, with_payload, with_claims, with_headers } = request;
    if topic.is_none() && plugin.is_none() {
        return Err(Problem::invalid("a recording needs a `topic`, a `plugin`, or both"));
    }
    if topic.as_ref().is_some_and(|topic| topic.is_empty() || topic.len() > MAX_FILTER_BYTES) {
        return Err(Problem::invalid(format!("`topic` has 1 to {MAX_FILTER_BYTES} bytes")));
    }
    let state = &context.state;
    if let Some(topic) = &topic
        && state.reloader.generations().current().find(topic).is_none()
    {
        // No hook is called for it: the recording would stay empty.
        let topic = jackfield_text::Untrusted::new(topic).at_most(MAX_FILTER_BYTES);
        return Err(Problem::unknown(format!("no route matches the topic `{topic}`")));
    }
    let subject = Subject::recording(plugin.as_deref(), topic.as_deref())?;
    if let Some(plugin) = &plugin {
        // The recording of a plugin that does not serve would stay empty.
        find_plugin(&state.reloader.generations().current(), plugin)?;
    }
    let place = context.recordings.take(&context.state.shutdown)?;
    let redaction =
        Redaction { payload: !with_payload, claims: !with_claims, headers: !with_headers };
    let subject = subject.with_content(unredacted(redaction));
    let generation = state.reloader.state().generation;
    audit::record(caller, "record", &subject, "begun", generation);
    let filter = Filter { topic, plugin };
    let recording = Recorder::start(&state.observers, filter.clone());
    let (lines, body) = mpsc::channel(MAX_WAITING_LINES);
    let writer =
        RecordingWriter { recording, lines, encoder: Encoder::new(redaction), _place: place };
    let (state, caller) = (Arc::clone(state), caller.clone());
    tokio::spawn(async move {
        writer.run(filter, &state).await;
        audit::record(&caller, "record", &subject, "ended", state.reloader.state().generation);
    });
    Ok(LineStream(body))
}

/// The parts that are not redacted, for the audit log.
fn unredacted(redaction: Redaction) -> Option<String> {
    let Redaction { payload, claims, headers } = redaction;
    let parts = [("payload", payload), ("claims", claims), ("headers", headers)];
    let open: Vec<&str> =
        parts.into_iter().filter(|(_, is_redacted)| !is_redacted).map(|(name, _)| name).collect();
    (!open.is_empty()).then(|| open.join(", "))
}

/// The task of one recording.
struct RecordingWriter {
    recording: Recording,
    lines: mpsc::Sender<Bytes>,
    encoder: Encoder,
    _place: OwnedSemaphorePermit,
}

impl RecordingWriter {
    async fn run(mut self, filter: Filter, state: &ServerState) {
        let header = self.encoder.header(filter.topic, filter.plugin);
        // The channel has room for the first lines.
        let _closed = self.lines.try_send(header.into());
        let lines = self.lines.clone();
        tokio::select! {
            () = self.write() => {}
            () = lines.closed() => {}
            () = state.shutdown.requested() => {
                // A client that does not read in time knows by the missing line that it is cut off.
                let _unread = timeout(MAX_END_TIME, self.end()).await;
            }
        }
    }

    /// Writes calls as long as the client takes them. A call is taken when there is room for its
    /// lines, so that nothing is lost when this is dropped.
    async fn write(&mut self) {
        while let Ok(room) = self.lines.reserve().await {
            let Some(record) = self.recording.next().await else { return };
            match self.encoder.call(&record, self.recording.dropped()) {
                Some(lines) => room.send(lines.into()),
                None => self.recording.drop_call(),
            }
        }
    }

    /// Writes the calls that wait, and the last line.
    async fn end(&mut self) {
        while let Some(record) = self.recording.take_waiting() {
            match self.encoder.call(&record, self.recording.dropped()) {
                Some(lines) => drop(self.lines.send(lines.into()).await),
                None => self.recording.drop_call(),
            }
        }
        let end = self.encoder.end("the server ended", self.recording.dropped());
        let _closed = self.lines.send(end.into()).await;
    }
}
