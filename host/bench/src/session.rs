//! Session setup: opens sessions and subscriptions for every workload.

use std::time::Duration;

use crate::error::BenchError;
use crate::plan::Dialect;
use crate::protocol::{ClientProtocol, RequestError, ServerMessage};
use crate::socket::Socket;
use crate::tally::Tally;
use crate::workers::{RunContext, Worker};

/// Time limit for a server's answer during setup, when it is busy with other connections.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Unanswered SUBSCRIBEs at one time: more would fill the socket buffers of both sides.
const MAX_PENDING_SUBSCRIBES: u64 = 256;

/// Role of a connection; needed for protocols without sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It publishes without acknowledgement.
    Publisher,
    /// It publishes with acknowledgement, or calls.
    Answered,
    /// It subscribes.
    Subscriber,
}

/// Opens a session.
pub(crate) async fn open(
    worker: &Worker,
    shared: &RunContext,
    role: Role,
) -> Result<Socket, BenchError> {
    let opened = tokio::time::timeout(OPEN_TIMEOUT, open_session(worker, shared, role)).await;
    opened.unwrap_or(Err(BenchError::Silent(OPEN_TIMEOUT.as_secs(), "opening a connection")))
}

async fn open_session(
    worker: &Worker,
    shared: &RunContext,
    role: Role,
) -> Result<Socket, BenchError> {
    let plan = &shared.plan;
    let endpoint = match role {
        Role::Subscriber => shared.next_subscribed(),
        Role::Publisher | Role::Answered => &shared.endpoint,
    };
    let target = &endpoint.target;
    let path = match (plan.dialect, role) {
        (Dialect::Raw, Role::Subscriber) => target.below("sub"),
        (Dialect::Raw, Role::Publisher | Role::Answered) => target.below("pub"),
        (Dialect::Wamp1 | Dialect::Wamp2(_) | Dialect::Nats, _) => target.path.clone(),
    };
    let protocol = ClientProtocol::new(plan.dialect, role != Role::Publisher);
    let mut socket = Socket::open(shared, endpoint, &path, protocol).await?;
    let mut expects_welcome = false;
    socket.send(|protocol, out| expects_welcome = protocol.hello(out, &plan.realm))?;
    let mut welcome = !expects_welcome;
    while !welcome {
        let mut handle = |_: &mut Tally, _, message: ServerMessage<'_>| {
            welcome |= message == ServerMessage::Welcome;
            Ok(())
        };
        socket.drive(worker, shared, &mut handle).await.map_err(|error| match error {
            BenchError::Ended(text) => BenchError::Session(text),
            other => other,
        })?;
    }
    Ok(socket)
}

/// Subscribes to a range of topics, and waits for all answers. Requests are numbered from 1.
pub(crate) async fn subscribe(
    socket: &mut Socket,
    worker: &Worker,
    shared: &RunContext,
    topics: std::ops::Range<usize>,
) -> Result<(), BenchError> {
    if shared.plan.dialect == Dialect::Raw {
        return Ok(());
    }
    let subscribing = subscribe_all(socket, worker, shared, topics);
    let subscribed = tokio::time::timeout(OPEN_TIMEOUT, subscribing).await;
    subscribed.unwrap_or(Err(BenchError::Silent(OPEN_TIMEOUT.as_secs(), "subscribing")))
}

async fn subscribe_all(
    socket: &mut Socket,
    worker: &Worker,
    shared: &RunContext,
    topics: std::ops::Range<usize>,
) -> Result<(), BenchError> {
    let first = topics.start;
    let mut topics = topics.peekable();
    let mut requested = 0;
    let mut answered = 0;
    while answered < requested || topics.peek().is_some() {
        while requested - answered < MAX_PENDING_SUBSCRIBES
            && let Some(topic) = topics.next()
        {
            requested += 1;
            let topic = shared.topic(topic);
            socket.send(|protocol, out| protocol.subscribe(out, requested, &topic))?;
        }
        let topic_of = |request: u64| {
            shared.topic(first + usize::try_from(request).unwrap_or_default().saturating_sub(1))
        };
        socket
            .drive(
                worker,
                shared,
                &mut |_: &mut Tally, _, message: ServerMessage<'_>| match message {
                    ServerMessage::Done { .. } => {
                        answered += 1;
                        Ok(())
                    }
                    ServerMessage::Refused(refusal) => {
                        Err(refused("subscribe to", refusal, |request| Some(topic_of(request?))))
                    }
                    ServerMessage::Event(_)
                    | ServerMessage::Invocation { .. }
                    | ServerMessage::Welcome
                    | ServerMessage::Ended(_)
                    | ServerMessage::Nothing => Ok(()),
                },
            )
            .await?;
    }
    Ok(())
}

/// Registers a procedure, and waits for the answer.
pub(crate) async fn register(
    socket: &mut Socket,
    worker: &Worker,
    shared: &RunContext,
    procedure: &str,
) -> Result<(), BenchError> {
    let registering = register_one(socket, worker, shared, procedure);
    let registered = tokio::time::timeout(OPEN_TIMEOUT, registering).await;
    registered.unwrap_or(Err(BenchError::Silent(OPEN_TIMEOUT.as_secs(), "registering")))
}

async fn register_one(
    socket: &mut Socket,
    worker: &Worker,
    shared: &RunContext,
    procedure: &str,
) -> Result<(), BenchError> {
    socket.send(|protocol, out| protocol.register(out, 1, procedure))?;
    let mut is_registered = false;
    while !is_registered {
        let mut handle = |_: &mut Tally, _, message: ServerMessage<'_>| match message {
            ServerMessage::Done { .. } => {
                is_registered = true;
                Ok(())
            }
            ServerMessage::Refused(refusal) => Err(BenchError::Registration {
                procedure: procedure.to_owned(),
                message: refusal.text,
            }),
            ServerMessage::Event(_)
            | ServerMessage::Invocation { .. }
            | ServerMessage::Welcome
            | ServerMessage::Ended(_)
            | ServerMessage::Nothing => Ok(()),
        };
        socket.drive(worker, shared, &mut handle).await?;
    }
    Ok(())
}

/// Returns the error for a refused request about a topic.
pub(crate) fn refused(
    verb: &'static str,
    refusal: RequestError,
    topic_of: impl FnOnce(Option<u64>) -> Option<String>,
) -> BenchError {
    let RequestError { request, topic, text } = refusal;
    let topic = topic.or_else(|| topic_of(request)).unwrap_or_else(|| "a topic".to_owned());
    BenchError::Topic { verb, topic, message: text }
}
