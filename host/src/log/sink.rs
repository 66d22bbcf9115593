//! Where log lines go: a bounded queue, and a thread that writes them.
//!
//! Logging never waits and never fails: a line that finds the queue full, or that cannot be
//! written (a full disk, a pipe without a reader), is lost and counted, and the log says how many
//! as soon as it can be written again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::format::Format;
use super::rate_limit::{RateLimit, SUMMARY};

/// Lines that may wait to be written.
const MAX_LINES: usize = 10_000;
/// Bytes of them, all together.
const MAX_BYTES: usize = 8 << 20;
/// How often the thread looks whether there is something to tell while nothing is logged.
const TICK: Duration = Duration::from_secs(1);
/// How long it waits for a pipe that takes nothing now and has been set not to block.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// How long the end of the process waits for the last lines.
const LINGER: Duration = Duration::from_secs(1);

/// The queue, and the thread behind it.
pub(super) struct Sink {
    queue: Queue,
}

/// The way into the queue.
#[derive(Clone)]
pub(super) struct Queue {
    lines: SyncSender<Entry>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Bytes that wait.
    bytes: AtomicUsize,
    /// Lines that found the queue full.
    overflowed: AtomicU64,
}

enum Entry {
    Lines(Vec<u8>),
    /// Everything before it is to be written; the sender is dropped then.
    Flush(SyncSender<()>),
}

impl Sink {
    /// Starts the thread. Where there can be none, lines are lost, and serving goes on.
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
            told_at: None,
        };
        let spawned = std::thread::Builder::new().name("log".to_owned());
        let _none = spawned.spawn(move || thread.run(&entries));
        Self { queue: Queue { lines, shared } }
    }

    /// What events are written to.
    pub(super) fn writer(&self) -> Queue {
        self.queue.clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let (done, written) = sync_channel(0);
        let until = Instant::now() + LINGER;
        let mut flush = Entry::Flush(done);
        // The queue may be full; the thread makes room, unless nothing can be written.
        while let Err(refused) = self.queue.lines.try_send(flush) {
            let TrySendError::Full(again) = refused else { return };
            if Instant::now() >= until {
                return;
            }
            flush = again;
            std::thread::sleep(FULL_PAUSE);
        }
        let _late = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

impl Queue {
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

/// An event is written at once, whole.
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
    /// Lines that could not be written and were not told of, and why the last could not.
    failed: u64,
    error: String,
    /// When lost lines were told of last.
    told_at: Option<Instant>,
}

impl<W: Write> Thread<W> {
    fn run(mut self, entries: &Receiver<Entry>) {
        let mut summed_up = Instant::now();
        loop {
            match entries.recv_timeout(TICK) {
                Ok(Entry::Lines(lines)) => {
                    self.shared.bytes.fetch_sub(lines.len(), Ordering::Relaxed);
                    self.tell_lost(Instant::now());
                    self.write(&lines);
                }
                Ok(Entry::Flush(done)) => {
                    self.sum_up(Instant::now());
                    self.told_at = None;
                    self.tell_lost(Instant::now());
                    drop(done);
                }
                Err(RecvTimeoutError::Timeout) => self.tell_lost(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if now.saturating_duration_since(summed_up) >= SUMMARY {
                summed_up = now;
                self.sum_up(now);
            }
        }
    }

    fn write(&mut self, lines: &[u8]) {
        if let Err(error) = self.out.write(lines) {
            self.failed += 1;
            self.error = error.to_string();
        }
    }

    fn sum_up(&mut self, now: Instant) {
        for summary in self.limit.summaries(now) {
            self.write(self.format.notice(&summary).as_bytes());
        }
    }

    /// Says how many lines were lost, if that can be said; at most once a tick.
    fn tell_lost(&mut self, now: Instant) {
        let overflowed = self.shared.overflowed.load(Ordering::Relaxed);
        let told_lately = |at: Instant| now.saturating_duration_since(at) < TICK;
        if (overflowed, self.failed) == (0, 0) || self.told_at.is_some_and(told_lately) {
            return;
        }
        self.told_at = Some(now);
        let lost = overflowed + self.failed;
        let why = match (overflowed, self.failed) {
            (_, 0) => "more came than could be written".to_owned(),
            (0, _) => format!("the log could not be written: {}", self.error),
            _ => format!("more came than could be written, and it failed: {}", self.error),
        };
        let notice = self.format.notice(&format!("{lost} log lines were lost: {why}"));
        if self.out.write(notice.as_bytes()).is_ok() {
            self.shared.overflowed.fetch_sub(overflowed, Ordering::Relaxed);
            self.failed = 0;
        }
    }
}

/// Writes whole lines, also to what takes a part of them.
struct Lines<W> {
    out: W,
    /// Whether the last thing written was a part of a line.
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
                // Another process has set the pipe not to block. The queue takes what comes.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(FULL_PAUSE);
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

    use super::*;

    /// A device that answers as it is told, and takes everything afterwards.
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

    /// A device that takes its first line when it is let.
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

    const PLAIN: Format = Format::Text { colors: false };

    /// What is written, without times.
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
        // Two lines fail, and the notice of the first once.
        let device = Device::answering([full(), full(), full()]);
        let lost = "WARN jackfield::log: 2 log lines were lost: the log could not be written: ";
        let text = log(&device, &["a\n", "b\n", "c\n"]);
        // Before the line or after it: the notice is written once a second at most.
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
        assert!(text.starts_with("abc|WARN jackfield::log: 1 log lines were lost: "), "{text}");
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
        // Once a second at most, so that there may be two notices.
        let notices = text.lines().filter_map(|line| line.split_once("jackfield::log: "));
        let told = notices.map(|(_, rest)| {
            let (count, why) = rest.split_once(' ').unwrap();
            assert_eq!(why, "log lines were lost: more came than could be written");
            count.parse::<u64>().unwrap()
        });
        assert_eq!(told.sum::<u64>(), lost);
        assert!(!text.contains('y'.to_string().repeat(100).as_str()));
    }
}
