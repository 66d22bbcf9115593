//! Look-up of names. The operating system's function blocks and cannot be stopped, so the number of
//! look-ups is bounded by themselves, and not by the requests that wait for them.
//!
//! Each plugin has a place for one look-up of its own; up to three more of it take places that all
//! plugins share. So a plugin whose servers of names hang takes no place from another one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Look-ups at a time beside the first one of each plugin. Each look-up has a thread.
const MAX_SHARED_LOOKUPS: usize = 32;
/// Plugins whose first look-up has a place at a time. More plugins wait for one another.
const MAX_LOOKING_PLUGINS: usize = 96;
/// Look-ups of one plugin at a time: a server of names that hangs holds up this plugin alone.
const MAX_PLUGIN_LOOKUPS: usize = 4;

/// The names that the administrator of the machine has given to addresses. `hosts(5)`.
const HOSTS: &str = "/etc/hosts";
/// The maximum size of this file that is read.
const MAX_HOSTS_BYTES: u64 = 4 << 20;

/// A function that looks a name up.
pub(super) type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks names up.
pub(super) struct Resolver {
    lookup: Arc<Lookup>,
    hosts: PathBuf,
    shared: Arc<Semaphore>,
    first: Arc<Semaphore>,
    /// By the name of the plugin. A std mutex, held for a look at the map.
    of_plugins: Mutex<HashMap<String, PluginPlaces>>,
}

/// The places of one plugin.
#[derive(Clone)]
struct PluginPlaces {
    all: Arc<Semaphore>,
    first: Arc<Semaphore>,
}

/// The place of a look-up.
struct Place {
    _taken: OwnedSemaphorePermit,
    /// Of the first look-up of a plugin.
    _first: Option<OwnedSemaphorePermit>,
}

impl Resolver {
    /// Uses the operating system.
    pub(super) fn of_system() -> Self {
        Self::new(Arc::new(|name, port| Ok((name, port).to_socket_addrs()?.collect())))
    }

    pub(super) fn new(lookup: Arc<Lookup>) -> Self {
        let (shared, first) = (MAX_SHARED_LOOKUPS, MAX_LOOKING_PLUGINS);
        let [shared, first] = [shared, first].map(|places| Arc::new(Semaphore::new(places)));
        Self { lookup, hosts: HOSTS.into(), shared, first, of_plugins: Mutex::default() }
    }

    /// Returns the addresses of a name. One with a dot is complete: the search domains of the machine
    /// must not lead it elsewhere.
    ///
    /// # Errors
    /// When the name has none.
    pub(super) async fn addresses(
        &self,
        plugin: &str,
        name: &str,
        port: u16,
    ) -> io::Result<Vec<SocketAddr>> {
        let places = self.of_plugin(plugin);
        let own = Arc::clone(&places.all).acquire_owned().await.map_err(io::Error::other)?;
        let place = self.place(&places).await?;
        let (lookup, hosts, name) = (Arc::clone(&self.lookup), self.hosts.clone(), name.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let found = if name.contains('.') {
                match in_hosts(&hosts, &name) {
                    known if known.is_empty() => lookup(&format!("{name}."), port),
                    known => Ok(known.into_iter().map(|it| SocketAddr::new(it, port)).collect()),
                }
            } else {
                lookup(&name, port)
            };
            // The look-up may outlive the request.
            drop((own, place));
            found
        });
        found.await.map_err(io::Error::other)?
    }

    /// Waits for the place of the plugin's first look-up, or for a shared one.
    async fn place(&self, places: &PluginPlaces) -> io::Result<Place> {
        let first = async {
            let taken = Arc::clone(&places.first).acquire_owned().await?;
            let first = Arc::clone(&self.first).acquire_owned().await?;
            Ok(Place { _taken: taken, _first: Some(first) })
        };
        let shared = async {
            let taken = Arc::clone(&self.shared).acquire_owned().await?;
            Ok(Place { _taken: taken, _first: None })
        };
        let place: Result<Place, tokio::sync::AcquireError> = tokio::select! {
            biased;
            place = first => place,
            place = shared => place,
        };
        place.map_err(io::Error::other)
    }

    fn of_plugin(&self, plugin: &str) -> PluginPlaces {
        let mut plugins = self.of_plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || PluginPlaces {
            all: Arc::new(Semaphore::new(MAX_PLUGIN_LOOKUPS)),
            first: Arc::new(Semaphore::new(1)),
        };
        plugins.entry(plugin.to_owned()).or_insert_with(make).clone()
    }
}

/// The addresses of a name in the file of hosts. The system's function does not find names with a dot
/// at the end there.
fn in_hosts(path: &Path, name: &str) -> Vec<IpAddr> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_HOSTS_BYTES).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|it| it.eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::future::{join_all, poll_immediate};

    use super::*;

    #[tokio::test]
    async fn search_domains_do_not_apply_to_names_with_a_dot() {
        let lookup = |name: &str, port| match name {
            "api.example." | "db" => Ok(vec![SocketAddr::new(IpAddr::from([1, 1, 1, 1]), port)]),
            other => Err(io::Error::other(other.to_owned())),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let hosts = "# 9.9.9.9 api.example\n127.0.0.1 localhost\n10.0.0.1 x a.Example # y\n\
                     ::1 a.example\nnone a.example";
        std::fs::write(file.path(), hosts).unwrap();
        let resolver = Resolver { hosts: file.path().into(), ..Resolver::new(Arc::new(lookup)) };
        let check = async |name: &str, expect: &[&str]| {
            let found = resolver.addresses("p", name, 7).await.unwrap();
            let expect: Vec<SocketAddr> = expect.iter().map(|it| it.parse().unwrap()).collect();
            assert_eq!(found, expect, "{name}");
        };
        check("api.example", &["1.1.1.1:7"]).await;
        check("db", &["1.1.1.1:7"]).await;
        check("a.example", &["10.0.0.1:7", "[::1]:7"]).await;
        let error = resolver.addresses("p", "none.example", 7).await.unwrap_err();
        assert_eq!(error.to_string(), "none.example.");
    }

    #[tokio::test]
    async fn plugins_whose_look_ups_hang_hold_up_no_other() {
        let (release, hang) = mpsc::channel::<()>();
        let hang = Mutex::new(hang);
        let lookup = move |name: &str, port| {
            if name == "hangs" {
                let _released = hang.lock().unwrap().recv();
            }
            Ok(vec![SocketAddr::new(IpAddr::from([1, 1, 1, 1]), port)])
        };
        let resolver = Resolver::new(Arc::new(lookup));
        let plugins: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
        let requests = plugins.iter().flat_map(|plugin| [plugin; MAX_PLUGIN_LOOKUPS]);
        let waiting = requests.map(|plugin| Box::pin(resolver.addresses(plugin, "hangs", 1)));
        let mut waiting = join_all(waiting);
        while resolver.shared.available_permits() > 0 {
            assert!(poll_immediate(&mut waiting).await.is_none());
            tokio::task::yield_now().await;
        }
        let limit = std::time::Duration::from_mins(1);
        for plugin in ["q", "r"] {
            let other = tokio::time::timeout(limit, resolver.addresses(plugin, "works", 1)).await;
            assert!(other.expect("no look-up of another plugin is waited for").is_ok());
        }
        drop(release);
        assert!(waiting.await.iter().all(Result::is_ok));
    }
}
