//! Connection: one client from its first byte to its last. Reads messages, passes requests to
//! dispatch, and sends the farewell of its dialect.
//!
//! Called by `server`'s listener for each accepted socket; it begins in [`accept`] and ends in
//! [`close`]. [`Context`] lists the parts that it may reach. [`crate::dispatch`] handles requests;
//! [`crate::transport`] writes to the socket.

use std::convert::Infallible;
use std::future::pending;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use jackfield_auth::Authenticated;
use jackfield_broker::{CloseCause, CloseReason, Features, PendingFlushes};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::error_uri;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::protocol as wamp;
use jackfield_websocket::Message;
use tokio::time::{Instant, sleep_until};

use crate::admission::{Admittance, PendingProof};
use crate::backpressure::wait_for_room;
use crate::client_listener::ClientListener;
use crate::client_socket::ClientSocket;
use crate::connection_limit::ConnectionPermit;
use crate::dispatch::Dispatch;
use crate::frame;
use crate::shutdown::{self, Shutdown};
use crate::transport::ClientTransport;

mod accept;
mod batch;
mod cancel;
mod close;
mod context;
mod expiry;
mod handling;
mod keepalive;
mod limits;
mod live_settings;
mod member;
mod message_rate;
mod reader;
mod session_setup;
mod throttle;
mod tls_handshake;

pub(crate) use close::DisconnectReason;
use close::{CloseAction, session_end};
pub(crate) use context::Context;
use expiry::Expiry;
use handling::Handling;
use keepalive::{Due, Keepalive};
pub(crate) use limits::NewConnections;
use limits::UserPlace;
use live_settings::ConnectionSettings;
pub(crate) use live_settings::LiveSettings;
use member::Member;
use message_rate::MessageRate;
use reader::{Reader, Received};
use throttle::Throttled;
pub(crate) use tls_handshake::{FailedHandshake, TLS_ONLY, secure};

/// Events of one publisher are flushed after at most this number of its messages, so that a
/// publisher that never pauses does not delay its first events.
const BATCH_MESSAGES: usize = 32;

/// Events are also flushed after this number of bytes: a batch must not fill healthy outboxes.
const BATCH_BYTES: usize = 64 * 1024;

/// Serves a socket until it ends.
///
/// A task keeps the size of its largest state, and most connections are idle most of the time.
/// Large and short states (opening, farewells, calls into wasm) are therefore boxed.
pub(crate) async fn serve(
    context: Arc<Context>,
    socket: ClientSocket,
    listener: Arc<ClientListener>,
    permit: &ConnectionPermit,
) -> Result<(), DisconnectReason> {
    match Box::pin(accept::open(context, socket, listener, permit)).await? {
        Some(mut connection) => connection.run().await,
        None => Ok(()),
    }
}

/// An upgraded connection.
struct Connection {
    context: Arc<Context>,
    listener: Arc<ClientListener>,
    /// Those that it has taken over.
    settings: Arc<ConnectionSettings>,
    wire: Arc<ClientTransport>,
    reader: Reader,
    /// The client's address; behind a proxy, the forwarded one.
    client: IpAddr,
    /// The state of the WAMP protocol.
    dialogue: wamp::Protocol,
    /// The user whom the handshake has authenticated, until a session is opened.
    proven: Option<Box<Authenticated>>,
    /// Whether a session requires authentication.
    must_prove: bool,
    /// Whether messages are sent back, and no session is opened.
    is_echo: bool,
    /// What the admission rests on, until a session is opened; none for the server's own probe.
    admittance: Option<Box<Admittance>>,
    /// The requested session, which is opened after authentication.
    asked: Option<Box<Asked>>,
    /// The expiry of the session's credential, if it has one.
    expiry: Expiry,
    /// The open session and its realm.
    member: Option<Member>,
    /// The place among the connections of the session's user.
    place: UserPlace,
    /// The deadline for opening the session.
    opened_by: Instant,
    /// The receivers of its messages that are not flushed yet.
    batch: PendingFlushes,
    keepalive: Keepalive,
    rate: MessageRate,
}

