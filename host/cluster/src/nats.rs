//! The client of NATS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::streams::{Stream, detect};
use crate::{JetStream, OpenError, PipeEvent, PipeMessage, PipeSettings, StreamKind};

/// The first token of all subjects: the version of the subjects.
const VERSION: &str = "jf1";

/// The time between two PINGs to the server.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// The messages that wait to be read by this node. One more is lost, which the nodes notice.
const MAX_INCOMING: usize = 4096;

/// The maximum time for which the client may not take a message. It takes none while it connects again.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum time for which JetStream may not answer.
const STREAM_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to NATS.
#[derive(Debug)]
pub struct Pipe {
    client: Client,
    cluster: String,
    all: String,
    nodes: String,
    /// The servers have refused a request to JetStream: this user has no permission.
    is_denied: Arc<AtomicBool>,
}

/// The messages to this node.
#[derive(Debug)]
pub struct Incoming {
    all: Subscriber,
    own: Subscriber,
}

impl Pipe {
    /// Opens the pipe. It need not be connected then, and connects again for ever.
    ///
    /// # Errors
    /// [`OpenError::Invalid`]
    pub async fn open(
        settings: PipeSettings,
        report: impl Fn(PipeEvent) + Send + Sync + 'static,
    ) -> Result<(Self, Incoming), OpenError> {
        let invalid = |error: &dyn std::fmt::Display| OpenError::Invalid(error.to_string());
        let PipeSettings { cluster, node, urls, .. } = &settings;
        let (report, is_denied) = (Arc::new(report), Arc::new(AtomicBool::new(false)));
        let denied = Arc::clone(&is_denied);
        let options = options(&settings)?.event_callback(move |event| {
            let (report, denied) = (Arc::clone(&report), Arc::clone(&denied));
            async move {
                if is_denial(&event) {
                    denied.store(true, Ordering::Relaxed);
                }
                if let Some(event) = shown(&event) {
                    report(event);
                }
            }
        });
        let client = options.connect(urls.as_slice()).await.map_err(|error| invalid(&error))?;
        let (all, nodes) = (format!("{VERSION}.{cluster}.all"), format!("{VERSION}.{cluster}.n."));
        let subscribe = async |subject: String| client.subscribe(subject).await;
        let incoming = Incoming {
            all: subscribe(all.clone()).await.map_err(|error| invalid(&error))?,
            own: subscribe(format!("{nodes}{node}")).await.map_err(|error| invalid(&error))?,
        };
        let cluster = cluster.clone();
        Ok((Self { client, cluster, all, nodes, is_denied }, incoming))
    }

    /// Asks the servers whether they have JetStream for this user.
    pub async fn jetstream(&self) -> JetStream {
        match detect(&self.context()).await {
            JetStream::Unknown(_) if self.is_denied.load(Ordering::Relaxed) => {
                JetStream::Absent("this user may not publish to $JS.API".to_owned())
            }
            // A subscription of another program takes the question, so that no server says that there is none.
            JetStream::Unknown(_) if !self.client.server_info().jetstream => JetStream::Absent(
                "the server has no JetStream, and no other one answers".to_owned(),
            ),
            found => found,
        }
    }

    /// Returns a stream of the cluster. Its messages expire after `max_age`; zero is never.
    pub fn stream(&self, kind: StreamKind, max_age: Duration) -> Stream {
        Stream::new(self.context(), (VERSION, &self.cluster), kind, max_age)
    }

    fn context(&self) -> jetstream::Context {
        let builder = jetstream::context::ContextBuilder::new().timeout(STREAM_TIMEOUT);
        builder.build(self.client.clone())
    }

    /// Returns whether a server is connected.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Returns the size of the largest message that the server takes; `None` before the first
    /// connection.
    pub fn max_payload(&self) -> Option<usize> {
        Some(self.client.max_payload()).filter(|limit| *limit > 0)
    }

    /// Sends a HELLO to all nodes. Returns whether the client has taken it.
    pub async fn hello(&self, hello: Bytes) -> bool {
        self.publish(self.all.clone(), hello).await
    }

    /// Sends a message to one node. Returns whether the client has taken it.
    pub async fn send(&self, node: &str, message: Bytes) -> bool {
        self.publish(format!("{}{node}", self.nodes), message).await
    }

    async fn publish(&self, subject: String, message: Bytes) -> bool {
        let sent = timeout(SEND_TIMEOUT, self.client.publish(subject, message)).await;
        sent.is_ok_and(|sent| sent.is_ok())
    }

    /// Waits until the server has what was sent, for a bounded time.
    pub async fn flush(&self) {
        let _late = timeout(SEND_TIMEOUT, self.client.flush()).await;
    }

    /// Connects again.
    pub async fn reconnect(&self) {
        let _late = timeout(SEND_TIMEOUT, self.client.force_reconnect()).await;
    }
}

impl Incoming {
    /// Waits for the next message; `None` at the end of the client.
    pub async fn next(&mut self) -> Option<PipeMessage> {
        tokio::select! {
            Some(message) = self.own.next() => Some(PipeMessage::Direct(message.payload)),
            Some(message) = self.all.next() => Some(PipeMessage::Hello(message.payload)),
            else => None,
        }
    }
}

/// The options of the client.
fn options(settings: &PipeSettings) -> Result<ConnectOptions, OpenError> {
    let PipeSettings { cluster, name, credentials, ca, certificate, .. } = settings;
    let mut options = ConnectOptions::new()
        .name(name)
        // Answers come below the subjects that a node may read in any case.
        .custom_inbox_prefix(format!("{VERSION}.{cluster}.inbox"))
        .ping_interval(PING_INTERVAL)
        .subscription_capacity(MAX_INCOMING)
        .retry_on_initial_connect();
    if let Some(credentials) = credentials {
        options = authenticated(options, credentials.trim())?;
    }
    if let Some(ca) = ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// Adds credentials: a JWT with its key, `user:password`, or a token.
fn authenticated(options: ConnectOptions, text: &str) -> Result<ConnectOptions, OpenError> {
    if text.contains("-----BEGIN") {
        let wrong =
            |_| OpenError::Invalid("the credentials hold no JWT and key of a user".to_owned());
        return options.credentials(text).map_err(wrong);
    }
    Ok(match text.split_once(':') {
        Some((user, password)) => options.user_and_password(user.to_owned(), password.to_owned()),
        None => options.token(text.to_owned()),
    })
}

/// Returns whether a server has refused a request to JetStream.
fn is_denial(event: &Event) -> bool {
    let Event::ServerError(error) = event else { return false };
    let text = error.to_string().to_ascii_lowercase();
    text.contains("permissions violation for publish") && text.contains("$js.api")
}

/// Returns the event for the log, if it is one.
fn shown(event: &Event) -> Option<PipeEvent> {
    match event {
        Event::Connected => Some(PipeEvent::Connected),
        Event::Disconnected => Some(PipeEvent::Disconnected),
        Event::SlowConsumer(_) => Some(PipeEvent::SlowConsumer),
        Event::ServerError(error) => Some(PipeEvent::Failed(error.to_string())),
        Event::ClientError(error) => Some(PipeEvent::Failed(error.to_string())),
        Event::Closed => Some(PipeEvent::Failed("its client has ended".to_owned())),
        _ => None,
    }
}
