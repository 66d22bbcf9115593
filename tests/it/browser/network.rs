//! Proxy between browser and server that simulates outages: it drops everything silently, or resets
//! every connection.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy on a port of its own.
pub(crate) struct Network {
    pub(crate) addr: SocketAddr,
    server: watch::Sender<SocketAddr>,
    whole: watch::Sender<bool>,
    resets: watch::Sender<()>,
}

impl Network {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (server, target) = watch::channel(server);
        let (whole, passes) = watch::channel(true);
        let (resets, reset) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut reset = reset.clone();
                reset.mark_unchanged();
                let server = *target.borrow();
                tokio::spawn(carry(near, server, passes.clone(), reset));
            }
        });
        Self { addr, server, whole, resets }
    }

    /// Carries new connections to another server.
    pub(crate) fn redirect(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }

    /// Resets all open connections without a Close frame. New ones can be opened.
    pub(crate) fn reset(&self) {
        self.resets.send_replace(());
    }

    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

/// Forwards one connection; while the network is cut, it cannot be opened.
async fn carry(
    mut near: TcpStream,
    server: SocketAddr,
    mut passes: watch::Receiver<bool>,
    mut reset: watch::Receiver<()>,
) {
    if passes.wait_for(|whole| *whole).await.is_err() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let carried = async {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let out = copy(near_read, far_write, passes.clone());
        tokio::join!(out, copy(far_read, near_write, passes));
    };
    let is_reset = tokio::select! {
        () = carried => false,
        changed = reset.changed() => changed.is_ok(),
    };
    if is_reset {
        // Dropping the streams sends RST to both ends.
        for end in [&near, &far] {
            end.set_zero_linger().unwrap();
        }
    }
}

/// Bytes sent while the network is cut arrive when it is restored, as TCP retransmits them.
async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut passes: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if passes.wait_for(|whole| *whole).await.is_err() || count == 0 {
            break;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _gone = to.shutdown().await;
}
