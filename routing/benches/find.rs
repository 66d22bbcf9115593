//! Benchmarks of finding the route of a topic, and of building a table from the text of a routing
//! file. `make micro`.

#![expect(clippy::panic, reason = "a measurement that cannot go on stops")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use jackfield_routing::{NoFiles, RouteTable, SourceFile, load};

/// A kind of channel, and a topic that the last route of many takes; `N` is the route's number.
struct Kind {
    name: &'static str,
    entry: &'static str,
    topic: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "a literal",
        entry: "{ channel: 'acme/literal/N', handler: h }",
        topic: "acme/literal/N",
    },
    Kind {
        name: "two numbers",
        entry: "{ channel: 'acme/eventN/{user}/{org}', handler: h, \
                requirements: { user: '\\d+', org: '\\d+' } }",
        topic: "acme/eventN/123/45",
    },
    Kind {
        name: "text behind variables",
        entry: "{ channel: 'late/{x}/{y}/N', handler: h }",
        topic: "late/a/b/N",
    },
    Kind {
        name: "variables within a segment",
        entry: "{ channel: 'room-N-{x}.{y}', handler: h }",
        topic: "room-N-a.b",
    },
];
const COUNTS: [usize; 3] = [1, 100, 10_000];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    find(&mut criterion);
    compile(&mut criterion);
    criterion.final_summary();
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for kind in &KINDS {
        for count in COUNTS {
            let table = table(&text(&[kind], count));
            let topic = numbered(kind.topic, count - 1);
            assert!(table.find(&topic).is_some(), "no route takes {topic}");
            group.bench_function(BenchmarkId::new(kind.name, count), |bencher| {
                bencher.iter(|| table.find(black_box(&topic)).map(|found| found.index));
            });
        }
    }
    for count in COUNTS {
        let table = table(&text(&KINDS.each_ref(), count));
        group.bench_function(BenchmarkId::new("none", count), |bencher| {
            bencher.iter(|| table.find(black_box("other/topic/1/2")).map(|found| found.index));
        });
    }
}

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    // Of the larger one few fit into the time.
    group.sample_size(20);
    for count in [25, 250] {
        let text = text(&KINDS.each_ref(), count);
        let routes = count * KINDS.len();
        group.throughput(Throughput::Elements(routes as u64));
        group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
            bencher.iter(|| table(black_box(&text)));
        });
    }
}

/// A routing file with so many routes of each kind.
fn text(kinds: &[&Kind], count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        for (index, kind) in kinds.iter().enumerate() {
            let entry = numbered(kind.entry, number);
            // Writing into a text cannot fail.
            let _infallible = writeln!(text, "route{index}.{number}: {entry}");
        }
    }
    text
}

fn table(text: &str) -> RouteTable {
    let file = SourceFile { path: "bench.yml".to_owned(), text: text.to_owned() };
    load(&[file], &NoFiles).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn numbered(text: &str, number: usize) -> String {
    text.replace('N', &number.to_string())
}
