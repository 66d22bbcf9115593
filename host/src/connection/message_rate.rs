//! Rate limit of a session's messages and bytes: two token buckets, refilled lazily.
//!
//! Each message takes its tokens; only when they are used up, the clock is read and the buckets are
//! refilled. A session that stays above its rate is read at the rate, then its requests are refused,
//! then it is closed. [`super::throttle`] does the waiting.

use std::time::Duration;

use jackfield_config::Limits;
use tokio::time::Instant;

/// The parts of a token: a refill adds fractions of one.
const PARTS: i64 = 1_000_000;

/// The time for which a pause lasts longer than the needed tokens take, so that a session above its
/// rate sets at most 20 timers a second.
const PAUSE: Duration = Duration::from_millis(50);

/// A pause up to this length closes no session, however short the time of grace is.
const MIN_LAST_PAUSE: Duration = Duration::from_secs(5);

/// The shortest time after which a session whose requests are refused is measured again.
const WINDOW: Duration = Duration::from_millis(250);

/// The tokens of a session. The rates are in [`Limits`].
#[derive(Debug)]
pub(super) struct MessageRate {
    messages: Bucket,
    bytes: Bucket,
    /// The last refill; in the future during a pause, whose tokens are given in advance.
    refilled: Instant,
    /// The begin of the time above the rate.
    over_since: Option<Instant>,
    /// Whether requests are refused.
    is_refusing: bool,
    is_exempt: bool,
}

/// A token bucket, in parts of tokens.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Below zero by the cost of the last message at most.
    tokens: i64,
    /// `tokens` after the last refill.
    level: i64,
}

/// The rate of a bucket: tokens a second, and parts of tokens at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BucketRate {
    per_second: i64,
    burst: i64,
}

/// The action towards a session without tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// There are tokens again.
    None,
    /// Wait, then handle the message.
    Delay(Duration),
    /// Wait, if there is need to, then refuse the message.
    Refuse(Option<Duration>),
    /// Close the connection.
    Close,
}

impl MessageRate {
    /// Creates full buckets.
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        let [messages, bytes] = rates(limits).map(Bucket::full);
        let (over_since, is_refusing, is_exempt) = (None, false, false);
        Self { messages, bytes, refilled: now, over_since, is_refusing, is_exempt }
    }

    /// Lets the session send as much as it can.
    pub(super) fn exempt(&mut self) {
        (self.messages, self.bytes) = (Bucket::full(None), Bucket::full(None));
        (self.is_exempt, self.is_refusing) = (true, false);
    }

    /// Follows changed rates: a bucket keeps its missing tokens, and begins full if it had no rate.
    pub(super) fn follow(&mut self, before: &Limits, limits: &Limits) {
        if self.is_exempt || rates(before) == rates(limits) {
            return;
        }
        let [messages, bytes] = rates(limits);
        let [messages_before, bytes_before] = rates(before);
        self.messages.follow(messages_before, messages);
        self.bytes.follow(bytes_before, bytes);
        (self.over_since, self.is_refusing) = (None, false);
    }

    /// Takes the tokens of a message. Returns whether it can be handled at once; otherwise
    /// [`Self::excess`] decides.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.messages.tokens = self.messages.tokens.saturating_sub(PARTS);
        self.bytes.tokens = self.bytes.tokens.saturating_sub(bytes.saturating_mul(PARTS));
        self.has_tokens() && !self.is_refusing
    }

    const fn has_tokens(&self) -> bool {
        self.messages.tokens >= 0 && self.bytes.tokens >= 0
    }

    /// Refills the buckets, and decides about the message whose tokens were taken last.
    #[cold]
    pub(super) fn excess(&mut self, limits: &Limits, now: Instant) -> Excess {
        if self.is_exempt {
            self.exempt();
            return Excess::None;
        }
        let elapsed = now.saturating_duration_since(self.refilled);
        if self.has_tokens() && elapsed < WINDOW {
            return Excess::Refuse(None);
        }
        let [of_messages, of_bytes] = rates(limits);
        if self.messages.is_calm(of_messages, elapsed) && self.bytes.is_calm(of_bytes, elapsed) {
            (self.over_since, self.is_refusing) = (None, false);
        }
        self.refill(limits, elapsed);
        self.refilled = now;
        let missing = self.messages.missing(of_messages).max(self.bytes.missing(of_bytes));
        let wait = (!missing.is_zero()).then(|| missing + pause([of_messages, of_bytes]));
        if let Some(wait) = wait {
            self.refill(limits, wait);
            self.refilled = now + wait;
            self.over_since.get_or_insert(now);
        }
        let over = self.over_since.map_or(Duration::ZERO, |it| now.saturating_duration_since(it));
        let max = limits.rate_grace.saturating_mul(2);
        // A pause for a message that is larger than the burst could last for hours.
        if over >= max || wait.is_some_and(|wait| wait > max.max(MIN_LAST_PAUSE)) {
            return Excess::Close;
        }
        self.is_refusing = over >= limits.rate_grace;
        match wait {
            _ if self.is_refusing => Excess::Refuse(wait),
            Some(wait) => Excess::Delay(wait),
            None => Excess::None,
        }
    }

    fn refill(&mut self, limits: &Limits, time: Duration) {
        let [of_messages, of_bytes] = rates(limits);
        self.messages.refill(of_messages, time);
        self.bytes.refill(of_bytes, time);
    }
}

