//! A rate limit for log lines: a token bucket for each place in the code that logs.
//!
//! Clients can cause log lines at any rate: a rejected handshake, a closed connection, a handler
//! that fails on their input. Each kind of line may write [`MAX_BURST_LINES`] at once, and then
//! [`MAX_LINES_PER_SECOND`]. The rest is counted and summarized every [`SUMMARY_INTERVAL`]. A flood of
//! one kind hides no other. Lines at DEBUG and below are not limited, as the operator has enabled them.
//! Pure: the time is a parameter.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jackfield_metrics::TokenBucket;
use jackfield_text::Untrusted;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::{AUDIT, DIAGNOSIS, PLUGIN};

/// The size of a bucket: the lines of a kind that may be written at once.
const MAX_BURST_LINES: u32 = 20;
/// The lines of a kind that may be written a second after that.
const MAX_LINES_PER_SECOND: u32 = 1;
/// The interval of summaries of suppressed lines.
pub(super) const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);
/// The maximum number of kinds; above it, plugins share the bucket of a place in the code.
const MAX_KINDS: usize = 256;
/// The maximum size of the line that a summary quotes.
const MAX_QUOTED_BYTES: usize = 200;

/// A place in the code, and a hash of the plugin that the line is about, so that a plugin which
/// fails repeatedly does not hide the failures of another.
type Kind = (Identifier, u64);

/// The buckets, by kind.
#[derive(Default)]
pub(super) struct RateLimit {
    /// Held for one look-up.
    kinds: Mutex<HashMap<Kind, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    lines: TokenBucket,
    /// Lines suppressed since the last summary, and the first of them.
    suppressed: u64,
    quoted: String,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        let lines = TokenBucket::full(MAX_LINES_PER_SECOND, MAX_BURST_LINES, now);
        Self { lines, suppressed: 0, quoted: String::new() }
    }

    /// Returns whether the bucket is full and has nothing to report, so that it can be removed.
    fn is_idle(&self, now: Instant) -> bool {
        self.suppressed == 0 && self.lines.is_full(now)
    }
}

impl RateLimit {
    /// Returns whether a line of this kind may be written now; `quote` returns the first suppressed
    /// line.
    fn pass(&self, kind: Kind, now: Instant, quote: impl FnOnce() -> String) -> bool {
        let mut kinds = self.kinds();
        let kind = if kinds.len() < MAX_KINDS || kinds.contains_key(&kind) {
            kind
        } else {
            // The number of places in the code is bounded by the code.
            (kind.0, 0)
        };
        let bucket = kinds.entry(kind).or_insert_with(|| Bucket::new(now));
        if bucket.lines.take(now) {
            return true;
        }
        if bucket.suppressed == 0 {
            bucket.quoted = quote();
        }
        bucket.suppressed += 1;
        false
    }

