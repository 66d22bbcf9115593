//! How much memory one instance may take. Asked by the engine whenever a memory or a table grows.
//!
//! A growth that goes too far is refused as WebAssembly has it, so that a plugin which can do
//! without carries on. Most cannot and trap; that the refusal was the cause is remembered here.

use wasmtime::ResourceLimiter;

use crate::policy::Limits;

/// The memory of one instance.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    table_elements: usize,
    /// What was permitted. A growth that then fails for another reason stays counted: that errs on
    /// the safe side, and the operating system is out of memory anyway.
    used: usize,
    refused: bool,
}

/// Core instances, memories and tables of one component; a plugin has a handful.
const PARTS: usize = 64;

impl Memory {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.memory,
            table_elements: limits.table_elements,
            used: 0,
            refused: false,
        }
    }

    /// The limit, if anything has been refused since the last call of this function.
    pub(crate) fn take_refusal(&mut self) -> Option<usize> {
        std::mem::take(&mut self.refused).then_some(self.limit)
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let fits = self.used.saturating_add(more) <= self.limit;
        if !fits || maximum.is_some_and(|m| desired > m) {
            self.refused = true;
            return Ok(false);
        }
        self.used += more;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.table_elements && maximum.is_none_or(|m| desired <= m);
        self.refused |= !fits;
        Ok(fits)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}
