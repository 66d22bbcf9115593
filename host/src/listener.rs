//! Accepts connections and gives each a task, until the server stops.
//!
//! Admission control: a connection takes one of `limits.connections` places. Where none is free, it
//! takes one of a small reserve, on which HTTP is answered and WebSockets are refused with 503: at
//! the limit, health checks and the API still work, and clients learn why they have to wait.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::{Instrument, debug, field, info_span, warn};

use crate::app::App;
use crate::connection;

/// Connections over the limit that get an answer.
pub(crate) const MAX_RESERVED: usize = 64;

/// How long accepting pauses when the process has no more file descriptors: they come back only
/// when connections end, and trying at once again would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// What lets a connection be served; dropped, it lets another.
pub(crate) struct Place {
    limit: usize,
    is_reserved: bool,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Whether the limit was reached, and only HTTP is answered.
    pub(crate) const fn is_reserved(&self) -> bool {
        self.is_reserved
    }

    /// The limit.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }
}

/// All places.
struct Places {
    limit: usize,
    ordinary: Arc<Semaphore>,
    reserved: Arc<Semaphore>,
}

impl Places {
    fn new(limit: usize) -> Self {
        let [ordinary, reserved] = [limit, MAX_RESERVED].map(|it| Arc::new(Semaphore::new(it)));
        Self { limit, ordinary, reserved }
    }

    fn take(&self) -> Option<Place> {
        let take = |places: &Arc<Semaphore>, is_reserved| {
            let permit = Arc::clone(places).try_acquire_owned().ok()?;
            Some(Place { limit: self.limit, is_reserved, _permit: permit })
        };
        take(&self.ordinary, false).or_else(|| take(&self.reserved, true))
    }
}

/// Accepts until the server stops; then returns the tasks of the connections that are open, of which
/// there are at most `limit`, and the reserve.
pub(crate) async fn accept(app: Arc<App>, listener: TcpListener, limit: usize) -> JoinSet<()> {
    let mut stop = std::pin::pin!(app.stopping());
    let mut tasks = JoinSet::new();
    let places = Places::new(limit);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return tasks,
            Some(_ended) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = places.take() else {
                    // The socket is dropped: answering would cost what there is too little of.
                    warn!(
                        %peer,
                        "maximum connections reached (limits.connections = {limit}); closed \
                         unanswered, as {MAX_RESERVED} more are being answered"
                    );
                    continue;
                };
                // Whom `peer` forwards for, if it is a proxy, shows in what the client asks for.
                let span = info_span!("connection", %peer, client = field::Empty);
                tasks.spawn(connection(Arc::clone(&app), stream, place).instrument(span));
            }
            // The client's affair: it left before it was accepted.
            Err(error) if !is_exhaustion(&error) => debug!("failed to accept: {error}"),
            Err(error) => {
                warn!("failed to accept a connection: {error}");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Whether the system has nothing left to make a connection of. `accept` fails then until
/// something is given back, and for any other error not twice for the same reason.
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

async fn connection(app: Arc<App>, stream: TcpStream, place: Place) {
    // Events are small and wanted now; batching is done before the socket.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("failed to set TCP_NODELAY: {error}");
    }
    match connection::serve(app, stream, &place).await {
        Ok(()) => debug!("closed by the client"),
        Err(ended) => ended.log(),
    }
    drop(place);
}
