//! Readings of a site that is watched.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::site::{Site, SiteError, Snapshot};
use crate::watch::Watch;

/// The maximum number of readings for one reload, while directories come and go between watching
/// and reading them. Later changes start the next reload.
const MAX_READ_ROUNDS: usize = 4;

/// Watches the site, and then reads it. In this order, so that every change after the reading is
/// noticed.
pub(super) async fn read(site: &Site, watch: &Arc<Mutex<Watch>>) -> Result<Snapshot, String> {
    let (site, watch) = (site.clone(), Arc::clone(watch));
    let reading = tokio::task::spawn_blocking(move || -> Result<Snapshot, SiteError> {
        let mut watch = watch.blocking_lock();
        let mut rounds = MAX_READ_ROUNDS;
        loop {
            let directories = site.directories()?;
            watch.follow(&directories);
            let snapshot = site.read()?;
            rounds = rounds.saturating_sub(1);
            if *snapshot.directories() == directories || rounds == 0 {
                return Ok(snapshot);
            }
        }
    });
    match reading.await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(format!("failed to read the site: the read task was aborted: {error}")),
    }
}
