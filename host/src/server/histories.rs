//! Durable histories of a server, opened before its realms.

use std::sync::Arc;

use jackfield_broker::SavedTopic;
use jackfield_config::Config;

use super::ServeError;
use crate::data_folder::DataFolder;
use crate::generation::DurableHistories;
use crate::history_log::{self, HistoryLog};

/// The log of durable histories, and those that it has.
pub(super) struct Histories {
    /// `None` without a data folder, and in a cluster.
    pub(super) log: Option<Arc<HistoryLog>>,
    /// The histories by realm.
    pub(super) saved: Vec<(String, Vec<SavedTopic>)>,
}

impl Histories {
    /// Opens the log, on a thread of its own. A node of a cluster has none.
    ///
    /// # Errors
    /// [`ServeError::Histories`]: the file cannot be used. Topics would begin anew otherwise, and write to it.
    pub(super) async fn open(
        config: &Config,
        data: Option<&DataFolder>,
    ) -> Result<Self, ServeError> {
        let none = Self { log: None, saved: Vec::new() };
        let Some(folder) = data.map(|data| data.part(history_log::PART)) else { return Ok(none) };
        let kind = DurableHistories::of(config, true);
        let mode = config.history.durable;
        if !matches!(kind, DurableHistories::Possible) {
            return Ok(none);
        }
        let opening = tokio::task::spawn_blocking(move || HistoryLog::open(&folder, mode));
        let (log, saved) = opening.await.map_err(std::io::Error::other)??;
        Ok(Self { log: Some(Arc::new(log)), saved: saved.into_iter().collect() })
    }
}

/// Removes the file of durable histories in a node of a cluster, whose routes were accepted: a later life
/// without the cluster would go on with epochs that have a hole.
///
/// # Errors
/// [`ServeError::Histories`]
pub(super) async fn remove_in_cluster(
    config: &Config,
    data: Option<&DataFolder>,
) -> Result<(), ServeError> {
    let Some(folder) = data.map(|data| data.part(history_log::PART)) else { return Ok(()) };
    if !matches!(DurableHistories::of(config, true), DurableHistories::InCluster) {
        return Ok(());
    }
    let removing = tokio::task::spawn_blocking(move || HistoryLog::remove(folder));
    Ok(removing.await.map_err(std::io::Error::other)??)
}
