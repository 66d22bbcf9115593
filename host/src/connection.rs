//! One connection from its first byte to its last: reads frames, hands requests to dispatch, and
//! says farewell in the way that its dialect understands.
//!
//! Called by [`crate::listener`] for each accepted socket. What a request means is decided in
//! [`crate::dispatch`]; how bytes reach the socket, in [`crate::wire`].

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use jackfield_broker::{Batch, Closing, Features, Identity, Session};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::error_uri;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::Hello;
use jackfield_wamp::session::{Frame, Input, Welcome};
use jackfield_wamp::value::Value;
use jackfield_wamp::{session as wamp, uri};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tracing::{debug, warn};

use crate::app::App;
use crate::dispatch::Dispatch;
use crate::handshake::{self, Opening, Upgrade};
use crate::wire::{Duplex, LOST, Wire};
use crate::{frame, http, ids, shutdown};

mod farewell;
mod keepalive;

use keepalive::{Due, Keepalive};

/// Events of one publisher are flushed after so many of its messages at the latest, so that a
/// publisher that never pauses does not hold back what it has published.
const BATCH_MESSAGES: usize = 32;

/// … and after so many bytes, so that a batch of large events does not fill healthy outboxes.
const BATCH_BYTES: usize = 64 * 1024;

/// What tungstenite reads at once, and what an idle connection keeps. A larger message gets a
/// buffer of its own size.
const READ_BUFFER: usize = 4 * 1024;

/// Serves a socket until it ends.
pub(crate) async fn serve(app: Arc<App>, mut stream: TcpStream) -> Result<(), Ended> {
    let limits = &app.config.limits;
    let opening =
        timeout(app.config.handshake_timeout, handshake::read(&mut stream, limits.handshake_bytes));
    let opened_by = Instant::now() + app.config.handshake_timeout;
    let opening = tokio::select! {
        () = app.stopping() => return Ok(()),
        opening = opening => opening,
    };
    let opening = match opening {
        Err(_elapsed) => return Err(Ended::Handshake("it took too long".to_owned())),
        Ok(Err(error)) => return Err(Ended::Lost(error.to_string())),
        Ok(Ok(None)) => return Ok(()),
        Ok(Ok(Some(opening))) => opening,
    };
    match opening {
        Ok(Opening::Upgrade(upgrade)) => {
            Connection::open(app, stream, upgrade, opened_by).await?.run().await
        }
        Ok(Opening::Plain { method, path }) => {
            http::answer(&app, &mut stream, &method, &path).await;
            Ok(())
        }
        Err(refusal) => {
            http::refuse(&mut stream, &refusal).await;
            Err(Ended::Handshake(refusal.message))
        }
    }
}

/// Why a connection ended, other than by the client's own wish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The HTTP request was refused.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// The client broke WebSocket's or WAMP's rules.
    #[error("protocol violation: {0}")]
    Violation(String),
    /// The client may not open a session.
    #[error("refused: {0}")]
    Refused(String),
    /// The router ended it.
    #[error("closed by the router: {reason}: {message}", reason = .0.reason, message = .0.message)]
    Closed(Closing),
    /// The transport failed, or the client stopped answering.
    #[error("connection lost: {0}")]
    Lost(String),
}

impl Ended {
    /// Tells the operator. What any stranger can bring about, as often as they please, is no news
    /// unless somebody asks for it.
    pub(crate) fn log(&self) {
        match self {
            Self::Closed(closing) if closing.reason == Closing::SLOW_SUBSCRIBER => warn!("{self}"),
            Self::Handshake(_)
            | Self::Violation(_)
            | Self::Refused(_)
            | Self::Closed(_)
            | Self::Lost(_) => debug!("{self}"),
        }
    }
}

/// An upgraded connection.
struct Connection {
    app: Arc<App>,
    wire: Arc<Wire>,
    websocket: WebSocketStream<Duplex>,
    /// The dialogue in WAMP.
    dialogue: wamp::Session,
    /// Once it is welcome: who it is to the broker, and the realm that it joined.
    member: Option<Member>,
    /// Until when it has to be welcome.
    opened_by: Instant,
    /// Whom its messages have reached and who is not flushed yet.
    batch: Batch,
    keepalive: Keepalive,
}

/// A session in its realm.
struct Member {
    session: Arc<Session>,
    dispatch: Arc<Dispatch>,
}

/// What one turn of the loop is about.
enum Turn {
    Message(Message),
    /// The client ended it in good order.
    End,
    /// The router wants it to end.
    Closing(Closing),
    Failed(WsError),
    Lost(String),
}

