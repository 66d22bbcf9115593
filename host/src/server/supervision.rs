//! Supervision: reports to the service manager about a server that serves: its state, its reloads,
//! and its liveness.

use std::sync::Arc;

use tokio::signal::unix::Signal;

use super::Places;
use super::background::BackgroundTasks;
use super::parts::Parts;
use crate::client_listener::ClientListener;
use crate::client_socket::ClientSocket;
use crate::connection;
use crate::readiness::ProbeEntrance;
use crate::reload::{ReloadCause, Reloader};
use crate::service_manager::ServiceManager;

/// Starts the tasks of the service manager and of the probe.
pub(super) fn spawn(
    tasks: &mut BackgroundTasks,
    manager: &Arc<ServiceManager>,
    parts: &Parts,
    hangup: Signal,
    places: &Places,
) {
    let state = &parts.state;
    let address = places.first.clone();
    let (reloader, reported) = (Arc::clone(&state.reloader), Arc::clone(&state.reloader));
    tasks.spawn("report the state", report(Arc::clone(manager), reported, address));
    tasks.spawn("reload at SIGHUP", reload_at(hangup, reloader, Arc::clone(manager)));
    if let Some(probe) = &state.probe {
        let entrance = match places.probe {
            Some(address) => ProbeEntrance::Address(address),
            None => inside(parts),
        };
        let probing = Arc::clone(probe).run(entrance, Arc::clone(&state.shutdown));
        tasks.spawn("probe", probing);
    }
}

/// The way into the server for a probe that can use no listener.
fn inside(parts: &Parts) -> ProbeEntrance {
    let (context, limit) = (Arc::clone(&parts.context), parts.limit.clone());
    let listener = Arc::new(ClientListener::of_probe());
    ProbeEntrance::Inside(Box::new(move |stream| {
        let (context, listener) = (Arc::clone(&context), Arc::clone(&listener));
        let permit = limit.of_probe();
        // It ends with the probe's end of the pair.
        tokio::spawn(async move {
            let socket = ClientSocket::Unix(stream);
            // The probe knows its result.
            let _ended = connection::serve(context, socket, listener, &permit).await;
        });
    }))
}

/// Tells the service manager that the server serves, that the process is alive, and the state after each
/// reload.
async fn report(manager: Arc<ServiceManager>, reloader: Arc<Reloader>, address: String) {
    manager.ready();
    tokio::join!(manager.keep_alive(), async {
        let mut reloads = reloader.reloads();
        loop {
            manager.status(&state(&reloader, &address));
            if reloads.changed().await.is_err() {
                return;
            }
        }
    });
}

/// The state in one line.
fn state(reloader: &Reloader, address: &str) -> String {
    let (state, generation) = (reloader.state(), reloader.generations().current());
    let routes = generation.routes().routes().len();
    let serving = format!("serving {address}: generation {}, {routes} routes", state.generation);
    match state.problems.len() {
        0 => serving,
        1 => format!("{serving}; the site has a problem, see `jackfield status`"),
        problems => format!("{serving}; the site has {problems} problems, see `jackfield status`"),
    }
}

/// Reloads the site at each SIGHUP. The stream of a signal ends only with the runtime.
async fn reload_at(mut hangup: Signal, reloader: Arc<Reloader>, manager: Arc<ServiceManager>) {
    while hangup.recv().await.is_some() {
        loop {
            manager.reloading();
            let ticket = reloader.trigger(ReloadCause::Signal);
            tokio::select! {
                _ended = reloader.answer(ticket) => break,
                // Another one while the site is being read: it is read once more.
                again = hangup.recv() => if again.is_none() {
                    return;
                },
            }
        }
        manager.ready();
    }
}
