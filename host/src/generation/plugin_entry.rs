//! A plugin of a generation, as operators see it.

use std::sync::Arc;

use jackfield_sandbox::{CircuitStatus, Lanes, Manifest, OutgoingCount, OutgoingKind, PluginStore};

use super::PluginEntry;
use crate::signatures::Signed;
use crate::site::ContentHash;

impl PluginEntry {
    /// Returns the displayed path of the component.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Returns the manifest of the plugin.
    pub(crate) fn manifest(&self) -> &Manifest {
        self.running.plugin.manifest()
    }

    /// The version of the contract that the plugin was built for.
    pub(crate) fn contract(&self) -> String {
        self.running.plugin.contract()
    }

    /// The number of instances that were replaced because they had grown.
    pub(crate) fn recycled(&self) -> u64 {
        self.running.plugin.recycled()
    }

    /// The plugin's store.
    pub(crate) fn store(&self) -> PluginStore {
        self.running.plugin.store()
    }

    /// The number of calls that wait for each of its lanes.
    pub(crate) fn queues(&self) -> impl Iterator<Item = usize> {
        self.running.lanes.iter().flat_map(Lanes::queues)
    }

    /// The number of calls that wait for one of its lanes.
    pub(crate) fn waiting(&self) -> usize {
        self.queues().sum()
    }

    /// Replaces the instances: what they know is not valid any more.
    pub(crate) fn restart(&self) {
        for running in std::iter::once(&self.running).chain(self.canary_running()) {
            running.lanes.iter().for_each(Lanes::restart);
            running.kept.clear();
        }
    }

    /// How the plugin's store is kept.
    pub(crate) fn state_mode(&self) -> &'static str {
        self.running.plugin.state_mode().label()
    }

    /// Returns why the plugin's store cannot be saved, if it cannot.
    pub(crate) fn store_failure(&self) -> Option<String> {
        self.running.plugin.store_failure()
    }

    /// Returns the state of each handler's circuit breaker.
    pub(crate) fn circuits(&self) -> impl Iterator<Item = CircuitStatus> {
        self.running.plugin.circuits()
    }

    /// Its verified signature, if the settings need one.
    pub(crate) fn signed(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }

    /// The digest of the component.
    pub(crate) fn digest(&self) -> ContentHash {
        self.running.hash
    }

    /// Memory of its instances now, in bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.running.plugin.memory_used()
    }

    /// The memory limit of each instance, in bytes.
    pub(crate) fn memory_limit(&self) -> usize {
        self.running.plugin.memory_limit()
    }

    /// The numbers of its effects with an answer.
    pub(crate) fn outgoing(&self, kind: OutgoingKind) -> OutgoingCount {
        self.running.plugin.outgoing(kind)
    }

    /// The size limit of its store, in bytes; 0 if it has none.
    pub(crate) fn store_limit(&self) -> usize {
        let plugin = &self.running.plugin;
        if plugin.uses_store() { plugin.store_limit() } else { 0 }
    }

    /// Returns the number of its lanes, each with an instance.
    pub(crate) fn lanes(&self) -> usize {
        self.running.lanes.as_ref().map_or(0, Lanes::count)
    }

    /// Returns whether the operator has disabled it.
    pub(crate) fn is_disabled(&self) -> bool {
        self.is_disabled
    }

    /// Returns whether both share the same instances.
    pub(crate) fn is_same_instance(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.running, &other.running)
    }
}
