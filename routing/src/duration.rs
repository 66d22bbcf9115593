//! The spelling of a length of time: `50s`, `500ms`, `2m`, `1h`, or a number of seconds.

use std::time::Duration;

/// Shorter than anybody needs a timer, long enough that one costs next to nothing.
const MIN_BYTES: Duration = Duration::from_millis(10);
/// Longer than anybody waits for a timer, short enough that adding it to a clock cannot overflow.
const MAX_DURATION: Duration = Duration::from_hours(24 * 365);

/// Reads a duration; `None` if it is not one, is shorter than ten milliseconds, or is longer than
/// a year.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds_per_unit = match text.get(digits.len()..)?.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let digits = digits.trim_end();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let amount: f64 = digits.parse().ok()?;
    let duration = Duration::try_from_secs_f64(amount * seconds_per_unit).ok()?;
    (MIN_BYTES..=MAX_DURATION).contains(&duration).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, milliseconds: Option<u64>) {
        assert_eq!(parse(text), milliseconds.map(Duration::from_millis), "{text:?}");
    }

    #[test]
    fn parses_durations() {
        check("50s", Some(50_000));
        check("500ms", Some(500));
        check("10ms", Some(10));
        check("9.9ms", None);
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("50", Some(50_000));
        check("0.5", Some(500));
        check("1.5s", Some(1_500));
        check("50 s", Some(50_000));
        check("", None);
        check("s", None);
        check("0", None);
        check("0ms", None);
        check("-5s", None);
        check("5 days", None);
        check("1e3", None);
        check("1.2.3s", None);
        check("inf", None);
        check("9999999h", None);
        check("99999999999999999999999999", None);
    }
}
