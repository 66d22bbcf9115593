//! Development loop: builds the bundles of a site, and builds each again when its sources change.
//!
//! It only puts components into place. The server beside it loads them like all others, and a build
//! that fails changes nothing that is served. One build runs at a time; a change during a build is
//! found by comparing the sources afterwards. Used by the command `dev`.

mod watcher;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use jackfield_config::Config;
use jackfield_sandbox::SandboxError;
use jackfield_text::Untrusted;
use tracing::{error, info};

use crate::bundle::{BuildError, BuildReport, Builder, Bundle, Sources, folders};
use crate::site::{ContentHash, Site};

use watcher::Watcher;

/// The bundles of a site with their last builds.
pub(crate) struct Dev {
    site: PathBuf,
    builder: Builder,
    watcher: Watcher,
    built: BTreeMap<Bundle, Built>,
}

/// The input of the last build of a bundle, even if it failed: the same input would fail again.
struct Built {
    roots: Vec<PathBuf>,
    sources: Sources,
}

impl Dev {
    /// Creates the loop of a site; nothing is built yet.
    ///
    /// # Errors
    /// When the sandbox cannot be made.
    pub(crate) fn new(site: &Path, config: &Config) -> Result<Self, SandboxError> {
        Ok(Self {
            site: site.to_owned(),
            builder: Builder::new(config.plugins.clone())?,
            watcher: Watcher::new(config.watch.poll),
            built: BTreeMap::new(),
        })
    }

    /// Builds bundles as their sources change, forever. Dropping the future ends the compiler.
    pub(crate) async fn run(&mut self) -> Infallible {
        loop {
            self.watcher.changed().await;
            self.build_changed().await;
        }
    }

    /// Builds the bundles whose sources differ from those of their last build, until none does.
    pub(crate) async fn build_changed(&mut self) {
        loop {
            let bundles = Bundle::all(&self.site);
            self.built.retain(|bundle, _| bundles.contains(bundle));
            // Before the sources are read, so that no change between the two is missed.
            self.follow();
            let mut is_built = false;
            for bundle in bundles {
                if self.is_changed(&bundle) {
                    self.build(&bundle).await;
                    is_built = true;
                }
            }
            if !is_built {
                return;
            }
        }
    }

    /// A fingerprint of the served files.
    pub(crate) fn fingerprint(&self) -> Option<ContentHash> {
        Site::new(&self.site).fingerprint().ok()
    }

    /// Waits until the served files differ from those of the fingerprint, and builds meanwhile.
    pub(crate) async fn site_changed(&mut self, since: Option<ContentHash>) {
        while self.fingerprint() == since {
            self.watcher.changed().await;
            self.build_changed().await;
        }
    }

    fn follow(&mut self) {
        let mut all = folders(&self.site);
        for built in self.built.values() {
            all.extend(built.sources.folders().iter().cloned());
        }
        self.watcher.follow(&all);
    }

    fn is_changed(&self, bundle: &Bundle) -> bool {
        let built = self.built.get(bundle);
        built.is_none_or(|built| !Sources::read(&built.roots).is_same(&built.sources))
    }

    async fn build(&mut self, bundle: &Bundle) {
        info!(bundle = %bundle.folder().display(), "building");
        let package = self.builder.package(bundle).await;
        let roots = match (&package, self.built.get(bundle)) {
            (Ok(package), _) => package.roots.clone(),
            (Err(_), Some(built)) => built.roots.clone(),
            (Err(_), None) => bundle.folder().canonicalize().into_iter().collect(),
        };
        let sources = Sources::read(&roots);
        let result = match package {
            Ok(package) => self.builder.build(bundle, &package).await,
            Err(error) => Err(error),
        };
        let sources = sources.with_locks_of(&Sources::read(&roots));
        self.built.insert(bundle.clone(), Built { roots, sources });
        report(bundle, &result);
    }
}

fn report(bundle: &Bundle, result: &Result<BuildReport, BuildError>) {
    let bundle = bundle.folder().display();
    match result {
        Ok(report) => {
            let (file, size_bytes) = (report.file.display(), report.size_bytes);
            let took_ms = report.took.as_millis();
            let state = if report.is_changed { "built" } else { "built, unchanged" };
            info!(%file, size_bytes, took_ms, "{state}");
        }
        Err(error) => {
            let help = error.help.unwrap_or("the version before serves on");
            error!(%bundle, help, "not built: {}", Untrusted::new(&error.message));
        }
    }
}
