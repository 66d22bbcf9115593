//! Streams of JetStream: the leases of homes, and the logs of stores.
//!
//! A message has a subject of its own for each name, and its place in the stream, its sequence number. A
//! message is put only behind the last one of its subject that the writer knows, so of two writers one is
//! refused ([`StreamError::Behind`]): that is the lease, and the fence of a log.

use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamErrorKind, GetStreamErrorKind, PublishError, PublishErrorKind, RequestErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    Config, Info, RawMessageErrorKind, StorageType, Stream as Handle,
};
use async_nats::jetstream::{Context, ErrorCode};
use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::stream::{JetStream, StreamError, StreamKind, StreamMessage, subject_token};

/// The copies of a stream, where there are as many servers with JetStream.
const MAX_REPLICAS: usize = 3;

/// The time after which a server is asked again, while a stream has no leader.
const LEADER_INTERVAL: Duration = Duration::from_millis(100);

/// The time after which an acknowledgement is looked for in the stream.
const ACKNOWLEDGE_TIME: Duration = Duration::from_secs(2);

/// The time within which JetStream recognizes a repeated message. Messages have no ids here.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(2);

/// A stream of a cluster.
#[derive(Clone, Debug)]
pub struct Stream {
    context: Context,
    name: String,
    /// Subjects begin with it.
    prefix: String,
    max_age: Duration,
    kind: StreamKind,
}

/// Asks the servers whether they have JetStream for this user. The answer is read here: the client does not know
/// that of nats-server 2.9.
pub(crate) async fn detect(context: &Context) -> JetStream {
    let answer: Value = match context.request("INFO", b"").await {
        Ok(answer) => answer,
        Err(error) if error.kind() == RequestErrorKind::NoResponders => {
            return JetStream::Absent(error.to_string());
        }
        // A permission may be missing.
        Err(error) => return JetStream::Unknown(error.to_string()),
    };
    let Some(error) = answer.get("error") else { return JetStream::Present };
    let reason = error.to_string();
    let code = error.get("err_code").and_then(Value::as_u64).map(ErrorCode);
    let absent = [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT];
    if code.is_some_and(|it| absent.contains(&it)) {
        JetStream::Absent(reason)
    } else {
        // Servers that begin to work together.
        JetStream::Unknown(reason)
    }
}

/// The error of nats-server 2.12 for a message whose place another one takes at the same time.
const WRONG_LAST_SEQUENCE_CONSTANT: ErrorCode = ErrorCode(10_164);

/// Returns whether the server has refused a message because it is not behind the last one.
fn is_behind(error: &PublishError) -> bool {
    let answer = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    answer.is_some_and(|it| it.error_code() == WRONG_LAST_SEQUENCE_CONSTANT)
}

impl Stream {
    pub(crate) fn new(
        context: Context,
        (version, cluster): (&str, &str),
        kind: StreamKind,
        max_age: Duration,
    ) -> Self {
        let (plural, singular) = match kind {
            StreamKind::Homes => ("homes", "home"),
            StreamKind::Stores => ("stores", "store"),
        };
        let name = format!("{version}_{cluster}_{plural}");
        Self { context, name, prefix: format!("{version}.{cluster}.{singular}."), max_age, kind }
    }

    /// Makes the stream, if it is missing. It gets three copies, if there are as many servers.
    ///
    /// # Errors
    /// JetStream does not answer, or refuses.
    pub async fn prepare(&self) -> Result<(), StreamError> {
        let known = self.known().await?.map(|it| it.config);
        let Some(known) = known else { return self.create().await };
        let wanted = self.config(MAX_REPLICAS);
        if known.max_age != wanted.max_age
            || known.max_messages_per_subject != wanted.max_messages_per_subject
            || known.subjects != wanted.subjects
        {
            return Err(StreamError::Foreign { stream: self.name.clone() });
        }
        Ok(())
    }

    /// Gives the stream three copies, if it has fewer: servers may have come since it was made. Returns whether it
    /// has more than before. Other settings, which an operator may have made, stay.
    pub async fn copy(&self) -> bool {
        let Ok(Some(Info { config, cluster, .. })) = self.known().await else { return false };
        let before = config.num_replicas;
        // A server of nats-server 2.9 that is alone accepts it, and has lost the stream when it starts again.
        let is_alone = cluster.and_then(|it| it.name).is_none_or(|name| name.is_empty());
        if is_alone || before >= MAX_REPLICAS {
            return false;
        }
        let raised = self.context.update_stream(Config { num_replicas: MAX_REPLICAS, ..config });
        raised.await.is_ok_and(|it| it.config.num_replicas > before)
    }

