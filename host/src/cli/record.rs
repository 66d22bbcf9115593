//! `jackfield record [TOPIC] [--plugin NAME]`: writes the hook calls of a running server to a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::num::{NonZeroU32, NonZeroU64};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use jackfield_text::Untrusted;
use jackfield_yaml::NonZeroDuration;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::control::{self, ControlError, PluginControlArgs};
use super::say;
use crate::recording::MAX_LINE_BYTES;
use crate::recording::line::{End, Line};
use crate::signals::{Signals, Stop};

/// Access to the file for its owner alone.
const PRIVATE_FILE: u32 = 0o600;
/// The time of a recording that has no other end; an alternative to never.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// Command-line arguments of `jackfield record`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Topic whose calls are recorded [default: all topics of the plugin].
    #[arg(value_name = "TOPIC", required_unless_present = "plugin")]
    topic: Option<String>,
    /// Plugin whose calls are recorded [default: the plugin of the topic].
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// File of the recording, which must not exist; `-` is stdout.
    #[arg(long, value_name = "FILE", default_value = "recording.ndjson")]
    out: PathBuf,
    /// Stop after this time [default: at Ctrl-C].
    #[arg(long = "for", value_name = "DURATION")]
    time: Option<NonZeroDuration>,
    /// Stop after this number of calls.
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
    /// Stop before the file is larger than this number of MiB.
    #[arg(long, value_name = "N", default_value = "1024")]
    max_mib: NonZeroU32,
    /// Record events, results and values of the store as they are [default: redacted].
    #[arg(long)]
    with_payload: bool,
    /// Record the claims of sessions as they are [default: redacted].
    #[arg(long)]
    with_claims: bool,
    #[command(flatten)]
    control: PluginControlArgs,
}

/// The part of each line that the command reads.
#[derive(Deserialize)]
struct Peek {
    line: String,
    #[serde(default)]
    dropped: u64,
    #[serde(default)]
    reason: Option<String>,
}

/// Records until the end that the arguments name, or a signal.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    control::run(async {
        let signals = Signals::receive().map_err(ControlError::Output)?;
        let server = args.control.find().await?;
        let body = json!({
            "topic": args.topic,
            "plugin": args.plugin,
            "with_payload": args.with_payload,
            "with_claims": args.with_claims,
        });
        let mut stream = server.open("/v1/record", &body).await?;
        let is_stdout = args.out == Path::new("-");
        let sink: Box<dyn Write> =
            if is_stdout { Box::new(io::stdout()) } else { Box::new(create(&args.out)?) };
        let mut file = Recording::new(args, sink);
        let shown = Untrusted::new(args.out.display()).to_string();
        if !is_stdout {
            say(format_args!("recording into {shown}; Ctrl-C ends it"));
        }
        let ended = file.fill(&mut stream, &signals.stop).await;
        drop(stream);
        let (reason, failed) = match ended {
            Ok(reason) => (reason, None),
            // What was recorded until then is kept.
            Err(error @ ControlError::Unreachable(_)) => {
                ("the server ended".to_owned(), Some(error))
            }
            Err(error) => return Err(error),
        };
        file.end(&reason).map_err(ControlError::Output)?;
        let Recording { calls, dropped, bytes, .. } = file;
        if args.control.json() && !is_stdout {
            let summary = json!({
                "file": shown, "calls": calls, "dropped": dropped, "bytes": bytes, "reason": reason,
            });
            control::written(writeln!(out, "{summary}"))?;
        } else {
            let lost = match dropped {
                0 => String::new(),
                dropped => {
                    format!("; {dropped} calls were dropped, as they were not written in time")
                }
            };
            say(format_args!("recorded {calls} calls into {shown} ({reason}){lost}"));
        }
        failed.map_or(Ok(ExitCode::SUCCESS), Err)
    })
}

/// Makes the file, for its owner alone. One that exists is not replaced.
fn create(path: &Path) -> Result<BufWriter<File>, ControlError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path);
    file.map(BufWriter::new).map_err(|error| {
        let shown = Untrusted::new(path.display());
        let help = if error.kind() == ErrorKind::AlreadyExists {
            "\n  = help: remove it, or name another one with --out"
        } else {
            ""
        };
        ControlError::Refused(format!("failed to make {shown}: {error}{help}"))
    })
}

/// The file that is being written.
struct Recording<'a> {
    args: &'a Args,
    sink: Box<dyn Write + 'a>,
    /// A line that is not complete.
    part: Vec<u8>,
    calls: u64,
    dropped: u64,
    bytes: u64,
    /// Whether the last line is written.
    has_end: bool,
}

impl<'a> Recording<'a> {
    fn new(args: &'a Args, sink: Box<dyn Write + 'a>) -> Self {
        Self { args, sink, part: Vec::new(), calls: 0, dropped: 0, bytes: 0, has_end: false }
    }

    /// Writes what the server sends. Returns the reason of the end.
    async fn fill(
        &mut self,
        stream: &mut control::Stream<'_>,
        stop: &Stop,
    ) -> Result<String, ControlError> {
        let end = Instant::now() + self.args.time.map_or(FOREVER, NonZeroDuration::get);
        loop {
            let part = tokio::select! {
                part = stream.next() => part?,
                () = stop.requested() => return Ok("interrupted".to_owned()),
                () = sleep_until(end) => return Ok("time".to_owned()),
            };
            let Some(part) = part else { return Ok("the server ended".to_owned()) };
            if let Some(reason) = self.take(&part)? {
                return Ok(reason);
            }
        }
    }

    /// Writes the lines that are complete now. Returns the reason of the end, if they are the last.
    fn take(&mut self, part: &[u8]) -> Result<Option<String>, ControlError> {
        for piece in part.split_inclusive(|byte| *byte == b'\n') {
            self.part.extend_from_slice(piece);
            if self.part.len() > MAX_LINE_BYTES + 1 {
                return Err(ControlError::Refused(
                    "the server sends a line without end".to_owned(),
                ));
            }
            if self.part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.part);
                if let Some(reason) = self.line(&line)? {
                    return Ok(Some(reason));
                }
            }
        }
        // A line that is seen is not lost if the machine ends.
        self.sink.flush().map_err(ControlError::Output)?;
        Ok(None)
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<String>, ControlError> {
        let peek: Peek = serde_json::from_slice(line).map_err(|error| {
            ControlError::Refused(format!("the server sends a line that is not valid: {error}"))
        })?;
        self.dropped = self.dropped.max(peek.dropped);
        let limit = u64::from(self.args.max_mib.get()) << 20;
        if self.bytes + line.len() as u64 > limit {
            return Ok(Some("size".to_owned()));
        }
        self.write(line).map_err(ControlError::Output)?;
        match peek.line.as_str() {
            "call" => {
                self.calls += 1;
                let is_last = self.args.count.is_some_and(|count| count.get() <= self.calls);
                Ok(is_last.then(|| "count".to_owned()))
            }
            "end" => {
                self.has_end = true;
                Ok(Some(peek.reason.unwrap_or_default()))
            }
            _ => Ok(None),
        }
    }

    fn end(&mut self, reason: &str) -> io::Result<()> {
        if !self.has_end {
            let (calls, dropped) = (self.calls, self.dropped);
            let end = Line::End(End { reason: reason.to_owned(), calls, dropped });
            self.write(&end.bytes())?;
        }
        self.sink.flush()
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.bytes += line.len() as u64;
        self.sink.write_all(line)
    }
}
