//! Drain: the orderly end of a server, in five steps.
//!
//! 1. Health checks say that it stops, and everything goes on, reloads too: load balancers send no more
//!    clients.
//! 2. No new connections are accepted, but those that wait in the socket's queue are answered.
//! 3. Sessions end one after another, at random moments, so that not all clients come back at once.
//! 4. Queued frames are delivered, and requests and calls of plugins are answered, within a grace
//!    period.
//! 5. The connections that are still open are cut.
//!
//! Clients of both versions see the transport end, without GOODBYE and without a WebSocket close:
//! only after that, every client library in use reconnects by itself.

use std::sync::Arc;
use std::time::Duration;

use jackfield_broker::Session;
use jackfield_config::ShutdownTimes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{info, warn};

use super::background::{BackgroundTasks, RELOAD, SETTINGS, TIMERS};
use crate::dispatch::InFlight;
use crate::realms::Realms;
use crate::shutdown::{self, Shutdown};

/// Ends every connection, then the timers. `connections` come after the accept loop has noticed the
/// shutdown.
pub(super) async fn drain(
    shutdown: &Shutdown,
    realms: &Realms,
    connections: oneshot::Receiver<JoinSet<()>>,
    tasks: &BackgroundTasks,
) {
    let ShutdownTimes { wait, grace, .. } = shutdown.times();
    shutdown.announce();
    // No load balancer sends clients to a server that has never served.
    if !wait.is_zero() && !shutdown.is_requested() {
        info!(name: "server.waiting", "waiting {wait:?} for load balancers (shutdown.wait)");
        sleep(wait).await;
    }
    shutdown.request();
    tasks.abort(RELOAD);
    tasks.abort(SETTINGS);
    // The accept loop has ended early if there are none; its end has been logged.
    let mut connections = connections.await.unwrap_or_default();
    end_sessions(shutdown, realms).await;
    let due = Instant::now() + grace;
    let ended = timeout_at(due, async { while connections.join_next().await.is_some() {} });
    if ended.await.is_err() {
        warn!(name: "server.grace_over", open = connections.len(), "connections were still open after the grace period");
        connections.shutdown().await;
    }
    // Timers would begin requests for as long as others are answered.
    tasks.abort(TIMERS);
    wait_for_answers(realms, due).await;
}

/// Waits for the answers to requests and calls of plugins, which hooks of the last sessions may have
/// begun. Their hooks may begin further ones.
async fn wait_for_answers(realms: &Realms, due: Instant) {
    let InFlight { requests, calls } = in_flight(realms);
    if requests + calls == 0 {
        return;
    }
    info!(name: "server.waiting_for_answers", requests, calls, "waiting for the answers to requests and calls of plugins");
    let answered = timeout_at(due, async {
        for dispatch in realms.iter() {
            dispatch.outgoing_idle().await;
        }
    });
    if answered.await.is_err() {
        let InFlight { requests, calls } = in_flight(realms);
        warn!(
            name: "server.answers_dropped",
            requests,
            calls,
            "requests and calls of plugins were still without an answer after the grace period; \
             their answers are dropped"
        );
    }
}

fn in_flight(realms: &Realms) -> InFlight {
    realms.iter().fold(InFlight::default(), |sum, dispatch| {
        let InFlight { requests, calls } = dispatch.in_flight();
        InFlight { requests: sum.requests + requests, calls: sum.calls + calls }
    })
}

/// Ends every session at a random moment. Sessions that open from now on end at once.
async fn end_sessions(shutdown: &Shutdown, realms: &Realms) {
    let sessions = realms.sessions();
    let spread = shutdown.spread(sessions.len());
    if !spread.is_zero() {
        info!(name: "server.ending_sessions", sessions = sessions.len(), "ending sessions over {spread:?}");
    }
    let began = Instant::now();
    for (after, session) in at_random(sessions, spread) {
        // A client that has left by itself is not waited for.
        if !session.is_closing() {
            sleep_until(began + after).await;
            let _first = session.close(shutdown::close_reason());
        }
    }
}

/// Gives each session a random moment of the time, and sorts them by it.
fn at_random(sessions: Vec<Arc<Session>>, spread: Duration) -> Vec<(Duration, Arc<Session>)> {
    let moment = |session| (spread.mul_f64(fastrand::f64()), session);
    let mut moments: Vec<_> = sessions.into_iter().map(moment).collect();
    moments.sort_by_key(|(after, _)| *after);
    moments
}