    /// Returns the settings of the stream and its servers; `None` if it is missing.
    async fn known(&self) -> Result<Option<Info>, StreamError> {
        match self.context.get_stream(&self.name).await {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(answer)
                    if answer.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(StreamError::unavailable(&self.name, &error)),
            },
        }
    }

    async fn create(&self) -> Result<(), StreamError> {
        let too_few = [
            ErrorCode::CLUSTER_NO_PEERS,
            ErrorCode::INSUFFICIENT_RESOURCES,
            ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED,
        ];
        let mut made = self.context.create_stream(self.config(MAX_REPLICAS)).await;
        if made.as_ref().is_err_and(|error| match error.kind() {
            CreateStreamErrorKind::JetStream(answer) => too_few.contains(&answer.error_code()),
            _ => false,
        }) {
            made = self.context.create_stream(self.config(1)).await;
        }
        made.map(drop).map_err(|error| StreamError::unavailable(&self.name, &error))
    }

    fn config(&self, num_replicas: usize) -> Config {
        let window = DUPLICATE_WINDOW;
        Config {
            name: self.name.clone(),
            subjects: vec![format!("{}*", self.prefix)],
            max_messages_per_subject: if self.kind == StreamKind::Homes { 1 } else { -1 },
            max_age: self.max_age,
            duplicate_window: if self.max_age.is_zero() {
                window
            } else {
                window.min(self.max_age)
            },
            storage: StorageType::File,
            num_replicas,
            ..Config::default()
        }
    }

    /// Puts a message behind the last one of its name, which is `expected`; 0 if there is none. Returns its
    /// sequence number. For the time of `patience`, it is tried again: while the stream has no leader, and after an
    /// answer that is lost, if the message is not there. No other message may have the same content.
    ///
    /// # Errors
    /// [`StreamError::Behind`] if the last message is another one. After [`StreamError::Unavailable`], the
    /// message may be there.
    pub async fn put(
        &self,
        name: &str,
        expected: u64,
        message: Bytes,
        patience: Duration,
    ) -> Result<u64, StreamError> {
        let until = Instant::now() + patience;
        let mut may_be_there = false;
        loop {
            let publish = PublishMessage::build()
                .payload(message.clone())
                .expected_last_subject_sequence(expected);
            let sent = self.context.send_publish(self.subject(name), publish).await;
            let acknowledged = async { sent?.await };
            let put = match timeout(ACKNOWLEDGE_TIME, acknowledged).await {
                Ok(Ok(acknowledged)) => Ok(acknowledged.sequence),
                Ok(Err(error)) => match error.kind() {
                    PublishErrorKind::WrongLastSequence => Err(StreamError::Behind),
                    PublishErrorKind::Other if is_behind(&error) => Err(StreamError::Behind),
                    PublishErrorKind::MaxPayloadExceeded => {
                        return Err(StreamError::unavailable(&self.name, &error));
                    }
                    // Nothing listens: the stream has no leader, so the message is not there.
                    PublishErrorKind::StreamNotFound => {
                        Err(StreamError::unavailable(&self.name, &error))
                    }
                    _ => {
                        may_be_there = true;
                        Err(StreamError::unavailable(&self.name, &error))
                    }
                },
                Err(_late) => {
                    may_be_there = true;
                    let reason = format!("no answer within {ACKNOWLEDGE_TIME:?}");
                    Err(StreamError::unavailable(&self.name, &reason))
                }
            };
            let is_answered = !matches!(put, Err(StreamError::Unavailable { .. }));
            if patience.is_zero() || (is_answered && !may_be_there) {
                return put;
            }
            let mut put = put;
            if may_be_there {
                // It was sent before: the first of both counts.
                match self.next(name, expected + 1).await {
                    Ok(Some(found)) if found.payload == message => return Ok(found.sequence),
                    Ok(Some(_)) => return Err(StreamError::Behind),
                    Ok(None) | Err(_) => {
                        let reason = "it is not known whether a message was saved";
                        put = Err(StreamError::unavailable(&self.name, &reason));
                    }
                }
            }
            if Instant::now() >= until {
                return put;
            }
            sleep(LEADER_INTERVAL).await;
        }
    }

    /// Returns the last message of a name.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn last(&self, name: &str) -> Result<Option<StreamMessage>, StreamError> {
        let stream = self.handle().await?;
        let found = stream.get_last_raw_message_by_subject(&self.subject(name)).await;
        self.found(found)
    }

    /// Returns the first message of a name from a sequence number on.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn next(&self, name: &str, from: u64) -> Result<Option<StreamMessage>, StreamError> {
        let stream = self.handle().await?;
        let found = stream.get_first_raw_message_by_subject(self.subject(name), from).await;
        self.found(found)
    }

    /// Removes the messages of a name before a sequence number.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn purge(&self, name: &str, before: u64) -> Result<(), StreamError> {
        let purge = self.handle().await?.purge().sequence(before).filter(self.subject(name));
        let purged = purge.await;
        purged.map(drop).map_err(|error| StreamError::unavailable(&self.name, &error))
    }

    async fn handle(&self) -> Result<Handle<()>, StreamError> {
        let handle = self.context.get_stream_no_info(&self.name).await;
        handle.map_err(|error| StreamError::unavailable(&self.name, &error))
    }

    fn found(
        &self,
        found: Result<
            async_nats::jetstream::message::StreamMessage,
            async_nats::error::Error<RawMessageErrorKind>,
        >,
    ) -> Result<Option<StreamMessage>, StreamError> {
        match found {
            Ok(found) => {
                Ok(Some(StreamMessage { sequence: found.sequence, payload: found.payload }))
            }
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => Ok(None),
            Err(error) => Err(StreamError::unavailable(&self.name, &error)),
        }
    }

    fn subject(&self, name: &str) -> String {
        format!("{}{}", self.prefix, subject_token(name))
    }
}
