//! Supervision: reports to the service manager about a server that serves: its state, its reloads,
//! and its liveness. SIGHUP reloads settings and site.

use std::sync::Arc;

use tokio::signal::unix::Signal;

use super::Places;
use super::background::BackgroundTasks;
use super::parts::Parts;
use crate::client_listener::ClientListener;
use crate::client_socket::ClientSocket;
use crate::connection;
use crate::count::count;
use crate::readiness::ProbeEntrance;
use crate::reload::ReloadCause;
use crate::server_state::ServerState;
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
    tasks.spawn("report the state", report(Arc::clone(manager), Arc::clone(state), address));
    tasks.spawn("reload at SIGHUP", reload_at(hangup, Arc::clone(state), Arc::clone(manager)));
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
async fn report(manager: Arc<ServiceManager>, state: Arc<ServerState>, address: String) {
    manager.ready();
    tokio::join!(manager.keep_alive(), async {
        let (mut reloads, mut settings) = (state.reloader.reloads(), state.settings.results());
        loop {
            manager.status(&status(&state, &address));
            let changed = tokio::select! {
                changed = reloads.changed() => changed,
                changed = settings.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    });
}

/// The state in one line.
fn status(state: &ServerState, address: &str) -> String {
    let ServerState { reloader, settings, .. } = state;
    let (state, generation) = (reloader.state(), reloader.generations().current());
    let routes = generation.routes().routes().len();
    let routes = count(routes as u64, "route");
    let serving = format!("serving {address}: generation {}, {routes}", state.generation);
    let problems = |of: &str, count: usize| match count {
        0 => None,
        1 => Some(format!("the {of} a problem")),
        count => Some(format!("the {of} {count} problems")),
    };
    let of_settings = problems("settings have", settings.state().problems.len());
    let of_site = problems("site has", state.problems.len());
    let all: Vec<String> = of_settings.into_iter().chain(of_site).collect();
    if all.is_empty() {
        serving
    } else {
        format!("{serving}; {}, see `jackfield status`", all.join(", "))
    }
}

/// Reloads settings and site at each SIGHUP. The stream of a signal ends only with the runtime.
async fn reload_at(mut hangup: Signal, state: Arc<ServerState>, manager: Arc<ServiceManager>) {
    while hangup.recv().await.is_some() {
        loop {
            manager.reloading();
            tokio::select! {
                _ended = state.reload(ReloadCause::Signal) => break,
                // Another one while the site is being read: it is read once more.
                again = hangup.recv() => if again.is_none() {
                    return;
                },
            }
        }
        manager.ready();
    }
}
