//! Log writer: a bounded queue, and a thread that writes its lines.
//!
//! Logging never blocks and never fails. A line is lost if the queue is full, or if it cannot be
//! written (a full disk, a pipe without a reader). Lost lines are counted, and the log reports the
//! count as soon as it can be written again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::format::Format;
use super::rate_limit::{RateLimit, SUMMARY_INTERVAL};

/// The maximum number of queued lines.
const MAX_LINES: usize = 10_000;
/// The maximum size of all queued lines.
const MAX_BYTES: usize = 8 << 20;
/// The minimum interval of reports of lost lines, and the interval of checks while nothing is
/// logged.
const TICK: Duration = Duration::from_secs(1);
/// The delay between two attempts to write to a full non-blocking pipe, or to a full queue.
const RETRY_DELAY: Duration = Duration::from_millis(10);
/// The time limit of writing the last lines when the process exits.
const MAX_FINAL_FLUSH: Duration = Duration::from_secs(1);

/// The queue and its writer thread.
pub(super) struct Sink {
    queue: Queue,
}

/// The sending side of the queue.
#[derive(Clone)]
pub(super) struct Queue {
    lines: SyncSender<Entry>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Queued bytes.
    bytes: AtomicUsize,
    /// Lines lost because the queue was full.
    overflowed: AtomicU64,
}

enum Entry {
    Lines(Vec<u8>),
    /// Writes all entries before it, and then drops the sender.
    Flush(SyncSender<()>),
}

impl Sink {
    /// Starts the thread. If it cannot be started, all lines are lost, and the server still runs.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        format: Format,
        limit: Arc<RateLimit>,
    ) -> Self {
        let (lines, entries) = sync_channel(MAX_LINES);
        let shared = Arc::new(Shared::default());
        let thread = Thread {
            out: Lines::new(out),
            format,
            shared: Arc::clone(&shared),
            limit,
            failed: 0,
            error: String::new(),
            reported_at: None,
        };
        let spawned = std::thread::Builder::new().name("log".to_owned());
        let _none = spawned.spawn(move || thread.run(&entries));
        Self { queue: Queue { lines, shared } }
    }

    /// Returns the writer for `tracing`.
    pub(super) fn writer(&self) -> Queue {
        self.queue.clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.queue.flush_lines();
    }
}

impl Queue {
    /// Waits until the queued lines are written, with a time limit.
    pub(super) fn flush_lines(&self) {
        let (done, written) = sync_channel(0);
        let until = Instant::now() + MAX_FINAL_FLUSH;
        let mut flush = Entry::Flush(done);
        // A full queue gets room while the thread can write.
        while let Err(refused) = self.lines.try_send(flush) {
            let TrySendError::Full(again) = refused else { return };
            if Instant::now() >= until {
                return;
            }
            flush = again;
            std::thread::sleep(RETRY_DELAY);
        }
        let _late = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }

