//! Result of a run: figures under stable names (JSON), and as text.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Number, Value, json};

use crate::chart;
use crate::coordinator::{Coordinator, Cost, WaitOutcome, float};
use crate::plan::{Plan, Work};
use crate::tally::Counts;

/// CPU share from which a thread or machine counts as saturated.
const BUSY_SHARE: f64 = 0.95;

/// Lag above which the rate counts as not kept, in nanoseconds: 50 ms is more than a short lack of
/// CPU time.
const MAX_LAG_NS: u64 = 50_000_000;

/// The result of a run.
#[derive(Debug)]
pub struct BenchReport {
    title: String,
    settings: Map<String, Value>,
    figures: Vec<Figure>,
    /// CPU time of each process of the server for each publication, in microseconds.
    processes: Vec<(u32, f64)>,
    latencies: Vec<Latency>,
    notes: Vec<String>,
}

/// A number with its name in JSON, and its row in the table.
#[derive(Debug)]
struct Figure {
    name: &'static str,
    value: Number,
    row: Option<(&'static str, String)>,
}

/// A latency distribution, in nanoseconds.
#[derive(Debug)]
struct Latency {
    name: &'static str,
    label: &'static str,
    histogram: Histogram<u64>,
}

impl BenchReport {
    pub(crate) fn new(plan: &Plan, seconds: f64) -> Self {
        let dialect = plan.dialect;
        let serializer = dialect.serializer().map(|it| format!(" {it}")).unwrap_or_default();
        let title = format!(
            "{} of {} with {}{serializer}",
            plan.work.name(),
            plan.target.url,
            dialect.protocol()
        );
        let mut report = Self {
            title,
            settings: settings(plan),
            figures: Vec::new(),
            processes: Vec::new(),
            latencies: Vec::new(),
            notes: Vec::new(),
        };
        report.figure("seconds", "seconds", rounded(seconds), format!("{seconds:.1}"));
        report
    }

    fn figure(&mut self, name: &'static str, label: &'static str, value: Number, row: String) {
        self.figures.push(Figure { name, value, row: Some((label, row)) });
    }

    pub(crate) fn count(&mut self, name: &'static str, label: &'static str, count: u64) {
        self.figure(name, label, count.into(), grouped(count));
    }

    /// The bytes that were received for each completed operation, those for publishers among them.
    pub(crate) fn received(&mut self, counts: &Counts) {
        if counts.seen > 0 {
            let each = float(counts.received) / float(counts.seen);
            let (name, label) = ("received_bytes_per_delivery", "received a delivery");
            self.figure(name, label, rounded(each), format!("{each:.0} bytes"));
        }
    }

    pub(crate) fn rate(
        &mut self,
        name: &'static str,
        label: &'static str,
        count: u64,
        seconds: f64,
    ) {
        if seconds > 0.0 {
            let rate = float(count) / seconds;
            self.figure(name, label, rounded(rate), format!("{} a second", chart::rate(rate)));
        }
    }

    pub(crate) fn cpu(
        &mut self,
        name: &'static str,
        label: &'static str,
        cost: &Cost,
        things: u64,
    ) {
        if let Some(cpu) = cost.cpu.filter(|_| things > 0) {
            let each = cpu * 1e6 / float(things);
            self.figure(name, label, rounded(each), format!("{each:.3} µs"));
            if !self.figures.iter().any(|figure| figure.name == "server_cpu_percent")
                && cost.seconds > 0.0
            {
                let share = cpu * 100.0 / cost.seconds;
                let row = format!("{share:.0} % of a core");
                self.figure("server_cpu_percent", "server CPU", rounded(share), row);
            }
        }
    }

    /// Adds the CPU time of each process for each publication, if there are several processes.
    pub(crate) fn processes(&mut self, cost: &Cost, publishes: u64) {
        if publishes > 0 && cost.processes.len() > 1 {
            let each = |(pid, cpu): &(u32, f64)| (*pid, cpu * 1e6 / float(publishes));
            self.processes = cost.processes.iter().map(each).collect();
        }
    }

