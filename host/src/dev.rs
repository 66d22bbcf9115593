//! Development loop: builds the bundles of a site, and builds each again when its sources change.
//!
//! It only puts components into place. The server beside it loads them like all others, and a build
//! that fails changes nothing that is served. One build runs at a time; a change during a build is
//! found by comparing the sources afterwards. A build that changes its own sources is not repeated
//! for ever, and one without its tools is tried again until they are installed. Used by the command
//! `dev`.

mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield_config::Config;
use jackfield_sandbox::SandboxError;
use jackfield_text::Untrusted;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::bundle::{BuildError, BuildReport, Builder, Bundle, Sources, folders};
use crate::site::{ContentHash, Site};

use watcher::Watcher;

/// The number of builds in a row that change their own sources before these changes count as outputs.
const MAX_BUILDS_BY_OUTPUTS: u32 = 3;
/// The interval of attempts while a tool is missing.
const TOOL_INTERVAL: Duration = Duration::from_secs(3);
/// The maximum number of files that a message names.
const MAX_NAMED: usize = 3;

/// The bundles of a site with their last builds.
pub(crate) struct Dev {
    site: PathBuf,
    builder: Builder,
    watcher: Watcher,
    built: BTreeMap<Bundle, Built>,
}

/// The input of the last build of a bundle, even if it failed: the same input would fail again.
#[derive(Default)]
struct Built {
    roots: Vec<PathBuf>,
    sources: Sources,
    /// Sources that the build itself writes.
    outputs: BTreeSet<PathBuf>,
    /// The number of builds in a row during which sources have changed.
    changed_during: u32,
    /// The error of the last build.
    error: Option<BuildError>,
}

impl Built {
    /// Records the sources before and after a build. Returns the files that count as outputs from now
    /// on.
    fn record(&mut self, before: Sources, after: &Sources) -> BTreeSet<PathBuf> {
        let changed = before.differing(after);
        let mut new = BTreeSet::new();
        if changed.is_subset(&self.outputs) {
            self.changed_during = 0;
        } else {
            self.changed_during += 1;
            if self.changed_during == MAX_BUILDS_BY_OUTPUTS {
                new = changed.difference(&self.outputs).cloned().collect();
                self.outputs.extend(changed);
                self.changed_during = 0;
            }
        }
        self.sources = before.with_outputs_of(after, &self.outputs);
        new
    }

