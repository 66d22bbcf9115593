//! Accept loop: gives each connection a permit and a task, until the server stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{Instrument, debug, field, info_span, warn};

use super::ServeError;
use crate::connection::{self, Context};
use crate::connection_limit::{ConnectionLimit, ConnectionPermit, MAX_RESERVED};
use crate::metrics::ConnectionOutcome;
use crate::service_manager;

/// The pause of accepting when the process has no more file descriptors: they become free only when
/// connections end, and an immediate retry would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The connections that the system may complete before they are accepted. The system lowers it to
/// `net.core.somaxconn`. Where the queue is full, clients connect again after one second, then three,
/// and up to a minute: all clients of a server come back at the same moment after its failure.
const BACKLOG: u32 = 65_535;

/// The maximum number of connections that are accepted from the queue of a socket before it is closed:
/// more than any queue holds, so that clients which connect all the time do not delay the end.
const MAX_QUEUED: usize = 65_536;

/// The time for which clients wait in the queue of an inherited socket until the server serves. After it,
/// they are answered that the server is starting: compiling may take minutes.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);

/// The listening socket of a server.
pub(super) struct Socket {
    listener: TcpListener,
    /// Whether the service manager keeps it open, so that the next server accepts what is in its queue.
    is_inherited: bool,
}

impl Socket {
    /// Listens on the address, or on the socket of the service manager if there is one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub(super) async fn open(
        listen: SocketAddr,
        inherited: Option<std::net::TcpListener>,
    ) -> Result<Self, ServeError> {
        let is_inherited = inherited.is_some();
        let listener = match inherited {
            Some(inherited) => TcpListener::from_std(inherited),
            None => bind(listen),
        };
        let listener = listener.map_err(|error| ServeError::Listen(listen, error))?;
        if is_inherited {
            service_manager::report_inherited(listener.local_addr()?);
        }
        Ok(Self { listener, is_inherited })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Listens on the address, also where connections of an earlier server are not over yet.
fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until the server stops; then returns the tasks of the open ones. The limit
/// and its reserve bound their number. `reloads` changes when the first generation is ready.
pub(super) async fn accept<T>(
    context: Arc<Context>,
    socket: Socket,
    limit: ConnectionLimit,
    mut reloads: watch::Receiver<T>,
) -> JoinSet<()> {
    let Socket { listener, is_inherited } = socket;
    if is_inherited {
        tokio::select! {
            () = context.shutdown.requested() => {}
            _ready = reloads.changed() => {}
            () = tokio::time::sleep(MAX_QUEUE_TIME) => {}
        }
    }
    let mut stop = std::pin::pin!(context.shutdown.requested());
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_ended) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => serve(&mut tasks, &context, &limit, stream, peer),
            // Not an error of the server: the client left before it was accepted.
            Err(error) if !is_exhaustion(&error) => debug!("failed to accept: {error}"),
            Err(error) => {
                warn!(name: "connection.accept_failed", "failed to accept a connection: {error}");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    if !is_inherited {
        for (stream, peer) in queued(listener) {
            serve(&mut tasks, &context, &limit, stream, peer);
        }
    }
    tasks
}

/// Accepts the connections in the queue of the socket, then closes it. A socket that is closed before
/// resets them: their clients are connected, and have perhaps sent a request.
fn queued(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    // It stays non-blocking, so that accepting ends with the queue.
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted = std::iter::repeat_with(|| accept_queued(&listener));
    accepted.take(MAX_QUEUED).map_while(Result::ok).collect()
}

/// Accepts a connection that waits in the queue; an error if there is none.
fn accept_queued(listener: &std::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                return Ok((TcpStream::from_std(stream)?, peer));
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
    stream: TcpStream,
    peer: SocketAddr,
) {
    let permit = if context.is_probe(peer) {
        Some(limit.of_probe())
    } else {
        limit.acquire(context.admission.direct_client(peer.ip()))
    };
    let Some(permit) = permit else {
        context.metrics.began(ConnectionOutcome::Unanswered);
        let limit = limit.limit();
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
    // Behind a proxy, `client` is known only after the request has been read.
    let span = info_span!("connection", %peer, client = field::Empty);
    tasks.spawn(connection(Arc::clone(context), stream, permit).instrument(span));
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

async fn connection(context: Arc<Context>, stream: TcpStream, permit: ConnectionPermit) {
    // Events are small and urgent; batching happens before the socket.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("failed to set TCP_NODELAY: {error}");
    }
    match connection::serve(context, stream, &permit).await {
        Ok(()) => debug!("closed by the client"),
        Err(ended) => ended.log(),
    }
    drop(permit);
}
