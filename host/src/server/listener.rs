//! Accept loop: gives each connection a permit and a task, until the server stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::{Instrument, debug, field, info_span, warn};

use crate::connection::{self, Context};
use crate::connection_limit::{ConnectionLimit, ConnectionPermit, MAX_RESERVED};

/// The pause of accepting when the process has no more file descriptors: they become free only when
/// connections end, and an immediate retry would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the server stops; then returns the tasks of the open ones. The limit
/// and its reserve bound their number.
pub(super) async fn accept(
    context: Arc<Context>,
    listener: TcpListener,
    limit: ConnectionLimit,
) -> JoinSet<()> {
    let mut stop = std::pin::pin!(context.shutdown.requested());
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return tasks,
            Some(_ended) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(permit) = limit.acquire() else {
                    let limit = limit.limit();
                    // The socket is dropped: an answer would need the exhausted resource.
                    warn!(
                        %peer,
                        "maximum connections reached (limits.connections = {limit}); closed \
                         unanswered, as {MAX_RESERVED} more are being answered"
                    );
                    continue;
                };
                // Behind a proxy, `client` is known only after the request has been read.
                let span = info_span!("connection", %peer, client = field::Empty);
                tasks.spawn(connection(Arc::clone(&context), stream, permit).instrument(span));
            }
            // Not an error of the server: the client left before it was accepted.
            Err(error) if !is_exhaustion(&error) => debug!("failed to accept: {error}"),
            Err(error) => {
                warn!("failed to accept a connection: {error}");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
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
