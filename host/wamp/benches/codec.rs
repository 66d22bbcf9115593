//! Benchmarks of messages in every dialect: decoding of PUBLISH and SUBSCRIBE through a session,
//! and encoding of EVENT as in the broker. Run by `make micro`.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::event::Event;
use jackfield_wamp::id::{PublicationId, RequestId, SessionId, SubscriptionId};
use jackfield_wamp::message::{Hello, Message, Publish, PublishOptions, Subscribe};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::{Frame, Input, Protocol, Request, Welcome};
use jackfield_wamp::uri::MatchPolicy;
use jackfield_wamp::value::Dict;

const TOPIC: &str = "acme/chat/lobby";
const SIZES: [usize; 2] = [128, 4096];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    decode_publish(&mut criterion);
    decode_subscribe(&mut criterion);
    encode_event(&mut criterion);
    criterion.final_summary();
}

fn decode_publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode PUBLISH");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for dialect in Dialect::ALL {
            let (mut session, frame) = (session(dialect), publish(dialect, &json(size)));
            group.bench_function(BenchmarkId::new(dialect.subprotocol(), size), |bencher| {
                bencher.iter(|| session.receive(black_box(frame.clone())));
            });
        }
    }
}

fn decode_subscribe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode SUBSCRIBE");
    for dialect in Dialect::ALL {
        let (mut session, frame) = (session(dialect), subscribe(dialect));
        group.bench_function(dialect.subprotocol(), |bencher| {
            bencher.iter(|| session.receive(black_box(frame.clone())));
        });
    }
}

/// Measures arguments that arrived in the same codec, whose bytes are copied, and in another.
fn encode_event(criterion: &mut Criterion) {
    for (name, same) in [("encode EVENT", true), ("encode EVENT from another codec", false)] {
        let mut group = criterion.benchmark_group(name);
        for size in SIZES {
            group.throughput(Throughput::Bytes(size as u64));
            for dialect in Dialect::ALL {
                let other = match dialect.codec() {
                    Codec::Json => Dialect::V2(Codec::Cbor),
                    Codec::MessagePack | Codec::Cbor => Dialect::V2(Codec::Json),
                };
                let payload = arrived(if same { dialect } else { other }, size);
                let event = event(&payload);
                group.bench_function(BenchmarkId::new(dialect.subprotocol(), size), |bencher| {
                    bencher.iter(|| {
                        let mut out = Vec::new();
                        black_box(&event).encode(dialect, &mut out);
                        out
                    });
                });
            }
        }
    }
}

/// Returns a session that accepts requests.
fn session(dialect: Dialect) -> Protocol {
    let mut session = Protocol::new(dialect);
    if let Dialect::V2(codec) = dialect {
        let roles: Dict =
            [("publisher", Dict::new()), ("subscriber", Dict::new())].into_iter().collect();
        let details = [("roles", roles)].into_iter().collect();
        let hello = Message::Hello(Hello { realm: "realm1".to_owned(), details });
        assert!(matches!(session.receive(frame(codec, &hello)), Input::Hello(_)));
    }
    session.welcome(&Welcome {
        verifier: None,
        session: SessionId::new(1 << 50).unwrap(),
        realm: "realm1",
        authid: "ann",
        authrole: "anonymous",
        authmethod: "anonymous",
        agent: "bench",
        retry_max_ms: Some(10_000),
    });
    session
}

/// Returns one argument of about `size` bytes in JSON: a record of small values and a text.
fn json(size: usize) -> String {
    let record = r#"{"id":81273,"from":"Alice","urgent":false,"at":1.5,"text":""}"#;
    let text = "A parcel has arrived. ".repeat(size / 20);
    let text = text.get(..size.saturating_sub(record.len())).unwrap();
    record.replace(r#""text":"""#, &format!(r#""text":"{text}""#))
}

fn publish(dialect: Dialect, argument: &str) -> Frame {
    let Dialect::V2(codec) = dialect else {
        return Frame::Text(format!("[7,\"{TOPIC}\",{argument}]").into());
    };
    let message = Message::Publish(Publish {
        request: RequestId::new(1234).unwrap(),
        options: PublishOptions { acknowledge: true, ..PublishOptions::default() },
        topic: TOPIC.to_owned(),
        payload: Payload::from_json(&format!("[{argument}]"), "{}").unwrap(),
    });
    frame(codec, &message)
}

fn subscribe(dialect: Dialect) -> Frame {
    let Dialect::V2(codec) = dialect else {
        return Frame::Text(format!("[5,\"{TOPIC}\"]").into());
    };
    let message = Message::Subscribe(Subscribe {
        request: RequestId::new(1234).unwrap(),
        policy: MatchPolicy::Exact,
        get_retained: false,
        since: None,
        topic: TOPIC.to_owned(),
    });
    frame(codec, &message)
}

fn frame(codec: Codec, message: &Message) -> Frame {
    let mut bytes = Vec::new();
    message.encode(codec, &mut bytes);
    let bytes = Bytes::from(bytes);
    if codec == Codec::Json { Frame::Text(bytes) } else { Frame::Binary(bytes) }
}

/// Returns a payload as decoded from a frame.
fn arrived(dialect: Dialect, size: usize) -> Payload {
    let input = session(dialect).receive(publish(dialect, &json(size)));
    let Input::Request(Request::Publish(publish)) = input else {
        unreachable!("{input:?} is no publication");
    };
    publish.payload
}

fn event(payload: &Payload) -> Event<'_> {
    Event {
        topic: TOPIC,
        subscription: SubscriptionId::new(7).unwrap(),
        publication: PublicationId::new(1 << 50).unwrap(),
        pattern: false,
        publisher: None,
        replaced: 0,
        offset: 0,
        at: None,
        stream: None,
        retained: false,
        trustlevel: None,
        payload,
    }
}
