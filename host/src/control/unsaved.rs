//! Changes that could not be saved: the same request again saves them, and has the same answer. It
//! would be refused otherwise, because the change is made already, or go one version further. That
//! holds for a while after the server has saved the change by itself, too: its operator does not know.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::audit::Subject;
use super::result::Changed;
use crate::versions::{Decisions, Versions};

/// The time for which a request counts as the same one.
const MAX_AGE: Duration = Duration::from_mins(10);

/// The last change of each plugin that could not be saved.
#[derive(Default)]
pub(super) struct UnsavedChanges {
    /// At most one for each plugin. A std mutex, held over no await.
    last: Mutex<Vec<UnsavedChange>>,
}

struct UnsavedChange {
    action: &'static str,
    subject: Subject,
    plugin: String,
    at: Instant,
    /// As the change has made them.
    decisions: Decisions,
    changed: Changed,
}

impl UnsavedChanges {
    /// Remembers a change of a plugin, if it could not be saved.
    pub(super) fn remember(
        &self,
        versions: &Versions,
        action: &'static str,
        subject: &Subject,
        changed: &Changed,
    ) {
        let Some(plugin) = changed.plugin() else { return };
        let at = Instant::now();
        let mut last = self.lock();
        last.retain(|it| it.plugin != plugin && at.duration_since(it.at) < MAX_AGE);
        if versions.unsaved().is_none() || !changed.is_change() {
            return;
        }
        let Some(decisions) = versions.decisions(plugin) else { return };
        let (subject, plugin, changed) = (subject.clone(), plugin.to_owned(), changed.clone());
        last.push(UnsavedChange { action, subject, plugin, at, decisions, changed });
    }

    /// The change that a request has made before, if it could not be saved then, and holds.
    pub(super) fn repeated(
        &self,
        versions: &Versions,
        action: &str,
        subject: &Subject,
    ) -> Option<Changed> {
        let last = self.lock();
        let is_stop = action.ends_with("_stop");
        let is_same = |it: &&UnsavedChange| {
            let is_about_it =
                it.subject == *subject || (is_stop && subject.is_without_digest(&it.subject));
            it.action == action && is_about_it && it.at.elapsed() < MAX_AGE
        };
        let found = last.iter().find(is_same)?;
        let holds = versions.decisions(&found.plugin).is_some_and(|it| it == found.decisions);
        holds.then(|| found.changed.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<UnsavedChange>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
