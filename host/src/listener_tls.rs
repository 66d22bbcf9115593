//! TLS of a listener: its certificates, loaded again when their files change.
//!
//! All files of a listener are loaded as a whole, or the earlier ones stay. They are polled, as those of
//! users and keys: volumes of secrets replace whole folders behind a link. Open connections keep the
//! session that they have.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jackfield_config::{ADMIN_LISTENER, Admin, CertificateUsers, Config};
use jackfield_text::Untrusted;
use jackfield_tls::{CertificateInfo, ServerTls, TlsFiles};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::file_stamp::FileStamp;
use crate::log::DIAGNOSIS;

/// The polling interval.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The times before the end of a certificate at which the log warns of it.
const WARNINGS: [i64; 5] = [0, DAY_SECONDS, 3 * DAY_SECONDS, 7 * DAY_SECONDS, 14 * DAY_SECONDS];

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// TLS of a listener.
#[derive(Debug)]
pub(crate) struct ListenerTls {
    /// The listener in metrics and log lines: its name, address or path.
    listener: String,
    files: TlsFiles,
    /// The users of clients with a certificate.
    users: Option<CertificateUsers>,
    current: ArcSwap<ServerTls>,
    reloads: AtomicU64,
    failures: AtomicU64,
    /// Its receivers notice when other authorities of clients are in use.
    authorities: watch::Sender<()>,
}

impl ListenerTls {
    /// TLS of the `listeners` of the settings, which was loaded already, in their order.
    pub(crate) fn all(config: &Config, loaded: Vec<Option<ServerTls>>) -> Vec<Option<Arc<Self>>> {
        let listeners = config.listeners.iter().zip(loaded);
        let tls = listeners.map(|(settings, loaded)| {
            let listener = settings.name.clone().unwrap_or_else(|| settings.place.to_string());
            let (files, users) = (settings.tls.clone()?, settings.users.clone());
            Some(Self::new(listener, files, users, loaded?))
        });
        tls.collect()
    }

    /// TLS of the admin listener, which was loaded already.
    pub(crate) fn of_admin(admin: &Admin, loaded: Option<ServerTls>) -> Option<Arc<Self>> {
        let files = admin.tls.as_ref()?.files.clone();
        Some(Self::new(ADMIN_LISTENER.to_owned(), files, None, loaded?))
    }

    fn new(
        listener: String,
        files: TlsFiles,
        users: Option<CertificateUsers>,
        loaded: ServerTls,
    ) -> Arc<Self> {
        Arc::new(Self {
            listener,
            files,
            users,
            current: ArcSwap::from_pointee(loaded),
            reloads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            authorities: watch::Sender::new(()),
        })
    }

    /// The users of clients with a certificate.
    pub(crate) const fn users(&self) -> Option<&CertificateUsers> {
        self.users.as_ref()
    }

    /// The listener in metrics.
    pub(crate) fn listener(&self) -> &str {
        &self.listener
    }

    /// The certificates that new connections get.
    pub(crate) fn current(&self) -> Arc<ServerTls> {
        self.current.load_full()
    }

    /// Notices when other authorities of clients are in use.
    pub(crate) fn authorities(&self) -> watch::Receiver<()> {
        self.authorities.subscribe()
    }

    /// The current certificates, with their files.
    pub(crate) fn certificates(&self) -> Vec<(PathBuf, CertificateInfo)> {
        let files = self.files.pairs.iter().map(|pair| pair.certificate.clone());
        files.zip(self.current().certificates.iter().cloned()).collect()
    }

    /// The numbers of successful and of failed reloads.
    pub(crate) fn reloads(&self) -> [u64; 2] {
        [&self.reloads, &self.failures].map(|count| count.load(Ordering::Relaxed))
    }

    /// Loads changed files again, and warns of certificates that expire, forever.
    pub(crate) async fn follow(&self) {
        let paths: Arc<[PathBuf]> = self.files.paths().map(Path::to_owned).collect();
        // The first look loads them as well: they may have changed since the start of the process.
        let (mut tried, mut seen) = (Vec::new(), self.look(&paths).await);
        let mut warned = vec![i64::MAX; self.files.pairs.len()];
        let mut polls = interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            polls.tick().await;
            self.warn_of_ends(&mut warned);
            let found = self.look(&paths).await;
            // A writer has finished only if all files are the same twice.
            if found != tried && found == seen {
                tried.clone_from(&found);
                self.reload().await;
            }
            seen = found;
        }
    }

    /// Returns the versions of the files.
    async fn look(&self, paths: &Arc<[PathBuf]>) -> Vec<Option<FileStamp>> {
        let paths = Arc::clone(paths);
        let look = move || paths.iter().map(|path| FileStamp::of(path)).collect();
        // Fails if the server is about to end.
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    /// Loads all files, and uses them if all of them are good.
    async fn reload(&self) {
        let files = self.files.clone();
        let Ok(loaded) = tokio::task::spawn_blocking(move || files.load()).await else { return };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return self.keep(&error.to_string(), error.problem().help()),
        };
        // One that had expired before is no worse: it must not hold up the others.
        let current = self.current();
        let certificates = current.certificates.iter().zip(&loaded.certificates);
        let mut pairs = self.files.pairs.iter().zip(certificates);
        let is_worse = |(now, next): (&CertificateInfo, &CertificateInfo)| {
            next.seconds_left() <= 0 && now.seconds_left() > 0
        };
        if let Some((pair, _)) = pairs.find(|(_, infos)| is_worse(*infos)) {
            let file = pair.certificate.display();
            return self.keep(&format!("{file}: the certificate has expired"), "renew it");
        }
        let is_new = !current.is_same(&loaded);
        let has_other_authorities = !current.has_same_authorities(&loaded);
        self.current.store(Arc::new(loaded));
        if has_other_authorities {
            // Those who asked before have their answer from the earlier ones.
            self.authorities.send_replace(());
        }
        if is_new {
            self.reloads.fetch_add(1, Ordering::Relaxed);
            let listener = self.listener.as_str();
            for (file, info) in self.certificates() {
                let (file, hosts) = (file.display(), info.hosts().join(", "));
                let days = info.seconds_left() / DAY_SECONDS;
                info!(name: "tls.reloaded", listener, %file, hosts, days, "the certificate was loaded again");
            }
        }
    }

    /// Keeps the certificates because the files cannot be used.
    fn keep(&self, reason: &str, help: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let listener = Untrusted::new(&self.listener);
        warn!(name: "tls.refused", target: DIAGNOSIS, "listener {listener}: the certificates stay as they were: {reason}\n  = help: {help}");
    }

    /// Warns of certificates that expire: at each of the times before their end, once. `warned` has the
    /// time of the last warning of each.
    fn warn_of_ends(&self, warned: &mut [i64]) {
        for ((file, info), warned) in self.certificates().into_iter().zip(warned) {
            let left = info.seconds_left();
            let passed = WARNINGS.into_iter().find(|time| left <= *time);
            if passed.is_some_and(|passed| passed < *warned) {
                let (file, hosts) = (file.display(), info.hosts().join(", "));
                let listener = self.listener.as_str();
                let days = left.abs() / DAY_SECONDS;
                if left > 0 {
                    warn!(name: "tls.expires", listener, %file, hosts, days, "a certificate expires; help: renew it");
                } else {
                    warn!(name: "tls.expires", listener, %file, hosts, days_ago = days, "a certificate has expired; help: renew it");
                }
            }
            *warned = passed.unwrap_or(i64::MAX);
        }
    }
}
