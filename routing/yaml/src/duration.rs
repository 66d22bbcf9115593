//! Duration with an optional unit: `100ms`, `1.5s`, `2m`, `1h`, or a number of seconds.
//!
//! Routing files, settings and command lines share this syntax.

use std::fmt;
use std::str::FromStr;
use std::time;

use serde_core::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde_core::{Serialize, Serializer};

/// Units in nanoseconds.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1_000_000),
    ("", 1_000_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// Maximum duration: a longer one is a mistake. Sums of such durations are far from overflowing.
const MAX_DURATION: time::Duration = time::Duration::from_hours(24 * 365);

/// Duration of at most a year. Zero disables a setting that can be disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(time::Duration);

/// Duration of more than zero and at most a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NonZeroDuration(time::Duration);

/// Error of an invalid duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationError;

impl Duration {
    /// Creates a duration from seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self(time::Duration::from_secs(seconds as u64))
    }

    /// Creates a duration from milliseconds.
    pub const fn millis(millis: u32) -> Self {
        Self(time::Duration::from_millis(millis as u64))
    }

    /// Converts it to the standard library's type.
    pub const fn get(self) -> time::Duration {
        self.0
    }

    /// Returns whether it is zero, which disables a setting.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl NonZeroDuration {
    /// Converts it to the standard library's type.
    pub const fn get(self) -> time::Duration {
        self.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text.trim()).filter(|it| *it <= MAX_DURATION).map(Self).ok_or(DurationError)
    }
}

impl FromStr for NonZeroDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let Duration(duration) = text.parse()?;
        if duration.is_zero() { Err(DurationError) } else { Ok(Self(duration)) }
    }
}

/// Parses digits, an optional fraction, an optional space and a unit. Fractions of a nanosecond are
/// cut.
fn parse(text: &str) -> Option<time::Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || !fraction.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let mut total = whole.parse::<u64>().ok()?.checked_mul(*nanoseconds)?;
    let mut place = *nanoseconds;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(time::Duration::from_nanos(total))
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a duration such as 100ms, 1.5s, 2m or 1h")
    }
}

impl std::error::Error for DurationError {}

/// Formats whole seconds in seconds, and anything else in milliseconds.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, rest) = (self.0.as_millis(), self.0.subsec_nanos() % 1_000_000);
        if rest > 0 {
            write!(f, "{millis}.{rest:06}ms")
        } else if millis.is_multiple_of(1_000) {
            write!(f, "{}s", millis / 1_000)
        } else {
            write!(f, "{millis}ms")
        }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Read as text, so that a number keeps its spelling, as everywhere else.
        deserializer.deserialize_str(DurationVisitor)
    }
}

impl<'de> Deserialize<'de> for NonZeroDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NonZeroVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration, such as 100ms, 1.5s, 2m or 1h")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

struct NonZeroVisitor;

impl Visitor<'_> for NonZeroVisitor {
    type Value = NonZeroDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration that is not zero, such as 100ms, 1.5s, 2m or 1h")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<NonZeroDuration, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_durations() {
        let check = |text: &str, milliseconds: Option<u64>| {
            let parsed = text.parse::<Duration>().ok().map(Duration::get);
            assert_eq!(parsed, milliseconds.map(time::Duration::from_millis), "{text:?}");
        };
        check("100ms", Some(100));
        check("30s", Some(30_000));
        check("30 s", Some(30_000));
        check("30", Some(30_000));
        check("0.5", Some(500));
        check("1.5s", Some(1_500));
        check("1.5m", Some(90_000));
        check("0.001h", Some(3_600));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("0s", Some(0));
        check("8760h", Some(31_536_000_000));
        for wrong in [
            "",
            "s",
            ".5s",
            "1.s",
            "-1s",
            "+1s",
            "1d",
            "5 days",
            "1e3",
            "1.2.3s",
            "inf",
            "0x10",
            "8761h",
            "9000000h",
            "99999999999999999999s",
            "1,5s",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn zero_is_no_nonzero_duration() {
        assert_eq!("0".parse::<NonZeroDuration>(), Err(DurationError));
        let half = "0.5ms".parse::<NonZeroDuration>().unwrap();
        assert_eq!(half.get(), time::Duration::from_micros(500));
    }

    #[test]
    fn parses_its_own_output() {
        for text in ["0s", "1ms", "1500ms", "300s", "0.500000ms", "1.000001ms"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }
}
