//! Accept loop: gives each connection a permit and a task, until the server stops.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::listening::{OpenListener, Queue};
use crate::client_listener::ClientListener;
use crate::client_socket::ClientSocket;
use crate::connection::{self, Context};
use crate::connection_limit::{ConnectionLimit, ConnectionPermit, MAX_RESERVED};
use crate::log::ConnectionScope;
use crate::metrics::ConnectionOutcome;

/// The pause of accepting when the process has no more file descriptors: they become free only when
/// connections end, and an immediate retry would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The maximum number of connections that are accepted from the queue of a socket before it is closed:
/// more than any queue holds, so that clients which connect all the time do not delay the end.
const MAX_QUEUED: usize = 65_536;

/// The time for which clients wait in the queues of inherited sockets until the server serves. After it,
/// they are answered that the server is starting: compiling may take minutes.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);

/// Accepts connections of all listeners until the server stops; then returns the tasks of the open ones.
/// The limit and its reserve bound their number. `reloads` changes when the first generation is ready.
pub(super) async fn accept<T>(
    context: Arc<Context>,
    listeners: Vec<OpenListener>,
    limit: ConnectionLimit,
    mut reloads: watch::Receiver<T>,
) -> JoinSet<()> {
    if listeners.iter().all(|it| it.is_inherited) {
        tokio::select! {
            () = context.shutdown.requested() => {}
            _ready = reloads.changed() => {}
            () = tokio::time::sleep(MAX_QUEUE_TIME) => {}
        }
    }
    let mut stop = std::pin::pin!(context.shutdown.requested());
    let mut tasks = JoinSet::new();
    let mut turn = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_ended) = tasks.join_next() => continue,
            accepted = accept_any(&listeners, &mut turn) => accepted,
        };
        match accepted {
            Ok(accepted) => serve(&mut tasks, &context, &limit, accepted),
            // Not an error of the server: the client left before it was accepted.
            Err(error) if !is_exhaustion(&error) => debug!("failed to accept: {error}"),
            Err(error) => {
                warn!(name: "connection.accept_failed", "failed to accept a connection: {error}");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    for listener in listeners {
        if !listener.is_inherited {
            for accepted in queued(listener) {
                serve(&mut tasks, &context, &limit, accepted);
            }
        }
    }
    tasks
}

/// An accepted connection.
struct Accepted {
    socket: ClientSocket,
    /// The address of a TCP client.
    peer: Option<SocketAddr>,
    listener: Arc<ClientListener>,
}

/// Waits for a connection of any listener. They take turns: `turn` is the first one to look at. Cancel-safe.
async fn accept_any(listeners: &[OpenListener], turn: &mut usize) -> io::Result<Accepted> {
    poll_fn(|context| {
        let count = listeners.len();
        let numbers = (0..count).map(|offset| (*turn + offset) % count);
        for (number, listener) in numbers.filter_map(|at| Some((at, listeners.get(at)?))) {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                *turn = number + 1;
                let listener = Arc::clone(&listener.listener);
                return Poll::Ready(accepted.map(|(socket, peer)| Accepted {
                    socket,
                    peer,
                    listener,
                }));
            }
        }
        Poll::Pending
    })
    .await
}

/// Accepts the connections in the queue of a listener, then closes it. A socket that is closed before
/// resets them: their clients are connected, and have perhaps sent a request.
fn queued(listener: OpenListener) -> Vec<Accepted> {
    let of = Arc::clone(&listener.listener);
    let Ok(queue) = listener.into_queue() else { return Vec::new() };
    let accepted = std::iter::repeat_with(|| accept_queued(&queue, &of));
    accepted.take(MAX_QUEUED).map_while(Result::ok).collect()
}

/// Accepts a connection that waits in the queue; an error if there is none.
fn accept_queued(queue: &Queue, listener: &Arc<ClientListener>) -> io::Result<Accepted> {
    loop {
        match queue.accept() {
            Ok((socket, peer)) => {
                return Ok(Accepted { socket, peer, listener: Arc::clone(listener) });
            }
            Err(error) if is_exhaustion(&error) || is_empty(&error) => return Err(error),
            // The client has left the queue.
            Err(_) => {}
        }
    }
}

/// Starts the task of a connection.
fn serve(
    tasks: &mut JoinSet<()>,
    context: &Arc<Context>,
    limit: &ConnectionLimit,
    Accepted { socket, peer, listener }: Accepted,
) {
    let address = peer.map_or_else(|| socket.peer().ok(), |peer| Some(peer.ip()));
    let permit = if peer.is_some_and(|peer| context.is_probe(peer)) {
        Some(limit.of_probe())
    } else {
        limit.acquire(address.and_then(|address| context.admission.direct_client(address)))
    };
    let Some(permit) = permit else {
        context.metrics.began(ConnectionOutcome::Unanswered);
        let limit = limit.limit();
        let peer = peer.map_or_else(|| listener.url.clone(), |peer| peer.to_string());
        // The socket is dropped: an answer would need the exhausted resource.
        warn!(
            name: "connection.unanswered",
            %peer,
            "maximum connections reached (limits.connections = {limit}, or \
             limits.address_connections); closed unanswered, as \
             {MAX_RESERVED} more are being answered"
        );
        return;
    };
    let scope = ConnectionScope::new(peer, Arc::clone(&listener) as Arc<_>);
    tasks.spawn(scope.run(connection(Arc::clone(context), socket, listener, permit)));
}

/// Returns whether no connection waits in the queue.
fn is_empty(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Returns whether the system has no resources for a connection. `accept` then fails until some are
/// freed; other errors do not persist.
fn is_exhaustion(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    )
}

/// Serves a connection.
#[expect(clippy::manual_async_fn, reason = "the parameters of an `async fn` are in the task twice")]
fn connection(
    context: Arc<Context>,
    socket: ClientSocket,
    listener: Arc<ClientListener>,
    permit: ConnectionPermit,
) -> impl Future<Output = ()> {
    async move {
        socket.set_nodelay();
        match connection::serve(context, socket, listener, &permit).await {
            Ok(()) => debug!("closed by the client"),
            Err(ended) => ended.log(),
        }
    }
}
