//! Imports of version 0.1 of the contract: the same functions as those of the newest version.

use crate::contract::v0_1::old;
use crate::contract::{log, sessions, store, topics};
use crate::host_state::HostState;

impl old::types::Host for HostState {}

impl old::topics::Host for HostState {
    fn publish(
        &mut self,
        topic: String,
        event: old::types::EventResult,
        exclude: Vec<u64>,
        eligible: Option<Vec<u64>>,
    ) -> wasmtime::Result<()> {
        topics::Host::publish(self, topic, event.into(), exclude, eligible)
    }

    fn subscribers(&mut self, topic: String) -> wasmtime::Result<Vec<u64>> {
        topics::Host::subscribers(self, topic)
    }

    fn count(&mut self, topic: String) -> wasmtime::Result<u32> {
        topics::Host::count(self, topic)
    }
}

impl old::sessions::Host for HostState {
    fn send(
        &mut self,
        session: u64,
        topic: String,
        event: old::types::EventResult,
    ) -> wasmtime::Result<()> {
        sessions::Host::send(self, session, topic, event.into())
    }

    fn unsubscribe(&mut self, session: u64, topic: String) -> wasmtime::Result<()> {
        sessions::Host::unsubscribe(self, session, topic)
    }

    fn close(&mut self, session: u64, reason: String, message: String) -> wasmtime::Result<()> {
        sessions::Host::close(self, session, reason, message)
    }
}

impl old::store::Host for HostState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        store::Host::get(self, key)
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl: Option<u64>,
    ) -> wasmtime::Result<Result<(), old::store::Error>> {
        Ok(store::Host::set(self, key, value, ttl)?.map_err(Into::into))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<bool> {
        store::Host::delete(self, key)
    }

    fn increment(
        &mut self,
        key: String,
        by: i64,
    ) -> wasmtime::Result<Result<i64, old::store::Error>> {
        Ok(store::Host::increment(self, key, by)?.map_err(Into::into))
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl: Option<u64>,
    ) -> wasmtime::Result<Result<bool, old::store::Error>> {
        Ok(store::Host::compare_and_set(self, key, expected, value, ttl)?.map_err(Into::into))
    }

    fn entries(&mut self, prefix: String, limit: u32) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        store::Host::entries(self, prefix, limit)
    }
}

impl old::log::Host for HostState {
    fn log(&mut self, level: old::log::Level, message: String) -> wasmtime::Result<()> {
        log::Host::log(self, level.into(), message)
    }
}
