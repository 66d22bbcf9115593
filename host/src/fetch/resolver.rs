//! Look-up of names. The operating system's function blocks and cannot be stopped, so the number of
//! look-ups is bounded by themselves, and not by the requests that wait for them.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

/// Look-ups at a time; each has a thread.
const MAX_LOOKUPS: usize = 32;
/// Look-ups of one plugin at a time: a server of names that hangs holds up this plugin alone.
const MAX_PLUGIN_LOOKUPS: usize = 4;

/// A function that looks a name up.
pub(super) type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks names up.
pub(super) struct Resolver {
    lookup: Arc<Lookup>,
    running: Arc<Semaphore>,
    /// By the name of the plugin. A std mutex, held for a look at the map.
    of_plugins: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Resolver {
    /// Uses the operating system.
    pub(super) fn of_system() -> Self {
        Self::new(Arc::new(|name, port| Ok((name, port).to_socket_addrs()?.collect())))
    }

    pub(super) fn new(lookup: Arc<Lookup>) -> Self {
        let running = Arc::new(Semaphore::new(MAX_LOOKUPS));
        Self { lookup, running, of_plugins: Mutex::default() }
    }

    /// Returns the addresses of a name.
    ///
    /// # Errors
    /// When the name has none.
    pub(super) async fn addresses(
        &self,
        plugin: &str,
        name: &str,
        port: u16,
    ) -> io::Result<Vec<SocketAddr>> {
        let own = self.of_plugin(plugin).acquire_owned().await.map_err(io::Error::other)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(io::Error::other)?;
        let (lookup, name) = (Arc::clone(&self.lookup), name.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let found = lookup(&name, port);
            // The look-up may outlive the request.
            drop((own, turn));
            found
        });
        found.await.map_err(io::Error::other)?
    }

    fn of_plugin(&self, plugin: &str) -> Arc<Semaphore> {
        let mut plugins = self.of_plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Semaphore::new(MAX_PLUGIN_LOOKUPS));
        Arc::clone(plugins.entry(plugin.to_owned()).or_insert_with(make))
    }
}
