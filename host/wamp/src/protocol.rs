//! WAMP protocol state machine of one connection (sans-I/O), for both versions: frames in, requests
//! out; replies in, frames out. The host's connection task drives it; the dispatcher executes the
//! requests.
//!
//! A protocol violation ends the session (WAMP v2 specification, section "Protocol Errors"):
//! version 2 sends an ABORT with the reason, version 1 has no such message. Later frames are
//! ignored.

use bytes::Bytes;

use crate::dialect::{Codec, Dialect};
use crate::error_uri;
pub use crate::input::{Frame, Input, Request};
use crate::message::{
    Abort, Challenge, DecodeError, Error, Goodbye, Hello, Message, MessageKind, RequestHeader,
};
use crate::payload::{DEFAULT_DEPTH, MAX_DEPTH, Payload};
pub use crate::reply::{ErrorTo, Reply};
use crate::v1::{self, Prefixes};
use crate::value::{Dict, Value};

mod encode;
mod lookahead;
#[cfg(test)]
mod tests;
mod welcome;

pub use lookahead::Lookahead;
pub use welcome::Welcome;

/// Protocol state of one connection.
#[derive(Debug)]
pub struct Protocol {
    dialect: Dialect,
    /// Allowed nesting in a message.
    depth: usize,
    state: State,
    prefixes: Prefixes,
    /// The roles in which the client may send packed payloads.
    packs: PackingRoles,
}

/// The roles for which HELLO has announced payload passthru mode.
#[derive(Clone, Copy, Debug, Default)]
struct PackingRoles {
    publisher: bool,
    caller: bool,
    callee: bool,
}

impl PackingRoles {
    fn announced(hello: &Hello) -> Self {
        let announces = |role| hello.announces(role, "payload_passthru_mode");
        Self {
            publisher: announces("publisher"),
            caller: announces("caller"),
            callee: announces("callee"),
        }
    }

    /// Checks a message of an open session.
    fn check(self, message: &Message) -> Result<(), String> {
        let (payload, may, role) = match message {
            Message::Publish(it) => (&it.payload, self.publisher, "publisher"),
            Message::Call(it) => (&it.payload, self.caller, "caller"),
            Message::Yield(it) => (&it.payload, self.callee, "callee"),
            Message::Error(it) => (&it.payload, self.callee, "callee"),
            _ => return Ok(()),
        };
        if may || payload.passthru().is_none() {
            return Ok(());
        }
        let kind = message.kind();
        Err(format!(
            "{kind} has `ppt_scheme`, and HELLO.Details.roles.{role} lacks `payload_passthru_mode`"
        ))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Version 2: waiting for HELLO.
    Fresh,
    /// Version 2: HELLO was received; the host has not answered yet.
    Joining,
    /// Version 2: CHALLENGE was sent; waiting for AUTHENTICATE.
    Challenged,
    Open,
    /// Version 2: our GOODBYE was sent; waiting for the client's.
    Leaving,
    Closed,
}

impl Protocol {
    /// Creates the state of a new connection.
    pub fn new(dialect: Dialect) -> Self {
        Self::with_depth(dialect, DEFAULT_DEPTH)
    }

    /// [`Protocol::new`] with at most `depth` nested lists and dictionaries; no more than
    /// [`MAX_DEPTH`].
    pub fn with_depth(dialect: Dialect, depth: usize) -> Self {
        let state = match dialect {
            Dialect::V1 => State::Open,
            Dialect::V2(_) => State::Fresh,
        };
        let (prefixes, packs) = (Prefixes::default(), PackingRoles::default());
        Self { dialect, depth: depth.min(MAX_DEPTH), state, prefixes, packs }
    }

    /// Replaces the maximum nesting, as [`Protocol::with_depth`] sets it.
    pub fn set_max_depth(&mut self, depth: usize) {
        self.depth = depth.min(MAX_DEPTH);
    }

    /// Protocol version and codec.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Handles one frame.
    pub fn receive(&mut self, frame: Frame) -> Input {
        if self.state == State::Closed {
            return Input::Nothing;
        }
        let result = self.bytes_of(frame).and_then(|bytes| {
            let decoded = match self.dialect {
                Dialect::V1 => v1::decode(&bytes, &mut self.prefixes, self.depth)
                    .map(|request| Ok(request.map_or(Input::Nothing, Input::Request))),
                Dialect::V2(codec) => Message::decode_within(codec, &bytes, self.depth)
                    .map(|message| self.take(message, codec)),
            };
            decoded.unwrap_or_else(|error| {
                self.refuse_request(&bytes, &error).ok_or_else(|| error.to_string())
            })
        });
        match result {
            Ok(input) => input,
            // The client may not have seen our GOODBYE; its errors no longer matter.
            Err(_) if self.state == State::Leaving => Input::Nothing,
            Err(message) => self.violation(message),
        }
    }

