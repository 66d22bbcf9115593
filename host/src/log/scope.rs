//! Scope of log lines: the connection that the current task serves, shown at the beginning of its lines.
//!
//! It stands in for a span of `tracing`. The registry keeps the formatted fields of each open span,
//! 400 bytes for each connection, and its filter takes a lock whenever a task enters or leaves one.

use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use jackfield_sandbox::EnterLogContext;

thread_local! {
    static CONNECTION: RefCell<Option<Arc<ConnectionScope>>> = const { RefCell::new(None) };
}

/// A listener, as log lines name it.
pub(crate) trait NamedListener: Send + Sync {
    /// The name of the settings, if it has one.
    fn name(&self) -> Option<&str>;

    /// The place for people and clients.
    fn url(&self) -> &str;
}

/// The connection that log lines are about.
pub(crate) struct ConnectionScope {
    /// The address of a TCP client.
    peer: Option<SocketAddr>,
    listener: Arc<dyn NamedListener>,
    /// The client behind a proxy, which is known only after the request has been read; none if the
    /// proxy has named no address.
    client: OnceLock<Option<IpAddr>>,
}

/// Leaves the scope when it is dropped.
pub(super) struct Entered(Option<Arc<ConnectionScope>>);

impl ConnectionScope {
    pub(crate) fn new(peer: Option<SocketAddr>, listener: Arc<dyn NamedListener>) -> Self {
        Self { peer, listener, client: OnceLock::new() }
    }

    /// Runs the task of the connection. It is boxed, as a task of the runtime is moved several times
    /// before its start.
    pub(crate) fn run<F: Future>(self, task: F) -> impl Future<Output = F::Output> {
        let (scope, mut task) = (Arc::new(self), Box::pin(task));
        poll_fn(move |context| {
            let _entered = Self::enter(Some(Arc::clone(&scope)));
            task.as_mut().poll(context)
        })
    }

    /// Names the client of the current task's connection, if it is not the peer.
    pub(crate) fn name_client(client: Option<IpAddr>) {
        // A connection makes one request for a WebSocket; single parts in tests have no connection.
        CONNECTION.with_borrow(|scope| {
            if let Some(scope) = scope {
                let _first_stays = scope.client.set(client);
            }
        });
    }

    /// Returns a function by which another thread enters the scope of the current task.
    pub(super) fn carried() -> EnterLogContext {
        let scope = CONNECTION.with_borrow(Clone::clone);
        Box::new(move || Box::new(Self::enter(scope)) as Box<dyn Any>)
    }

    pub(super) fn enter(scope: Option<Arc<Self>>) -> Entered {
        Entered(CONNECTION.replace(scope))
    }

    /// Returns the names and values of the current task's connection.
    pub(super) fn current() -> Option<Vec<(&'static str, String)>> {
        // A thread that ends may log as well.
        CONNECTION.try_with(|scope| scope.borrow().as_deref().map(Self::fields)).ok().flatten()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let peer = self.peer.map_or_else(|| self.listener.url().to_owned(), |it| it.to_string());
        let shown =
            |it: &Option<IpAddr>| it.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
        let (listener, client) = (self.listener.name(), self.client.get());
        let fields = [
            ("peer", Some(peer)),
            ("listener", listener.map(str::to_owned)),
            ("client", client.map(shown)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CONNECTION.set(self.0.take());
    }
}
