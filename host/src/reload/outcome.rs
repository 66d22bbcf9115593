//! Outcome of a reload: the record for the history, and the problems in the state.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tracing::{debug, info};

use super::history::{Outcome, Requested};
use super::report::report_problems;
use super::{Preparation, ReloadCause, ReloadChanges, ReloadResult, ReloadState, Reloader, texts};
use crate::generation::{Generation, Problem};

impl Reloader {
    /// Applies the changes of the operator to the running generation, without building one: a plugin
    /// can be disabled, a canary stopped, and access changed by the settings while the site has
    /// problems, and while plugins are being loaded.
    pub(super) fn commit_changes(&self, committed: &impl Fn(Arc<Generation>, Arc<Generation>)) {
        let current = self.generations.current();
        let next = Generation::clone(&current).without(&self.versions.disabled());
        let next = next.retain_canaries(&self.versions.canaries());
        let next = next.with_access(self.context.access.load_full());
        if !next.is_same(&current) {
            let next = Arc::new(next.next());
            let old = self.generations.commit(Arc::clone(&next));
            let state = ReloadState { generation: next.number(), ..(*self.state()).clone() };
            self.state.store(Arc::new(state));
            committed(old, next);
        }
    }

    /// Records a reload that ended without a problem.
    pub(super) fn ended(
        &self,
        (result, changes): (ReloadResult, ReloadChanges),
        began: Instant,
        generation: &Generation,
        requested: Option<Requested>,
        answered: Option<Requested>,
    ) {
        self.history.add(Outcome {
            cause: requested.map_or(ReloadCause::Change, |it| it.cause),
            result,
            generation: generation.number(),
            took: began.elapsed(),
            problems: &[],
            loading: generation.loading(),
            requested: answered,
            changes: Some(changes),
        });
    }

    /// Records a reload that ended with problems.
    pub(super) fn failed(
        &self,
        problems: &[Problem],
        began: Instant,
        requested: Option<Requested>,
    ) {
        self.versions.refuse_files();
        let are_new = self.keep(texts(problems));
        if are_new || requested.is_some() {
            self.history.add(Outcome {
                cause: requested.map_or(ReloadCause::Change, |it| it.cause),
                result: ReloadResult::Failed,
                generation: self.state().generation,
                took: began.elapsed(),
                problems,
                loading: &[],
                requested,
                changes: None,
            });
        }
    }

    /// Logs problems and keeps them in the state, unless they are there already.
    pub(super) fn keep(&self, problems: Vec<String>) -> bool {
        let before = self.state();
        if before.problems == problems {
            debug!("the site still has the same problems");
            return false;
        }
        report_problems(&problems, before.generation);
        self.state.store(Arc::new(ReloadState {
            problems,
            failed_since: before.failed_since.or_else(|| Some(SystemTime::now())),
            ..(*before).clone()
        }));
        true
    }

    /// Records a requested reload of content that is served already: the generation stays.
    pub(super) fn unchanged(&self, preparation: &Preparation, requested: Option<Requested>) {
        let current = self.generations.current();
        let Preparation { snapshot, began, .. } = preparation;
        let cause = requested.map_or(ReloadCause::Change, |it| it.cause).label();
        // A component in service may have been signed again.
        let versions = self.versions.record(&current, snapshot, cause, began.elapsed());
        info!(name: "reload.unchanged", generation = current.number(), "the site has not changed");
        self.recovered(&current, *began, requested);
        self.versions.keep(versions);
    }

    /// Clears the problems: the site is equal to the served generation again. Records the reload if
    /// there were problems, or if it was requested.
    pub(super) fn recovered(
        &self,
        current: &Generation,
        began: Instant,
        requested: Option<Requested>,
    ) {
        let before = self.state();
        if before.failed_since.is_some() {
            info!(
                name: "reload.resolved",
                generation = current.number(),
                "problems resolved; the site is equal to the running generation again"
            );
        }
        let state = ReloadState { problems: Vec::new(), failed_since: None, ..(*before).clone() };
        self.state.store(Arc::new(state));
        if before.failed_since.is_some() || requested.is_some() {
            let nothing = ReloadChanges::default();
            self.ended((ReloadResult::Unchanged, nothing), began, current, requested, requested);
        }
    }
}
