//! Worker of a shadow: a thread with a runtime of its own, which runs the calls of its queue again,
//! one at a time.
//!
//! Its thread has a lower priority than those of the server, so that a shadow that computes without
//! end takes time that nothing else needs.

use std::io;
use std::sync::Arc;

use jackfield_sandbox::{AnswerMatcher, CallRecord, Lanes, Plugin, PluginVersion};
use tokio::runtime::Builder;
use tokio::sync::mpsc::Receiver;

use super::{Job, Shared};

/// The addition to the nice value of the thread.
const NICE: i32 = 5;

/// The instances of a shadow, and the version in service whose routes they have.
struct Started {
    beside: Arc<PluginVersion>,
    /// `None` if they cannot be started with these routes.
    lanes: Option<Lanes>,
    answers: AnswerMatcher,
}

/// Starts the thread. It ends with the sender of the queue.
///
/// # Errors
/// The operating system refuses a thread.
pub(super) fn start(plugin: Plugin, shared: Arc<Shared>, queue: Receiver<Job>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let work = move || {
        // Of this thread alone. Without it the thread competes with the others.
        let _refused = rustix::process::nice(NICE);
        runtime.block_on(work(plugin, &shared, queue));
    };
    std::thread::Builder::new().name("shadow".to_owned()).spawn(work).map(drop)
}

async fn work(plugin: Plugin, shared: &Shared, mut queue: Receiver<Job>) {
    let mut started: Option<Started> = None;
    while let Some(job) = queue.recv().await {
        shared.taken(&job);
        if shared.is_ended() {
            return;
        }
        let Job { record, store, .. } = job;
        if !record.is_whole {
            shared.report(|report| report.left_out.size += 1);
            continue;
        }
        let fits = |it: &Started| Arc::ptr_eq(&it.beside, &record.version);
        if !started.as_ref().is_some_and(fits) {
            started = Some(start_instances(&plugin, shared, &record).await);
        }
        let Some(Started { lanes: Some(lanes), answers, .. }) = &mut started else {
            shared.report(|report| report.left_out.start += 1);
            continue;
        };
        let Some(context) = answers.context(&record) else {
            shared.report(|report| report.left_out.answer += 1);
            continue;
        };
        match lanes.replay_at(&record, &context, &store).await {
            Ok(replayed) => {
                let effects = &replayed.outcome.effects;
                answers.replayed(&record.outcome.effects, effects, effects);
                shared.report(|report| report.add(&record, &replayed));
            }
            Err(_lost) => shared.report(|report| report.left_out.store += 1),
        }
    }
}

async fn start_instances(plugin: &Plugin, shared: &Shared, record: &CallRecord) -> Started {
    let PluginVersion { lanes, routes, .. } = &*record.version;
    let lanes = plugin.start(*lanes, routes).await;
    shared.report(|report| {
        report.starts += u64::from(lanes.is_ok());
        report.error = lanes.as_ref().err().map(ToString::to_string);
    });
    let (beside, answers) = (Arc::clone(&record.version), AnswerMatcher::default());
    Started { beside, lanes: lanes.ok(), answers }
}
