//! Listening sockets that the service manager passes (`sd_listen_fds(3)`).
//!
//! A listener gets the socket of its name, which is `FileDescriptorName=` of the socket unit, or that of
//! its address or path. A single socket is that of a single listener, wherever it listens.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use jackfield_config::{ListenerPlace, ListenerSettings};
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// The variable with the names of the sockets, between colons.
const NAMES: &str = "LISTEN_FDNAMES";
/// The name of a socket whose unit gives it none.
const NO_NAME: &str = "unknown";

/// The sockets of the service manager that no listener has taken.
#[derive(Debug, Default)]
pub(crate) struct InheritedSockets(Vec<InheritedSocket>);

#[derive(Debug)]
struct InheritedSocket {
    name: Option<String>,
    socket: ListeningSocket,
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The reason why an inherited socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InheritedError {
    /// It is not a TCP socket or a Unix socket.
    #[error(
        "the socket of the service manager is not a TCP socket or a Unix socket: {0}\n  = help: write an \
         address and a port, or a path, at `ListenStream=` of the socket unit"
    )]
    NotStream(io::Error),
    /// It does not listen.
    #[error(
        "the socket of the service manager does not listen\n  = help: write `ListenStream=` and \
         `Accept=no` in the socket unit"
    )]
    NotListening,
    /// No listener is for it.
    #[error(
        "no listener is for the socket {place} of the service manager\n  = help: set `name` of a listener to \
         `FileDescriptorName=` of the socket unit, or its address to that of the unit"
    )]
    Unused {
        /// The address or path, and the name.
        place: String,
    },
}

impl InheritedSockets {
    /// Takes the listening sockets that the service manager passes. Must be called before there are
    /// threads, as it removes the variables that describe the sockets.
    ///
    /// # Errors
    /// When one of them is no listening socket.
    pub(crate) fn of_environment() -> Result<Self, InheritedError> {
        let names = std::env::var(NAMES).unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut inherited = ListenFd::from_env();
        let mut sockets = Vec::new();
        for at in 0..inherited.len() {
            let name = names.next().filter(|name| !name.is_empty() && name != NO_NAME);
            if let Some(socket) = ListeningSocket::take(&mut inherited, at)? {
                sockets.push(InheritedSocket { name, socket });
            }
        }
        Ok(Self(sockets))
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns handles of the same sockets.
    ///
    /// # Errors
    /// When the process may not open more files.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let copy = |it: &InheritedSocket| {
            let socket = match &it.socket {
                ListeningSocket::Tcp(socket) => ListeningSocket::Tcp(socket.try_clone()?),
                ListeningSocket::Unix(socket) => ListeningSocket::Unix(socket.try_clone()?),
            };
            Ok(InheritedSocket { name: it.name.clone(), socket })
        };
        self.0.iter().map(copy).collect::<io::Result<_>>().map(Self)
    }

    /// Takes the socket of a listener. `is_single` is set if there is no other one.
    pub(crate) fn take(
        &mut self,
        listener: &ListenerSettings,
        is_single: bool,
    ) -> Option<ListeningSocket> {
        let has_name = |it: &InheritedSocket| it.name.is_some() && it.name == listener.name;
        let by_name = self.0.iter().position(has_name);
        let at = by_name.or_else(|| self.0.iter().position(|it| it.socket.is_at(&listener.place)));
        let single = (is_single && self.0.len() == 1).then_some(0);
        Some(self.0.remove(at.or(single)?).socket)
    }

    /// Checks that each socket has found its listener.
    ///
    /// # Errors
    /// [`InheritedError::Unused`]
    pub(crate) fn finish(self) -> Result<(), InheritedError> {
        let Some(InheritedSocket { name, socket }) = self.0.into_iter().next() else {
            return Ok(());
        };
        let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
        Err(InheritedError::Unused { place: format!("{}{name}", socket.place()) })
    }
}

