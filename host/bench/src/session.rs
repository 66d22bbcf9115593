//! Opening a session and its subscriptions: what every kind of work begins with.

use std::time::Duration;

use crate::failure::Failure;
use crate::plan::Dialect;
use crate::protocol::{Refusal, Said, Talk};
use crate::socket::Socket;
use crate::tally::Tally;
use crate::workers::{Lane, Shared};

/// How long a server may take to answer while connections are opened. It is busy with others then,
/// but not for so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Subscriptions that are asked for at one time: more would fill the socket's buffers on both
/// sides.
const ASKED_AT_ONCE: u64 = 256;

/// What a connection is for; it makes a difference to the dialects that have no sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It publishes and wants no answers.
    Publisher,
    /// It publishes or calls, and wants each of it answered.
    Answered,
    /// It subscribes.
    Subscriber,
}

/// Opens a session.
pub(crate) async fn open(lane: &Lane, shared: &Shared, role: Role) -> Result<Socket, Failure> {
    let opened = tokio::time::timeout(PATIENCE, greet(lane, shared, role)).await;
    opened.unwrap_or(Err(Failure::Silent(PATIENCE.as_secs(), "a connection was being opened")))
}

async fn greet(lane: &Lane, shared: &Shared, role: Role) -> Result<Socket, Failure> {
    let plan = &shared.plan;
    let path = match (plan.dialect, role) {
        (Dialect::Raw, Role::Subscriber) => plan.target.below("sub"),
        (Dialect::Raw, Role::Publisher | Role::Answered) => plan.target.below("pub"),
        (Dialect::Wamp1 | Dialect::Wamp2(_) | Dialect::Nats, _) => plan.target.path.clone(),
    };
    let talk = Talk::new(plan.dialect, role != Role::Publisher);
    let mut socket = Socket::open(shared, &path, talk).await?;
    let mut expects_welcome = false;
    socket.send(|talk, out| expects_welcome = talk.hello(out, &plan.realm))?;
    let mut welcome = !expects_welcome;
    while !welcome {
        let mut listen = |_: &mut Tally, _, said: Said<'_>| {
            welcome |= said == Said::Welcome;
            Ok(())
        };
        socket.turn(lane, shared, &mut listen).await.map_err(|failure| match failure {
            Failure::Ended(words) => Failure::Session(words),
            other => other,
        })?;
    }
    Ok(socket)
}

/// Subscribes to topics by their numbers, and waits until all are granted. Requests are numbered
/// from 1.
pub(crate) async fn subscribe(
    socket: &mut Socket,
    lane: &Lane,
    shared: &Shared,
    topics: std::ops::Range<usize>,
) -> Result<(), Failure> {
    if shared.plan.dialect == Dialect::Raw {
        return Ok(());
    }
    let subscribing = ask(socket, lane, shared, topics);
    let subscribed = tokio::time::timeout(PATIENCE, subscribing).await;
    subscribed.unwrap_or(Err(Failure::Silent(PATIENCE.as_secs(), "subscriptions were asked for")))
}

async fn ask(
    socket: &mut Socket,
    lane: &Lane,
    shared: &Shared,
    topics: std::ops::Range<usize>,
) -> Result<(), Failure> {
    let first = topics.start;
    let mut topics = topics.peekable();
    let mut asked = 0;
    let mut granted = 0;
    while granted < asked || topics.peek().is_some() {
        while asked - granted < ASKED_AT_ONCE
            && let Some(topic) = topics.next()
        {
            asked += 1;
            let topic = shared.topic(topic);
            socket.send(|talk, out| talk.subscribe(out, asked, &topic))?;
        }
        let topic_of = |request: u64| {
            shared.topic(first + usize::try_from(request).unwrap_or_default().saturating_sub(1))
        };
        socket
            .turn(lane, shared, &mut |_: &mut Tally, _, said: Said<'_>| match said {
                Said::Done { .. } => {
                    granted += 1;
                    Ok(())
                }
                Said::Refused(refusal) => {
                    Err(refused("subscribe to", refusal, |request| Some(topic_of(request?))))
                }
                Said::Event(_) | Said::Welcome | Said::Ended(_) | Said::Nothing => Ok(()),
            })
            .await?;
    }
    Ok(())
}

/// A refusal with the topic that it is about.
pub(crate) fn refused(
    verb: &'static str,
    refusal: Refusal,
    topic_of: impl FnOnce(Option<u64>) -> Option<String>,
) -> Failure {
    let Refusal { request, topic, words } = refusal;
    let topic = topic.or_else(|| topic_of(request)).unwrap_or_else(|| "a topic".to_owned());
    Failure::Topic { verb, topic, said: words }
}
