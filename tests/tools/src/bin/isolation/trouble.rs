//! Troubles: what goes on beside the healthy topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::heavy_component::{component, functions};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// A kind of misbehaviour.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) name: &'static str,
    /// Handlers, each with the number of its clients. A client publishes again once the last
    /// publication has failed.
    handlers: &'static [(&'static str, usize)],
    /// Whether a component of about 20 MB is compiled meanwhile.
    compiles: bool,
}

/// A trouble that goes on.
pub(crate) struct AtWork {
    clients: JoinSet<()>,
    /// Failed calls.
    failed: Arc<AtomicUsize>,
    is_idle: bool,
}

impl Trouble {
    pub(crate) const NONE: Self = Self { name: "alone", handlers: &[], compiles: false };
    pub(crate) const ALL: &[Self] = &[
        Self { name: "one handler traps", handlers: &[("trap", 1)], compiles: false },
        Self { name: "one handler allocates", handlers: &[("allocate", 1)], compiles: false },
        Self { name: "one handler spins", handlers: &[("spin", 1)], compiles: false },
        Self {
            name: "one of each kind",
            handlers: &[("trap", 1), ("allocate", 1), ("spin", 1)],
            compiles: false,
        },
        Self { name: "four lanes spin", handlers: &[("spin", 16)], compiles: false },
        Self { name: "20 MB are compiled", handlers: &[], compiles: true },
    ];

    /// Begins it.
    pub(crate) async fn begin(&self, server: &Server, site: &Site) -> AtWork {
        let failed = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for &(handler, count) in self.handlers {
            for number in 0..count {
                let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
                let (topic, failed) = (format!("{handler}/{number}"), Arc::clone(&failed));
                clients.spawn(async move {
                    loop {
                        let options = json!({});
                        let answer =
                            client.publish_acknowledged(&topic, options, json!([]), Value::Null);
                        answer.await.expect_err("the handler fails");
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
        if self.compiles {
            site.rename_over("heavy.wasm", heavy());
        }
        AtWork { clients, failed, is_idle: self.handlers.is_empty() }
    }
}

impl AtWork {
    /// Ends it.
    pub(crate) async fn end(mut self) {
        self.clients.shutdown().await;
        let failed = self.failed.load(Ordering::Relaxed);
        assert!(self.is_idle || failed > 0, "no call has failed");
    }
}

/// A component of about 20 MB that was never compiled before. It is no plugin, so the reload fails
/// once it is compiled, and the server serves on as before.
fn heavy() -> Vec<u8> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    // Sums of locals: some 200 bytes a function, as in real code.
    let code: Vec<u8> = (0..29_u8)
        .flat_map(|n| [0x20, n % 8, 0x20, (n + 3) % 8, 0x6a, 0x21, (n + 5) % 8])
        .collect();
    component(&functions(8, &code, 95_000 + made))
}
