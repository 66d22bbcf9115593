//! Listening sockets of a server: opened at the places of the settings, or inherited from the service
//! manager.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use jackfield_config::{Config, ListenerPlace, ListenerSettings};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tracing::{info, warn};

use super::ServeError;
use crate::client_listener::ClientListener;
use crate::client_socket::ClientSocket;
use crate::inherited_sockets::{InheritedSockets, ListeningSocket};
use crate::listener_tls::ListenerTls;
use crate::readiness::PROBE_DIALECT;

/// The connections that the system may complete before they are accepted. The system lowers it to
/// `net.core.somaxconn`. Where the queue is full, clients connect again after one second, then three,
/// and up to a minute: all clients of a server come back at the same moment after its failure.
const BACKLOG: u16 = 65_535;
/// The mode of a Unix socket until it has that of the settings.
const PRIVATE_MODE: u32 = 0o600;

/// An open listener.
pub(super) struct OpenListener {
    socket: Listening,
    pub(super) listener: Arc<ClientListener>,
    /// Whether the service manager keeps it open, so that the next server accepts what is in its queue.
    pub(super) is_inherited: bool,
}

enum Listening {
    Tcp(TcpListener),
    /// With the file that this process has made.
    Unix(UnixListener, Option<SocketFile>),
}

/// A Unix socket in the file system; it is removed at the end, if it is still the same.
struct SocketFile {
    path: PathBuf,
    /// Device, inode, and the time at which it was made: a file system uses inodes again.
    identity: [i64; 4],
}

/// Opens all listeners of the settings. At least one is among them.
///
/// # Errors
/// When one of them cannot be opened, or when a socket of the service manager is not used.
pub(super) fn open(
    config: &Config,
    tls: &[Option<Arc<ListenerTls>>],
    mut inherited: InheritedSockets,
) -> Result<Vec<OpenListener>, ServeError> {
    let settings: Vec<ListenerSettings> = config.all_listeners().collect();
    let is_single = settings.len() == 1;
    // That of `listen`, which is the first one, has none.
    let mut tls = config.listen.map(|_| None).into_iter().chain(tls.iter().cloned());
    let mut listeners = Vec::new();
    for settings in settings {
        let socket = inherited.take(&settings, is_single);
        let path = settings.rules.path.as_ref().unwrap_or(&config.access.path).clone();
        listeners.push(OpenListener::open(settings, &path, tls.next().flatten(), socket)?);
    }
    inherited.finish()?;
    Ok(listeners)
}

impl OpenListener {
    fn open(
        settings: ListenerSettings,
        url_path: &str,
        tls: Option<Arc<ListenerTls>>,
        inherited: Option<ListeningSocket>,
    ) -> Result<Self, ServeError> {
        let ListenerSettings { name, place, rules, .. } = settings;
        let is_inherited = inherited.is_some();
        let socket = match (inherited, place) {
            (Some(ListeningSocket::Tcp(socket)), _) => {
                Listening::Tcp(TcpListener::from_std(socket)?)
            }
            (Some(ListeningSocket::Unix(socket)), _) => {
                Listening::Unix(UnixListener::from_std(socket)?, None)
            }
            (None, ListenerPlace::Address(address)) => {
                let bound = bind_address(address);
                Listening::Tcp(bound.map_err(|error| ServeError::Listen(address, error))?)
            }
            (None, ListenerPlace::Socket { path, mode }) => {
                let failed = |error| match path.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                        ServeError::NoSocketFolder(path.clone(), folder.to_owned())
                    }
                    Some(_) | None => ServeError::ListenAtPath(path.clone(), error),
                };
                let socket = bind(&path, mode).map_err(failed)?;
                let file = SocketFile::of(&path).map_err(failed)?;
                Listening::Unix(socket, Some(file))
            }
        };
        let url = socket.url(tls.is_some(), url_path)?;
        if is_inherited {
            info!(name: "manager.socket", %url, "listening on a socket of the service manager");
        }
        let listener = Arc::new(ClientListener { name, url, rules, tls });
        Ok(Self { socket, listener, is_inherited })
    }

    /// The address at which the server's own probe can connect; `None` for a Unix socket, with TLS, and
    /// where its subprotocol is not spoken.
    pub(super) fn address_of_probe(&self) -> Option<SocketAddr> {
        let speaks = self.listener.rules.protocols.contain(PROBE_DIALECT);
        match &self.socket {
            Listening::Tcp(socket) if !self.listener.is_encrypted() && speaks => {
                socket.local_addr().ok()
            }
            Listening::Tcp(_) | Listening::Unix(..) => None,
        }
    }

    /// The address or the path, as settings name it.
    pub(super) fn place(&self) -> String {
        self.listener.place().to_owned()
    }

    /// Accepts a connection, or registers the task to be woken. The address is that of a TCP client.
    pub(super) fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(ClientSocket, Option<SocketAddr>)>> {
        Poll::Ready(match &self.socket {
            Listening::Tcp(socket) => ready!(socket.poll_accept(context))
                .map(|(stream, peer)| (ClientSocket::Tcp(stream), Some(peer))),
            Listening::Unix(socket, _) => ready!(socket.poll_accept(context))
                .map(|(stream, _)| (ClientSocket::Unix(stream), None)),
        })
    }

    /// Closes the listener. Returns a source of the connections in its queue.
    pub(super) fn into_queue(self) -> io::Result<Queue> {
        Ok(match self.socket {
            Listening::Tcp(socket) => Queue::Tcp(socket.into_std()?),
            Listening::Unix(socket, file) => {
                drop(file);
                Queue::Unix(socket.into_std()?)
            }
        })
    }
}

