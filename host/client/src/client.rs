//! Client session of WAMP v2: one request at a time, and events.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use jackfield_tls::{Authorities, HandshakeError};
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::error_uri;
use jackfield_wamp::id::{PublicationId, RequestId, SubscriptionId};
use jackfield_wamp::message::{
    Authenticate, Call, CallId, CallOptions, Event, Goodbye, Hello, Message, Publish,
    PublishOptions, Subscribe,
};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::uri::MatchPolicy;
use jackfield_wamp::value::{Dict, Value};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{self, Error as WsError};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::error::ClientError;
use crate::target::Target;

/// An open session.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    codec: Codec,
    requests: u64,
    /// Topic or pattern of each subscription.
    topics: Vec<(SubscriptionId, String)>,
    /// Events that arrived before the response to a request.
    early: VecDeque<Event>,
}

/// A received event.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedEvent {
    /// The concrete topic.
    pub topic: String,
    /// The publication's id.
    pub publication: PublicationId,
    /// `publisher` and the like, if the publisher is disclosed.
    pub details: Dict,
    /// The arguments.
    pub payload: Payload,
}

impl Client {
    /// Connects and joins the realm.
    ///
    /// # Errors
    /// When the connection or the session cannot be opened.
    pub async fn connect(target: &Target) -> Result<Self, ClientError> {
        let cannot = |message: String| ClientError::Connect { url: target.redacted_url(), message };
        let request = target.request()?;
        let (host, port) = target.address();
        let stream = TcpStream::connect((host.as_str(), port)).await;
        let stream = stream.map_err(|error| cannot(error.to_string()))?;
        // A command waits for each response.
        stream.set_nodelay(true).map_err(|error| cannot(error.to_string()))?;
        let connector = if target.is_tls() { Some(connector(target)?) } else { None };
        // Boxed, as the TLS handshake's state is large.
        let opened = client_async_tls_with_config(request, stream, None, connector);
        let opened = Box::pin(opened).await;
        let (socket, _) = opened.map_err(|error| match error {
            WsError::Http(answer) => {
                let body = answer.body().as_deref().unwrap_or_default();
                let message = String::from_utf8_lossy(body).trim().to_owned();
                match answer.status() {
                    status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                        ClientError::Refused { uri: status.to_string(), message }
                    }
                    status => cannot(format!("the server answered {status}: {message}")),
                }
            }
            WsError::Protocol(ProtocolError::HttparseError(_)) => {
                cannot("the server does not speak HTTP".to_owned())
            }
            WsError::Protocol(ProtocolError::HandshakeIncomplete) => {
                cannot("the server closed the connection during the handshake".to_owned())
            }
            error => match HandshakeError::among(&error) {
                Some(error) => ClientError::Tls { url: target.redacted_url(), error },
                None => cannot(error.to_string()),
            },
        })?;
        let (codec, topics, early) = (target.codec, Vec::new(), VecDeque::new());
        let mut client = Self { socket, codec, requests: 0, topics, early };
        client.join(target).await?;
        Ok(client)
    }

    /// Publishes an event. Returns no id without acknowledgement.
    ///
    /// # Errors
    /// When the server refuses it, or the connection is lost.
    pub async fn publish(
        &mut self,
        topic: &str,
        options: PublishOptions,
        payload: Payload,
    ) -> Result<Option<PublicationId>, ClientError> {
        let request = self.request()?;
        let acknowledge = options.acknowledge;
        let topic = topic.to_owned();
        self.send(&Message::Publish(Publish { request, options, topic, payload })).await?;
        if !acknowledge {
            return Ok(None);
        }
        match self.response(request).await? {
            Message::Published(published) => Ok(Some(published.publication)),
            other => Err(unexpected(&other)),
        }
    }

    /// Subscribes to a topic or a pattern.
    ///
    /// # Errors
    /// When the server refuses it, or the connection is lost.
    pub async fn subscribe(&mut self, topic: &str, policy: MatchPolicy) -> Result<(), ClientError> {
        let request = self.request()?;
        let topic = topic.to_owned();
        let subscribe =
            Subscribe { request, policy, get_retained: false, since: None, topic: topic.clone() };
        self.send(&Message::Subscribe(subscribe)).await?;
        match self.response(request).await? {
            Message::Subscribed(subscribed) => {
                self.topics.push((subscribed.subscription, topic));
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Waits for the next event. Cancel safe.
    ///
    /// # Errors
    /// When the server ends the session, or the connection is lost.
    pub async fn event(&mut self) -> Result<ReceivedEvent, ClientError> {
        if let Some(event) = self.early.pop_front() {
            return Ok(self.named(event));
        }
        match self.receive().await? {
            Message::Event(event) => Ok(self.named(event)),
            Message::Unsubscribed(_) => {
                let message = "the server ended a subscription".to_owned();
                let uri = error_uri::NO_SUCH_SUBSCRIPTION.to_owned();
                Err(ClientError::Refused { uri, message })
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Calls a procedure and waits for its result.
    ///
    /// # Errors
    /// When the server or the procedure refuses, or the connection is lost.
    pub async fn call(
        &mut self,
        procedure: &str,
        payload: Payload,
    ) -> Result<Payload, ClientError> {
        let request = self.request()?;
        let (options, procedure) = (CallOptions::default(), procedure.to_owned());
        let call = Call { request: CallId::V2(request), options, procedure, payload };
        self.send(&Message::Call(call)).await?;
        match self.response(request).await? {
            Message::Result(result) => Ok(result.payload),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends GOODBYE and waits for the server's, which shows that all earlier messages have
    /// arrived.
    pub async fn leave(mut self) -> Result<(), ClientError> {
        let reason = error_uri::CLOSE_REALM.to_owned();
        self.send(&Message::Goodbye(Goodbye { details: Dict::new(), reason })).await?;
        while let Some(message) = self.read().await? {
            if let Message::Goodbye(_) = message {
                break;
            }
        }
        // The session has ended; errors of the transport no longer matter.
        let _gone = self.socket.close(None).await;
        Ok(())
    }

    async fn join(&mut self, target: &Target) -> Result<(), ClientError> {
        let role = |name: &str| (name.to_owned(), Value::Map(Dict::new()));
        let mut roles: Dict = ["publisher", "caller"].map(role).into_iter().collect();
        // Announced, so that a revoked subscription is noticed.
        let features: Dict = [("subscription_revocation", true)].into_iter().collect();
        let subscriber: Dict = [("features", Value::Map(features))].into_iter().collect();
        roles.insert("subscriber", Value::Map(subscriber));
        let mut details: Dict = [("roles", roles)].into_iter().collect();
        details.insert("agent", crate::AGENT);
        if let Some(authid) = &target.authid {
            details.insert("authid", authid.as_str());
        }
        if target.credential().is_some() {
            details.insert("authmethods", Value::List(vec!["ticket".into(), "anonymous".into()]));
        }
        self.send(&Message::Hello(Hello { realm: target.realm.clone(), details })).await?;
        loop {
            match (self.receive().await?, target.credential()) {
                (Message::Welcome(_), _) => return Ok(()),
                (Message::Challenge(challenge), Some(credential))
                    if challenge.method == "ticket" =>
                {
                    let (signature, extra) = (credential.to_owned(), Dict::new());
                    self.send(&Message::Authenticate(Authenticate { signature, extra })).await?;
                }
                (Message::Challenge(challenge), _) => {
                    let message =
                        format!("the server requires authentication by {}", challenge.method);
                    let uri = error_uri::NO_MATCHING_AUTH_METHOD.to_owned();
                    return Err(ClientError::Refused { uri, message });
                }
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }

    /// Waits for the response to a request. Events before it are kept.
    async fn response(&mut self, request: RequestId) -> Result<Message, ClientError> {
        loop {
            match self.receive().await? {
                Message::Event(event) => self.early.push_back(event),
                Message::Error(error) if error.request == request => {
                    let message = error_text(&error.details, &error.payload);
                    return Err(ClientError::Refused { uri: error.uri, message });
                }
                Message::Result(result) if result.progress => {}
                message => return Ok(message),
            }
        }
    }

    /// Returns the next message. The end of the session is an error.
    async fn receive(&mut self) -> Result<Message, ClientError> {
        let ended = || ClientError::Lost("the server closed the connection".to_owned());
        match self.read().await?.ok_or_else(ended)? {
            Message::Abort(abort) => {
                let message = error_text(&abort.details, &abort.payload);
                Err(ClientError::Refused { uri: abort.reason, message })
            }
            Message::Goodbye(goodbye) => {
                let message = error_text(&goodbye.details, &Payload::empty(self.codec));
                Err(ClientError::Refused { uri: goodbye.reason, message })
            }
            message => Ok(message),
        }
    }

    /// Returns the next message. `None` after a regular close.
    async fn read(&mut self) -> Result<Option<Message>, ClientError> {
        loop {
            let bytes: Bytes = match self.socket.next().await {
                Some(Ok(tungstenite::Message::Text(text))) => text.into(),
                Some(Ok(tungstenite::Message::Binary(bytes))) => bytes,
                None
                | Some(
                    Ok(tungstenite::Message::Close(_))
                    | Err(WsError::ConnectionClosed | WsError::AlreadyClosed),
                ) => return Ok(None),
                // Pings are answered by tungstenite.
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(ClientError::lost(error)),
            };
            return Message::decode(self.codec, &bytes).map(Some).map_err(ClientError::protocol);
        }
    }

    async fn send(&mut self, message: &Message) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        message.encode(self.codec, &mut bytes);
        let frame = if Dialect::V2(self.codec).is_binary() {
            tungstenite::Message::binary(bytes)
        } else {
            let text = String::from_utf8(bytes).map_err(ClientError::protocol)?;
            tungstenite::Message::text(text)
        };
        self.socket.send(frame).await.map_err(ClientError::lost)
    }

    fn request(&mut self) -> Result<RequestId, ClientError> {
        self.requests += 1;
        let request = RequestId::new(self.requests);
        request.ok_or_else(|| ClientError::protocol("request ids are exhausted"))
    }

    fn named(&self, event: Event) -> ReceivedEvent {
        let Event { subscription, publication, details, payload } = event;
        let asked = self.topics.iter().find(|(id, _)| *id == subscription);
        let topic = match details.get("topic").and_then(Value::as_text) {
            Some(topic) => topic.to_owned(),
            None => asked.map(|(_, topic)| topic.clone()).unwrap_or_default(),
        };
        ReceivedEvent { topic, publication, details, payload }
    }
}

/// TLS configuration with the trusted authorities.
fn connector(target: &Target) -> Result<Connector, ClientError> {
    let cannot = |error: &dyn std::fmt::Display| ClientError::Connect {
        url: target.redacted_url(),
        message: error.to_string(),
    };
    let authorities = match &target.authorities {
        Some(authorities) => authorities.clone(),
        None => Authorities::of_system()
            .map_err(|error| cannot(&format_args!("a file of authorities {error}")))?,
    };
    let config = Authorities::client_config(Some(authorities)).map_err(|error| cannot(&error))?;
    Ok(Connector::Rustls(Arc::new(config)))
}

fn unexpected(message: &Message) -> ClientError {
    let text = format!("{message:?}");
    let name = text.split(['(', ' ']).next().unwrap_or_default();
    ClientError::Protocol(format!("unexpected {}", name.to_uppercase()))
}

/// Returns the human-readable text of an error: `details.message`, or the first argument.
fn error_text(details: &Dict, payload: &Payload) -> String {
    if let Some(text) = details.get("message").and_then(Value::as_text) {
        return text.to_owned();
    }
    if payload.is_empty() { String::new() } else { payload.args_json().into_owned() }
}