    /// Refuses to open the session: version 2's ABORT. The text is in the details alone, as some
    /// clients treat an ABORT of more than three elements as a violation. `None` in version 1.
    pub fn refuse(&mut self, reason: &str, message: &str) -> Option<Vec<u8>> {
        let was = std::mem::replace(&mut self.state, State::Closed);
        match self.dialect {
            Dialect::V2(codec) if was != State::Closed => Some(abort(codec, reason, message)),
            Dialect::V1 | Dialect::V2(_) => None,
        }
    }

    /// Asks for a credential: version 2's CHALLENGE. `None` in version 1, or without an unanswered
    /// HELLO.
    pub fn challenge(&mut self, method: &str, extra: &Dict) -> Option<Vec<u8>> {
        match self.dialect {
            Dialect::V2(codec) if self.state == State::Joining => {
                self.state = State::Challenged;
                let (method, extra) = (method.to_owned(), extra.clone());
                Some(encode(codec, &Message::Challenge(Challenge { method, extra })))
            }
            Dialect::V1 | Dialect::V2(_) => None,
        }
    }

    /// Ends the session from the router's side: GOODBYE, or ABORT before the session is open. The
    /// client answers with its own GOODBYE. `None` in version 1 and after the end.
    pub fn goodbye(&mut self, reason: &str, message: &str) -> Option<Vec<u8>> {
        let Dialect::V2(codec) = self.dialect else {
            self.state = State::Closed;
            return None;
        };
        match self.state {
            State::Open => {
                self.state = State::Leaving;
                Some(encode(codec, &goodbye(reason, message)))
            }
            State::Fresh | State::Joining | State::Challenged => self.refuse(reason, message),
            State::Leaving | State::Closed => None,
        }
    }

    /// Answers a request that holds an unsupported value. `None` for other errors, and if the
    /// request's header cannot be read.
    fn refuse_request(&self, frame: &Bytes, error: &DecodeError) -> Option<Input> {
        if self.state != State::Open || !matches!(error, DecodeError::Unsupported { .. }) {
            return None;
        }
        let message = error.to_string();
        let Dialect::V2(codec) = self.dialect else {
            return v1::refuse(frame, &self.prefixes, self.depth, message);
        };
        let header = RequestHeader::read(codec, frame, self.depth)?;
        let RequestHeader { kind, request, is_awaited } = header;
        let mut answer = Error {
            request_type: kind,
            request,
            details: message_details(&message),
            uri: error_uri::INVALID_ARGUMENT.to_owned(),
            payload: message_payload(codec, &message),
        };
        if matches!(kind, MessageKind::Yield | MessageKind::Error) {
            // A caller waits for the callee's answer.
            answer.request_type = MessageKind::Invocation;
            return Some(Input::Request(Request::InvocationError(answer)));
        }
        let reply = is_awaited.then(|| encode(codec, &Message::Error(answer)));
        Some(Input::Refused { message, reply })
    }

    fn bytes_of(&self, frame: Frame) -> Result<Bytes, String> {
        match frame {
            Frame::Text(bytes) if !self.dialect.is_binary() => {
                if std::str::from_utf8(&bytes).is_err() {
                    return Err("the text message is not UTF-8".to_owned());
                }
                Ok(bytes)
            }
            Frame::Binary(bytes) if self.dialect.is_binary() => Ok(bytes),
            Frame::Text(_) => Err(format!(
                "{} needs binary messages, found a text message",
                self.dialect.subprotocol()
            )),
            Frame::Binary(_) => Err(format!(
                "{} needs text messages, found a binary message",
                self.dialect.subprotocol()
            )),
        }
    }

    /// Version 2: handles a message in the current state.
    fn take(&mut self, message: Message, codec: Codec) -> Result<Input, String> {
        match self.state {
            State::Fresh => match message {
                Message::Hello(hello) => {
                    check_roles(&hello)?;
                    check_authmethods(&hello)?;
                    self.packs = PackingRoles::announced(&hello);
                    self.state = State::Joining;
                    Ok(Input::Hello(hello))
                }
                message => {
                    Err(format!("the first message must be HELLO, found {}", message.kind()))
                }
            },
            State::Joining | State::Challenged => match message {
                Message::Authenticate(proof) if self.state == State::Challenged => {
                    self.state = State::Joining;
                    Ok(Input::Authenticate(proof))
                }
                Message::Abort(abort) => Ok(self.left(abort.reason, None)),
                message => Err(format!("{} before the session is open", message.kind())),
            },
            State::Open => self.take_open(message, codec),
            State::Leaving => match message {
                Message::Goodbye(Goodbye { reason, .. }) | Message::Abort(Abort { reason, .. }) => {
                    Ok(self.left(reason, None))
                }
                _ => Ok(Input::Nothing),
            },
            State::Closed => Ok(Input::Nothing),
        }
    }

