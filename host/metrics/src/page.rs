//! Page of a scrape in the Prometheus text format, version 0.0.4.

use std::fmt::{Display, Write as _};

use crate::histogram::Durations;

/// A metric: a name with its kind and meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name; counters end in `_total`.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The meaning, in one line.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that grows until the server ends.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

/// The text of a scrape.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Kind {
    /// Returns the name of the kind.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Page {
    /// Begins a metric; its samples follow.
    pub fn begin(&mut self, metric: &Metric) {
        let Metric { name, kind, help, .. } = metric;
        self.line(format_args!(
            "# HELP {name} {}",
            help.replace('\\', "\\\\").replace('\n', "\\n")
        ));
        self.line(format_args!("# TYPE {name} {}", kind.label()));
    }

    /// Writes a sample. `values` are the values of the metric's labels, in their order.
    pub fn sample(&mut self, metric: &Metric, values: &[&str], value: impl Display) {
        self.write(metric.name, "", metric, values, None, value);
    }

    /// Writes a metric that has one sample without labels.
    pub fn single(&mut self, metric: &Metric, value: impl Display) {
        self.begin(metric);
        self.sample(metric, &[], value);
    }

    /// Writes the samples of a histogram of durations.
    pub fn durations(&mut self, metric: &Metric, values: &[&str], durations: &Durations) {
        self.buckets(
            metric,
            values,
            durations.cumulative(),
            durations.seconds(),
            durations.count(),
        );
    }

    /// Writes the samples of a histogram: each upper bound with the count up to it, the sum, and the
    /// count of all.
    pub fn buckets<'a>(
        &mut self,
        metric: &Metric,
        values: &[&str],
        cumulative: impl Iterator<Item = (&'a str, u64)>,
        sum: impl Display,
        count: u64,
    ) {
        for (bound, count) in cumulative {
            self.write(metric.name, "_bucket", metric, values, Some(bound), count);
        }
        self.write(metric.name, "_sum", metric, values, None, sum);
        self.write(metric.name, "_count", metric, values, None, count);
    }

    /// Returns the text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn write(
        &mut self,
        name: &str,
        suffix: &str,
        metric: &Metric,
        values: &[&str],
        bound: Option<&str>,
        value: impl Display,
    ) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let labels = metric.labels.iter().copied().zip(values.iter().copied());
        let mut separator = '{';
        for (label, value) in labels.chain(bound.map(|bound| ("le", bound))) {
            self.text.push(separator);
            separator = ',';
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(value, &mut self.text);
            self.text.push('"');
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _written = self.text.write_fmt(line);
        self.text.push('\n');
    }
}

/// Escapes the value of a label: backslash, quote and line feed.
fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;
    use std::time::Duration;

    const PLAIN: Metric =
        Metric { name: "a", kind: Kind::Gauge, labels: &[], help: "One \\ line.\nTwo." };
    const LABELED: Metric =
        Metric { name: "b_total", kind: Kind::Counter, labels: &["x", "y"], help: "B." };
    const TIMES: Metric =
        Metric { name: "c_seconds", kind: Kind::Histogram, labels: &["x"], help: "C." };

    #[test]
    fn writes_samples_with_escaped_labels() {
        let mut page = Page::default();
        page.single(&PLAIN, 1.5);
        page.begin(&LABELED);
        page.sample(&LABELED, &["1", "a\\b\"c\nd"], 7);
        let expected = "# HELP a One \\\\ line.\\nTwo.\n# TYPE a gauge\na 1.5\n\
                        # HELP b_total B.\n# TYPE b_total counter\n\
                        b_total{x=\"1\",y=\"a\\\\b\\\"c\\nd\"} 7\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn writes_histograms_with_their_bounds() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(5));
        let mut page = Page::default();
        page.durations(&TIMES, &["z"], &histogram.durations());
        let text = page.into_text();
        assert!(text.contains("c_seconds_bucket{x=\"z\",le=\"0.003\"} 0\n"), "{text}");
        assert!(text.contains("c_seconds_bucket{x=\"z\",le=\"0.01\"} 1\n"), "{text}");
        assert!(text.ends_with(
            "c_seconds_bucket{x=\"z\",le=\"+Inf\"} 1\nc_seconds_sum{x=\"z\"} 0.005\n\
             c_seconds_count{x=\"z\"} 1\n"
        ));
    }
}
