//! Connection of an operator's client: one request, with limits of time and size for each part of it.

use std::convert::Infallible;
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::Context;
use super::access::{AdminAccess, CertificateHolder, Revocation};
use super::audit::Caller;
use super::console;
use super::problem::Problem;
use super::router::{self, Reply};
use crate::http::Health;
use crate::http::response::Answer;
use crate::linger::Linger;
use crate::provisional_places::{ProvisionalPlace, ProvisionalPlaces};
use crate::wall_clock;
use crate::write_timeout::WriteTimeout;

/// The maximum size of a request's head, the smallest that hyper permits.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The time for open connections to end at a shutdown.
const MAX_STOP_TIME: Duration = Duration::from_secs(1);
/// The pause after an error of accepting.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// The time for the head of a request.
const MAX_HEAD_TIME: Duration = Duration::from_secs(5);
/// The time for a complete answer to be read.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(10);

/// The time for a client to read its answer and to end its side. One that has not sent all of its
/// request may read the answer only then.
const LINGER: Linger =
    Linger { max_pause: Duration::from_secs(2), max_time: Duration::from_secs(30) };
/// The same for a connection that is refused.
const REFUSED_LINGER: Linger =
    Linger { max_pause: Duration::from_secs(1), max_time: Duration::from_secs(2) };
/// The maximum number of refused connections that wait for their clients to read the answer.
const MAX_REFUSED: usize = 64;

/// The maximum time for which a client takes nothing of an answer.
const MAX_READ_PAUSE: Duration = Duration::from_secs(30);

/// The places of a listener's connections. A connection keeps its place when its caller is known; until
/// then, a new one gets the place when all are taken.
pub(super) struct ConnectionPlaces {
    kind: &'static str,
    max_served: usize,
    served: Arc<ProvisionalPlaces>,
    /// One for each connection that is refused.
    refused: Arc<Semaphore>,
}

impl ConnectionPlaces {
    pub(super) fn new(kind: &'static str, max_served: usize) -> Self {
        let refused = Arc::new(Semaphore::new(MAX_REFUSED));
        Self { kind, max_served, served: ProvisionalPlaces::new(max_served), refused }
    }

    /// Serves a connection in a task of its own. Without a place, it gets the answer 503; one too many is
    /// closed without an answer.
    pub(super) fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        context: Arc<Context>,
        authentication: Authentication,
    ) {
        match self.served.take() {
            Some(place) => self.run(place, context, async { Some((stream, authentication)) }),
            None => self.refuse(stream),
        }
    }

    /// Serves a connection that a handshake opens, in a task of its own. Without a place, it is closed:
    /// no answer can be read before the handshake.
    pub(super) fn serve_after<S>(
        &self,
        handshake: impl Future<Output = Option<(S, Authentication)>> + Send + 'static,
        context: Arc<Context>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Some(place) = self.served.take() {
            self.run(place, context, handshake);
        } else {
            debug!("maximum {} connections reached; one is closed", self.kind);
        }
    }

    fn run<S>(
        &self,
        place: ProvisionalPlace,
        context: Arc<Context>,
        opening: impl Future<Output = Option<(S, Authentication)>> + Send + 'static,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let kind = self.kind;
        tokio::spawn(async move {
            let served = async {
                if let Ok(Some((stream, authentication))) = timeout(MAX_HEAD_TIME, opening).await {
                    serve(stream, context, authentication, &place).await;
                }
            };
            tokio::select! {
                () = served => {}
                () = place.evicted() => warn!(
                    name: "control.evicted",
                    "maximum {kind} connections reached: one that had sent no accepted request was closed for another"
                ),
            }
        });
    }

    fn refuse(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        debug!("maximum {} connections reached ({}); one is refused", self.kind, self.max_served);
        let Ok(place) = Arc::clone(&self.refused).try_acquire_owned() else { return };
        let answer = Problem::no_place(self.kind).answer().bytes();
        tokio::spawn(async move {
            let _place = place;
            let written = timeout(REFUSED_LINGER.max_time, stream.write_all(&answer)).await;
            if matches!(written, Ok(Ok(()))) {
                REFUSED_LINGER.close(stream).await;
            }
        });
    }

    /// Waits until the clients have left, for a bounded time. Those that wait for a change are told that
    /// the server ends.
    pub(super) async fn end(&self) {
        let _unread = timeout(MAX_STOP_TIME, self.served.all_free()).await;
    }
}

