//! Random numbers of plugins: those of the operating system, unless the call is probed.

use chacha20::rand_core::Rng as _;
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use crate::host_state::{HostState, MAX_RANDOM_BYTES};
use crate::probe::Probe;

impl random::Host for HostState {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        match self.probe.as_mut().and_then(|probe| bytes(probe, len)) {
            Some(bytes) => Ok(bytes),
            None => random::Host::get_random_bytes(self.ctx().ctx.random(), len),
        }
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        match &mut self.probe {
            Some(probe) => Ok(probe.random().next_u64()),
            None => random::Host::get_random_u64(self.ctx().ctx.random()),
        }
    }
}

impl insecure::Host for HostState {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        match self.probe.as_mut().and_then(|probe| bytes(probe, len)) {
            Some(bytes) => Ok(bytes),
            None => insecure::Host::get_insecure_random_bytes(self.ctx().ctx.random(), len),
        }
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        match &mut self.probe {
            Some(probe) => Ok(probe.random().next_u64()),
            None => insecure::Host::get_insecure_random_u64(self.ctx().ctx.random()),
        }
    }
}

impl insecure_seed::Host for HostState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        match &mut self.probe {
            Some(probe) => Ok((probe.random().next_u64(), probe.random().next_u64())),
            None => insecure_seed::Host::insecure_seed(self.ctx().ctx.random()),
        }
    }
}

/// Bytes of a probed call; none beyond the limit, whose error is the engine's.
fn bytes(probe: &mut Probe, len: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(len).ok().filter(|_| len <= MAX_RANDOM_BYTES)?;
    let mut bytes = vec![0; len];
    probe.random().fill_bytes(&mut bytes);
    Some(bytes)
}