    fn lacks_tool(&self) -> bool {
        self.error.as_ref().is_some_and(BuildError::is_missing_tool)
    }
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
            self.changed().await;
            self.build_changed().await;
        }
    }

    /// Builds the bundles whose sources differ from those of their last build, until none does.
    pub(crate) async fn build_changed(&mut self) {
        loop {
            let site = self.site.clone();
            let (bundles, folders) = blocking(move || (Bundle::all(&site), folders(&site))).await;
            self.built.retain(|bundle, _| bundles.contains(bundle));
            // Before the sources are read, so that no change between the two is missed.
            self.follow(folders);
            let mut is_built = false;
            for bundle in bundles {
                if self.is_changed(&bundle).await {
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
    pub(crate) async fn fingerprint(&self) -> Option<ContentHash> {
        let site = Site::new(&self.site);
        blocking(move || site.fingerprint().ok()).await
    }

    /// Waits until the served files differ from those of the fingerprint, and builds meanwhile.
    pub(crate) async fn site_changed(&mut self, since: Option<ContentHash>) {
        while self.fingerprint().await == since {
            self.changed().await;
            self.build_changed().await;
        }
    }

    /// Waits for a change of sources. Tries the bundles without tools again meanwhile: no file of the
    /// site says that a tool was installed.
    async fn changed(&mut self) {
        loop {
            let lacking: Vec<Bundle> = self.lacking().collect();
            if lacking.is_empty() {
                return self.watcher.changed().await;
            }
            tokio::select! {
                () = self.watcher.changed() => return,
                () = sleep(TOOL_INTERVAL) => {}
            }
            let count = lacking.len();
            for bundle in lacking {
                self.build(&bundle).await;
            }
            if self.lacking().count() < count {
                return;
            }
        }
    }

    /// The bundles whose last build lacked a tool.
    fn lacking(&self) -> impl Iterator<Item = Bundle> {
        let lacking = self.built.iter().filter(|(_, built)| built.lacks_tool());
        lacking.map(|(bundle, _)| bundle.clone())
    }

    fn follow(&mut self, mut all: BTreeSet<PathBuf>) {
        for built in self.built.values() {
            all.extend(built.sources.folders().iter().cloned());
        }
        self.watcher.follow(&all);
    }

    async fn is_changed(&self, bundle: &Bundle) -> bool {
        let Some(built) = self.built.get(bundle) else { return true };
        !read(&built.roots).await.is_same(&built.sources)
    }

    async fn build(&mut self, bundle: &Bundle) {
        let mut built = self.built.remove(bundle).unwrap_or_default();
        // A further attempt is logged when its result differs.
        let is_retry = built.lacks_tool();
        if !is_retry {
            info!(name: "dev.building", bundle = %bundle.folder().display(), "building");
        }
        let package = self.builder.package(bundle).await;
        match &package {
            Ok(package) => built.roots.clone_from(&package.roots),
            Err(_) if built.roots.is_empty() => {
                built.roots = bundle.folder().canonicalize().into_iter().collect();
            }
            Err(_) => {}
        }
        let before = read(&built.roots).await;
        let result = match package {
            Ok(package) => self.builder.build(bundle, &package).await,
            Err(error) => Err(error),
        };
        let outputs = built.record(before, &read(&built.roots).await);
        let error = result.as_ref().err().cloned();
        if !is_retry || error != built.error {
            report(bundle, &result);
        }
        built.error = error;
        if !outputs.is_empty() {
            report_outputs(bundle, &outputs);
        }
        self.built.insert(bundle.clone(), built);
    }
}

async fn read(roots: &[PathBuf]) -> Sources {
    let roots = roots.to_vec();
    blocking(move || Sources::read(&roots)).await
}

/// Reads files on a thread of its own; nothing is read if the runtime ends.
async fn blocking<T: Default + Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

/// Logs that a build changes its own sources.
fn report_outputs(bundle: &Bundle, outputs: &BTreeSet<PathBuf>) {
    let named: Vec<String> =
        outputs.iter().take(MAX_NAMED).map(|path| path.display().to_string()).collect();
    let more = match outputs.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (bundle, named) = (bundle.folder().display(), Untrusted::new(named.join(", ")));
    warn!(
        name: "dev.changes_own_sources",
        %bundle,
        help = "let the build write below target/, or into the folder OUT_DIR of build.rs",
        "the build has changed its own sources {MAX_BUILDS_BY_OUTPUTS} times in a row: {named}{more}; their \
         changes by a build cause no further one"
    );
}

fn report(bundle: &Bundle, result: &Result<BuildReport, BuildError>) {
    let bundle = bundle.folder().display();
    match result {
        Ok(report) => {
            let (file, size_bytes) = (report.file.display(), report.size_bytes);
            let took_ms = report.took.as_millis();
            let state = if report.is_changed { "built" } else { "built, unchanged" };
            info!(name: "dev.built", %file, size_bytes, took_ms, "{state}");
        }
        Err(error) => {
            let help = error.help.unwrap_or("the version before serves on");
            error!(name: "dev.failed", %bundle, help, "not built: {}", Untrusted::new(&error.message));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn builds_that_change_their_sources_come_to_an_end() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        let read = || Sources::read(&[root.path().to_owned()]);
        write("lib.rs", "");
        let mut built = Built::default();
        // Each build writes a file; until the last one, the difference causes another build.
        for number in 1..=MAX_BUILDS_BY_OUTPUTS {
            let before = read();
            write("generated.rs", &number.to_string());
            let new = built.record(before, &read());
            let is_last = number == MAX_BUILDS_BY_OUTPUTS;
            assert_eq!(built.sources.is_same(&read()), is_last, "{number}");
            assert_eq!(new.len(), usize::from(is_last), "{number}");
        }
        // From then on, at once.
        let before = read();
        write("generated.rs", "again");
        assert!(built.record(before, &read()).is_empty());
        assert!(built.sources.is_same(&read()));
        // A user's edit is still one, also of such a file, and also during a build.
        write("generated.rs", "by hand");
        assert!(!built.sources.is_same(&read()));
        let before = read();
        write("lib.rs", "1");
        assert!(built.record(before, &read()).is_empty());
        assert!(!built.sources.is_same(&read()));
    }
}
