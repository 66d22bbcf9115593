//! `store`: state that outlives instances. Writes take effect at once and are rolled back if the
//! hook fails; see the journal.

use std::time::Duration;

use crate::contract::store;
use crate::host_state::HostState;
use crate::store::space::StoreError;

impl store::Host for HostState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.journal.get(&key))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl: Option<u64>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Ok(self.journal.set(&key, value, ttl.map(Duration::from_millis)).map_err(Into::into))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<bool> {
        Ok(self.journal.delete(&key))
    }

    fn increment(&mut self, key: String, by: i64) -> wasmtime::Result<Result<i64, store::Error>> {
        Ok(self.journal.increment(&key, by).map_err(Into::into))
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl: Option<u64>,
    ) -> wasmtime::Result<Result<bool, store::Error>> {
        let ttl = ttl.map(Duration::from_millis);
        Ok(self.journal.compare_and_set(&key, expected.as_deref(), value, ttl).map_err(Into::into))
    }

    fn entries(&mut self, prefix: String, limit: u32) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        Ok(self.journal.entries(&prefix, limit))
    }
}

impl From<StoreError> for store::Error {
    fn from(refused: StoreError) -> Self {
        match refused {
            StoreError::Full => Self::Full,
            StoreError::NotANumber => Self::NotANumber,
        }
    }
}
