//! A client of a script: the protocol of its connection, and its session in the realm. It does what
//! `connection` does for a socket.

use std::collections::VecDeque;
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use jackfield_broker::{CloseCause, CloseReason, Features, Identity, PendingFlushes, Session};
use jackfield_config::Limits;
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::error_uri;
use jackfield_wamp::message::Hello;
use jackfield_wamp::protocol::{Frame, Input, Protocol, Welcome};
use jackfield_wamp::uri;
use tokio::sync::Notify;

use super::cursor::{Cursor, Use};
use super::ledger::{Ledger, Received};
use super::mailbox::Mailbox;
use super::script::Declaration;
use super::symbol::Version;
use super::value::Value;
use crate::dispatch::Dispatch;
use crate::ids;
use crate::realms::Realms;

/// A connected client.
pub(super) struct Client {
    pub(super) ledger: Ledger,
    /// The unread messages.
    pub(super) inbox: VecDeque<Item>,
    /// Whether its connection has ended.
    pub(super) is_closed: bool,
    identity: Identity,
    limits: Limits,
    protocol: Protocol,
    mailbox: Arc<Mailbox>,
    realms: Arc<Realms>,
    member: Option<Member>,
    /// The present line of the script.
    line: usize,
}

/// The session of a client, and the realm that it has joined.
struct Member {
    session: Arc<Session>,
    dispatch: Arc<Dispatch>,
}

/// An entry of an inbox.
pub(super) enum Item {
    Message {
        received: Box<Received>,
        /// The size in the mailbox.
        bytes: usize,
        /// The line of the script at which it arrived.
        line: usize,
    },
    /// The router has closed the connection, for a reason.
    Closed { reason: String },
}

impl Client {
    /// Connects a client. A client of version 1 has a session at once; others join by HELLO.
    ///
    /// # Errors
    /// When the operating system cannot provide random bytes for the id of the session.
    pub(super) fn connect(
        declaration: &Declaration,
        address: Ipv4Addr,
        realms: &Arc<Realms>,
        limits: Limits,
        arrived: &Arc<Notify>,
        line: usize,
    ) -> Result<Self, getrandom::Error> {
        let dialect = match declaration.version {
            Version::V1 => Dialect::V1,
            Version::V2 => Dialect::V2(Codec::Json),
        };
        let mut client = Self {
            ledger: Ledger::new(declaration.version),
            inbox: VecDeque::new(),
            is_closed: false,
            identity: identity(declaration, address.into()),
            limits,
            protocol: Protocol::with_depth(dialect, limits.depth),
            mailbox: Mailbox::new(limits.outbox, Arc::clone(arrived)),
            realms: Arc::clone(realms),
            member: None,
            line,
        };
        if dialect == Dialect::V1 {
            client.join(realms.default_realm(), Features::default())?;
        }
        Ok(client)
    }

    /// Returns the id of the session, if there is one.
    pub(super) fn session(&self) -> Option<Value> {
        Some(Value::number(self.member.as_ref()?.session.id.get()))
    }

    pub(super) fn is_v1(&self) -> bool {
        self.protocol.dialect() == Dialect::V1
    }

    /// Handles the text of a frame from the client, to its end.
    pub(super) async fn send(&mut self, text: String) -> Result<(), getrandom::Error> {
        if text.len() > self.limits.message_bytes {
            let limit = self.limits.message_bytes;
            let message = format!("the message has more than limits.message = {limit} bytes");
            let abort = self.protocol.refuse(error_uri::PROTOCOL_VIOLATION, &message);
            self.close(abort, message).await;
            return Ok(());
        }
        match self.protocol.receive(Frame::Text(text.into())) {
            Input::Request(request) => {
                if let Some(Member { session, dispatch }) = &self.member {
                    let mut batch = PendingFlushes::default();
                    // The next message is sent after the answer, so no CANCEL can overtake.
                    dispatch.handle(session, request, pending(), &mut batch).await;
                }
            }
            Input::Hello(hello) => self.hello(&hello).await?,
            Input::Refused { reply, .. } => self.push(reply),
            // No challenge is sent, so AUTHENTICATE is a violation.
            Input::Authenticate(_) | Input::Nothing => {}
            Input::Goodbye { reply, .. } => {
                self.close(reply, "the client has left".to_owned()).await;
            }
            Input::Violation { message, farewell } => {
                self.close(farewell, format!("protocol violation: {message}")).await;
            }
        }
        Ok(())
    }

