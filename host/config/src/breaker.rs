//! The setting `circuit_breaker` of a plugin.

use std::num::{NonZeroU32, NonZeroUsize};

use jackfield_sandbox::BreakerPolicy;
use jackfield_yaml::NonZeroDuration;
use serde::Deserialize;

use super::merge::{set_count, set_duration};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawBreaker {
    enabled: Option<bool>,
    faults: Option<NonZeroU32>,
    window: Option<NonZeroDuration>,
    spread: Option<NonZeroUsize>,
    pause: Option<NonZeroDuration>,
    max_pause: Option<NonZeroDuration>,
}

impl RawBreaker {
    pub(super) fn apply(self, breaker: &mut BreakerPolicy) {
        breaker.enabled = self.enabled.unwrap_or(breaker.enabled);
        breaker.faults = self.faults.map_or(breaker.faults, NonZeroU32::get);
        set_duration(&mut breaker.window, self.window);
        set_count(&mut breaker.spread, self.spread);
        set_duration(&mut breaker.pause, self.pause);
        set_duration(&mut breaker.max_pause, self.max_pause);
    }
}
