//! Background tasks of a server, each with a name. None of them ends before the server does: an early
//! end is an error, and the server stops.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;

use jackfield_store::TopicKey;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tracing::error;

use super::ServeError;
use super::parts::Parts;
use crate::generation::Generation;
use crate::history_log;
use crate::signals::Stop;

/// The task that reloads the site.
pub(super) const RELOAD: &str = "reload the site";
/// The task that applies changed settings.
pub(super) const SETTINGS: &str = "reload the settings";
/// The tasks of timers.
pub(super) const TIMERS: &str = "run timers";

/// The tasks. They end when this is dropped.
#[derive(Default)]
pub(super) struct BackgroundTasks {
    tasks: JoinSet<()>,
    names: HashMap<Id, (&'static str, AbortHandle)>,
}

impl BackgroundTasks {
    /// Starts a task that has no end.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(work);
        self.names.insert(handle.id(), (name, handle));
    }

    /// Starts a task that may come to its end. Its panic is an error as well.
    pub(super) fn spawn_finite(
        &mut self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn(name, async move {
            work.await;
            pending::<()>().await;
        });
    }

    /// Starts a task that comes to its end with a result, which is sent to the receiver.
    pub(super) fn spawn_with_result<T: Send + 'static>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, result) = oneshot::channel();
        self.spawn_finite(name, async move {
            // The receiver has gone if nothing waits for the result.
            let _unsent = sender.send(work.await).is_err();
        });
        result
    }

    /// Ends the tasks of this name.
    pub(super) fn abort(&self, name: &str) {
        self.names.values().filter(|(of, _)| *of == name).for_each(|(_, handle)| handle.abort());
    }

    /// Waits for the signal to stop.
    ///
    /// # Errors
    /// [`ServeError::Task`] when a task has ended before.
    pub(super) async fn run_until(&mut self, stop: &Stop) -> Result<(), ServeError> {
        tokio::select! {
            biased;
            () = stop.requested() => Ok(()),
            name = self.early_end() => Err(ServeError::Task(name)),
        }
    }

    /// Waits for the early end of a task. Returns its name.
    async fn early_end(&mut self) -> &'static str {
        let Some(ended) = self.tasks.join_next_with_id().await else { return pending().await };
        let (id, reason) = match ended {
            Ok((id, ())) => (id, "it returned".to_owned()),
            Err(error) => (error.id(), reason(error)),
        };
        let task = self.names.get(&id).map_or("unknown", |(name, _)| name);
        error!(name: "server.task_ended", task, reason, "a background task has ended early; the server stops");
        task
    }
}

/// The reason why a task did not return.
fn reason(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("it panicked: {}", text.unwrap_or_default())
        }
        Err(error) => error.to_string(),
    }
}

/// Starts the tasks of a server that serves.
pub(super) fn spawn(tasks: &mut BackgroundTasks, parts: &Parts) {
    let Parts { state, admission, client, shadows, .. } = parts;
    let (realms, reloader) = (Arc::clone(&state.realms), Arc::clone(&state.reloader));
    let notified = Arc::clone(shadows);
    let committed = move |old, new: Arc<Generation>| {
        realms.reloaded(&old, &new);
        notified.notify();
    };
    tasks.spawn(RELOAD, async move { reloader.run(committed).await });
    for dispatch in state.realms.iter() {
        tasks.spawn(TIMERS, Arc::clone(dispatch).run_timers());
        tasks.spawn("end calls in time", Arc::clone(dispatch).run_call_timeouts());
        let client = Arc::clone(client);
        tasks.spawn("answer plugins", Arc::clone(dispatch).run_outgoing(client));
    }
    let (admission, judging) = (Arc::clone(admission), Arc::clone(admission));
    // It ends if no file of users or keys is configured.
    tasks.spawn_finite("follow users and keys", async move { admission.follow().await });
    tasks.spawn("judge sessions again", async move { judging.follow_sessions().await });
    let shadows = Arc::clone(shadows);
    tasks.spawn("run shadows", async move { shadows.run().await });
    let own = Arc::clone(state);
    tasks.spawn_finite("resume canaries", async move { own.rollout.resume_canaries().await });
    let own = Arc::clone(state);
    tasks.spawn("watch new versions", async move { own.rollout.watch().await });
    if let Some(log) = &state.history_log {
        let (log, realms) = (Arc::clone(log), Arc::clone(&state.realms));
        let kept = move |key: &TopicKey, now| {
            realms.get(&key.realm)?.realm().durable_history(&key.topic, now)
        };
        tasks.spawn("compare durable histories", history_log::follow(log, kept));
    }
    let own = Arc::clone(state);
    tasks.spawn("measure rates", async move { own.rates.run().await });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_early_end_is_an_error_with_the_name_of_the_task() {
        let mut tasks = BackgroundTasks::default();
        tasks.spawn("wait", pending());
        tasks.spawn_finite("resume", async {});
        tasks.spawn("return", async {});
        let stop = Stop::never();
        let error = tasks.run_until(&stop).await.unwrap_err();
        assert_eq!(error.to_string(), "the background task `return` has ended early");
        let mut tasks = BackgroundTasks::default();
        tasks.spawn_finite("panic", async { panic!("of the test") });
        let error = tasks.run_until(&stop).await.unwrap_err();
        assert!(matches!(error, ServeError::Task("panic")), "{error}");
    }

    #[tokio::test]
    async fn tasks_of_a_name_end_when_they_are_asked_to() {
        let mut tasks = BackgroundTasks::default();
        let (one, ended) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(TIMERS, async move {
            let _held = one;
            pending::<()>().await;
        });
        tasks.abort(TIMERS);
        ended.await.unwrap_err();
    }
}
