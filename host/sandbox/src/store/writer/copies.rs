//! The copies of stores on other nodes of a cluster, as the thread that saves sees them.

use std::time::Instant;

use jackfield_store::{EngineError, TakeOver};

use super::super::SharedSpace;
use super::super::durable::Batch;
use super::super::take_over::{TakeOverError, Taken};
use super::Work;

impl Work {
    /// Hands changes to the other copies of the stores. Returns those that may be committed here.
    pub(super) fn prepare(&mut self, batches: Vec<Batch>) -> Vec<Batch> {
        let changes: Vec<_> = batches.iter().map(|batch| &batch.changes).collect();
        let mut results = self.engine.prepare(&changes).into_iter();
        let mut prepared = Vec::new();
        for batch in batches {
            match results.next().unwrap_or(Ok(())) {
                Ok(()) => prepared.push(batch),
                Err(error) => self.failed(vec![batch], &error),
            }
        }
        prepared
    }

    /// Makes the space what the other copies have. Hooks that still wait for an earlier one are refused.
    pub(super) fn take_over(
        &mut self,
        space: &SharedSpace,
        from: TakeOver,
    ) -> Result<Taken, TakeOverError> {
        let Some(durable) = &space.durable else { return Err(TakeOverError::NotSaved) };
        space.hold(&"this node becomes the home of the plugin".into(), None);
        let saved = match self.engine.take_over(&durable.plugin, from) {
            Ok(saved) => saved,
            Err(EngineError::Replaced) => return Err(TakeOverError::Behind),
            Err(error) => return Err(TakeOverError::Failed(error.to_string())),
        };
        let bytes = saved.entries.iter().map(|(key, value)| key.len() + value.bytes.len()).sum();
        let taken = Taken { entries: saved.entries.len(), bytes };
        space.release(saved);
        self.pauses.released(space, Instant::now());
        Ok(taken)
    }
}
