//! A rate limit for log lines: a token bucket for each place in the code that logs.
//!
//! Any client can cause such a line at any rate: a refused handshake, a closed
//! connection, a handler that fails on their input. Each kind may write [`BURST`] lines at once and
//! then one each [`EVERY`]; the rest is counted, and a summary is written every [`SUMMARY`]. A flood
//! of one kind hides no other. Lines at DEBUG and below are not limited: the operator asked for
//! them. Pure: the time is a parameter.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jackfield_text::Untrusted;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::{DIAGNOSIS, PLUGIN};

/// Lines of a kind that may come at once.
const BURST: u32 = 20;
/// After these, one more may come each …
const EVERY: Duration = Duration::from_secs(1);
/// How often lines that were left out are counted in the log.
pub(super) const SUMMARY: Duration = Duration::from_secs(10);
/// Kinds that are told apart by more than their place in the code.
const MAX_KINDS: usize = 256;
/// Bytes of a line that a summary quotes.
const MAX_QUOTED_BYTES: usize = 200;

/// A place in the code, and the plugin that the line is about: a plugin that fails again and again
/// hides no fault of another.
type Kind = (Identifier, u64);

/// The lines that may still be written, by their kind.
#[derive(Default)]
pub(super) struct RateLimit {
    /// Held for one look-up.
    kinds: Mutex<HashMap<Kind, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// Lines that may pass now.
    left: u32,
    /// Until when those that time has brought are in `left`.
    counted_until: Instant,
    /// Lines left out since the last summary, and the first of them.
    left_out: u64,
    quoted: String,
}

impl Bucket {
    const fn new(now: Instant) -> Self {
        Self { left: BURST, counted_until: now, left_out: 0, quoted: String::new() }
    }

    fn pass(&mut self, now: Instant) -> bool {
        while self.left < BURST && now.saturating_duration_since(self.counted_until) >= EVERY {
            self.counted_until += EVERY;
            self.left += 1;
        }
        if self.left == BURST {
            self.counted_until = now;
        }
        let passes = self.left > 0;
        self.left = self.left.saturating_sub(1);
        passes
    }

    /// Whether forgetting it changes nothing.
    fn is_idle(&self, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.counted_until);
        self.left_out == 0 && idle >= EVERY * BURST
    }
}

impl RateLimit {
    /// Whether a line of this kind may be written now; `quote` is asked for the first that may not.
    fn pass(&self, kind: Kind, now: Instant, quote: impl FnOnce() -> String) -> bool {
        let mut kinds = self.kinds();
        let kind = if kinds.len() < MAX_KINDS || kinds.contains_key(&kind) {
            kind
        } else {
            // The number of places in the code is bounded by the code.
            (kind.0, 0)
        };
        let bucket = kinds.entry(kind).or_insert_with(|| Bucket::new(now));
        if bucket.pass(now) {
            return true;
        }
        if bucket.left_out == 0 {
            bucket.quoted = quote();
        }
        bucket.left_out += 1;
        false
    }

    /// A line for each kind of which lines were left out since the last time.
    pub(super) fn summaries(&self, now: Instant) -> Vec<String> {
        let mut kinds = self.kinds();
        let summary = |bucket: &mut Bucket| {
            let count = std::mem::take(&mut bucket.left_out);
            let quoted = std::mem::take(&mut bucket.quoted);
            let seconds = SUMMARY.as_secs();
            (count > 0).then(|| format!("{count} more of these in the last {seconds} s: {quoted}"))
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

/// Lets those events pass that the limit admits.
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

/// Diagnoses are bounded by the site, lines of plugins by the sandbox.
fn is_exempt(metadata: &Metadata<'_>) -> bool {
    *metadata.level() > Level::INFO || matches!(metadata.target(), DIAGNOSIS | PLUGIN)
}

fn quote(event: &Event<'_>) -> String {
    let mut message = Message::default();
    event.record(&mut message);
    message.0
}

/// What an event is about.
#[derive(Default)]
struct About {
    /// The digest of the plugin's name; 0 where there is none.
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
        assert_eq!(passed, BURST as usize);
        assert!(pass(&b, start, "other"), "a flood of one kind hides no other");
        assert!(pass(&a, start + EVERY, "later"));
        assert!(!pass(&a, start + EVERY, "later"));
        assert_eq!(
            limit.summaries(start + SUMMARY),
            ["4981 more of these in the last 10 s: line 20"]
        );
        assert_eq!(limit.summaries(start + SUMMARY), Vec::<String>::new());
        // Quiet for long, it takes as many as at first, and not more.
        let later = start + EVERY * 1_000;
        assert_eq!((0..100).filter(|_| pass(&a, later, "")).count(), BURST as usize);
    }

    #[test]
    fn a_flood_of_one_plugin_hides_no_other_plugin() {
        let (limit, now, [a, _]) = (RateLimit::default(), Instant::now(), kinds());
        let pass = |plugin: u64| limit.pass((a.clone(), plugin), now, String::new);
        assert_eq!((0..100).filter(|_| pass(1)).count(), BURST as usize);
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
        let _told = limit.summaries(now + EVERY * BURST);
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
        check(&|| tracing::warn!("x"), BURST as usize);
        check(&|| tracing::info!("x"), BURST as usize);
        check(&|| tracing::debug!("x"), 100);
        check(&|| tracing::error!(target: DIAGNOSIS, "x"), 100);
        check(&|| tracing::warn!(target: PLUGIN, plugin = "chat", "x"), 100);
    }
}
