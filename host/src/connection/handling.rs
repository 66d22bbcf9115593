//! Handling of one message of a client: requests are passed to dispatch, and the rest is answered here.

use std::pin::Pin;

use jackfield_config::Limits;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::protocol::{Frame, Input, Request};
use jackfield_websocket::Message;
use tracing::debug;

use super::Connection;
use super::cancel::{Counts, ReadAhead};
use super::close::CloseAction;
use super::member::Member;
use crate::frame;
use crate::metrics::ReceivedKind;

/// Approximate memory in bytes of a listed receiver: a text, its allocation and its place.
const LISTED_BYTES: usize = 64;

/// The maximum growth of arguments from another codec to JSON: CBOR's empty byte string of 1 byte
/// has 9 bytes in JSON.
const MAX_JSON_GROWTH: usize = 9;

/// A message in work. What is left to await is in boxes: the task of an idle connection keeps room for it.
pub(super) enum Handling<'a, R> {
    /// It is handled, or the connection has to end.
    Done(Result<(), CloseAction>),
    /// A request is answered when this has ended.
    Request(R),
    /// As `Done`, when this has ended.
    Waits(Pin<Box<dyn Future<Output = Result<(), CloseAction>> + Send + 'a>>),
}

impl<'a, R> Handling<'a, R> {
    fn waits(work: impl Future<Output = Result<(), CloseAction>> + Send + 'a) -> Self {
        Self::Waits(Box::pin(work))
    }
}

impl Connection {
    /// Handles one message, or refuses its request if it is not within the session's rates.
    pub(super) fn handle(
        &mut self,
        message: Message,
        is_within: bool,
    ) -> Handling<'_, impl Future<Output = ()> + Send> {
        let bytes = message.payload_bytes();
        let frame = match message {
            Message::Text(text) => Frame::Text(text),
            Message::Binary(bytes) => Frame::Binary(bytes),
            control => return self.control(&control),
        };
        self.wire.count_message();
        if self.is_echo {
            return if is_within { self.echo(&frame) } else { Handling::Done(Ok(())) };
        }
        let input = self.dialogue.receive(frame);
        self.context.metrics.received(ReceivedKind::of(&input), self.dialogue.dialect());
        match input {
            Input::Request(request) => {
                let Self { context, settings, wire, member, reader, dialogue, batch, rate, .. } =
                    self;
                let Some(Member { session, dispatch, .. }) = member else {
                    return Handling::Done(Ok(()));
                };
                if !is_within && dispatch.refuse_excess(session, &request, batch) {
                    return Handling::Done(Ok(()));
                }
                let bytes = held_bytes(&request, bytes, session.dialect, &settings.limits);
                let counts = Counts { rate, wire, metrics: &context.metrics };
                let ahead = ReadAhead::during(&request, reader, dialogue, session, counts);
                // The allocation takes about a hundredth of the time of a publication. The future is made
                // in its place: `Box::pin` copies its three kilobytes.
                let place = Box::new_uninit();
                let work = Box::write(place, dispatch.handle(session, request, ahead, batch));
                let work = Box::into_pin(work);
                Handling::Request(context.totals.backlog.counted(session.client, bytes, work))
            }
            Input::Hello(hello) => Handling::waits(async move { self.hello(&hello).await }),
            Input::Authenticate(proof) => Handling::waits(self.authenticate(proof)),
            Input::Refused { message, reply } => {
                debug!("a request is refused: {message}");
                if let (Some(member), Some(reply)) = (&self.member, reply) {
                    member.session.reply(self.wrap(&reply), &mut self.batch);
                }
                Handling::Done(Ok(()))
            }
            Input::Nothing => Handling::Done(Ok(())),
            Input::Goodbye { reply, .. } => {
                let reply = reply.map(|reply| self.wrap(&reply));
                Handling::Done(Err(CloseAction::Goodbye(reply)))
            }
            Input::Violation { message, farewell } => {
                let farewell = farewell.map(|farewell| self.wrap(&farewell));
                Handling::Done(Err(CloseAction::Violation { message, farewell }))
            }
        }
    }

    /// Sends a message back.
    fn echo<R>(&mut self, message: &Frame) -> Handling<'_, R> {
        self.wire.send(frame::echo(message));
        if self.wire.outbox().is_crowded() {
            Handling::waits(self.slow_down())
        } else {
            Handling::Done(Ok(()))
        }
    }

    /// Handles a control frame of WebSocket; the reader has answered it.
    fn control<R>(&mut self, message: &Message) -> Handling<'_, R> {
        match message {
            Message::Pong(_) => {
                // A RawSocket was not asked.
                if let Some(took) = self.keepalive.answered().filter(|_| !self.wire.is_raw()) {
                    self.context.metrics.round_trip(took);
                }
                Handling::Done(Ok(()))
            }
            // A client that pings and reads no pongs is read no further, either.
            Message::Ping(_) if self.wire.outbox().is_crowded() => {
                Handling::waits(self.slow_down())
            }
            Message::Close(_) => Handling::Done(Err(CloseAction::Parted)),
            _ => Handling::Done(Ok(())),
        }
    }
}

/// Returns the bytes that a request holds while it waits for a handler: its message, its lists of
/// receivers, and the JSON for the handler if the message is not JSON.
fn held_bytes(request: &Request, message: usize, dialect: Dialect, limits: &Limits) -> usize {
    let listed = match request {
        Request::Publish(publish) => publish.options.filter.as_ref().map_or(0, |it| it.len()),
        _ => 0,
    };
    let json = if dialect.is_binary() {
        message.saturating_mul(MAX_JSON_GROWTH).min(limits.event_bytes)
    } else {
        0
    };
    message + listed * LISTED_BYTES + json
}
