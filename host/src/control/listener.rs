//! Control listener: opens the socket, opens it again if it was removed, and serves a bounded
//! number of connections of the server's own user and root.
//!
//! One request a connection, with limits of time and size for each part of it. A second server of a
//! site waits until the socket is free; meanwhile it serves without a control channel.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use http_body_util::Either;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info, warn};

use super::Context;
use super::audit::Caller;
use super::problem::Problem;
use super::router::{self, Reply};
use super::socket::{self, ControlSocket, Places, SocketError};
use crate::log::DIAGNOSIS;

/// The maximum number of connections at a time.
const MAX_CONNECTIONS: usize = 16;
/// The maximum size of a request's head, the smallest that hyper permits.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The time for the head of a request.
const MAX_HEAD_TIME: Duration = Duration::from_secs(5);
/// The time for an answer, or a part of a long one, to be read.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(10);
/// The time for open connections to end at a shutdown.
const MAX_STOP_TIME: Duration = Duration::from_secs(1);
/// The interval of checks for a removed socket, and of attempts to open one in use.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The pause after an error of accepting, such as too many open files.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The control listener of a server.
pub(crate) struct Listener {
    places: Places,
    /// None while another server of the site has it, or while it cannot be made.
    socket: Option<ControlSocket>,
    context: Arc<Context>,
}

impl Listener {
    /// Opens the socket, or begins to wait for it if another server uses it.
    pub(super) fn open(places: Places, context: Arc<Context>) -> Result<Self, SocketError> {
        let mut listener = Self { places, socket: None, context };
        if let Err(error) = listener.try_open() {
            let is_named = matches!(listener.places, Places::Named(_));
            match error {
                SocketError::InUse { .. } => warn!(
                    target: DIAGNOSIS,
                    "{error}; this server has no control channel until that one ends, and then \
                     takes its place\n  = help: `control.socket` gives each server its own"
                ),
                error if is_named => return Err(error),
                error => warn!(target: DIAGNOSIS, "no control channel: {error}"),
            }
        }
        Ok(listener)
    }

    fn try_open(&mut self) -> Result<(), SocketError> {
        let socket = self.places.open()?;
        info!(socket = %socket.path.display(), "the control channel is open");
        self.socket = Some(socket);
        Ok(())
    }

    /// Serves in a task of its own, until the handle's owner ends it.
    pub(crate) fn start(self) -> Running {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        Running { stop, task: tokio::spawn(self.run(stopped)) }
    }

    async fn run(mut self, mut stopped: tokio::sync::oneshot::Receiver<()>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut checks = interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // The channel is closed without a value if the server ends with an error.
                _ = &mut stopped => break,
                () = accept(self.socket.as_ref(), &self.context, &places) => {}
                _ = checks.tick() => self.check(),
            }
        }
        if let Some(socket) = self.socket {
            socket.remove();
        }
        // Clients that wait for a change are told that the server ends.
        let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
        let _unread = timeout(MAX_STOP_TIME, places.acquire_many(all)).await;
    }

    /// Opens the socket again if it is lost: some folders are emptied when a user logs out.
    fn check(&mut self) {
        if self.socket.as_ref().is_some_and(ControlSocket::is_there) {
            return;
        }
        if let Some(lost) = self.socket.take() {
            warn!(socket = %lost.path.display(), "the control socket was removed; opening it again");
        }
        if let Err(error) = self.try_open() {
            debug!("the control socket is still not open: {error}");
        }
    }
}

/// A control listener that serves.
pub(crate) struct Running {
    stop: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends it, and removes its socket.
    pub(crate) async fn stop(self) {
        // It has ended already if this fails.
        let _ended = self.stop.send(());
        let _ended = self.task.await;
    }
}

/// Accepts one connection; waits for ever without a socket. Cancel-safe.
async fn accept(socket: Option<&ControlSocket>, context: &Arc<Context>, places: &Arc<Semaphore>) {
    let Some(socket) = socket else { return std::future::pending().await };
    let stream = match socket.listener.accept().await {
        Ok((stream, _)) => stream,
        Err(error) => {
            warn!("failed to accept a control connection: {error}");
            return sleep(EXHAUSTED_PAUSE).await;
        }
    };
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        debug!("maximum control connections reached ({MAX_CONNECTIONS}); one is closed");
        // Only what fits into the socket's buffer: this loop waits for no client.
        let _unread = stream.try_write(FULL);
        return;
    };
    tokio::spawn(serve(stream, Arc::clone(context), place));
}

/// The answer to a connection for which there is no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
Content-Length: 107\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
{\"error\":\"jackfield.error.too_many_requests\",\"message\":\"too many control connections are \
open: try again\"}\n";

async fn serve(stream: UnixStream, context: Arc<Context>, _place: OwnedSemaphorePermit) {
    let caller = match stream.peer_cred() {
        Ok(credentials) => Caller::new(credentials.uid(), credentials.pid()),
        Err(error) => return debug!("a control connection has no peer: {error}"),
    };
    let is_allowed = [0, socket::own_uid()].contains(&caller.uid());
    if !is_allowed {
        warn!(%caller, "a control connection of another user is refused");
    }
    let taken = Arc::new(Notify::new());
    let service = service_fn(async |request: Request<Incoming>| {
        let reply = if is_allowed {
            router::answer(&context, &caller, request).await
        } else {
            Problem::forbidden().answer().into()
        };
        Ok::<_, Infallible>(match reply {
            Reply::Whole(answer) => {
                taken.notify_one();
                answer.response().map(Either::Left)
            }
            Reply::Stream(lines) => of_lines(Either::Left(lines)).map(Either::Right),
            Reply::Lines(lines) => {
                let watched = Watched { body: lines, taken: Arc::clone(&taken) };
                of_lines(Either::Right(watched)).map(Either::Right)
            }
        })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MAX_HEAD_TIME)
        .max_buf_size(MAX_HEAD_BYTES)
        // A client that has left gives its place back at once; a reload is a task of its own.
        .half_close(false)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // The head, the body and the wait for a change have limits of their own.
    let is_unread = async {
        taken.notified().await;
        // Each part that is taken gives time for the next one.
        while timeout(MAX_ANSWER_TIME, taken.notified()).await.is_ok() {}
    };
    tokio::select! {
        served = connection => if let Err(error) = served {
            debug!("a control connection broke: {error}");
        },
        () = is_unread => debug!("a control connection did not take its answer"),
    }
}

/// A body that tells when a part of it is taken.
struct Watched<B> {
    body: B,
    taken: Arc<Notify>,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self { body, taken } = self.get_mut();
        taken.notify_one();
        Pin::new(body).poll_frame(context)
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
    use super::*;

    #[test]
    fn the_answer_without_a_place_is_whole() {
        let (head, body) = std::str::from_utf8(FULL).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"], "jackfield.error.too_many_requests");
    }
}
