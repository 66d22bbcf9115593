//! A span of time as an operator writes it: `100ms`, `30s`, `2m`, `1h`, or a number of seconds.
//!
//! The form is that of the server's own settings, whose file these settings are a part of.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::{Serialize, Serializer};

/// As units of milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("", 1_000), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
/// Longer is a mistake, and sums of such spans stay far from overflowing.
const MAX_DURATION: Duration = Duration::from_hours(24 * 365);

/// At most a year. Zero where a setting can be switched off by it; [`AuthDuration::is_zero`] says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuthDuration(Duration);

impl AuthDuration {
    /// So many seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self(Duration::from_secs(seconds as u64))
    }

    /// So many thousandths of a second.
    pub const fn millis(millis: u32) -> Self {
        Self(Duration::from_millis(millis as u64))
    }

    /// As the standard library has it.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether what it is for is switched off.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl fmt::Display for AuthDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1_000) {
            write!(f, "{}s", millis / 1_000)
        } else {
            write!(f, "{millis}ms")
        }
    }
}

impl Serialize for AuthDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AuthDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = AuthDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time, such as 100ms, 30s, 2m or 1h")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<AuthDuration, E> {
        let span = check(Duration::from_secs(value));
        span.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<AuthDuration, E> {
        let span = Duration::try_from_secs_f64(value).ok().and_then(check);
        span.ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<AuthDuration, E> {
        parse(value).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

fn parse(text: &str) -> Option<AuthDuration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    check(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*factor)?))
}

fn check(span: Duration) -> Option<AuthDuration> {
    (span <= MAX_DURATION).then_some(AuthDuration(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_units() {
        let check =
            |text: &str, expect: Option<AuthDuration>| assert_eq!(parse(text), expect, "{text}");
        check("100ms", Some(AuthDuration::millis(100)));
        check("30s", Some(AuthDuration::seconds(30)));
        check("30 s", Some(AuthDuration::seconds(30)));
        check("30", Some(AuthDuration::seconds(30)));
        check("2m", Some(AuthDuration::seconds(120)));
        check("1h", Some(AuthDuration::seconds(3_600)));
        check("0s", Some(AuthDuration::seconds(0)));
        check("", None);
        check("s", None);
        check("1d", None);
        check("-1s", None);
        check("9000000h", None);
        check("99999999999999999999s", None);
    }

    #[test]
    fn parses_its_own_output() {
        for span in [
            AuthDuration::millis(0),
            AuthDuration::millis(1),
            AuthDuration::millis(1_500),
            AuthDuration::seconds(300),
        ] {
            assert_eq!(parse(&span.to_string()), Some(span));
        }
    }
}
