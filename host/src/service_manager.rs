//! Service manager: the protocol of systemd for notifications (`sd_notify(3)`).
//! [`crate::inherited_sockets`] has its sockets.
//!
//! Without `NOTIFY_SOCKET` in the environment, nothing here has an effect. `server` notifies.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::warn;

/// The time beyond the settings of a shutdown that the service manager is asked for.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The pause before notifications are sent again that the full queue of the service manager had no room
/// for.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The connection to the service manager that has started this process, if it wants notifications.
pub(crate) struct ServiceManager {
    channel: Option<Channel>,
    /// The time after which a silent process is restarted.
    watchdog: Option<Duration>,
    /// Notifications that are not sent yet, at most one of each kind. Held while they are sent, which
    /// does not block.
    unsent: Mutex<Vec<(Kind, String)>>,
    has_unsent: Notify,
    is_stopping: AtomicBool,
}

/// The kind of a notification. A newer one replaces one of its kind that is not sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Ready, reloading or stopping.
    State,
    /// The line for people.
    Status,
    /// The process is alive.
    Watchdog,
}

struct Channel {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// The service manager of the environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC`. It learns that the
    /// server starts.
    pub(crate) fn of_environment() -> Self {
        let text = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
        let channel = text("NOTIFY_SOCKET").and_then(|path| match Channel::open(&path) {
            Ok(channel) => Some(channel),
            Err(error) => {
                warn!(name: "manager.unreachable", "cannot notify the service manager (NOTIFY_SOCKET={path}): {error}");
                None
            }
        });
        let is_mine = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let limit = text("WATCHDOG_USEC").filter(|_| is_mine).and_then(|usec| usec.parse().ok());
        let watchdog = limit.filter(|usec| *usec > 0).map(Duration::from_micros);
        let manager = Self::new(channel, watchdog);
        manager.status("starting");
        manager
    }

    fn new(channel: Option<Channel>, watchdog: Option<Duration>) -> Self {
        let (unsent, has_unsent) = (Mutex::default(), Notify::new());
        Self { channel, watchdog, unsent, has_unsent, is_stopping: AtomicBool::new(false) }
    }

    /// The server serves. Without effect while it stops.
    pub(crate) fn ready(&self) {
        self.state("READY=1");
    }

    /// The site is read again; [`ServiceManager::ready`] follows. Without effect while the server stops.
    pub(crate) fn reloading(&self) {
        self.state("RELOADING=1");
    }

    fn state(&self, message: &str) {
        if !self.is_stopping.load(Ordering::Relaxed) {
            self.notify(Kind::State, message.to_owned());
        }
    }

    /// The server ends within this time.
    pub(crate) fn stopping(&self, within: Duration) {
        self.is_stopping.store(true, Ordering::Relaxed);
        let microseconds = within.saturating_add(STOP_MARGIN).as_micros();
        self.notify(
            Kind::State,
            format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={microseconds}\nSTATUS=ending sessions"),
        );
    }

    /// The line that `systemctl status` shows. Without effect while the server stops.
    pub(crate) fn status(&self, text: &str) {
        if !self.is_stopping.load(Ordering::Relaxed) {
            self.notify(Kind::Status, format!("STATUS={}", text.replace('\n', " ")));
        }
    }

    /// Notifies the service manager in its interval that the process is alive, if it wants that.
    pub(crate) async fn keep_alive(&self) {
        let Some(limit) = self.watchdog else { return };
        loop {
            self.notify(Kind::Watchdog, "WATCHDOG=1".to_owned());
            sleep(limit / 3).await;
        }
    }

    /// Sends notifications again that the service manager had no room for, forever.
    pub(crate) async fn run(&self) {
        loop {
            self.has_unsent.notified().await;
            while !self.send(&mut self.lock()) {
                sleep(RETRY_INTERVAL).await;
            }
        }
    }

    fn notify(&self, kind: Kind, message: String) {
        let mut unsent = self.lock();
        unsent.retain(|(of, _)| *of != kind);
        unsent.push((kind, message));
        if !self.send(&mut unsent) {
            self.has_unsent.notify_one();
        }
    }

    /// Sends notifications in their order. Returns whether all are sent; a service manager that does not
    /// read does not stop the server.
    fn send(&self, unsent: &mut Vec<(Kind, String)>) -> bool {
        let Some(Channel { socket, address }) = &self.channel else {
            unsent.clear();
            return true;
        };
        while let Some((_, message)) = unsent.first() {
            match socket.send_to_addr(message.as_bytes(), address) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    warn!(name: "manager.notify_failed", "failed to notify the service manager: {error}");
                }
                Ok(_) => {}
            }
            unsent.remove(0);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Kind, String)>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    /// Opens the channel to a path, or to a name of the abstract namespace (`@…`).
    fn open(path: &str) -> io::Result<Self> {
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn notifies_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("jackfield-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (listening, written) in [
            (UnixDatagram::bind(&path), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_name), format!("@{name}")),
        ] {
            let listening = listening.unwrap();
            let manager = ServiceManager::new(Some(Channel::open(&written).unwrap()), None);
            manager.status("two\nlines");
            assert_eq!(received(&listening), "STATUS=two lines");
            manager.stopping(Duration::from_secs(20));
            let expect = "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000\nSTATUS=ending sessions";
            assert_eq!(received(&listening), expect);
        }
    }

    #[test]
    fn a_service_manager_that_has_gone_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none").display().to_string();
        let manager = ServiceManager::new(Some(Channel::open(&path).unwrap()), None);
        manager.ready();
        assert!(Channel::open(&"x".repeat(200)).is_err());
    }

    #[tokio::test]
    async fn a_full_queue_delays_notifications_and_loses_none_that_still_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listening = UnixDatagram::bind(&path).unwrap();
        let filling = Channel::open(&path.display().to_string()).unwrap();
        let mut filled = 0;
        while filling.socket.send_to_addr(b"full", &filling.address).is_ok() {
            filled += 1;
        }
        let channel = Channel::open(&path.display().to_string()).unwrap();
        let manager = ServiceManager::new(Some(channel), Some(Duration::from_secs(30)));
        manager.status("starting");
        manager.ready();
        manager.reloading();
        manager.ready();
        manager.status("serving");
        manager.notify(Kind::Watchdog, "WATCHDOG=1".to_owned());
        let reading = async {
            for _ in 0..filled {
                assert_eq!(received(&listening), "full");
            }
            while !manager.lock().is_empty() {
                sleep(RETRY_INTERVAL).await;
            }
        };
        tokio::select! {
            () = manager.run() => {}
            () = reading => {}
        }
        let sent = [(); 3].map(|()| received(&listening));
        assert_eq!(sent, ["READY=1", "STATUS=serving", "WATCHDOG=1"]);
    }

    #[test]
    fn nothing_but_the_end_is_told_of_a_server_that_stops() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listening = UnixDatagram::bind(&path).unwrap();
        listening.set_nonblocking(true).unwrap();
        let channel = Channel::open(&path.display().to_string()).unwrap();
        let manager = ServiceManager::new(Some(channel), None);
        manager.stopping(Duration::ZERO);
        assert!(received(&listening).starts_with("STOPPING=1\n"));
        manager.reloading();
        manager.ready();
        manager.status("serving");
        assert_eq!(listening.recv(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
