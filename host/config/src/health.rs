//! Settings of health checks: the probe behind `/readyz`.

use std::time::Duration;

use jackfield_yaml::NonZeroDuration;
use serde::Deserialize;

use super::merge::set_duration;

/// Settings of health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChecks {
    /// The probe; `None` runs none.
    pub probe: Option<ProbeTimes>,
}

/// The probe: the server's own client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTimes {
    /// The pause between two probes; not zero.
    pub interval: Duration,
    /// The maximum time of a probe; not zero.
    pub timeout: Duration,
}

/// The defaults, as in `docs/configuration.md`; a test compares the two.
impl Default for HealthChecks {
    fn default() -> Self {
        Self { probe: Some(ProbeTimes::default()) }
    }
}

impl Default for ProbeTimes {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), timeout: Duration::from_secs(5) }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHealth {
    probe: RawProbe,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawProbe {
    enabled: Option<bool>,
    interval: Option<NonZeroDuration>,
    timeout: Option<NonZeroDuration>,
}

impl RawHealth {
    pub(super) fn apply(self, health: &mut HealthChecks) {
        let RawProbe { enabled, interval, timeout } = self.probe;
        let mut probe = health.probe.unwrap_or_default();
        set_duration(&mut probe.interval, interval);
        set_duration(&mut probe.timeout, timeout);
        let is_on = enabled.unwrap_or(health.probe.is_some());
        health.probe = is_on.then_some(probe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn reads_every_key() {
        let read = |text: &str| Settings::validated(text, &[]).map(|config| config.health.probe);
        assert_eq!(read("").unwrap(), Some(ProbeTimes::default()));
        let expect =
            ProbeTimes { interval: Duration::from_secs(1), timeout: Duration::from_millis(250) };
        let text = "health: { probe: { interval: 1s, timeout: 250ms } }";
        assert_eq!(read(text).unwrap(), Some(expect));
        assert_eq!(read("health: { probe: { enabled: false } }").unwrap(), None);
        assert!(read("health: { probe: { interval: 0 } }").is_err());
    }
}
