//! Waiting for the disk at the end of the server, with a limit.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use crate::log::DIAGNOSIS;

/// The time after which the log says that the server waits.
const QUIET: Duration = Duration::from_secs(1);
/// The time after which the server goes on without the result.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Waits for work with a folder; `None` if the disk does not answer.
pub(crate) async fn for_disk<T>(folder: &Path, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = timeout(QUIET, &mut work).await {
        return Some(done);
    }
    let folder = folder.display();
    warn!(
        name: "data.waiting",
        %folder,
        "the stop waits for the disk of {folder}, at most {MAX_WAIT:?}"
    );
    let done = timeout(MAX_WAIT.saturating_sub(QUIET), &mut work).await.ok();
    if done.is_none() {
        warn!(
            name: "data.given_up",
            target: DIAGNOSIS,
            %folder,
            "the disk of {folder} does not answer: the stop goes on, and the histories there end\n  = help: the \
             operating system may keep the process until the disk answers"
        );
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_for_a_time_and_then_goes_on() {
        let folder = Path::new("folder");
        let slow = async {
            tokio::time::sleep(MAX_WAIT.saturating_sub(QUIET)).await;
            7
        };
        assert_eq!(for_disk(folder, slow).await, Some(7));
        assert_eq!(for_disk(folder, std::future::pending::<()>()).await, None);
    }
}
