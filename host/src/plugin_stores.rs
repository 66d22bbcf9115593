//! Stores of plugins on the disk: the file in the data folder, opened before the first plugin is
//! loaded.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield_config::Plugins;
use jackfield_sandbox::{Sandbox, SandboxError};
use jackfield_store::{CopiedEngine, Engine, EngineError, FILE, SqliteEngine};
use tracing::info;

use crate::cluster::{ClusterNode, StoreLog};

/// The folder of the file in the data folder.
pub(crate) const PART: &str = "store";
/// The mode of the folder: the user alone.
const FOLDER_MODE: u32 = 0o700;

/// The reason why the stores of plugins cannot be saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenStoresError {
    /// A plugin is to be saved, and there is no data folder.
    #[error(
        "the setting `{0}` needs a data folder, and there is none\n  = help: set `data` to a folder, or \
         the setting to `memory`"
    )]
    NoData(String),
    /// The folder cannot be made.
    #[error("failed to make the folder {}: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file cannot be used.
    #[error("failed to {0}")]
    Engine(#[from] EngineError),
    /// The sandbox cannot use it.
    #[error("failed to {0}")]
    Sandbox(#[from] SandboxError),
}

/// Lets the sandbox save the stores of plugins in this folder; without one they stay in memory. A
/// file that cannot be used is an error: plugins would start with an empty store, and write to it. In a cluster
/// with JetStream, each commit is in a log of all nodes first.
pub(crate) async fn open(
    sandbox: Sandbox,
    plugins: &Plugins,
    folder: Option<PathBuf>,
    cluster: Option<&Arc<ClusterNode>>,
) -> Result<Sandbox, OpenStoresError> {
    let Some(folder) = folder else {
        if let Some(key) = plugins.needs_data() {
            return Err(OpenStoresError::NoData(key));
        }
        info!(name: "store.in_memory", "the stores of plugins are in memory: they are empty after a restart");
        return Ok(sandbox);
    };
    let file = folder.join(FILE);
    let opened = folder.clone();
    let opening = tokio::task::spawn_blocking(move || engine(&opened));
    let failed =
        |source| OpenStoresError::Folder { path: file.clone(), source: io::Error::other(source) };
    let engine = opening.await.map_err(failed)??;
    info!(name: "store.opened", file = %file.display(), "the stores of plugins are saved");
    let modes = plugins.clone();
    let engine: Box<dyn Engine> = match cluster {
        Some(node) => Box::new(CopiedEngine::new(engine, StoreLog::new(node, folder), node.id().0)),
        None => Box::new(engine),
    };
    Ok(sandbox.saved_by(engine, move |plugin| modes.state(plugin))?)
}

fn engine(folder: &Path) -> Result<SqliteEngine, OpenStoresError> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|source| OpenStoresError::Folder { path: folder.to_owned(), source })?;
    Ok(SqliteEngine::open(folder)?)
}