    pub(crate) fn memory(&mut self, coordinator: &Coordinator<'_>, connections: u64) {
        self.count("connections", "connections", connections);
        if let Some(bytes) = coordinator.bytes_per_connection(connections) {
            let row = format!("{bytes:.0} bytes");
            let name = "server_bytes_per_connection";
            self.figure(name, "server memory a connection", rounded(bytes), row);
        }
        if let Some(held) = coordinator.memory() {
            let row = format!("{:.1} MiB", float(held) / 1_048_576.0);
            self.figure("server_rss_bytes", "server memory", held.into(), row);
        }
    }

    pub(crate) fn latency(
        &mut self,
        name: &'static str,
        label: &'static str,
        histogram: &Histogram<u64>,
    ) {
        if !histogram.is_empty() {
            self.latencies.push(Latency { name, label, histogram: histogram.clone() });
        }
    }

    /// At a fixed rate: the generator's own lag, and how long after the end of the period the last
    /// message was sent.
    pub(crate) fn lag(&mut self, histogram: &Histogram<u64>, unsent: u64, after_end: u64) {
        if unsent > 0 {
            self.count("unsent", "due and not sent", unsent);
        }
        let late = !histogram.is_empty() && histogram.value_at_quantile(0.99) > MAX_LAG_NS;
        if unsent > 0 || late || (!histogram.is_empty() && after_end > MAX_LAG_NS) {
            self.note("the rate was not kept: messages were sent later than due".to_owned());
        }
        if histogram.is_empty() {
            return;
        }
        for (name, quantile) in [("generator_lag_us_p50", 0.5), ("generator_lag_us_p99", 0.99)] {
            let value = rounded(float(histogram.value_at_quantile(quantile)) / 1e3);
            self.figures.push(Figure { name, value, row: None });
        }
        let (p50, p99) = (histogram.value_at_quantile(0.5), histogram.value_at_quantile(0.99));
        let row = format!("p50 {}, p99 {}", chart::duration(p50), chart::duration(p99));
        if let Some(last) = self.figures.last_mut() {
            last.row = Some(("sent after it was due", row));
        }
    }

    /// Figures that show whether the generator limited the run.
    pub(crate) fn generator(&mut self, cost: &Cost) {
        // CPU time is counted in hundredths of a second.
        let long_enough = cost.seconds >= 0.2;
        let bound = long_enough && cost.busiest.is_some_and(|share| share >= BUSY_SHARE);
        if let Some(share) = cost.busiest {
            let row = format!("{:.0} %", share * 100.0);
            let label = "busiest thread of the generator";
            self.figure("generator_thread_percent", label, rounded(share * 100.0), row);
        }
        if let Some(share) = cost.machine {
            let row = format!("{:.0} %", share * 100.0);
            self.figure("machine_cpu_percent", "CPU of this machine", rounded(share * 100.0), row);
        }
        self.settings.insert("generator_bound".to_owned(), bound.into());
        if bound {
            self.note(
                "a thread of the generator was saturated, so that the generator rather than the server \
                 may limit these figures: give more --threads, or a lower --rate"
                    .to_owned(),
            );
        }
        if long_enough && cost.machine.is_some_and(|share| share >= BUSY_SHARE) {
            self.note(
                "this machine's CPUs were saturated: the generator and other programs took time \
                 from the server, if it runs here"
                    .to_owned(),
            );
        }
    }

    pub(crate) fn wait_outcome(&mut self, wait_outcome: WaitOutcome) {
        match wait_outcome {
            WaitOutcome::Done => {}
            WaitOutcome::TimedOut => {
                self.note("some messages were not answered or delivered".to_owned());
            }
        }
    }

