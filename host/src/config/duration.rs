//! A span of time as an operator writes it: `100ms`, `30s`, `2m`, `1h`, or a number of seconds.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// As units of milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("", 1_000), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
/// Longer is a mistake, and sums of such spans stay far from overflowing.
const MAX_DURATION: Duration = Duration::from_hours(24 * 365);

/// More than nothing, and at most a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConfigDuration(pub(super) Duration);

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = ConfigDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time that is not zero, such as 100ms, 30s, 2m or 1h")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<ConfigDuration, E> {
        let span = check(Duration::from_secs(value));
        span.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<ConfigDuration, E> {
        let span = Duration::try_from_secs_f64(value).ok().and_then(check);
        span.ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<ConfigDuration, E> {
        parse(value).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

pub(super) fn parse(text: &str) -> Option<ConfigDuration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    check(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*factor)?))
}

fn check(span: Duration) -> Option<ConfigDuration> {
    (span > Duration::ZERO && span <= MAX_DURATION).then_some(ConfigDuration(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_units() {
        let check = |text: &str, expect: Option<u64>| {
            let expect = expect.map(|millis| ConfigDuration(Duration::from_millis(millis)));
            assert_eq!(parse(text), expect, "{text}");
        };
        check("100ms", Some(100));
        check("30s", Some(30_000));
        check("30 s", Some(30_000));
        check("30", Some(30_000));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("0s", None);
        check("", None);
        check("s", None);
        check("1d", None);
        check("-1s", None);
        check("9000000h", None);
        check("99999999999999999999s", None);
    }
}
