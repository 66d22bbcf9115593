//! Output of plugins: it reaches the operator's log with its source, up to a rate limit.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

use crate::stage::{hostile, policy, publish, sandbox};

/// Collects the lines of the current thread: `LEVEL message {plugin handler topic}`.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

struct Line {
    message: String,
    fields: Vec<String>,
}

impl Lines {
    pub(crate) fn collect() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let guard = tracing::subscriber::set_default(lines.clone());
        (lines, guard)
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "jackfield::plugin"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line { message: String::new(), fields: Vec::new() };
        event.record(&mut line);
        let fields = line.fields.join(" ");
        let text = format!("{} {} {{{fields}}}", event.metadata().level(), line.message);
        self.0.lock().unwrap().push(text);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Visit for Line {
    fn record_str(&mut self, _field: &Field, value: &str) {
        self.fields.push(value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            write!(self.message, "{value:?}").unwrap();
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn logs_stdout_and_stderr() {
    let lanes = hostile(&sandbox(), policy(), &["print"]).await;
    let (log, _guard) = Lines::collect();
    publish(lanes.of("t/1"), "print", "{}").await.unwrap();
    let place = "{hostile print t/1}";
    let expected = [format!("INFO to stdout {place}"), format!("WARN to stderr {place}")];
    assert_eq!(log.take(), expected);
}

#[tokio::test(flavor = "current_thread")]
async fn names_handler_and_topic_of_a_large_event() {
    let lanes = hostile(&sandbox(), policy(), &["print"]).await;
    let (log, _guard) = Lines::collect();
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(200_000));
    publish(lanes.of("t/1"), "print", &large).await.unwrap();
    let log = log.take();
    assert!(log.iter().all(|line| line.ends_with("{hostile print t/1}")), "{log:?}");
    assert_eq!(log.len(), 2);
}

/// The message of a panic is part of the fault, which is one line of the host's.
#[tokio::test(flavor = "current_thread")]
async fn a_panic_writes_no_extra_lines() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    let (log, _guard) = Lines::collect();
    let fault = publish(lanes.of("t/1"), "trap", "{}").await.unwrap_err();
    assert_eq!(log.take(), Vec::<String>::new());
    let said = fault.to_string();
    assert!(said.contains(" (panicked at hostile/src/lib.rs:"), "{said}");
    assert!(said.ends_with(": this is what I do)"), "{said}");
    assert!(!said.contains("RUST_BACKTRACE"), "{said}");
}

#[tokio::test(flavor = "current_thread")]
async fn limits_a_flood_and_says_so() {
    let mut policy = policy();
    policy.limits.deadline = std::time::Duration::from_secs(20);
    let lanes = hostile(&sandbox(), policy, &["flood_log"]).await;
    let (log, _guard) = Lines::collect();
    publish(lanes.of("t/1"), "flood_log", "{}").await.unwrap();
    let found = log.take();
    assert_eq!(found[0], "INFO line 0 {hostile flood_log t/1}");
    // A burst of 1 000, and 100 a second for as long as it took.
    assert!((1_001..5_000).contains(&found.len()), "{} lines", found.len());
    let last = found.last().unwrap();
    assert!(last.starts_with("WARN ") && last.contains("log lines suppressed"), "{last}");
}

#[tokio::test(flavor = "current_thread")]
async fn truncates_a_long_line() {
    let lanes = hostile(&sandbox(), policy(), &["long_log"]).await;
    let (log, _guard) = Lines::collect();
    publish(lanes.of("t/1"), "long_log", "{}").await.unwrap();
    let [line] = &log.take()[..] else { panic!("one line") };
    assert!(line.len() < 5_000, "{} bytes", line.len());
    assert!(line.ends_with("(995904 more bytes left out) {hostile long_log t/1}"), "{line}");
}