/// The content of a WAMP v2 client's HELLO.
struct Asked {
    dispatch: Arc<Dispatch>,
    features: Features,
    /// The requested authid.
    authid: Option<String>,
    /// The requested authentication method, which WELCOME repeats.
    method: Option<String>,
    /// The id of the session, which a challenge may name.
    session: SessionId,
    /// What the client has to send after CHALLENGE.
    pending: PendingProof,
}

impl Connection {
    async fn run(&mut self) -> Result<(), DisconnectReason> {
        let Err(ending) = self.converse().await;
        let session = self.member.as_ref().map(Member::joined);
        let is_goodbye = matches!(ending, CloseAction::Goodbye(_));
        let ended = Box::pin(self.end(ending)).await;
        let end = session_end(is_goodbye, &ended);
        self.context.metrics.ended(end.reason);
        if let Some((session, dispatch)) = session {
            self.context.ended.add(&session, dispatch.realm().name(), end, SystemTime::now());
        }
        ended
    }

    /// Handles messages one after another, each to its end before the next is decoded. No local is both
    /// borrowed and kept over a wait: it would have room of its own in the task.
    async fn converse(&mut self) -> Result<Infallible, CloseAction> {
        let (mut messages, mut bytes) = (0, 0);
        loop {
            let is_full = messages >= BATCH_MESSAGES || bytes >= BATCH_BYTES;
            let goes_on = !self.batch.is_empty() && !is_full;
            let message = if goes_on && let Some(received) = self.reader.ready() {
                message(received)?
            } else {
                self.batch.flush();
                (messages, bytes) = (0, 0);
                self.turn().await?
            };
            self.follow_settings();
            messages += 1;
            bytes += self.reader.wire_bytes();
            if self.rate.take(self.reader.wire_bytes()) {
                match self.handle(message, true) {
                    Handling::Done(done) => done?,
                    Handling::Request(work) => work.await,
                    Handling::Waits(work) => work.await?,
                }
            } else {
                Box::pin(self.handle_excess(message)).await?;
            }
            if self.batch.is_crowded() {
                Box::pin(self.slow_down()).await?;
            }
        }
    }

    /// Handles a message that exceeds a rate.
    async fn handle_excess(&mut self, message: Message) -> Result<(), CloseAction> {
        let treatment = self.throttle(message.payload_bytes()).await?;
        match self.handle(message, matches!(treatment, Throttled::Handle)) {
            Handling::Done(done) => done,
            Handling::Request(work) => {
                work.await;
                Ok(())
            }
            Handling::Waits(work) => work.await,
        }
    }

    /// Pauses reading while messages caused by this client wait to be read: by the client itself,
    /// until it has read them; by others, for a bounded time. The rest of the connection continues.
    async fn slow_down(&mut self) -> Result<(), CloseAction> {
        self.batch.flush();
        let own = self.member.as_ref().map(|member| member.session.id);
        let mut others = self.batch.take_crowded();
        others.retain(|session| Some(session.id) != own);
        let mut others = pin!(wait_for_room(others, self.settings.limits.publisher_delay));
        let mut wait_for_others = true;
        while wait_for_others || self.wire.outbox().pressure().waits {
            let done =
                async { if wait_for_others { others.as_mut().await } else { pending().await } };
            wait_for_others &= !self.pause_for(done).await?;
        }
        Ok(())
    }