impl Bucket {
    fn full(rate: Option<BucketRate>) -> Self {
        let tokens = rate.map_or(i64::MAX, |rate| rate.burst);
        Self { tokens, level: tokens }
    }

    /// Changes the size of the bucket.
    fn follow(&mut self, before: Option<BucketRate>, rate: Option<BucketRate>) {
        let full = Self::full(rate);
        self.tokens = match (before, rate) {
            (Some(_), Some(rate)) => self.tokens.min(rate.burst),
            (None, _) | (_, None) => full.tokens,
        };
        self.level = self.tokens;
    }

    fn refill(&mut self, rate: Option<BucketRate>, time: Duration) {
        self.tokens = match rate {
            Some(rate) => self.tokens.saturating_add(rate.parts(time)).min(rate.burst),
            None => i64::MAX,
        };
        self.level = self.tokens;
    }

    /// Returns the time until the bucket is not below zero.
    fn missing(self, rate: Option<BucketRate>) -> Duration {
        let per_second = rate.map_or(1, |rate| rate.per_second.max(1)).unsigned_abs();
        Duration::from_micros(self.tokens.min(0).unsigned_abs().div_ceil(per_second))
    }

    /// Returns whether the session has taken at most half of its rate since the last refill.
    fn is_calm(self, rate: Option<BucketRate>, elapsed: Duration) -> bool {
        let taken = self.level.saturating_sub(self.tokens);
        rate.is_none_or(|rate| rate.parts(elapsed) / 2 >= taken)
    }
}

impl BucketRate {
    /// The parts of tokens of a time: one part a microsecond at one token a second.
    fn parts(self, time: Duration) -> i64 {
        let time = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        time.saturating_mul(self.per_second)
    }
}

/// Returns the time for which a pause lasts longer than it must: never longer than the buckets have
/// room for its tokens.
fn pause(rates: [Option<BucketRate>; 2]) -> Duration {
    let room = |rate: BucketRate| {
        let parts = (rate.burst - PARTS).max(0).unsigned_abs();
        Duration::from_micros(parts / rate.per_second.max(1).unsigned_abs())
    };
    rates.into_iter().flatten().map(room).fold(PAUSE, Duration::min)
}