/// A listener of the control API.
pub(super) trait Accepting: Send {
    /// A connection that was accepted.
    type Connection: Send;

    /// Accepts a connection; `None` after an error, which it logs. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = Option<Self::Connection>> + Send;

    /// Serves a connection in a task of its own.
    fn serve(&self, connection: Self::Connection, places: &ConnectionPlaces);
}

/// Accepts connections until the owner of the listener ends it.
pub(super) async fn accept_until(
    listener: &mut impl Accepting,
    places: &ConnectionPlaces,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            // The channel is closed without a value if the server ends with an error.
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Some(connection) => listener.serve(connection, places),
                // Such as too many open files.
                None => sleep(EXHAUSTED_PAUSE).await,
            },
        }
    }
}

/// The identification of a caller.
pub(super) enum Authentication {
    /// The operating system has named the caller.
    Peer(Caller),
    /// The operating system has named another user than the server's and root.
    OtherUser,
    /// Each request has a token, or the connection has a certificate.
    Remote(Arc<AdminAccess>, IpAddr, Option<CertificateHolder>),
}

impl Authentication {
    /// Returns the caller, and the end of its rights if they can be revoked.
    fn check<B>(&self, request: &Request<B>) -> Result<(Caller, Option<Revocation>), Problem> {
        match self {
            Self::Peer(caller) => Ok((caller.clone(), None)),
            Self::OtherUser => Err(Problem::forbidden()),
            Self::Remote(access, peer, certificate) => {
                let checked = access.check(request, *peer, certificate.as_ref());
                checked.map(|(caller, revocation)| (caller, Some(revocation)))
            }
        }
    }

    /// The answer that needs no token: the health of the server, and the files of the console.
    fn open<B>(&self, context: &Context, request: &Request<B>) -> Option<Answer> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer = match request.uri().path() {
            "/livez" if is_read => Health::live(),
            "/readyz" if is_read => Health(Arc::clone(&context.state)).ready(),
            _ => console::answer(request).filter(|_| matches!(self, Self::Remote(..)))?,
        };
        let Self::Remote(access, ..) = self else { return Some(answer) };
        let checked = access.check_host(request.headers()).map(drop);
        Some(checked.map_or_else(Problem::answer, |()| answer))
    }
}

/// Serves a connection to its end.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    context: Arc<Context>,
    authentication: Authentication,
    place: &ProvisionalPlace,
) {
    let is_whole = Arc::new(Notify::new());
    // A connection has one request, so one value is sent at most.
    let (streaming, mut streams) = mpsc::channel(1);
    let service = service_fn(async |request: Request<Incoming>| {
        let checked = match authentication.open(&context, &request) {
            Some(answer) => Err(answer),
            None => authentication.check(&request).map_err(Problem::answer),
        };
        if checked.is_ok() {
            // The connection ends at once if another one has its place.
            let _kept = place.keep();
        }
        let reply = match checked {
            Ok((caller, revocation)) => {
                let reply = Box::pin(router::answer(&context, &caller, request)).await;
                if let (Reply::Stream(_) | Reply::Lines(_), Some(revocation)) = (&reply, revocation)
                {
                    let _first = streaming.try_send(revocation);
                }
                reply
            }
            Err(answer) => answer.into(),
        };
        Ok::<_, Infallible>(match reply {
            Reply::Whole(answer) => {
                is_whole.notify_one();
                answer.response().map(Either::Left)
            }
            Reply::Stream(lines) => of_lines(Either::Left(lines)).map(Either::Right),
            Reply::Lines(lines) => of_lines(Either::Right(lines)).map(Either::Right),
        })
    });
    let revoked = async {
        match streams.recv().await {
            Some(revocation) => Revocation::revoked(revocation).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = exchange(stream, service, &is_whole, Patience::default()) => {}
        () = revoked => info!(name: "admin.stream_revoked", "a stream of the admin listener ends: its token or certificate was revoked"),
    }
}

/// The limits of time of a client that reads its answer.
#[derive(Clone, Copy)]
struct Patience {
    /// For a complete answer.
    answer: Duration,
    /// The maximum time for which it takes nothing.
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer: MAX_ANSWER_TIME, pause: MAX_READ_PAUSE }
    }
}