impl ListeningSocket {
    /// Takes the socket with this number; `None` if there is none.
    fn take(inherited: &mut ListenFd, at: usize) -> Result<Option<Self>, InheritedError> {
        // A socket of the other kind is left where it is.
        let socket = match inherited.take_unix_listener(at) {
            Ok(socket) => socket.map(Self::Unix),
            Err(_) => {
                inherited.take_tcp_listener(at).map_err(InheritedError::NotStream)?.map(Self::Tcp)
            }
        };
        let Some(socket) = socket else { return Ok(None) };
        let listens = match &socket {
            Self::Tcp(socket) => socket_acceptconn(socket),
            Self::Unix(socket) => socket_acceptconn(socket),
        };
        if !listens.map_err(|error| InheritedError::NotStream(error.into()))? {
            return Err(InheritedError::NotListening);
        }
        // The runtime needs it so.
        let set = match &socket {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        };
        set.map_err(InheritedError::NotStream)?;
        Ok(Some(socket))
    }

    fn is_at(&self, place: &ListenerPlace) -> bool {
        match (self, place) {
            (Self::Tcp(socket), ListenerPlace::Address(address)) => {
                socket.local_addr().is_ok_and(|local| local == *address)
            }
            (Self::Unix(socket), ListenerPlace::Socket { path, .. }) => {
                socket.local_addr().is_ok_and(|local| local.as_pathname() == Some(path))
            }
            (Self::Tcp(_), ListenerPlace::Socket { .. })
            | (Self::Unix(_), ListenerPlace::Address(_)) => false,
        }
    }

    /// The address or the path, for people.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(|it| it.to_string()),
            Self::Unix(socket) => socket.local_addr().map(|it| {
                it.as_pathname().map_or_else(String::new, |path| path.display().to_string())
            }),
        }
        .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(name: Option<&str>, place: ListenerPlace) -> ListenerSettings {
        let simple = ListenerSettings::simple("127.0.0.1:1".parse().unwrap());
        ListenerSettings { name: name.map(str::to_owned), place, ..simple }
    }

    fn at(address: &str) -> ListenerPlace {
        ListenerPlace::Address(address.parse().unwrap())
    }

    fn tcp(name: Option<&str>) -> InheritedSocket {
        let socket = ListeningSocket::Tcp(TcpListener::bind("127.0.0.1:0").unwrap());
        InheritedSocket { name: name.map(str::to_owned), socket }
    }

    #[test]
    fn listeners_find_sockets_by_name_and_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let unix = ListeningSocket::Unix(UnixListener::bind(&path).unwrap());
        let (named, other) = (tcp(Some("public")), tcp(None));
        let (own, place) = (named.socket.place(), other.socket.place());
        let unix = InheritedSocket { name: None, socket: unix };
        let mut sockets = InheritedSockets(vec![unix, other, named]);
        let mut take =
            |name, place| sockets.take(&listener(name, place), false).map(|it| it.place());
        assert_eq!(take(Some("public"), at("127.0.0.1:1")), Some(own));
        assert_eq!(take(Some("private"), at("127.0.0.1:1")), None);
        assert_eq!(take(None, at(&place)), Some(place.clone()));
        let place = ListenerPlace::Socket { path: path.clone(), mode: 0o600 };
        assert_eq!(take(None, place), Some(path.display().to_string()));
        sockets.finish().unwrap();
    }

    #[test]
    fn a_single_socket_is_that_of_a_single_listener() {
        let mut sockets = InheritedSockets(vec![tcp(None)]);
        let elsewhere = listener(None, at("127.0.0.1:1"));
        assert!(sockets.try_clone().unwrap().take(&elsewhere, false).is_none());
        assert!(sockets.take(&elsewhere, true).is_some());
        let unused = InheritedSockets(vec![tcp(Some("b"))]).finish().unwrap_err().to_string();
        assert!(unused.contains("(b) of the service manager"), "{unused}");
    }
}