    fn push(&self, lines: &[u8]) {
        let length = lines.len();
        let waiting = self.shared.bytes.fetch_add(length, Ordering::Relaxed);
        let is_full = waiting.saturating_add(length) > MAX_BYTES;
        if is_full || self.lines.try_send(Entry::Lines(lines.to_vec())).is_err() {
            self.shared.bytes.fetch_sub(length, Ordering::Relaxed);
            self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `tracing` passes each event in one write.
impl Write for Queue {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The thread.
struct Thread<W> {
    out: Lines<W>,
    format: Format,
    shared: Arc<Shared>,
    limit: Arc<RateLimit>,
    /// Lines that could not be written and are not reported yet, and the error of the last one.
    failed: u64,
    error: String,
    /// The time of the last report of lost lines.
    reported_at: Option<Instant>,
}

impl<W: Write> Thread<W> {
    fn run(mut self, entries: &Receiver<Entry>) {
        let mut summarized_at = Instant::now();
        loop {
            match entries.recv_timeout(TICK) {
                Ok(Entry::Lines(lines)) => {
                    self.shared.bytes.fetch_sub(lines.len(), Ordering::Relaxed);
                    self.report_lost(Instant::now());
                    self.write(&lines);
                }
                Ok(Entry::Flush(done)) => {
                    self.write_summaries(Instant::now());
                    self.reported_at = None;
                    self.report_lost(Instant::now());
                    drop(done);
                }
                Err(RecvTimeoutError::Timeout) => self.report_lost(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if now.saturating_duration_since(summarized_at) >= SUMMARY_INTERVAL {
                summarized_at = now;
                self.write_summaries(now);
            }
        }
    }

    fn write(&mut self, lines: &[u8]) {
        if let Err(error) = self.out.write(lines) {
            self.failed += 1;
            self.error = error.to_string();
        }
    }

    fn write_summaries(&mut self, now: Instant) {
        for summary in self.limit.summaries(now) {
            self.write(self.format.notice(&summary).as_bytes());
        }
    }

    /// Reports the number of lost lines, if the log can be written; at most once each [`TICK`].
    fn report_lost(&mut self, now: Instant) {
        let overflowed = self.shared.overflowed.load(Ordering::Relaxed);
        let reported_lately = |at: Instant| now.saturating_duration_since(at) < TICK;
        if (overflowed, self.failed) == (0, 0) || self.reported_at.is_some_and(reported_lately) {
            return;
        }
        self.reported_at = Some(now);
        let lost = overflowed + self.failed;
        let reason = match (overflowed, self.failed) {
            (_, 0) => "queue full".to_owned(),
            (0, _) => format!("write failed: {}", self.error),
            _ => format!("queue full, and write failed: {}", self.error),
        };
        let notice = self.format.notice(&format!("{lost} log lines lost: {reason}"));
        if self.out.write(notice.as_bytes()).is_ok() {
            self.shared.overflowed.fetch_sub(overflowed, Ordering::Relaxed);
            self.failed = 0;
        }
    }
}

/// Writes whole lines, even if single writes are partial.
struct Lines<W> {
    out: W,
    /// Whether the last write ended within a line.
    is_broken: bool,
}

impl<W: Write> Lines<W> {
    const fn new(out: W) -> Self {
        Self { out, is_broken: false }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_broken {
            self.write_all(b"\n")?;
            self.is_broken = false;
        }
        self.write_all(lines)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process has made the pipe non-blocking. Lines queue meanwhile.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(RETRY_DELAY);
                }
                Err(error) => {
                    self.is_broken |= rest.len() < bytes.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::super::Reader;
    use super::*;

    /// A device with scripted results, which accepts everything after them.
    #[derive(Clone, Default)]
    struct Device {
        written: Arc<Mutex<Vec<u8>>>,
        answers: Arc<Mutex<VecDeque<io::Result<usize>>>>,
    }

    impl Device {
        fn answering(answers: impl IntoIterator<Item = io::Result<usize>>) -> Self {
            let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
            Self { answers, ..Self::default() }
        }

        fn text(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Device {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.answers.lock().unwrap().pop_front().unwrap_or(Ok(bytes.len()))?;
            self.written.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A device whose first write blocks until it is released.
    struct Held(Option<Receiver<()>>, Device);
    impl Write for Held {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(held) = self.0.take() {
                let _released = held.recv();
            }
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const PLAIN: Format = Format::Text { colors: false, reader: Reader::Operator };

    /// Logs lines, and returns the written ones without times.
    fn log(device: &Device, lines: &[&str]) -> String {
        let sink = Sink::start(device.clone(), PLAIN, Arc::default());
        for line in lines {
            let mut writer = sink.writer();
            writer.write_all(line.as_bytes()).unwrap();
        }
        drop(sink);
        let text = device.text();
        let line = |line: &str| line.split_once("Z  ").map_or(line, |(_, rest)| rest).to_owned();
        text.lines().map(line).collect::<Vec<_>>().join("|")
    }

    fn full() -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    #[test]
    fn writes_lines_in_their_order() {
        assert_eq!(log(&Device::default(), &["a\n", "b\nc\n"]), "a|b|c");
    }

    #[test]
    fn reports_lost_lines_once_it_can_write_again() {
        // Two lines fail, and so does the first report of it.
        let device = Device::answering([full(), full(), full()]);
        let lost = "WARN jackfield::log: 2 log lines lost: write failed: ";
        let text = log(&device, &["a\n", "b\n", "c\n"]);
        // Before or after the line: a report is written at most once a second.
        assert!(text.contains(lost) && text.split('|').any(|line| line == "c"), "{text}");
    }

    #[test]
    fn waits_for_a_pipe_that_is_full() {
        let blocked = || Err(io::ErrorKind::WouldBlock.into());
        let interrupted = || Err(io::ErrorKind::Interrupted.into());
        let device = Device::answering([Ok(2), blocked(), interrupted(), blocked(), Ok(1)]);
        assert_eq!(log(&device, &["abcdef\n"]), "abcdef");
    }

    #[test]
    fn terminates_a_line_that_was_cut() {
        let device = Device::answering([Ok(3), full()]);
        let text = log(&device, &["abcdef\n", "b\n"]);
        assert!(text.starts_with("abc|WARN jackfield::log: 1 log lines lost: "), "{text}");
        assert!(text.ends_with("|b"), "{text}");
    }

    #[test]
    fn drops_and_counts_lines_when_the_queue_is_full() {
        let (release, held) = sync_channel::<()>(0);
        let device = Device::default();
        let sink = Sink::start(Held(Some(held), device.clone()), PLAIN, Arc::default());
        for _ in 0..MAX_LINES * 2 {
            sink.queue.push(b"x\n");
        }
        sink.queue.push(&vec![b'y'; MAX_BYTES + 1]);
        let lost = sink.queue.shared.overflowed.load(Ordering::Relaxed);
        assert!(lost >= MAX_LINES as u64, "{lost}");
        drop(release);
        drop(sink);
        let text = device.text();
        // At most once a second, so that there may be two reports.
        let notices = text.lines().filter_map(|line| line.split_once("jackfield::log: "));
        let counts = notices.map(|(_, rest)| {
            let (count, text) = rest.split_once(' ').unwrap();
            assert_eq!(text, "log lines lost: queue full");
            count.parse::<u64>().unwrap()
        });
        assert_eq!(counts.sum::<u64>(), lost);
        assert!(!text.contains('y'.to_string().repeat(100).as_str()));
    }
}