impl Connection {
    /// Answers the handshake; a WAMP v1 client is greeted in the same write.
    async fn open(
        app: Arc<App>,
        stream: TcpStream,
        upgrade: Upgrade,
        opened_by: Instant,
    ) -> Result<Self, Ended> {
        let mut dialogue = wamp::Session::new(upgrade.dialect);
        let wire = Wire::new(stream, app.config.limits.outbox);
        let mut member = None;
        let mut greeting = Vec::new();
        if upgrade.dialect == Dialect::V1 {
            let dispatch = app.default_realm();
            let features = Features::default();
            let joining = Member::anonymous(&wire, upgrade.dialect, features, dispatch)?;
            let welcome = dialogue.welcome(&joining.welcome());
            greeting.extend_from_slice(&frame::message(upgrade.dialect, &welcome));
            member = Some(joining);
        }
        let lost = |error: std::io::Error| Ended::Lost(error.to_string());
        wire.greet(&upgrade.response(&greeting)).await.map_err(lost)?;
        if let Some(member) = &member {
            member.join(&app);
        }
        let max = Some(app.config.limits.message_bytes);
        let settings = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(max)
            .max_frame_size(max);
        let websocket = WebSocketStream::from_partially_read(
            Duplex(Arc::clone(&wire)),
            upgrade.early,
            Role::Server,
            Some(settings),
        )
        .await;
        let keepalive = Keepalive::new(app.config.keepalive.interval, app.config.keepalive.timeout);
        let batch = Batch::default();
        Ok(Self { app, wire, websocket, dialogue, member, opened_by, batch, keepalive })
    }

    /// Handles message after message, each to its end before the next is decoded.
    async fn run(mut self) -> Result<(), Ended> {
        let (mut messages, mut bytes) = (0, 0);
        let ended = loop {
            let ready = if self.batch.is_empty() { None } else { self.ready() };
            let turn = match ready {
                Some(turn) if messages < BATCH_MESSAGES && bytes < BATCH_BYTES => turn,
                ready => {
                    self.batch.flush();
                    (messages, bytes) = (0, 0);
                    match ready {
                        Some(turn) => turn,
                        None => self.turn().await,
                    }
                }
            };
            match turn {
                Turn::Message(message) => {
                    messages += 1;
                    bytes += message.len();
                    let Some(frame) = wamp_frame(message) else { continue };
                    if let Some(ended) = self.handle(frame).await {
                        break ended;
                    }
                }
                Turn::End => break self.part(Ok(())).await,
                Turn::Closing(closing) => break self.farewell(closing).await,
                Turn::Failed(error) => break self.fail(error).await,
                Turn::Lost(why) => break Err(Ended::Lost(why)),
            }
        };
        self.leave().await;
        ended
    }

    /// A message that has arrived already.
    fn ready(&mut self) -> Option<Turn> {
        self.websocket.next().now_or_never().map(received)
    }

    /// Waits for whatever comes next.
    async fn turn(&mut self) -> Turn {
        loop {
            if let Some(closing) = self.wire.outbox().closing() {
                return Turn::Closing(closing);
            }
            tokio::select! {
                message = self.websocket.next() => return received(message),
                () = self.wire.attention() => {}
                // A member is told through its session; see `shutdown`.
                closing = unopened(&self.app, self.opened_by), if self.member.is_none() => {
                    return Turn::Closing(closing);
                }
                result = self.wire.unblocked() => if let Err(error) = result {
                    return Turn::Lost(error.to_string());
                },
                due = self.keepalive.due(&self.wire) => match due {
                    Due::Ping => self.wire.send(frame::ping()),
                    Due::Silence => {
                        return Turn::Lost("the client does not answer pings".to_owned());
                    }
                },
            }
        }
    }

    /// One WAMP message. Returns how the connection ended, if it did.
    async fn handle(&mut self, frame: Frame) -> Option<Result<(), Ended>> {
        match self.dialogue.receive(frame) {
            Input::Request(request) => {
                if let Some(member) = &self.member {
                    let Member { session, dispatch } = member;
                    dispatch.handle(session, &self.dialogue, request, &mut self.batch).await;
                }
                None
            }
            Input::Hello(hello) => match self.welcome(&hello) {
                Ok(()) => None,
                Err(refused) => Some(self.refuse(refused).await),
            },
            // Nothing challenges, so nothing can be answered.
            Input::Nothing | Input::Authenticate(_) => None,
            Input::Goodbye { reply, .. } => {
                let last = reply.map(|reply| self.wrap(&reply));
                Some(self.end(last, CloseCode::Normal, "goodbye", Ok(())).await)
            }
            Input::Violation { message, farewell } => {
                let last = farewell.map(|farewell| self.wrap(&farewell));
                let code = self.violation_code();
                let ended = Err(Ended::Violation(message.clone()));
                Some(self.end(last, code, &message, ended).await)
            }
        }
    }

