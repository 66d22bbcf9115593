//! Requests of HTTP that `on-subscribe` waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jackfield_sandbox::{
    CallObserver, CallRecord, FetchRecord, FetchedResponse, Grant, Hook, HookAnswer, HookRequest,
    HttpRequest, HttpResponse, HttpSender, Lanes, PendingResponse, PluginPolicy, PluginVersion,
    RouteConfig, Sandbox, StoreValue, SubscribeVerdict,
};

use crate::stage::{load, policy, request, sandbox};

/// A server that takes its time, and counts its requests.
struct Slow(Duration, AtomicUsize);

impl HttpSender for Slow {
    fn send<'a>(&'a self, plugin: &'a str, request: HttpRequest) -> PendingResponse<'a> {
        assert_eq!((plugin, request.path.as_str()), ("fetching", "/1"));
        Box::pin(async move {
            tokio::time::sleep(self.0).await;
            self.1.fetch_add(1, Ordering::Relaxed);
            let headers = vec![("x-a".to_owned(), b"b".to_vec())];
            Ok(HttpResponse { status: 200, headers, body: b"yes".to_vec() })
        })
    }
}

fn waiting(sandbox: Sandbox, each: Duration) -> (Sandbox, Arc<Slow>) {
    let server = Arc::new(Slow(each, AtomicUsize::new(0)));
    (sandbox.sending_by(Arc::clone(&server) as Arc<_>), server)
}

fn granted() -> PluginPolicy {
    let mut policy = policy();
    policy.limits.deadline = Duration::from_secs(30);
    policy.outgoing.http.allow = vec!["http://127.0.0.1:9".parse().unwrap()];
    policy.grant = Grant { http: true, fetch: true, ..policy.grant };
    policy
}

/// The guest, which asks so many times about a subscription.
async fn started(sandbox: &Sandbox, policy: PluginPolicy, times: usize) -> Lanes {
    let args = format!("{{\"url\":\"http://127.0.0.1:9\",\"times\":{times}}}");
    let route = RouteConfig { args, ..route() };
    load(sandbox, "fetching", policy).await.start(1, &[route]).await.unwrap()
}

fn route() -> RouteConfig {
    RouteConfig { channel: "t/{name}".to_owned(), ..crate::stage::route("fetching") }
}

async fn subscribe(lanes: &Lanes) -> SubscribeVerdict {
    let mut request = request("fetching", &[]);
    request.attributes = &[("name", "1")];
    lanes.of("t/1").on_subscribe(&request).await.unwrap().answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_wait_is_no_cpu_time() {
    let (sandbox, server) = waiting(sandbox(), Duration::from_millis(12));
    let mut policy = granted();
    // A plugin that computed for as long would owe time for a minute, and be refused.
    policy.limits.cpu_percent = 1;
    let lanes = started(&sandbox, policy, 150).await;
    for _ in 0..2 {
        assert_eq!(subscribe(&lanes).await, SubscribeVerdict::Allow);
    }
    assert_eq!(server.1.load(Ordering::Relaxed), 300);
}

/// Keeps the last record.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<Arc<CallRecord>>>);

impl Kept {
    /// The last record.
    pub(crate) fn take(&self) -> Arc<CallRecord> {
        self.0.lock().unwrap().take().unwrap()
    }
}

impl CallObserver for Kept {
    fn wants(&self, _: &PluginVersion, _: Hook, _: &HookRequest<'_>) -> bool {
        true
    }

    fn observe(&self, record: &Arc<CallRecord>) {
        *self.0.lock().unwrap() = Some(Arc::clone(record));
    }
}

#[tokio::test]
async fn a_replay_has_the_recorded_answers_and_asks_no_server() {
    let (sandbox, server) = waiting(sandbox(), Duration::ZERO);
    let kept = Arc::new(Kept::default());
    let _observation = sandbox.observers().observe(Arc::clone(&kept) as Arc<_>);
    let lanes = started(&sandbox, granted(), 2).await;
    assert_eq!(subscribe(&lanes).await, SubscribeVerdict::Allow);
    let record = kept.take();
    let response = FetchRecord::Response(FetchedResponse {
        status: 200,
        headers: vec![("x-a".to_owned(), StoreValue(b"b".to_vec()))],
        body: StoreValue(b"yes".to_vec()),
    });
    let answer = ("GET http://127.0.0.1:9".to_owned(), response);
    assert_eq!(record.answers.fetched, [answer.clone(), answer]);

    let replayed = lanes.replay(&record, b"").await;
    assert_eq!((&replayed.outcome, &replayed.unrecorded), (&record.outcome, &vec![]));
    let mut without = CallRecord::clone(&record);
    without.answers.fetched.clear();
    let replayed = lanes.replay(&without, b"").await;
    assert!(matches!(replayed.outcome.answer, HookAnswer::Deny(_)), "{replayed:?}");
    assert_eq!(replayed.unrecorded, ["the answer to GET http://127.0.0.1:9"]);
    assert_eq!(server.1.load(Ordering::Relaxed), 2);
}
