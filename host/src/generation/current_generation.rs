//! The generation in service, which dispatch reads for every message.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Generation;

/// The served generation; before the first one, an empty generation with the number 0. Readers
/// never block, not even during a reload.
pub(crate) struct CurrentGeneration {
    current: ArcSwap<Generation>,
}

impl Default for CurrentGeneration {
    fn default() -> Self {
        Self { current: ArcSwap::from_pointee(Generation::none()) }
    }
}

impl CurrentGeneration {
    /// Returns the generation for a message that arrives now. Hold the guard briefly: a thread has
    /// a few fast guards, and each further one costs a reference count.
    pub(crate) fn current(&self) -> Guard<Arc<Generation>> {
        self.current.load()
    }

    /// Returns whether there is no generation yet that could serve.
    pub(crate) fn is_none(&self) -> bool {
        self.current.load().number == 0
    }

    /// Puts `next` into service, and returns the previous generation.
    pub(crate) fn commit(&self, next: Arc<Generation>) -> Arc<Generation> {
        self.current.swap(next)
    }
}