    /// Opens a session of WAMP v2.
    fn welcome(&mut self, hello: &Hello) -> Result<(), (&'static str, String)> {
        if !uri::is_uri(&hello.realm) {
            let message = format!("`{}` is not a URI", hello.realm);
            return Err((error_uri::INVALID_URI, message));
        }
        let Some(dispatch) = self.app.realm(&hello.realm) else {
            let message = format!("there is no realm `{}` here", hello.realm);
            return Err((error_uri::NO_SUCH_REALM, message));
        };
        if !offers_anonymous(hello) {
            let message = "sessions are opened with the authmethod `anonymous`".to_owned();
            return Err((error_uri::NO_MATCHING_AUTH_METHOD, message));
        }
        let features = Features {
            subscription_revocation: hello.announces("subscriber", "subscription_revocation"),
        };
        let member = Member::anonymous(&self.wire, self.dialogue.dialect(), features, dispatch)
            .map_err(|error| (error_uri::UNAVAILABLE, error.to_string()))?;
        let welcome = self.dialogue.welcome(&member.welcome());
        member.join(&self.app);
        self.wire.send(self.wrap(&welcome));
        self.member = Some(member);
        Ok(())
    }

    /// Takes the session out of its realm, and lets the handlers of its topics know.
    async fn leave(&mut self) {
        self.batch.flush();
        let closing = Closing { reason: LOST.to_owned(), message: "the session ended".to_owned() };
        let _first = self.wire.outbox().close(closing);
        if let Some(Member { session, dispatch }) = self.member.take() {
            // Boxed for the size of the task, see `listener`.
            Box::pin(dispatch.leave(&session)).await;
        }
    }

    fn wrap(&self, message: &[u8]) -> bytes::Bytes {
        frame::message(self.dialogue.dialect(), message)
    }
}

impl Member {
    fn anonymous(
        wire: &Arc<Wire>,
        dialect: Dialect,
        features: Features,
        dispatch: Arc<Dispatch>,
    ) -> Result<Self, Ended> {
        let id: SessionId = ids::session().map_err(|error| Ended::Refused(error.to_string()))?;
        let identity = Identity::anonymous(format!("anonymous-{id}"));
        let outbox = Arc::clone(wire.outbox());
        let link = Arc::clone(wire) as Arc<_>;
        let session = Session::new(id, identity, dialect, features, outbox, link);
        Ok(Self { session: Arc::new(session), dispatch })
    }

    fn join(&self, app: &App) {
        self.dispatch.realm().join(&self.session);
        // Whoever joins behind the back of a shutdown is not overlooked.
        if app.is_stopping() {
            self.session.close(shutdown::closing());
        }
    }

    fn welcome(&self) -> Welcome<'_> {
        let Self { session, dispatch } = self;
        Welcome {
            session: session.id,
            realm: dispatch.realm().name(),
            authid: &session.identity.authid,
            authrole: session.identity.authrole(),
            authmethod: &session.identity.authmethod,
            agent: crate::AGENT,
        }
    }
}

/// Waits until a connection that has no session yet has to end.
async fn unopened(app: &App, opened_by: Instant) -> Closing {
    tokio::select! {
        () = app.stopping() => shutdown::closing(),
        () = sleep_until(opened_by) => Closing {
            reason: error_uri::CLOSE_NORMAL.to_owned(),
            message: "no session was opened in time".to_owned(),
        },
    }
}

/// Whether the client would open its session without proving anything. One that does not say is
/// taken to.
fn offers_anonymous(hello: &Hello) -> bool {
    let methods = hello.details.get("authmethods").and_then(Value::as_list).unwrap_or_default();
    methods.is_empty() || methods.iter().any(|method| method.as_text() == Some("anonymous"))
}

fn received(message: Option<Result<Message, WsError>>) -> Turn {
    match message {
        None => Turn::End,
        // A close is answered by tungstenite when it is polled again, and then the stream ends.
        Some(Ok(message)) => Turn::Message(message),
        Some(Err(error)) => Turn::Failed(error),
    }
}

/// The WAMP message in a WebSocket message, if it is one of data.
fn wamp_frame(message: Message) -> Option<Frame> {
    match message {
        Message::Text(text) => Some(Frame::Text(text.into())),
        Message::Binary(bytes) => Some(Frame::Binary(bytes)),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => None,
    }
}