/// The rates of messages and of bytes.
fn rates(limits: &Limits) -> [Option<BucketRate>; 2] {
    let parts = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let rate = |per_second: u64, burst: u64| BucketRate {
        per_second: parts(per_second),
        burst: parts(burst).saturating_mul(PARTS),
    };
    [
        limits.message_rate.map(|it| rate(it.per_second.get().into(), it.burst.get().into())),
        limits.byte_rate.map(|it| rate(it.per_second as u64, it.burst as u64)),
    ]
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use jackfield_config::{ByteRate, Rate};

    use super::*;

    fn limits(per_second: u32, burst: u32) -> Limits {
        let count = |count| NonZeroU32::new(count).unwrap();
        Limits {
            message_rate: Some(Rate { per_second: count(per_second), burst: count(burst) }),
            byte_rate: None,
            rate_grace: Duration::from_secs(1),
            ..Limits::default()
        }
    }

    /// Sends messages as fast as the server reads for a time. Returns the number of handled ones, and
    /// that of refused ones.
    fn flood(
        rate: &mut MessageRate,
        limits: &Limits,
        now: &mut Instant,
        time: Duration,
    ) -> (u32, u32) {
        let (mut handled, mut refused) = (0, 0);
        let end = *now + time;
        while *now < end {
            if rate.take(10) {
                handled += 1;
                continue;
            }
            match rate.excess(limits, *now) {
                Excess::None => handled += 1,
                Excess::Delay(wait) => {
                    *now += wait;
                    handled += 1;
                }
                Excess::Refuse(wait) => {
                    *now += wait.unwrap_or_default();
                    refused += 1;
                }
                Excess::Close => break,
            }
        }
        (handled, refused)
    }

    #[test]
    fn a_flood_is_read_at_the_rate_then_refused_then_closed() {
        let (limits, start) = (limits(100, 20), Instant::now());
        let (mut rate, mut now) = (MessageRate::new(&limits, start), start);
        let (handled, refused) = flood(&mut rate, &limits, &mut now, Duration::from_mins(1));
        assert!((110..=130).contains(&handled), "{handled}: the burst and a second");
        assert!((80..=110).contains(&refused), "{refused}: another second");
        let took = now - start;
        assert!((2_000..2_200).contains(&took.as_millis()), "{took:?}");
    }

    #[test]
    fn a_session_below_its_rate_is_never_delayed() {
        let (limits, start) = (limits(100, 20), Instant::now());
        let mut rate = MessageRate::new(&limits, start);
        for number in 0..10_000 {
            let now = start + Duration::from_millis(11) * number;
            assert!(rate.take(10) || rate.excess(&limits, now) == Excess::None, "{number}");
        }
    }

    #[test]
    fn a_session_that_goes_below_its_rate_begins_anew() {
        let (limits, start) = (limits(100, 20), Instant::now());
        let (mut rate, mut now) = (MessageRate::new(&limits, start), start);
        let (_, refused) = flood(&mut rate, &limits, &mut now, Duration::from_millis(1_300));
        assert!(refused > 0);
        // One message is not enough to be measured by.
        assert!(!rate.take(10));
        assert!(matches!(rate.excess(&limits, now), Excess::Refuse(_)));
        now += Duration::from_millis(500);
        assert!(!rate.take(10));
        assert_eq!(rate.excess(&limits, now), Excess::None);
        let (handled, refused) = flood(&mut rate, &limits, &mut now, Duration::from_millis(500));
        assert!(handled > 50 && refused == 0, "{handled} {refused}");
    }

    #[test]
    fn a_long_message_waits_for_its_bytes() {
        let byte_rate = Some(ByteRate { per_second: 1_000, burst: 500 });
        let limits = Limits { byte_rate, message_rate: None, ..Limits::default() };
        let now = Instant::now();
        let mut rate = MessageRate::new(&limits, now);
        assert!(rate.take(500));
        assert!(!rate.take(2_000));
        let wait = Duration::from_secs(2) + PAUSE;
        assert_eq!(rate.excess(&limits, now), Excess::Delay(wait));
        // The tokens of the pause are there.
        assert!(rate.take(50));
        assert!(!rate.take(50));
    }

    #[test]
    fn a_message_that_would_wait_for_hours_closes_the_session() {
        let byte_rate = Some(ByteRate { per_second: 1_000, burst: 500 });
        let rate_grace = Duration::from_secs(10);
        let limits = Limits { byte_rate, message_rate: None, rate_grace, ..Limits::default() };
        let now = Instant::now();
        let excess = |bytes| {
            let mut rate = MessageRate::new(&limits, now);
            assert!(!rate.take(bytes));
            rate.excess(&limits, now)
        };
        // Twice the time of grace is 20 s.
        assert!(matches!(excess(20_000), Excess::Delay(_)));
        assert_eq!(excess(21_000), Excess::Close);
        assert_eq!(excess(16 << 20), Excess::Close);
    }

    #[test]
    fn a_changed_rate_counts_from_the_next_message_on() {
        let (wide, narrow) = (limits(1_000, 1_000), limits(10, 5));
        let (mut rate, mut now) = (MessageRate::new(&wide, Instant::now()), Instant::now());
        assert!((0..100).all(|_| rate.take(10)));
        rate.follow(&wide, &narrow);
        let (handled, _) = flood(&mut rate, &narrow, &mut now, Duration::from_secs(1));
        assert!((5..=20).contains(&handled), "{handled}");
        let none = Limits { message_rate: None, ..narrow };
        rate.follow(&narrow, &none);
        assert!((0..100_000).all(|_| rate.take(10)));
        rate.follow(&none, &narrow);
        assert_eq!((0..100).take_while(|_| rate.take(10)).count(), 5);
        let mut exempt = MessageRate::new(&wide, now);
        exempt.exempt();
        exempt.follow(&wide, &narrow);
        assert!((0..100_000).all(|_| exempt.take(10)));
    }

    #[test]
    fn without_rates_no_message_waits() {
        let limits = Limits { message_rate: None, byte_rate: None, ..Limits::default() };
        let now = Instant::now();
        let mut rate = MessageRate::new(&limits, now);
        let mut exempt = MessageRate::new(&Limits::default(), now);
        exempt.exempt();
        for rate in [&mut rate, &mut exempt] {
            for _ in 0..100_000 {
                assert!(rate.take(1 << 20));
            }
        }
    }
}
