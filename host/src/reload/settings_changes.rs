//! Changes of the settings that generations have a copy of: the reload task takes them up, as no other
//! code commits generations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jackfield_config::Plugins;
use tokio::sync::{Notify, watch};

use super::Reloader;
use crate::generation::{Generation, RouteAccess};

/// Changes that wait for the reload task, and those that are in service.
#[derive(Default)]
pub(super) struct SettingsChanges {
    changed: Notify,
    /// The number of changes so far.
    wanted: AtomicU64,
    /// The number of changes that are in service.
    served: watch::Sender<u64>,
    /// Whether the settings of plugins have changed.
    has_policies: AtomicBool,
}

impl SettingsChanges {
    /// Waits for a change. Cancel-safe: it may be dropped and called again.
    pub(super) async fn noticed(&self) {
        self.changed.notified().await;
    }
}

impl Reloader {
    /// Puts changed access into service, and waits until it is. Changed policies of plugins follow with
    /// a reload.
    pub(crate) async fn follow_settings(&self, access: RouteAccess, plugins: &Plugins) {
        self.context.access.store(Arc::new(access));
        let SettingsChanges { changed, wanted, served, has_policies } = &self.changes;
        if **self.context.plugins.load() != *plugins {
            self.context.plugins.store(Arc::new(plugins.clone()));
            has_policies.store(true, Ordering::Release);
        }
        let number = wanted.fetch_add(1, Ordering::AcqRel) + 1;
        changed.notify_one();
        // The sender is `self`, so it exists.
        let _served = served.subscribe().wait_for(|it| *it >= number).await.is_ok();
    }

    /// Puts the access so far into service. Returns whether plugins have to be loaded with other
    /// settings.
    pub(super) fn commit_settings(
        &self,
        committed: &impl Fn(Arc<Generation>, Arc<Generation>),
    ) -> bool {
        let number = self.changes.wanted.load(Ordering::Acquire);
        self.commit_changes(committed);
        self.changes.served.send_replace(number);
        self.changes.has_policies.swap(false, Ordering::AcqRel)
    }
}
