//! How long loading and looking up take with many routes:
//! `cargo run --release -p jackfield-routing --example find_speed [ROUTES]`.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a measurement takes the time and prints it"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use jackfield_routing::{NoFiles, RouteTable, SourceFile, load};

const ROUNDS: u32 = 1_000_000;

fn main() -> Result<(), String> {
    let routes: usize = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|error| format!("{text}: {error}"))?,
        None => 10_000,
    };
    let mut text = String::new();
    for n in 0..routes {
        let _ = writeln!(text, "literal{n}: {{ channel: 'acme/literal/{n}', handler: h }}");
        let _ = writeln!(
            text,
            "numbers{n}: {{ channel: 'acme/event{n}/{{user}}/{{org}}', handler: h, \
             requirements: {{ user: '\\d+', org: {{ pattern: '\\d+', wildcard: true }} }} }}"
        );
        let _ = writeln!(text, "late{n}: {{ channel: 'late/{{x}}/{{y}}/{n}', handler: h }}");
        let _ = writeln!(text, "mixed{n}: {{ channel: 'room-{n}-{{x}}.{{y}}', handler: h }}");
    }
    let bytes = text.len();
    let start = Instant::now();
    let file = SourceFile { path: "speed.yml".to_owned(), text };
    let table = load(&[file], &NoFiles).map_err(|problems| format!("{problems:#?}"))?;
    println!("load {} routes ({bytes} bytes): {:?}", table.routes().len(), start.elapsed());
    let last = routes - 1;
    measure(&table, "literal", &format!("acme/literal/{last}"));
    measure(&table, "two numbers", &format!("acme/event{last}/123/45"));
    measure(&table, "two numbers, `*`", &format!("acme/event{last}/123/*"));
    measure(&table, "text after variables", &format!("late/a/b/{last}"));
    measure(&table, "a regex", &format!("room-{last}-a.b"));
    measure(&table, "none, unknown text", "other/topic/1/2");
    measure(&table, "none, a bad number", &format!("acme/event{last}/123/x"));
    Ok(())
}

fn measure(table: &RouteTable, what: &str, topic: &str) {
    let start = Instant::now();
    let mut found = None;
    for _ in 0..ROUNDS {
        found = black_box(table.find(black_box(topic)));
    }
    let each = start.elapsed() / ROUNDS;
    let route = found.map_or("-", |found| found.route.name.as_str());
    println!("{what:22} {each:>10.0?}  {topic} -> {route}");
}