impl Listening {
    fn url(&self, is_encrypted: bool, path: &str) -> io::Result<String> {
        let scheme = if is_encrypted { "wss" } else { "ws" };
        Ok(match self {
            Self::Tcp(socket) => format!("{scheme}://{}{path}", socket.local_addr()?),
            Self::Unix(socket, _) => {
                let address = socket.local_addr()?;
                format!("unix:{}", address.as_pathname().unwrap_or(Path::new("")).display())
            }
        })
    }
}

/// The connections in the queue of a listener that is closed.
pub(super) enum Queue {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Queue {
    /// Accepts a connection that waits in the queue; an error if there is none. The sockets stay
    /// non-blocking, so that accepting ends with the queue.
    pub(super) fn accept(&self) -> io::Result<(ClientSocket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((ClientSocket::Tcp(TcpStream::from_std(stream)?), Some(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((ClientSocket::Unix(UnixStream::from_std(stream)?), None))
            }
        }
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = path.symlink_metadata()?;
        Ok(Self { path: path.to_owned(), identity: identity(&metadata) })
    }
}

/// What tells a file from others of the same name.
fn identity(metadata: &Metadata) -> [i64; 4] {
    let [device, inode] = [metadata.dev(), metadata.ino()].map(u64::cast_signed);
    [device, inode, metadata.mtime(), metadata.mtime_nsec()]
}

/// Removes the file, if the path still leads to it.
impl Drop for SocketFile {
    fn drop(&mut self) {
        let there = self.path.symlink_metadata();
        let is_there = there.is_ok_and(|there| identity(&there) == self.identity);
        if is_there && let Err(error) = std::fs::remove_file(&self.path) {
            let path = self.path.display();
            warn!(name: "listener.remove_failed", %path, "failed to remove a Unix socket: {error}");
        }
    }
}

/// Listens on an address, also where connections of an earlier server are not over yet.
fn bind_address(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG.into())
}

/// Listens on a Unix socket. It never has more rights than `mode` gives.
fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let file = File::from(OwnedFd::from(socket));
    // The name is made with it.
    file.set_permissions(Permissions::from_mode(PRIVATE_MODE & mode))?;
    let socket = Socket::from(OwnedFd::from(file));
    socket.bind(&SockAddr::unix(path)?)?;
    let listening = socket.listen(BACKLOG.into()).and_then(|()| {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.set_nonblocking(true)?;
        UnixListener::from_std(OwnedFd::from(socket).into())
    });
    // This process has just created the name.
    listening.inspect_err(|_| drop(std::fs::remove_file(path)))
}

/// Removes the socket of a server that has ended without cleaning up.
fn remove_stale(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "the path is no socket"));
        }
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Err(ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_unix_socket_has_its_mode_and_replaces_a_stale_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ws.sock");
        let listener = bind(&path, 0o640).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
        assert_eq!(bind(&path, 0o640).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        drop(bind(&path, 0o600).unwrap());
        let file = SocketFile::of(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(bind(&path, 0o600).unwrap_err().kind(), ErrorKind::AlreadyExists);
        drop(file);
        assert!(path.exists(), "another file of the name stays");
    }
}
