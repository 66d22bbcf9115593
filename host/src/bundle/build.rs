//! Build of a bundle: compile, load in the sandbox as a server would, put in place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jackfield_config::Plugins;
use jackfield_sandbox::{Grant, Imports, Manifest, NoSubscribers, Sandbox, SandboxError};
use jackfield_text::Untrusted;

use crate::compiler;
use crate::generation::{BuildContext, DurableHistories, load};
use crate::site::{ContentHash, PluginFile};

use super::process_group::ProcessGroup;
use super::{BuildError, Bundle, Language, Package};
use super::{cargo, javascript, python};

/// Builds bundles.
pub(crate) struct Builder {
    context: BuildContext,
}

/// The result of a build: facts about the component in place.
#[derive(Debug)]
pub(crate) struct BuildReport {
    /// The component beside the routing file.
    pub(crate) file: PathBuf,
    pub(crate) language: Language,
    pub(crate) size_bytes: usize,
    pub(crate) digest: ContentHash,
    /// Whether the file was written; an equal one is left as it is.
    pub(crate) is_changed: bool,
    /// The version of the contract.
    pub(crate) contract: String,
    pub(crate) manifest: Manifest,
    pub(crate) imports: Imports,
    pub(crate) took: Duration,
}

impl Builder {
    /// Makes a builder that loads plugins with the limits of these settings. Every import is granted:
    /// an author builds before the operator of a site has granted anything, and nothing is served.
    ///
    /// # Errors
    /// When the sandbox cannot be made.
    pub(crate) fn new(mut plugins: Plugins) -> Result<Self, SandboxError> {
        let sandbox = Sandbox::new(compiler::sandbox_settings(&plugins))?;
        // It comes from this builder: there is no signature yet.
        plugins.verify.clear();
        for policy in std::iter::once(&mut plugins.default).chain(plugins.named.values_mut()) {
            policy.grant = Grant::ALL;
        }
        let audience = Arc::new(NoSubscribers);
        Ok(Self {
            context: BuildContext {
                sandbox,
                access: arc_swap::ArcSwap::default(),
                plugins: arc_swap::ArcSwap::from_pointee(plugins),
                audience,
                highest: None,
                durable: DurableHistories::Possible,
            },
        })
    }

    /// Reads the package of a bundle.
    ///
    /// # Errors
    /// When it is invalid; its tool has written its errors to stderr.
    pub(crate) async fn package(&self, bundle: &Bundle) -> Result<Package, BuildError> {
        in_group(bundle, package).await
    }

    /// Builds a bundle, and puts the component into place if it is a plugin that a server loads.
    /// Dropping the future ends the compiler.
    ///
    /// # Errors
    /// The component that was there before is unchanged.
    pub(crate) async fn build(
        &self,
        bundle: &Bundle,
        package: &Package,
    ) -> Result<BuildReport, BuildError> {
        let began = Instant::now();
        let (path, bytes) = in_group(bundle, compile).await?;
        let bytes: Arc<[u8]> = bytes.into();
        let file = PluginFile::new(path.display().to_string(), Arc::clone(&bytes));
        let loaded = load(&file, &self.context).await;
        let plugin = loaded.map_err(|problem| BuildError::no_plugin(problem.to_string()))?;
        let imports = Imports::read(&file.path, &bytes);
        let imports =
            imports.map_err(|error| BuildError::no_plugin(format!("failed to {error}")))?;
        let target = bundle.folder().join(format!("{}.wasm", package.name));
        let placed = place(&target, &bytes);
        let is_changed = placed.map_err(|error| failed(&target, &error))?;
        Ok(BuildReport {
            file: target,
            language: bundle.language(),
            size_bytes: bytes.len(),
            digest: file.hash,
            is_changed,
            contract: plugin.contract(),
            manifest: plugin.manifest().clone(),
            imports,
            took: began.elapsed(),
        })
    }
}

/// Runs the tools of a bundle in its folder, by its path without links. Dropping the future ends
/// them.
async fn in_group<T: Send + 'static>(
    bundle: &Bundle,
    work: impl FnOnce(Language, &Path, &ProcessGroup) -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    let group = ProcessGroup::default();
    let _stop = group.stop_on_drop();
    let bundle = bundle.clone();
    let working = tokio::task::spawn_blocking(move || {
        let folder = bundle.folder().canonicalize();
        let folder = folder.map_err(|error| failed(bundle.folder(), &error))?;
        work(bundle.language(), &folder, &group)
    });
    working.await.map_err(|error| BuildError::failed(error.to_string()))?
}

fn package(language: Language, folder: &Path, group: &ProcessGroup) -> Result<Package, BuildError> {
    match language {
        Language::Rust => cargo::package(folder, group),
        Language::JavaScript => javascript::package(folder),
        Language::Python => python::package(folder, group),
    }
}

/// Returns the component outside of the bundle, and its path.
fn compile(
    language: Language,
    folder: &Path,
    group: &ProcessGroup,
) -> Result<(PathBuf, Vec<u8>), BuildError> {
    let path = match language {
        Language::Rust => cargo::compile(folder, group)?,
        Language::JavaScript => javascript::compile(folder, group)?,
        Language::Python => python::compile(folder, group)?,
    };
    let bytes = fs::read(&path).map_err(|error| failed(&path, &error))?;
    Ok((path, bytes))
}

fn failed(path: &Path, error: &io::Error) -> BuildError {
    BuildError::io(Untrusted::new(path.display()), error)
}

/// Puts the component into place, so that a server never reads an incomplete one. Returns false if
/// it is there already.
fn place(target: &Path, bytes: &[u8]) -> io::Result<bool> {
    if fs::read(target).is_ok_and(|before| before == bytes) {
        return Ok(false);
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, so that no server reads it.
    let beside = target.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, target));
    if written.is_err() {
        // It may not exist.
        let _removed = fs::remove_file(&beside);
    }
    written.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_component_only_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a.wasm");
        assert!(place(&target, b"1").unwrap());
        assert!(!place(&target, b"1").unwrap());
        assert!(place(&target, b"2").unwrap());
        assert_eq!(fs::read(&target).unwrap(), b"2");
        fs::create_dir(root.path().join("b.wasm")).unwrap();
        assert!(place(&root.path().join("b.wasm"), b"3").is_err());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing is left beside it");
    }
}
