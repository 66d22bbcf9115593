//! `store`: state that outlives instances. Writes take effect at once and are rolled back if the
//! hook fails; see the journal.

use std::time::Duration;

use crate::contract::store;
use crate::host_state::HostState;
use crate::store::space::SpaceError;

impl store::Host for HostState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.touch(&key);
        Ok(self.journal.get(&key))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl: Option<u64>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        self.touch(&key);
        self.note_room();
        let done = self.journal.set(&key, value, ttl.map(Duration::from_millis));
        self.wrote(done.is_ok(), &key, ttl);
        Ok(done.map_err(Into::into))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<bool> {
        self.touch(&key);
        let done = self.journal.delete(&key);
        self.wrote(done, &key, None);
        Ok(done)
    }

    fn increment(&mut self, key: String, by: i64) -> wasmtime::Result<Result<i64, store::Error>> {
        self.touch(&key);
        self.note_room();
        let done = self.journal.increment(&key, by);
        self.wrote(done.is_ok(), &key, None);
        Ok(done.map_err(Into::into))
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl: Option<u64>,
    ) -> wasmtime::Result<Result<bool, store::Error>> {
        self.touch(&key);
        self.note_room();
        let ttl_of_value = ttl.map(Duration::from_millis);
        let done = self.journal.compare_and_set(&key, expected.as_deref(), value, ttl_of_value);
        self.wrote(done == Ok(true), &key, ttl);
        Ok(done.map_err(Into::into))
    }

    fn entries(&mut self, prefix: String, limit: u32) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        self.journal.fetch_all(&prefix, limit);
        let found = self.journal.entries(&prefix, limit);
        if let Some(probe) = &mut self.probe {
            probe.listed(&prefix, limit, &found);
        }
        Ok(found)
    }
}

impl HostState {
    /// Shows a key to the call's probe before the plugin uses it.
    fn touch(&mut self, key: &str) {
        if let Some(probe) = &mut self.probe {
            self.journal.fetch(key);
            probe.touch(key, || self.journal.peek(key));
        }
    }

    /// Shows what is left of the quota to the call's probe, before the plugin writes.
    fn note_room(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.room(|| self.journal.room());
        }
    }

    /// Shows what a key holds after the plugin has written it.
    fn wrote(&mut self, is_written: bool, key: &str, ttl_ms: Option<u64>) {
        if let Some(probe) = self.probe.as_mut().filter(|_| is_written) {
            probe.wrote(key, self.journal.peek(key), ttl_ms);
        }
    }
}

impl From<SpaceError> for store::Error {
    fn from(refused: SpaceError) -> Self {
        match refused {
            SpaceError::Full => Self::Full,
            SpaceError::NotANumber => Self::NotANumber,
        }
    }
}
