//! The thread that syncs commits that no hook waits for.

use std::io;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use jackfield_store::{EngineError, Syncer};

/// A request to sync, with the way of its result.
pub(super) type SyncRequest = SyncSender<Result<(), EngineError>>;

pub(super) fn start_syncer(mut sync: Syncer) -> io::Result<SyncSender<SyncRequest>> {
    let (sender, requests) = mpsc::sync_channel::<SyncRequest>(1);
    let work = move || {
        for request in requests {
            // The writer has ended.
            let _ = request.send(sync());
        }
    };
    thread::Builder::new().name("jackfield-sync".into()).spawn(work)?;
    Ok(sender)
}
