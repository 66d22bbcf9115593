//! The lane while a store is saved: who may begin before a session is known to have come or gone.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use jackfield_sandbox::StateMode;
use jackfield_store::{Backup, Changes, Engine, EngineError, Saved, SqliteEngine, Syncer};

use crate::stage::{load, policy, request, route, sandbox};

/// An engine that says when a commit begins, and waits for a permit.
struct SlowEngine {
    engine: SqliteEngine,
    begun: mpsc::Sender<()>,
    permits: mpsc::Receiver<()>,
}

impl Engine for SlowEngine {
    fn commit(&mut self, changes: &[&Changes]) -> Result<(), EngineError> {
        self.begun.send(()).unwrap();
        self.permits.recv().unwrap();
        self.engine.commit(changes)
    }

    fn read(&mut self, plugin: &str) -> Result<Saved, EngineError> {
        self.engine.read(plugin)
    }

    fn plugins(&mut self) -> Result<Vec<String>, EngineError> {
        self.engine.plugins()
    }

    fn probe(&mut self) -> Result<(), EngineError> {
        self.engine.probe()
    }

    fn renew(&mut self) -> Result<(), EngineError> {
        self.engine.renew()
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        self.engine.sync()
    }

    fn syncer(&mut self) -> Result<Syncer, EngineError> {
        self.engine.syncer()
    }

    fn begin_backup(&mut self) -> Result<Backup, EngineError> {
        self.engine.begin_backup()
    }

    fn end_backup(&mut self) -> Result<(), EngineError> {
        self.engine.end_backup()
    }
}

/// A handler that refuses a session by the number of subscribers would let too many in otherwise.
#[tokio::test]
async fn the_next_call_of_the_lane_waits_until_a_subscription_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let ((begun, commits), (permits, permitted)) = (mpsc::channel(), mpsc::channel());
    let engine = SqliteEngine::open(folder.path()).unwrap();
    let engine = SlowEngine { engine, begun, permits: permitted };
    let sandbox = sandbox().saved_by(Box::new(engine), |_| StateMode::Written).unwrap();
    let plugin = load(&sandbox, "methods", policy()).await;
    let lanes = plugin.start(1, &[route("presence")]).await.unwrap();
    let lane = lanes.of("t/1");
    let about = request("presence", &[]);
    for comes in [true, false] {
        let mut first = pin!(async {
            if comes {
                lane.on_subscribe(&about).await.unwrap().passage
            } else {
                lane.on_unsubscribe(&about).await.unwrap().passage
            }
        });
        while commits.try_recv().is_err() {
            let ended = tokio::time::timeout(Duration::from_millis(1), &mut first).await;
            assert!(ended.is_err(), "it is not saved");
        }
        let has_begun = AtomicBool::new(false);
        let mut next = pin!(lane.on_call(&about, "[]", "{}", &has_begun));
        assert!(tokio::time::timeout(Duration::ZERO, &mut next).await.is_err());
        assert!(!has_begun.load(Ordering::Relaxed), "the session has not come or gone");
        permits.send(()).unwrap();
        let passage = first.await;
        assert!(tokio::time::timeout(Duration::ZERO, &mut next).await.is_err());
        assert!(!has_begun.load(Ordering::Relaxed), "the effects are not performed");
        drop(passage);
        // It may write as well; its answer does not matter here.
        while tokio::time::timeout(Duration::from_millis(1), &mut next).await.is_err() {
            if commits.try_recv().is_ok() {
                permits.send(()).unwrap();
            }
        }
        assert!(has_begun.load(Ordering::Relaxed));
    }
}
