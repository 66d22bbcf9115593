//! The logs of stores in a stream of JetStream, for the thread that saves.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jackfield_cluster::{Stream, StreamError};
use jackfield_store::{Append, AppendError, Appended, CommitLog, EngineError, Saved};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{error, warn};

use super::set_aside::set_aside;
use super::{ClusterNode, Rule};
use crate::wall_clock;

/// The maximum time for which JetStream may not acknowledge a message: hooks wait for ten seconds. A stream whose
/// leader has died has a new one after four to nine. Each part of a long commit has it: a snapshot has thousands.
const APPEND_TIME: Duration = Duration::from_secs(8);

/// The bytes of a message that are not its content: its headers.
const HEADER_BYTES: usize = 4_096;

/// The size of a message before the server has told its limit, in bytes.
const DEFAULT_MESSAGE_BYTES: usize = 64 << 10;

/// The logs of stores, as the thread that saves reaches them.
pub(crate) struct StoreLog {
    node: Arc<ClusterNode>,
    /// The folder of the stores.
    folder: PathBuf,
    runtime: Handle,
}

impl StoreLog {
    /// Creates the logs of a node, whose stores are in a folder. Has to be called within the runtime.
    pub(crate) fn new(node: &Arc<ClusterNode>, folder: PathBuf) -> Self {
        Self { node: Arc::clone(node), folder, runtime: Handle::current() }
    }
}

impl CommitLog for StoreLog {
    fn is_required(&self) -> bool {
        self.node.rule() != Rule::Heartbeat
    }

    fn max_message_bytes(&self) -> usize {
        let limit = self.node.streams().and_then(|it| it.pipe.max_payload());
        limit.map_or(DEFAULT_MESSAGE_BYTES, |it| it.saturating_sub(HEADER_BYTES).max(1))
    }

    fn append(&mut self, appends: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
        let Some(streams) = self.node.streams() else {
            let failed = AppendError::Failed("NATS was not connected yet".to_owned());
            return appends.iter().map(|_| Err(failed.clone())).collect();
        };
        let all = appends.into_iter().map(|it| append(&streams.stores, it));
        self.runtime.block_on(join_all(all))
    }

    fn read_back(
        &mut self,
        plugin: &str,
        places: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, Bytes)>, AppendError> {
        let Some(streams) = self.node.streams() else { return Ok(Vec::new()) };
        let stream = &streams.stores;
        self.runtime.block_on(async {
            let (mut from, mut found) = (*places.start(), Vec::new());
            while from <= *places.end() {
                let next = answered(stream.next(plugin, from)).await?;
                let Some(message) = next.filter(|it| places.contains(&it.sequence)) else { break };
                from = message.sequence + 1;
                found.push((message.sequence, message.payload));
            }
            Ok(found)
        })
    }

    fn trim(&mut self, plugin: &str, before: u64) {
        let Some(streams) = self.node.streams() else { return };
        if let Err(error) = self.runtime.block_on(streams.stores.purge(plugin, before)) {
            warn!(name: "cluster.store_not_trimmed", plugin, "JetStream has not removed old commits of a store: {error}; the next snapshot removes them");
        }
    }

    fn set_aside(&mut self, plugin: &str, saved: &Saved) -> Result<(), EngineError> {
        let now = u64::try_from(wall_clock::since_epoch().as_millis()).unwrap_or(u64::MAX);
        let (folder, entries) = (self.folder.clone(), saved.entries.len());
        let failed = |source| EngineError::Backup { file: folder, source };
        let file = set_aside(&self.folder, plugin, saved, now).map_err(failed)?;
        warn!(
            name: "cluster.store_replaced",
            plugin,
            file = %file.display(),
            entries,
            "the store of a plugin on this node is replaced by the one of the cluster, which has never had it; \
             it is saved to the file; `jackfield store import PLUGIN FILE` on the home of the plugin adds \
             its entries"
        );
        Ok(())
    }

    fn given_up(&self, plugin: &str, error: &EngineError) {
        self.node.counts().store_given_up();
        let error = error.to_string().replace("\n  = help: ", "; ");
        error!(name: "cluster.store_given_up", plugin, "the store of a plugin is not saved on this node any more: {error}; its home moves, or begins anew here");
        self.node.homes().give_up(plugin);
    }
}

/// Appends the messages of one record, one behind the other.
async fn append(stream: &Stream, append: Append) -> Result<Appended, AppendError> {
    let Append { plugin, mut expected, parts } = append;
    let mut first = None;
    for part in parts {
        expected = answered(stream.put(&plugin, expected, part, APPEND_TIME)).await?;
        first.get_or_insert(expected);
    }
    Ok(Appended { first: first.unwrap_or(expected), last: expected })
}

/// Waits for an answer, for a bounded time.
async fn answered<T>(
    asked: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, AppendError> {
    let late = |_| AppendError::Failed(format!("JetStream has not answered for {APPEND_TIME:?}"));
    timeout(APPEND_TIME, asked).await.map_err(late)?.map_err(failed)
}

fn failed(error: StreamError) -> AppendError {
    match error {
        StreamError::Behind => AppendError::Behind,
        error => AppendError::Failed(error.to_string()),
    }
}
