//! Limit of open files (`RLIMIT_NOFILE`): each connection is one open file.
//!
//! At the start, the server raises the soft limit to the hard limit; the soft limit is 1024 on most
//! systems, for programs that use `select`. If the hard limit is too low for `limits.connections`,
//! the server accepts fewer connections, so that health checks, reloads and databases can still
//! open files.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::warn;

use crate::connection_limit::MAX_RESERVED;

/// Files reserved for everything other than connections: the site's files and their watches,
/// databases, the runtime.
const RESERVED_FILES: usize = 128;

/// Raises the soft limit to the hard limit. Returns the new soft limit; `None` if it is unlimited.
pub(crate) fn raise_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(_refused) => before,
    }
}

/// Returns the maximum number of connections: the configured number, or a lower one that the limit
/// of open files allows, with a warning.
pub(crate) fn connections(configured: usize, limit: Option<u64>) -> usize {
    let fit = fit(configured, limit);
    if fit < configured {
        let limit = limit.unwrap_or(u64::MAX);
        let needed = needed(configured);
        warn!(
            name: "server.file_limit",
            "open file limit {limit} is too low for limits.connections = {configured}; accepting \
             at most {fit} connections; help: allow {needed} files (LimitNOFILE= of systemd, \
             `ulimit -Hn`, --ulimit nofile= of Docker), or lower limits.connections"
        );
    }
    fit
}

/// Returns the open files that a server with this number of connections needs.
pub(crate) fn needed(connections: usize) -> usize {
    connections.saturating_add(MAX_RESERVED + RESERVED_FILES)
}

/// Returns how many of the configured connections the limit of open files allows.
pub(crate) fn fit(configured: usize, limit: Option<u64>) -> usize {
    let files = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    configured.min(files.saturating_sub(MAX_RESERVED + RESERVED_FILES)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_as_many_connections_as_files_allow() {
        assert_eq!(fit(10_000, None), 10_000);
        assert_eq!(fit(10_000, Some(1 << 20)), 10_000);
        assert_eq!(fit(10_000, Some(1_024)), 1_024 - RESERVED_FILES - MAX_RESERVED);
        assert_eq!(fit(100, Some(1_024)), 100);
        assert_eq!(fit(100, Some(10)), 1);
    }
}
