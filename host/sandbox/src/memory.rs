//! Memory limits of instances, each and all together (wasmtime `ResourceLimiter`).
//!
//! A growth beyond a limit fails as in WebAssembly, so that a plugin may continue without it. Most
//! trap instead; the refusal is remembered as the cause.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use crate::fault::FaultKind;
use crate::policy::Limits;

/// Memory counter of all instances of a sandbox, and of those of one plugin among them. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct InstanceMemory {
    limit: usize,
    used: Arc<AtomicUsize>,
    /// The part of one plugin.
    plugin: Arc<AtomicUsize>,
}

/// The memory of one instance.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    table_elements: usize,
    all: InstanceMemory,
    /// Permitted bytes. A growth that fails later for another reason stays counted, which errs on
    /// the safe side.
    used: usize,
    /// Bytes above which the instance is recycled, if the plugin allows it.
    recycle_above: usize,
    /// Bytes of tables, whose elements are in the host's memory.
    tables: usize,
    refused: Option<FaultKind>,
}

/// Core instances, memories and tables of one component.
const MAX_PARTS: usize = 64;
/// Host memory of a table element.
const ELEMENT_BYTES: usize = size_of::<usize>();

impl InstanceMemory {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit: limit.unwrap_or(usize::MAX), used: Arc::default(), plugin: Arc::default() }
    }

    /// A counter for a further plugin, whose instances count in both.
    pub(crate) fn for_plugin(&self) -> Self {
        Self { plugin: Arc::default(), ..self.clone() }
    }

    /// Memory of the plugin's instances now, in bytes.
    pub(crate) fn used_by_plugin(&self) -> usize {
        self.plugin.load(Ordering::Relaxed)
    }

    /// Memory of all instances now, in bytes.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    // Relaxed, as the counter guards no other memory.
    fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        let is_taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if is_taken {
            self.plugin.fetch_add(bytes, Ordering::Relaxed);
        }
        is_taken
    }

    fn give_back(&self, bytes: usize) {
        self.plugin.fetch_sub(bytes, Ordering::Relaxed);
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Memory {
    pub(crate) fn new(limits: &Limits, all: InstanceMemory) -> Self {
        Self {
            limit: limits.memory,
            table_elements: limits.table_elements,
            all,
            used: 0,
            recycle_above: usize::MAX,
            tables: 0,
            refused: None,
        }
    }

    /// Permitted bytes of linear memory.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The instance has been configured. It is recycled above three quarters of its limit; one that
    /// starts large, once it has used half of what is left.
    pub(crate) fn end_start(&mut self) {
        self.recycle_above = (self.limit - self.limit / 4).max(self.half_of_rest());
    }

    /// Whether the instance has grown so much that it is to be recycled.
    pub(crate) fn has_grown(&self) -> bool {
        self.used > self.recycle_above
    }

    /// No fresh instance can be made: it is tried again when half of the rest has been used.
    pub(crate) fn postpone_recycling(&mut self) {
        self.recycle_above = self.half_of_rest();
    }

    fn half_of_rest(&self) -> usize {
        self.used + self.limit.saturating_sub(self.used) / 2
    }

    /// Takes the cause of the last refused growth.
    pub(crate) fn take_refusal(&mut self) -> Option<FaultKind> {
        self.refused.take()
    }

    fn refuse(&mut self, kind: FaultKind) -> bool {
        self.refused = Some(kind);
        false
    }

    /// Records that the operating system refused memory.
    fn failed(&mut self, error: &wasmtime::Error) {
        self.refused.get_or_insert_with(|| FaultKind::host_memory(error));
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.all.give_back(self.used.saturating_add(self.tables));
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
            return Ok(self.refuse(FaultKind::Memory(self.limit)));
        }
        if !self.all.take(more) {
            return Ok(self.refuse(FaultKind::InstanceMemory(self.all.limit)));
        }
        self.used += more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(&error);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_elements || maximum.is_some_and(|m| desired > m) {
            return Ok(self.refuse(FaultKind::Memory(self.limit)));
        }
        let more = desired.saturating_sub(current).saturating_mul(ELEMENT_BYTES);
        if !self.all.take(more) {
            return Ok(self.refuse(FaultKind::InstanceMemory(self.all.limit)));
        }
        self.tables = self.tables.saturating_add(more);
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(&error);
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_grown_beyond_three_quarters() {
        let limits = Limits { memory: 1000, ..Limits::default() };
        let started = |bytes| {
            let mut memory = Memory::new(&limits, InstanceMemory::new(None));
            assert!(memory.memory_growing(0, bytes, None).unwrap());
            assert!(!memory.has_grown(), "while it starts");
            memory.end_start();
            memory
        };
        let check = |start, size, expected| {
            let mut memory = started(start);
            assert!(memory.memory_growing(start, size, None).unwrap());
            assert_eq!(memory.has_grown(), expected, "from {start} to {size}");
        };
        check(100, 100, false);
        check(100, 750, false);
        check(100, 751, true);
        check(500, 751, true);
        // A large one is not recycled after each call.
        check(800, 800, false);
        check(800, 900, false);
        check(800, 901, true);
        check(1000, 1000, false);
        let mut memory = started(100);
        assert!(memory.memory_growing(100, 800, None).unwrap());
        memory.postpone_recycling();
        assert!(!memory.has_grown());
        assert!(memory.memory_growing(800, 901, None).unwrap());
        assert!(memory.has_grown());
    }

    #[test]
    fn instances_share_a_total() {
        let all = InstanceMemory::new(Some(1000 + 10 * ELEMENT_BYTES));
        let limits = Limits { memory: 800, table_elements: 10, ..Limits::default() };
        let mut one = Memory::new(&limits, all.clone());
        let mut two = Memory::new(&limits, all.clone());
        let grow = |memory: &mut Memory, from, to| memory.memory_growing(from, to, None).unwrap();
        assert!(grow(&mut one, 0, 800));
        assert!(!grow(&mut one, 800, 801));
        assert_eq!(one.take_refusal(), Some(FaultKind::Memory(800)));
        assert!(grow(&mut two, 0, 200));
        assert!(two.table_growing(0, 10, None).unwrap());
        assert_eq!(all.used(), all.limit());
        assert!(!grow(&mut two, 200, 300));
        assert_eq!(two.take_refusal(), Some(FaultKind::InstanceMemory(all.limit())));
        assert_eq!(two.take_refusal(), None);
        drop(one);
        assert!(grow(&mut two, 200, 300));
        drop(two);
        assert_eq!(all.used(), 0);
    }

    #[test]
    fn counts_each_plugin_and_all_together() {
        let all = InstanceMemory::new(Some(1000));
        let [one, other] = [all.for_plugin(), all.for_plugin()];
        let limits = Limits { memory: 800, ..Limits::default() };
        let mut first = Memory::new(&limits, one.clone());
        let mut second = Memory::new(&limits, other.clone());
        assert!(first.memory_growing(0, 700, None).unwrap());
        assert!(second.memory_growing(0, 200, None).unwrap());
        assert!(!second.memory_growing(200, 400, None).unwrap());
        assert_eq!([&one, &other].map(InstanceMemory::used_by_plugin), [700, 200]);
        assert_eq!(all.used(), 900);
        drop(first);
        assert_eq!([&one, &other].map(InstanceMemory::used_by_plugin), [0, 200]);
    }
}