    fn take_open(&mut self, message: Message, codec: Codec) -> Result<Input, String> {
        let kind = message.kind();
        self.packs.check(&message)?;
        let request = match message {
            Message::Subscribe(subscribe) => Request::Subscribe(subscribe),
            Message::Unsubscribe(unsubscribe) => Request::Unsubscribe(unsubscribe),
            Message::Publish(publish) => Request::Publish(publish),
            Message::Call(call) => Request::Call(call),
            Message::Cancel(cancel) => Request::Cancel(cancel),
            Message::Register(register) => Request::Register(register),
            Message::Unregister(unregister) => Request::Unregister(unregister),
            Message::Yield(answer) => Request::Yield(answer),
            Message::Error(error) if error.request_type == MessageKind::Invocation => {
                Request::InvocationError(error)
            }
            Message::Error(error) => {
                let about = error.request_type;
                return Err(format!("a client's ERROR must refer to an INVOCATION, found {about}"));
            }
            Message::Goodbye(leave) => {
                let reply = goodbye(error_uri::CLOSE_GOODBYE_AND_OUT, "");
                return Ok(self.left(leave.reason, Some(encode(codec, &reply))));
            }
            Message::Abort(abort) => return Ok(self.left(abort.reason, None)),
            Message::Hello(_) => return Err("HELLO in an open session".to_owned()),
            Message::Authenticate(_) => return Err(format!("{kind} without CHALLENGE")),
            Message::Welcome(_)
            | Message::Challenge(_)
            | Message::Published(_)
            | Message::Subscribed(_)
            | Message::Unsubscribed(_)
            | Message::Event(_)
            | Message::Result(_)
            | Message::Registered(_)
            | Message::Unregistered(_)
            | Message::Invocation(_)
            | Message::Interrupt(_) => return Err(format!("only routers may send {kind}")),
        };
        Ok(Input::Request(request))
    }

    fn left(&mut self, reason: String, reply: Option<Vec<u8>>) -> Input {
        self.state = State::Closed;
        Input::Goodbye { reason, reply }
    }

    fn violation(&mut self, message: String) -> Input {
        let farewell = self.refuse(error_uri::PROTOCOL_VIOLATION, &message);
        Input::Violation { message, farewell }
    }
}

/// Checks for "at least one role": WAMP v2 specification, section "HELLO". Unknown roles are valid.
fn check_roles(hello: &Hello) -> Result<(), String> {
    match hello.details.get("roles") {
        None => Err("HELLO.Details.roles is missing".to_owned()),
        Some(roles) => match roles.as_map() {
            None => Err("HELLO.Details.roles must be a dictionary".to_owned()),
            Some(roles) if roles.is_empty() => {
                Err("HELLO.Details.roles must name at least one role".to_owned())
            }
            Some(_) => Ok(()),
        },
    }
}

/// A client whose methods cannot be read must not become anonymous.
fn check_authmethods(hello: &Hello) -> Result<(), String> {
    let Some(methods) = hello.details.get("authmethods").filter(|it| !matches!(it, Value::Null))
    else {
        return Ok(());
    };
    let is_list = methods.as_list().is_some() || methods.as_map().is_some();
    if is_list && methods.elements().all(|method| method.as_text().is_some()) {
        return Ok(());
    }
    Err("HELLO.Details.authmethods must be a list of strings".to_owned())
}

fn abort(codec: Codec, reason: &str, message: &str) -> Vec<u8> {
    encode(
        codec,
        &Message::Abort(Abort {
            details: message_details(message),
            reason: reason.to_owned(),
            payload: Payload::empty(codec),
        }),
    )
}

fn goodbye(reason: &str, message: &str) -> Message {
    Message::Goodbye(Goodbye { details: message_details(message), reason: reason.to_owned() })
}

/// Returns details with a human-readable text under the key that clients read.
fn message_details(message: &str) -> Dict {
    let mut details = Dict::new();
    if !message.is_empty() {
        details.insert("message", message);
    }
    details
}

fn message_payload(codec: Codec, message: &str) -> Payload {
    if message.is_empty() { Payload::empty(codec) } else { Payload::text(codec, message) }
}

fn encode(codec: Codec, message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(codec, &mut out);
    out
}
