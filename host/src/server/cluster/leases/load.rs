//! Loads the store of a plugin from its log, for a new home.

use std::sync::Arc;
use std::time::Instant;

use jackfield_cluster::{Stream, StreamError};
use jackfield_sandbox::{TakeOverError, Taken};
use jackfield_store::{LogFormatError, LogReader, LogState, TakeOver, WriteLease};
use tracing::warn;

use super::LeaseKeeper;
use crate::cluster::HeldLease;

/// The times that a store is loaded again, because another node has written meanwhile.
const MAX_LOADS: usize = 10;

impl LeaseKeeper {
    /// Loads the store of a plugin from its log, and makes this node the one that writes it.
    pub(super) async fn load(
        &self,
        stream: &Stream,
        plugin: &str,
        held: &Arc<HeldLease>,
    ) -> Result<Taken, String> {
        let mut reason = String::new();
        for _ in 0..MAX_LOADS {
            let state = match read(stream, plugin).await? {
                Ok(state) => state,
                Err(removed) => {
                    reason = removed.to_string();
                    continue;
                }
            };
            self.report_foreign(plugin, state.foreign);
            let (node, held) = (self.node.names().0.to_owned(), Arc::clone(held));
            let lease = WriteLease::new(held.number, move || held.is_valid());
            match self.stores.take_over(plugin, TakeOver { state, node, lease }).await {
                Ok(taken) => return Ok(taken),
                Err(error @ TakeOverError::Behind) => reason = error.to_string(),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(reason)
    }

    fn report_foreign(&self, plugin: &str, (count, last): (usize, u64)) {
        if count == 0 {
            return;
        }
        self.node.counts().foreign(count);
        if let Some(times) = self.faults.happened(format!("foreign {plugin}"), Instant::now()) {
            warn!(
                name: "cluster.store_foreign",
                plugin,
                count,
                last,
                times,
                "another program has published messages to the log of a plugin's store: they are skipped; only nodes of \
                 the cluster may publish to its subjects"
            );
        }
    }
}

/// Reads the log of a plugin's store. The inner error is a log that was shortened meanwhile.
async fn read(stream: &Stream, plugin: &str) -> Result<Result<LogState, LogFormatError>, String> {
    let failed = |error: StreamError| error.to_string();
    let mut reader = LogReader::default();
    let Some(last) = stream.last(plugin).await.map_err(failed)? else {
        return Ok(Ok(reader.finish()));
    };
    let (mut from, mut first) = (1, None);
    while from <= last.sequence {
        let Some(message) = stream.next(plugin, from).await.map_err(failed)? else { break };
        from = message.sequence + 1;
        first.get_or_insert(message.sequence);
        match reader.take(message.sequence, message.payload) {
            Ok(()) => {}
            Err(removed @ LogFormatError::Removed { .. }) => return Ok(Err(removed)),
            Err(error) => return Err(error.to_string()),
        }
    }
    // An operator may have removed the log, and another one has begun.
    let now_first = stream.next(plugin, 1).await.map_err(failed)?.map(|it| it.sequence);
    if now_first != first {
        return Ok(Err(LogFormatError::Removed { sequence: last.sequence }));
    }
    Ok(Ok(reader.finish()))
}
