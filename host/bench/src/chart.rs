//! Text histogram of latencies: one bar per range, each range twice as wide as the one before.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::coordinator::float;

/// Length of the longest bar.
const MAX_BAR_CHARS: f64 = 50.0;

/// Returns a line of percentiles, and the histogram.
pub(crate) fn latency(histogram: &Histogram<u64>) -> String {
    let mut text = String::from(" ");
    let mut entry = |name: &str, value: u64| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, " {name} {} ", duration(value));
    };
    entry("min", histogram.min());
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
        entry(name, histogram.value_at_quantile(quantile));
    }
    entry("max", histogram.max());
    let mut text = format!("{}\n\n", text.trim_end());
    let bars = bars(histogram);
    let highest = bars.iter().map(|bar| bar.1).max().unwrap_or_default();
    let all = float(histogram.len());
    for (below, count) in bars {
        let share = float(count) * 100.0 / all;
        let bar = bar_of(float(count) / float(highest.max(1)));
        let _infallible = writeln!(text, "  < {:>8} {share:>6.2} % {bar}", duration(below));
    }
    text
}

/// Returns ranges as (upper end, count); upper ends double from a microsecond. Empty ranges at both
/// ends are omitted.
fn bars(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut bars = Vec::new();
    let mut begin = 0;
    let mut below = 1_000;
    while begin <= histogram.max() {
        let count = histogram.count_between(begin, below - 1);
        if count > 0 || !bars.is_empty() {
            bars.push((below, count));
        }
        begin = below;
        below = below.saturating_mul(2);
    }
    while bars.last().is_some_and(|bar| bar.1 == 0) {
        bars.pop();
    }
    bars
}

/// Returns a bar with this share of the maximum length; at least a thin one if the share is not
/// zero.
fn bar_of(share: f64) -> String {
    const EIGHTHS: [char; 8] = ['█', '▉', '▊', '▋', '▌', '▍', '▎', '▏'];
    let mut left = share * MAX_BAR_CHARS;
    let mut bar = String::new();
    while left >= 1.0 {
        bar.push('█');
        left -= 1.0;
    }
    // The longest block that fits the rest, rounded.
    let lengths = EIGHTHS.iter().zip((1_u8..=8).rev());
    let part = lengths.into_iter().find(|(_, eighths)| f64::from(*eighths) <= left * 8.0 + 0.5);
    bar.extend(part.map(|(part, _)| *part));
    if bar.is_empty() && share > 0.0 {
        bar.push('▏');
    }
    bar
}

/// Formats a duration in a readable unit.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let value = float(nanoseconds);
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{} µs", three_digits(value / 1e3)),
        1_000_000..1_000_000_000 => format!("{} ms", three_digits(value / 1e6)),
        _ => format!("{} s", three_digits(value / 1e9)),
    }
}

/// Formats a rate with three significant digits.
pub(crate) fn rate(value: f64) -> String {
    if value >= 1e6 {
        format!("{} million", three_digits(value / 1e6))
    } else if value >= 1e4 {
        format!("{} thousand", three_digits(value / 1e3))
    } else if value >= 1e3 {
        format!("{value:.0}")
    } else {
        three_digits(value)
    }
}

/// Formats a number with three significant digits.
fn three_digits(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_a_histogram_with_bars() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        histogram.record_n(3_000, 30).unwrap();
        histogram.record_n(6_000, 60).unwrap();
        histogram.record_n(1_500_000, 10).unwrap();
        let text = latency(&histogram);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("p50 6.0"), "{text}");
        assert_eq!(lines[1], "");
        assert_eq!(lines[2], format!("  <  4.00 µs  30.00 % {}", "█".repeat(25)));
        assert_eq!(lines[3], format!("  <  8.00 µs  60.00 % {}", "█".repeat(50)));
        assert_eq!(lines[4], "  <  16.0 µs   0.00 % ", "what is empty between is shown");
        assert_eq!(lines.last().unwrap(), &"  <  2.05 ms  10.00 % ████████▍");
    }

    #[test]
    fn draws_at_least_a_sliver_for_rare_values() {
        assert_eq!(bar_of(0.0), "");
        assert_eq!(bar_of(1e-9), "▏");
        assert_eq!(bar_of(1.0).chars().count(), 50);
    }

    #[test]
    fn times_and_rates_have_their_units() {
        for (nanoseconds, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_230, "1.23 µs"),
            (45_600, "45.6 µs"),
            (789_000, "789 µs"),
            (1_500_000, "1.50 ms"),
            (2_000_000_000, "2.00 s"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
        for (value, text) in [
            (0.5, "0.50"),
            (123.4, "123"),
            (1_234.0, "1234"),
            (12_340.0, "12.3 thousand"),
            (1_534_000.0, "1.53 million"),
        ] {
            assert_eq!(rate(value), text);
        }
    }
}