    /// Lost connections, and interruption.
    pub(crate) fn ended(&mut self, coordinator: &Coordinator<'_>) {
        if let Some((count, why)) = &coordinator.disconnects {
            self.settings.insert("disconnected".to_owned(), (*count).into());
            let what = connections(*count);
            self.note(format!("{what} lost during the measured time: {why}"));
        }
        if coordinator.interrupted() {
            self.note("ended early: these are the figures until then".to_owned());
        }
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Returns all figures as one JSON object.
    pub fn json(&self) -> Value {
        let mut object = self.settings.clone();
        for figure in &self.figures {
            object.insert(figure.name.to_owned(), figure.value.clone().into());
        }
        if !self.processes.is_empty() {
            let processes =
                self.processes.iter().map(|(pid, cpu)| (pid.to_string(), rounded(*cpu).into()));
            let processes: Map<String, Value> = processes.collect();
            object.insert("server_cpu_us_per_publish_by_process".to_owned(), processes.into());
        }
        for latency in &self.latencies {
            object.insert(latency.name.to_owned(), microseconds(&latency.histogram));
        }
        object.insert("notes".to_owned(), json!(self.notes));
        object.into()
    }

    /// Returns a table of figures, and histograms.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        let rows = self.figures.iter().filter_map(|figure| figure.row.as_ref());
        let width = rows.clone().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
        for (label, value) in rows {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "  {label:width$}  {value}");
        }
        for (pid, cpu) in &self.processes {
            let _infallible = writeln!(text, "  CPU of process {pid} a publish: {cpu:.3} µs");
        }
        for latency in &self.latencies {
            let _infallible = write!(text, "\n{}:\n", latency.label);
            text.push_str(&chart::latency(&latency.histogram));
        }
        for note in &self.notes {
            let _infallible = write!(text, "\nnote: {note}\n");
        }
        text
    }
}

/// "1 connection was" or "N connections were", the beginning of a note.
pub(crate) fn connections(count: u64) -> String {
    match count {
        1 => "1 connection was".to_owned(),
        count => format!("{} connections were", grouped(count)),
    }
}

/// Returns the plan's settings.
fn settings(plan: &Plan) -> Map<String, Value> {
    let mut map = Map::new();
    let mut set = |name: &str, value: Value| map.insert(name.to_owned(), value);
    set("command", plan.work.name().into());
    set("url", plan.target.url.clone().into());
    if !plan.subscribe_at.is_empty() {
        let urls: Vec<_> = plan.subscribe_at.iter().map(|it| it.url.as_str()).collect();
        set("subscribe_at", urls.into());
    }
    set("protocol", plan.dialect.protocol().into());
    if let Some(serializer) = plan.dialect.serializer() {
        set("serializer", serializer.into());
    }
    match plan.work {
        Work::Connect { bare, .. } => {
            set("bare", bare.into());
        }
        Work::Publish { publishers, topics } => {
            set("publishers", publishers.into());
            set("topics", topics.into());
        }
        Work::Call { callers, ref procedure, callee } => {
            set("callers", callers.into());
            set("procedure", procedure.as_str().into());
            set("callee", callee.into());
        }
        Work::Subscribe { topics, .. } => {
            set("topics", topics.into());
        }
        Work::FanOut { topics, subscribers, publishers, subscriptions_per_connection } => {
            set("topics", topics.into());
            set("subscribers", subscribers.into());
            set("publishers", publishers.into());
            set("subscriptions_per_connection", subscriptions_per_connection.into());
        }
    }
    if matches!(plan.work, Work::Publish { .. } | Work::Call { .. } | Work::FanOut { .. }) {
        set("payload_bytes", plan.payload.into());
    }
    set("compress", plan.compress.into());
    match plan.rate {
        Some(rate) => set("rate", rate.into()),
        None => set("window", plan.window.into()),
    };
    set("warm_up_seconds", seconds(plan.warm_up));
    set("threads", plan.threads.into());
    map
}

fn seconds(span: Duration) -> Value {
    span.as_secs_f64().into()
}

fn microseconds(histogram: &Histogram<u64>) -> Value {
    let us = |nanoseconds: u64| rounded(float(nanoseconds) / 1e3);
    let at = |quantile| us(histogram.value_at_quantile(quantile));
    json!({
        "min": us(histogram.min()),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": us(histogram.max()),
    })
}

/// Rounds a number to three decimals, more than the figures are exact to.
fn rounded(value: f64) -> Number {
    Number::from_f64((value * 1e3).round() / 1e3).unwrap_or_else(|| 0.into())
}

/// Formats a number as `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn latencies_are_in_microseconds() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        for microseconds in 1..=1_000 {
            histogram.record(microseconds * 1_000).unwrap();
        }
        let json = microseconds(&histogram);
        let p50 = json["p50"].as_f64().unwrap();
        assert!((499.0..502.0).contains(&p50), "{json}");
        assert_eq!(json.as_object().unwrap().len(), 6);
        assert!(json["max"].as_f64().unwrap() >= 1_000.0);
    }
}
