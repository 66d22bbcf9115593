//! The logs of stores in a stream of JetStream, for the thread that saves.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jackfield_cluster::{Stream, StreamError};
use jackfield_store::{Append, AppendError, Appended, CommitLog, EngineError};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tracing::{error, warn};

use super::{ClusterNode, Rule};

/// The maximum time for which JetStream may not acknowledge a commit: hooks wait for ten seconds. A stream whose
/// leader has died has a new one after four to nine.
const APPEND_TIME: Duration = Duration::from_secs(8);

/// The bytes of a message that are not its content: its headers.
const HEADER_BYTES: usize = 4_096;

/// The size of a message before the server has told its limit, in bytes.
const DEFAULT_MESSAGE_BYTES: usize = 64 << 10;

/// The logs of stores, as the thread that saves reaches them.
pub(crate) struct StoreLog {
    node: Arc<ClusterNode>,
    runtime: Handle,
}

impl StoreLog {
    /// Creates the logs of a node. Has to be called within the runtime.
    pub(crate) fn new(node: &Arc<ClusterNode>) -> Self {
        Self { node: Arc::clone(node), runtime: Handle::current() }
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
        let until = Instant::now() + APPEND_TIME;
        let all = appends.into_iter().map(|it| append(&streams.stores, it, until));
        self.runtime.block_on(join_all(all))
    }

    fn trim(&mut self, plugin: &str, before: u64) {
        let Some(streams) = self.node.streams() else { return };
        if let Err(error) = self.runtime.block_on(streams.stores.purge(plugin, before)) {
            warn!(name: "cluster.store_not_trimmed", plugin, "JetStream has not removed old commits of a store: {error}; the next snapshot removes them");
        }
    }

    fn given_up(&self, plugin: &str, error: &EngineError) {
        self.node.counts().store_given_up();
        error!(name: "cluster.store_given_up", plugin, "the store of a plugin is not saved on this node any more: {error}; its home moves, or begins anew here");
        self.node.homes().give_up(plugin);
    }
}

/// Appends the messages of one record, one behind the other.
async fn append(stream: &Stream, append: Append, until: Instant) -> Result<Appended, AppendError> {
    let Append { plugin, mut expected, parts } = append;
    let mut first = None;
    for part in parts {
        let patience = until.saturating_duration_since(Instant::now());
        let put = timeout_at(until, stream.put(&plugin, expected, part, patience)).await;
        let late =
            |_| AppendError::Failed(format!("JetStream has not answered for {APPEND_TIME:?}"));
        expected = put.map_err(late)?.map_err(failed)?;
        first.get_or_insert(expected);
    }
    Ok(Appended { first: first.unwrap_or(expected), last: expected })
}

fn failed(error: StreamError) -> AppendError {
    match error {
        StreamError::Behind => AppendError::Behind,
        error => AppendError::Failed(error.to_string()),
    }
}
