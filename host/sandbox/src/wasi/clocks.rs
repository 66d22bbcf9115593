//! Clocks of plugins: those of the host, unless the call is probed.

use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};

use crate::host_state::HostState;

impl wall_clock::Host for HostState {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = wall_clock::Host::now(&mut self.clocks())?;
        let Some(probe) = &mut self.probe else { return Ok(now) };
        let elapsed = Duration::new(now.seconds, now.nanoseconds);
        let shown = probe.wall_clock(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        let shown = Duration::from_nanos(shown);
        let (seconds, nanoseconds) = (shown.as_secs(), shown.subsec_nanos());
        Ok(wall_clock::Datetime { seconds, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        wall_clock::Host::resolution(&mut self.clocks())
    }
}

impl monotonic_clock::Host for HostState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let now = monotonic_clock::Host::now(&mut self.clocks())?;
        Ok(self.probe.as_mut().map_or(now, |probe| probe.monotonic_clock(now)))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        monotonic_clock::Host::resolution(&mut self.clocks())
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        match self.probe.as_ref().filter(|probe| probe.is_replay()) {
            Some(probe) => {
                let left = when.saturating_sub(probe.peek_monotonic());
                monotonic_clock::Host::subscribe_duration(self, left)
            }
            None => monotonic_clock::Host::subscribe_instant(&mut self.clocks(), when),
        }
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let duration = match self.probe.as_mut().filter(|probe| probe.is_replay()) {
            Some(probe) => {
                probe.skip(duration);
                0
            }
            None => duration,
        };
        monotonic_clock::Host::subscribe_duration(&mut self.clocks(), duration)
    }
}
