//! Observers of calls (observer pattern): they are shown what a call saw and did when it has ended.
//!
//! One list for all plugins of a sandbox, so that observers outlive reloads. Without observers, a
//! call reads one flag.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::call_record::{CallRecord, PluginVersion};
use crate::manifest::Hook;
use crate::request::HookRequest;
use crate::store::moment::StoreMoment;

/// An observer of calls. It runs on the lane of the call, which waits for it: it must not block.
pub trait CallObserver: Send + Sync {
    /// Whether the call is to be observed. It has its lane, and begins now.
    fn wants(&self, version: &PluginVersion, hook: Hook, request: &HookRequest<'_>) -> bool;

    /// A call has ended.
    fn observe(&self, record: &Arc<CallRecord>);

    /// Whether the observer runs calls again, and needs the store as of their beginning.
    fn needs_store(&self) -> bool {
        false
    }

    /// As [`CallObserver::observe`], with the store as of the beginning of the call.
    fn observe_with_store(&self, record: &Arc<CallRecord>, _store: &StoreMoment) {
        self.observe(record);
    }
}

/// The observers of a sandbox's calls.
#[derive(Default)]
pub struct CallObservers {
    is_any: AtomicBool,
    /// A std lock, held to copy the list.
    list: RwLock<Vec<Arc<dyn CallObserver>>>,
}

/// An observer observes as long as this exists.
#[must_use = "the observer is removed when this is dropped"]
pub struct Observation {
    observers: Arc<CallObservers>,
    observer: Arc<dyn CallObserver>,
}

impl CallObservers {
    /// Observes the calls of all plugins, now and after reloads.
    pub fn observe(self: &Arc<Self>, observer: Arc<dyn CallObserver>) -> Observation {
        self.change(|list| list.push(Arc::clone(&observer)));
        Observation { observers: Arc::clone(self), observer }
    }

    /// Whether there are any.
    // Relaxed: an observer is owed no call that began before it was told of.
    pub(crate) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Relaxed)
    }

    /// Those that want the call.
    #[cold]
    pub(crate) fn of_call(
        &self,
        version: &PluginVersion,
        hook: Hook,
        request: &HookRequest<'_>,
    ) -> Vec<Arc<dyn CallObserver>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().filter(|it| it.wants(version, hook, request)).cloned().collect()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<dyn CallObserver>>)) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut list);
        self.is_any.store(!list.is_empty(), Ordering::Relaxed);
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.observers.change(|list| list.retain(|it| !Arc::ptr_eq(it, &self.observer)));
    }
}

impl fmt::Debug for CallObservers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallObservers").finish_non_exhaustive()
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observation").finish_non_exhaustive()
    }
}
