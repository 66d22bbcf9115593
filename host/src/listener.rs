//! Accepts connections and gives each a task, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::{Instrument, debug, field, info_span, warn};

use crate::app::App;
use crate::connection;

/// How long accepting pauses when the process has no more file descriptors: they come back only
/// when connections end, and trying at once again would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `stop` is ready; then returns the tasks of the connections that are open.
pub(crate) async fn accept(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> JoinSet<()> {
    let mut stop = std::pin::pin!(stop);
    let mut tasks = JoinSet::new();
    let places = Arc::new(Semaphore::new(app.config.limits.connections));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return tasks,
            Some(_ended) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    // Whom `peer` forwards for, if it is a proxy, shows in what the client asks for.
                    let span = info_span!("connection", %peer, client = field::Empty);
                    tasks.spawn(connection(Arc::clone(&app), stream, place).instrument(span));
                }
                // The socket is dropped: answering would cost what there is too little of.
                Err(_full) => warn!(%peer, "connection refused: as many are open as may be"),
            },
            Err(error) => {
                warn!("failed to accept a connection: {error}");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

async fn connection(app: Arc<App>, stream: TcpStream, place: OwnedSemaphorePermit) {
    // Events are small and wanted now; batching is done before the socket.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("failed to set TCP_NODELAY: {error}");
    }
    match connection::serve(Arc::clone(&app), stream).await {
        Ok(()) => debug!("closed by the client"),
        Err(ended) => ended.log(&app.denials),
    }
    drop(place);
}