    /// Returns a summary for each kind with suppressed lines since the last summary.
    pub(super) fn summaries(&self, now: Instant) -> Vec<String> {
        let mut kinds = self.kinds();
        let summary = |bucket: &mut Bucket| {
            let count = std::mem::take(&mut bucket.suppressed);
            let quoted = std::mem::take(&mut bucket.quoted);
            let seconds = SUMMARY_INTERVAL.as_secs();
            (count > 0).then(|| {
                format!("{count} similar lines suppressed in the last {seconds} s: {quoted}")
            })
        };
        let summaries = kinds.values_mut().filter_map(summary).collect();
        kinds.retain(|_, bucket| !bucket.is_idle(now));
        summaries
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<Kind, Bucket>> {
        // Counters are consistent between any two steps.
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rate limit as a layer of `tracing`.
pub(super) struct Filter(pub(super) Arc<RateLimit>);

impl<S: Subscriber> Layer<S> for Filter {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if is_exempt(metadata) {
            return true;
        }
        let mut about = About::default();
        event.record(&mut about);
        let kind = (metadata.callsite(), about.plugin);
        self.0.pass(kind, Instant::now(), || quote(event))
    }
}

/// Returns whether an event is not limited here: the site bounds diagnoses, the sandbox bounds
/// lines of plugins, and the control channel bounds its requests.
fn is_exempt(metadata: &Metadata<'_>) -> bool {
    *metadata.level() > Level::INFO || matches!(metadata.target(), AUDIT | DIAGNOSIS | PLUGIN)
}

fn quote(event: &Event<'_>) -> String {
    let mut message = Message::default();
    event.record(&mut message);
    message.0
}

/// The subject of an event.
#[derive(Default)]
struct About {
    /// The hash of the plugin's name; 0 without a plugin.
    plugin: u64,
}

impl Visit for About {
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

    fn record_str(&mut self, field: &Field, text: &str) {
        if field.name() == "plugin" {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            self.plugin = hasher.finish();
        }
    }
}

/// The message of an event.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, debug: &dyn fmt::Debug) {
        if field.name() == "message" {
            let message = format_args!("{debug:?}");
            self.0 = Untrusted::new(message).at_most(MAX_QUOTED_BYTES).to_string();
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The time in which a bucket gains one line.
    const REFILL_INTERVAL: Duration = Duration::from_secs(1);

    /// Two places in the code that log.
    fn kinds() -> [Identifier; 2] {
        struct Seen(Arc<Mutex<Vec<Identifier>>>);
        impl<S: Subscriber> Layer<S> for Seen {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                self.0.lock().unwrap().push(event.metadata().callsite());
            }
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Seen(Arc::clone(&seen)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!("a");
            tracing::warn!("b");
        });
        let seen = seen.lock().unwrap().clone();
        seen.try_into().unwrap()
    }

    #[test]
    fn reduces_a_flood_to_a_line_a_second_and_a_summary() {
        let (limit, start, [a, b]) = (RateLimit::default(), Instant::now(), kinds());
        let pass = |kind: &Identifier, at: Instant, text: &str| {
            limit.pass((kind.clone(), 0), at, || text.to_owned())
        };
        let passed = (0..5_000).filter(|n| pass(&a, start, &format!("line {n}"))).count();
        assert_eq!(passed, MAX_BURST_LINES as usize);
        assert!(pass(&b, start, "other"), "a flood of one kind hides no other");
        assert!(pass(&a, start + REFILL_INTERVAL, "later"));
        assert!(!pass(&a, start + REFILL_INTERVAL, "later"));
        assert_eq!(
            limit.summaries(start + SUMMARY_INTERVAL),
            ["4981 similar lines suppressed in the last 10 s: line 20"]
        );
        assert_eq!(limit.summaries(start + SUMMARY_INTERVAL), Vec::<String>::new());
        // After a long quiet time the bucket is full, and not more than full.
        let later = start + REFILL_INTERVAL * 1_000;
        assert_eq!((0..100).filter(|_| pass(&a, later, "")).count(), MAX_BURST_LINES as usize);
    }

    #[test]
    fn a_flood_of_one_plugin_hides_no_other_plugin() {
        let (limit, now, [a, _]) = (RateLimit::default(), Instant::now(), kinds());
        let pass = |plugin: u64| limit.pass((a.clone(), plugin), now, String::new);
        assert_eq!((0..100).filter(|_| pass(1)).count(), MAX_BURST_LINES as usize);
        assert!(pass(2));
    }

    #[test]
    fn memory_is_bounded() {
        let (limit, now, [a, b]) = (RateLimit::default(), Instant::now(), kinds());
        for plugin in 0..10_000 {
            let _passed = limit.pass((a.clone(), plugin), now, String::new);
            let _passed = limit.pass((b.clone(), plugin), now, String::new);
        }
        assert!(limit.kinds().len() <= MAX_KINDS + 2);
        let _told = limit.summaries(now);
        let _told = limit.summaries(now + REFILL_INTERVAL * MAX_BURST_LINES);
        assert_eq!(limit.kinds().len(), 0);
    }

    #[test]
    fn limits_events_by_their_callsite() {
        #[derive(Clone, Default)]
        struct Count(Arc<Mutex<usize>>);
        impl<S: Subscriber> Layer<S> for Count {
            fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
                *self.0.lock().unwrap() += 1;
            }
        }
        let check = |log: &dyn Fn(), expect: usize| {
            let count = Count::default();
            let filter = Filter(Arc::new(RateLimit::default()));
            let subscriber = tracing_subscriber::registry().with(filter).with(count.clone());
            tracing::subscriber::with_default(subscriber, || (0..100).for_each(|_| log()));
            assert_eq!(*count.0.lock().unwrap(), expect);
        };
        check(&|| tracing::warn!("x"), MAX_BURST_LINES as usize);
        check(&|| tracing::info!("x"), MAX_BURST_LINES as usize);
        check(&|| tracing::debug!("x"), 100);
        check(&|| tracing::error!(target: DIAGNOSIS, "x"), 100);
        check(&|| tracing::info!(target: AUDIT, "x"), 100);
        check(&|| tracing::warn!(target: PLUGIN, plugin = "chat", "x"), 100);
    }
}
