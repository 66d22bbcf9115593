//! Benchmarks of the broker without sockets: one publication to many sessions, and subscribing and
//! unsubscribing. Run by `make micro`.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

use std::hint::black_box;
use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use jackfield_broker::{
    Bounds, Features, Framing, Identity, Outbox, Overflow, PatternAudience, PendingFlushes,
    Publication, Realm, RealmLimits, Session, Transport,
};
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::id::{PublicationId, SessionId};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::uri::MatchPolicy;

const LIMITS: RealmLimits = RealmLimits {
    subscriptions: 1000,
    patterns: 1000,
    realm_subscriptions: 1_000_000,
    topics: 1_000_000,
    client_percent: 100,
};
const TOPIC: &str = "acme/chat/lobby";

/// A transport that discards all frames.
struct Nowhere(Arc<Outbox>);

impl Transport for Nowhere {
    fn flush(&self) {
        self.0
            .drain(|slices| Ok(slices.iter().map(|slice: &IoSlice<'_>| slice.len()).sum()))
            .unwrap();
    }

    fn interrupt(&self) {}
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    publish(&mut criterion);
    subscribe(&mut criterion);
    criterion.final_summary();
}

/// Measures a publication with its flush, as for a publication that arrives alone.
fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    let argument = format!("[\"{}\"]", "x".repeat(128));
    let payload = Payload::from_json(&argument, "{}").unwrap();
    for count in [1, 100, 1000] {
        let realm = realm();
        for id in 1..=count {
            join(&realm, id);
            let subscribed = realm.subscribe(
                SessionId::new(id).unwrap(),
                TOPIC,
                MatchPolicy::Exact,
                None,
                &mut PendingFlushes::default(),
                |_| None,
            );
            subscribed.unwrap();
        }
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let mut batch = PendingFlushes::default();
            bencher.iter(|| {
                let report = realm.publish(black_box(&publication(&payload)), &mut batch).unwrap();
                batch.flush();
                assert_eq!(report.delivered as u64, count, "every event is accepted");
                report
            });
        });
    }
}

/// Measures a subscription and its end, both acknowledged, in a realm with a thousand subscribers.
fn subscribe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("subscribe and unsubscribe");
    for policy in [MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard] {
        let realm = realm();
        for id in 1..=1000 {
            join(&realm, id);
            let topic = format!("acme.chat.{id}");
            let mut batch = PendingFlushes::default();
            let id = SessionId::new(id).unwrap();
            realm.subscribe(id, &topic, policy, None, &mut batch, |_| None).unwrap();
        }
        let id = SessionId::new(500).unwrap();
        group.bench_function(format!("{policy:?}"), |bencher| {
            let mut batch = PendingFlushes::default();
            let frame = || Some(Bytes::from_static(b"acknowledged"));
            bencher.iter(|| {
                let topic = black_box("acme.room.lobby");
                let subscribed = realm.subscribe(id, topic, policy, None, &mut batch, |_| frame());
                let subscription = subscribed.unwrap().id;
                batch.flush();
                let topic = realm.unsubscribe(id, subscription, &mut batch, frame()).unwrap();
                batch.flush();
                topic
            });
        });
    }
}

/// Returns a realm whose transport writes a header before each message, as WebSocket does.
fn realm() -> Realm {
    let finish = |_, message: Vec<u8>| Bytes::from(message).slice(6..);
    let framing = Framing { headroom: 10, max_bytes: 1 << 20, finish, compress: |_| None };
    Realm::new("realm1".to_owned(), framing, LIMITS, &Arc::default())
}

fn join(realm: &Realm, id: u64) {
    let bounds = Bounds { bytes: 1 << 20, frames: 4096, overflow: Overflow::Disconnect };
    let outbox = Arc::new(Outbox::new(bounds));
    let link = Arc::new(Nowhere(Arc::clone(&outbox)));
    let identity = Identity::anonymous(format!("user{id}"), Ipv4Addr::LOCALHOST.into());
    let dialect = Dialect::V2(Codec::Json);
    let id = SessionId::new(id).unwrap();
    let session = Session::new(id, identity, dialect, Features::default(), outbox, link);
    realm.join(&Arc::new(session));
}

fn publication(payload: &Payload) -> Publication<'_> {
    Publication {
        topic: TOPIC,
        id: PublicationId::new(1 << 50).unwrap(),
        client: None,
        disclosed: None,
        except: None,
        filter: None,
        narrowed: None,
        patterns: PatternAudience::Everybody,
        overflow: None,
        recording: None,
        retain: None,
        trustlevel: None,
        source: jackfield_broker::EventSource::Here,
        payload,
    }
}