    /// Reads nothing until `done`, or until something else of the connection is to be looked at.
    /// Returns whether it is done.
    async fn pause_for(&mut self, done: impl Future<Output = ()>) -> Result<bool, CloseAction> {
        if let Some(closing) = self.wire.outbox().closing() {
            return Err(CloseAction::CloseReason(closing));
        }
        tokio::select! {
            () = done => return Ok(true),
            () = self.wire.attention() => {}
            closing = self.expiry.reached() => return Err(CloseAction::CloseReason(closing)),
            result = self.wire.unblocked() => if let Err(error) = result {
                return Err(CloseAction::Lost(error.to_string()));
            },
            due = self.keepalive.due(&self.wire) => match due {
                Due::Ping => self.ping(),
                // The answer to a ping would not be read.
                Due::Silence => {}
                Due::Stall => return Err(self.stalled()),
            },
        }
        Ok(false)
    }

    /// Waits for the next message or the end.
    async fn turn(&mut self) -> Result<Message, CloseAction> {
        loop {
            if let Some(closing) = self.wire.outbox().closing() {
                return Err(CloseAction::CloseReason(closing));
            }
            tokio::select! {
                received = self.reader.next() => return message(received),
                () = self.wire.attention() => {}
                // A shutdown closes members through their sessions; see `shutdown`.
                closing = unopened(self.member.as_ref(), &self.context.shutdown, self.opened_by) => {
                    return Err(CloseAction::CloseReason(closing));
                }
                closing = self.expiry.reached() => {
                    return Err(CloseAction::CloseReason(closing));
                }
                result = self.wire.unblocked() => if let Err(error) = result {
                    return Err(CloseAction::Lost(error.to_string()));
                },
                due = self.keepalive.due(&self.wire) => match due {
                    Due::Ping => self.ping(),
                    Due::Silence if self.may_be_silent() => {}
                    Due::Silence => {
                        // The answer to the ping may be among the unread bytes.
                        if let Some(received) = self.reader.ready() {
                            return message(received);
                        }
                        if self.wire.take_received() {
                            continue;
                        }
                        let message = "the client does not answer pings".to_owned();
                        return Err(CloseAction::Lost(message));
                    }
                    Due::Stall => return Err(self.stalled()),
                },
            }
        }
    }

    /// Returns whether missing pongs are no sign of a lost client. PHP's publishers of WAMP v1 read
    /// nothing after WELCOME, and their later publications must not be lost: while such a session
    /// has never answered and has no subscriptions, only TCP detects a lost client. So it is with
    /// RawSocket, where no pings are sent, but for a client that stops within a message.
    fn may_be_silent(&self) -> bool {
        if self.wire.is_raw() {
            return !self.reader.is_within_message();
        }
        let Some(Member { session, dispatch, .. }) = &self.member else { return false };
        self.dialogue.dialect() == Dialect::V1
            && !self.keepalive.has_answered()
            && !dispatch.realm().is_subscribed(session.id)
    }

    /// Sends a ping, but to no RawSocket: clients in use end the connection.
    fn ping(&self) {
        if !self.wire.is_raw() {
            self.wire.send(frame::ping());
        }
    }

    fn stalled(&self) -> CloseAction {
        let timeout = self.keepalive.timeout().as_millis();
        CloseAction::Lost(format!("the client has read nothing for {timeout} ms"))
    }

    fn wrap(&self, message: &[u8]) -> Bytes {
        frame::message(self.dialogue.dialect(), message)
    }
}

/// Returns the message, or the end of the connection.
fn message(received: Received) -> Result<Message, CloseAction> {
    match received {
        Some(received) => Ok(received?),
        None => Err(CloseAction::Gone),
    }
}

/// Waits until a connection has to end that has no session; for ever if it has one.
async fn unopened(member: Option<&Member>, shutdown: &Shutdown, opened_by: Instant) -> CloseReason {
    if member.is_some() {
        return pending().await;
    }
    // Boxed to keep the task of an open session small.
    let ended = Box::pin(async {
        tokio::select! {
            () = shutdown.requested() => shutdown::close_reason(),
            () = sleep_until(opened_by) => CloseReason {
                cause: CloseCause::Timeout,
                reason: error_uri::TIMEOUT.to_owned(),
                message: "no session was opened in time".to_owned(),
            },
        }
    });
    ended.await
}