/// Serves the one request of a connection. A complete answer has its time from `is_whole` on;
/// lines are written as long as their reader is connected, as slowly as it reads, unless it takes nothing
/// for too long.
async fn exchange<S, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    service: S,
    is_whole: &Notify,
    patience: Patience,
) where
    S: HttpService<Incoming, ResBody = B, Error = Infallible>,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let mut stream = WriteTimeout::new(stream, patience.pause);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MAX_HEAD_TIME)
        // It would panic before 1970.
        .auto_date_header(wall_clock::is_set())
        .max_buf_size(MAX_HEAD_BYTES)
        // A client that has left gives its place back at once; a reload is a task of its own.
        .half_close(false)
        .keep_alive(false)
        .serve_connection(TokioIo::new(&mut stream), service);
    // The head, the body and the wait for a change have limits of their own.
    let is_unread = async {
        is_whole.notified().await;
        sleep(patience.answer).await;
    };
    tokio::select! {
        served = connection => match served {
            Ok(()) => LINGER.close(stream).await,
            Err(error) => debug!("a control connection broke: {error}"),
        },
        () = is_unread => debug!("a control connection did not take its answer"),
    }
}

/// An answer of lines of JSON.
fn of_lines<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[test]
    fn the_answer_without_a_place_is_whole() {
        let answer = Problem::no_place("control").answer().bytes();
        let (head, body) = std::str::from_utf8(&answer).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"], "jackfield.error.too_many_requests");
    }

    const ANSWER_BYTES: usize = 4 << 20;

    /// The time to read a complete answer is over at once.
    const IMPATIENCE: Patience = Patience { answer: Duration::ZERO, pause: MAX_READ_PAUSE };

    /// Asks for an answer that is larger than the buffers of the socket.
    async fn ask(is_complete: bool, patience: Patience) -> (UnixStream, impl Future<Output = ()>) {
        let (client, server) = UnixStream::pair().unwrap();
        let exchange = async move {
            let whole = Notify::new();
            let service = service_fn(async |_: Request<Incoming>| {
                if is_complete {
                    whole.notify_one();
                }
                let body = http_body_util::Full::<bytes::Bytes>::from(vec![b'x'; ANSWER_BYTES]);
                Ok::<_, Infallible>(Response::new(body))
            });
            exchange(server, service, &whole, patience).await;
        };
        client.writable().await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(client.try_write(request).unwrap(), request.len());
        (client, exchange)
    }

    /// Reads what there is, until the end of the connection.
    async fn read(mut client: UnixStream) -> usize {
        let mut read = Vec::new();
        // A connection that was given up may be reset.
        let _reset = tokio::io::AsyncReadExt::read_to_end(&mut client, &mut read).await;
        read.len()
    }

    #[tokio::test]
    async fn waits_for_a_reader_of_lines_as_long_as_it_is_connected() {
        let (client, exchange) = ask(false, IMPATIENCE).await;
        let reading = async {
            client.readable().await.unwrap();
            // A limit of time would end the exchange meanwhile: timers are looked at every 61 turns.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            read(client).await
        };
        assert!(tokio::join!(exchange, reading).1 > ANSWER_BYTES);
        let (client, exchange) = ask(false, IMPATIENCE).await;
        drop(client);
        exchange.await;
    }

    #[tokio::test]
    async fn gives_up_a_reader_of_lines_that_takes_nothing() {
        let patience = Patience { pause: Duration::from_millis(20), ..Patience::default() };
        let (client, exchange) = ask(false, patience).await;
        let began = std::time::Instant::now();
        exchange.await;
        assert!(began.elapsed() >= patience.pause);
        assert!(read(client).await < ANSWER_BYTES);
    }

    #[tokio::test]
    async fn gives_up_a_complete_answer_that_is_not_read() {
        let (client, exchange) = ask(true, IMPATIENCE).await;
        exchange.await;
        assert!(read(client).await < ANSWER_BYTES);
    }
}