    /// Moves arrived messages into the inbox, and closes the connection if the router has ended the
    /// session. Returns whether it has closed.
    pub(super) async fn settle(&mut self, line: usize) -> bool {
        self.line = line;
        self.receive();
        let outbox = self.mailbox.outbox();
        let Some(CloseReason { cause, reason, message }) =
            outbox.closing().filter(|_| !self.is_closed)
        else {
            return false;
        };
        let farewell = if cause == CloseCause::Violation {
            self.protocol.refuse(&reason, &message)
        } else {
            self.protocol.goodbye(&reason, &message)
        };
        self.close(farewell, format!("{reason}: {message}")).await;
        true
    }

    /// Ends the session: the client has left, or its connection is lost.
    pub(super) async fn leave(&mut self) {
        self.is_closed = true;
        let closing = CloseReason {
            cause: CloseCause::Lost,
            reason: "left".to_owned(),
            message: String::new(),
        };
        let _first = self.mailbox.outbox().close(closing);
        if let Some(Member { session, dispatch }) = self.member.take() {
            dispatch.leave(&session).await;
        }
    }

    /// Removes the oldest entry of the inbox.
    pub(super) fn pop(&mut self) {
        if let Some(Item::Message { bytes, .. }) = self.inbox.pop_front() {
            self.mailbox.read(bytes);
        }
    }

    /// Opens the session, or refuses it.
    async fn hello(&mut self, hello: &Hello) -> Result<(), getrandom::Error> {
        let (reason, message) = if !uri::is_uri(&hello.realm) {
            (error_uri::INVALID_URI, format!("`{}` is not a URI", hello.realm))
        } else if let Some(dispatch) = self.realms.get(&hello.realm) {
            return self.join(dispatch, Features::announced(hello));
        } else {
            (error_uri::NO_SUCH_REALM, format!("there is no realm `{}` here", hello.realm))
        };
        let abort = self.protocol.refuse(reason, &message);
        self.close(abort, message).await;
        Ok(())
    }

    fn join(
        &mut self,
        dispatch: Arc<Dispatch>,
        features: Features,
    ) -> Result<(), getrandom::Error> {
        let id = ids::session()?;
        let mut identity = self.identity.clone();
        if identity.anonymous_from.is_some() {
            identity.authid = format!("anonymous-{id}");
        }
        let welcome = self.protocol.welcome(&Welcome {
            verifier: None,
            session: id,
            realm: dispatch.realm().name(),
            authid: &identity.authid,
            authrole: identity.authrole(),
            authmethod: &identity.authmethod,
            agent: crate::AGENT,
            retry_max_ms: None,
        });
        let dialect = self.protocol.dialect();
        let outbox = Arc::clone(self.mailbox.outbox());
        let transport = Arc::clone(&self.mailbox) as Arc<_>;
        let session = Session::new(id, identity, dialect, features, outbox, transport);
        let session = Arc::new(session);
        dispatch.join(&session);
        self.push(Some(welcome));
        self.member = Some(Member { session, dispatch });
        Ok(())
    }

    /// Ends the connection from the router's side, with a last message.
    async fn close(&mut self, last: Option<Vec<u8>>, reason: String) {
        self.receive();
        self.push(last);
        self.leave().await;
        self.inbox.push_back(Item::Closed { reason });
    }

    /// Adds a message of the protocol itself, which is no frame of the outbox.
    fn push(&mut self, message: Option<Vec<u8>>) {
        if let Some(message) = message {
            self.add(&message, 0);
        }
    }

    fn receive(&mut self) {
        for message in self.mailbox.take() {
            self.add(&message, message.len());
        }
    }

    /// Adds a message that has this size in the mailbox.
    fn add(&mut self, message: &[u8], bytes: usize) {
        let text = String::from_utf8_lossy(message);
        // The router writes JSON only; anything else is shown as a text.
        let value = Cursor::new(&text).value(Use::Message);
        let value = value.unwrap_or_else(|_| Value::text(text.clone()));
        let received = Box::new(self.ledger.received(value));
        self.inbox.push_back(Item::Message { received, bytes, line: self.line });
    }
}

/// Returns the identity that a ticket would prove, or that of an anonymous client.
fn identity(declaration: &Declaration, address: IpAddr) -> Identity {
    match &declaration.user {
        None => Identity::anonymous(String::new(), address),
        Some(user) => Identity {
            authid: user.clone(),
            roles: declaration.roles.clone(),
            authmethod: "ticket".to_owned(),
            claims: declaration.claims.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string),
            anonymous_from: None,
        },
    }
}
