//! The setting `shutdown`: how a server ends.

use std::time::Duration as StdDuration;

use jackfield_yaml::{Duration, NonZeroDuration};
use serde::Deserialize;

use super::merge::set_duration;

/// The times of an orderly shutdown, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownTimes {
    /// The time for which the server goes on while its health checks already say that it is stopping.
    pub wait: StdDuration,
    /// The maximum time over which sessions are ended.
    pub spread: StdDuration,
    /// The maximum time for delivering queued messages, after the last session was ended.
    pub grace: StdDuration,
}

impl ShutdownTimes {
    /// The maximum time of a whole shutdown.
    pub fn total(&self) -> StdDuration {
        self.wait + self.spread + self.grace
    }
}

impl Default for ShutdownTimes {
    fn default() -> Self {
        Self {
            wait: StdDuration::ZERO,
            spread: StdDuration::from_secs(10),
            grace: StdDuration::from_secs(10),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawShutdown {
    wait: Option<Duration>,
    spread: Option<Duration>,
    grace: Option<NonZeroDuration>,
}

impl RawShutdown {
    pub(super) fn apply(self, times: &mut ShutdownTimes) {
        times.wait = self.wait.map_or(times.wait, Duration::get);
        times.spread = self.spread.map_or(times.spread, Duration::get);
        set_duration(&mut times.grace, self.grace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn read(text: &str) -> Result<ShutdownTimes, String> {
        Settings::of(text, &[]).result().map(|config| config.shutdown)
    }

    #[test]
    fn reads_three_durations() {
        let all = read("shutdown: { wait: 5s, spread: 1m, grace: 500ms }").unwrap();
        let expect = ShutdownTimes {
            wait: StdDuration::from_secs(5),
            spread: StdDuration::from_mins(1),
            grace: StdDuration::from_millis(500),
        };
        assert_eq!(all, expect);
        let none = read("shutdown: { wait: 0, spread: 0 }").unwrap();
        assert_eq!((none.wait, none.spread), (StdDuration::ZERO, StdDuration::ZERO));
        assert!(read("shutdown: { grace: 0 }").is_err());
    }

    #[test]
    fn names_the_new_place_of_the_old_key() {
        let error = read("shutdown_grace: 5s").unwrap_err();
        let expect = "j.yml:1:1: error: the key `shutdown_grace` is named `shutdown.grace` now";
        assert!(error.starts_with(expect), "{error}");
        assert!(error.contains("= help: write `shutdown: { grace: … }`"), "{error}");
    }
}
