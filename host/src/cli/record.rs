//! `jackfield record [TOPIC] [--plugin NAME]`: writes the hook calls of a running server to a file.

mod recording_file;

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, ErrorKind, Write};
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
use crate::count::count;
use crate::recording::MAX_LINE_BYTES;
use crate::signals::Stop;

use recording_file::{LineKind, RecordingFile, Storage};

/// Access to the file for its owner alone.
const PRIVATE_FILE: u32 = 0o600;
/// The time of a recording that has no other end; an alternative to never.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// The fate of a recording that cannot be written on.
const WRITTEN_UNTIL: &str = "free space, and record again; the file ends with the last call that \
                             could be written, and `jackfield replay` reads it";
/// The fate of a recording whose last line cannot be written.
const REMOVED: &str = "free space, and record again; the file is removed, as it has no last line";

/// Command-line arguments of `jackfield record`.
#[derive(Debug, clap::Args)]
#[command(group(
    clap::ArgGroup::new("calls").args(["topic", "plugin"]).required(true).multiple(true)
))]
pub(crate) struct Args {
    /// Topic whose calls are recorded [default: all topics of the plugin].
    #[arg(value_name = "TOPIC")]
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
    /// Record the values of HTTP headers, of requests of the plugin and of answers, as they are
    /// [default: redacted].
    #[arg(long)]
    with_headers: bool,
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
        let stop = control::stop()?;
        let server = args.control.find().await?;
        let body = json!({
            "topic": args.topic,
            "plugin": args.plugin,
            "with_payload": args.with_payload,
            "with_claims": args.with_claims,
            "with_headers": args.with_headers,
        });
        let mut stream = server.open("/v1/record", &body).await?;
        let storage: Box<dyn Storage> =
            if args.is_stdout() { Box::new(io::stdout()) } else { Box::new(create(&args.out)?) };
        let mut recording = Recording::new(args, storage);
        let shown = Untrusted::new(args.out.display()).to_string();
        if !args.is_stdout() {
            say(format_args!("recording into {shown}; Ctrl-C ends it"));
        }
        let ended = recording.fill(&mut stream, &stop).await;
        drop(stream);
        let (reason, failure) = match ended {
            Ok(reason) => (reason, None),
            Err(failure) => (failure.reason(), Some(failure)),
        };
        // The calls that were recorded until a failure are kept.
        let dropped = match recording.file.end(&reason, recording.dropped) {
            Ok(dropped) => dropped,
            Err(later) => {
                if !args.is_stdout() {
                    // Without its last line it cannot be replayed.
                    let _gone = remove_file(&args.out);
                }
                // The first error has the reason: of a stream, nothing can be removed.
                let error =
                    if let Some(RecordingError::Write(first)) = failure { first } else { later };
                return Err(args.unwritten(error, REMOVED));
            }
        };
        let (calls, bytes) = (recording.file.calls(), recording.file.bytes());
        if args.control.json() && !args.is_stdout() {
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
            let calls = count(calls, "call");
            say(format_args!("recorded {calls} into {shown} ({reason}){lost}"));
        }
        failure.map_or(Ok(ExitCode::SUCCESS), |it| Err(it.into_error(args)))
    })
}

impl Args {
    fn is_stdout(&self) -> bool {
        self.out == Path::new("-")
    }

    /// The error of a recording that cannot be written, with what becomes of it.
    fn unwritten(&self, error: io::Error, fate: &str) -> ControlError {
        if self.is_stdout() {
            return ControlError::Output(error);
        }
        let shown = Untrusted::new(self.out.display());
        ControlError::Refused(format!("failed to write {shown}: {error}\n  = help: {fate}"))
    }
}

/// Why a recording ends early.
enum RecordingError {
    Server(ControlError),
    Write(io::Error),
}

impl RecordingError {
    /// The reason in the last line.
    fn reason(&self) -> String {
        match self {
            Self::Server(ControlError::Unreachable(_)) => "the server ended".to_owned(),
            Self::Server(_) => "the server sent a line that is not valid".to_owned(),
            Self::Write(error) => format!("failed to write: {error}"),
        }
    }

    /// The error of the command. The file has all calls before.
    fn into_error(self, args: &Args) -> ControlError {
        match self {
            Self::Server(error) => error,
            Self::Write(error) => args.unwritten(error, WRITTEN_UNTIL),
        }
    }
}

/// Makes the file, for its owner alone. One that exists is not replaced.
fn create(path: &Path) -> Result<File, ControlError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path);
    file.map_err(|error| {
        let shown = Untrusted::new(path.display());
        let help = if error.kind() == ErrorKind::AlreadyExists {
            "\n  = help: remove it, or name another one with --out"
        } else {
            ""
        };
        ControlError::Refused(format!("failed to make {shown}: {error}{help}"))
    })
}

/// The recording that is being written.
struct Recording<'a> {
    args: &'a Args,
    file: RecordingFile<Box<dyn Storage>>,
    /// A line that is not complete.
    part: Vec<u8>,
    dropped: u64,
}

impl<'a> Recording<'a> {
    fn new(args: &'a Args, storage: Box<dyn Storage>) -> Self {
        Self { args, file: RecordingFile::new(storage), part: Vec::new(), dropped: 0 }
    }

    /// Writes what the server sends. Returns the reason of the end.
    async fn fill(
        &mut self,
        stream: &mut control::Stream<'_>,
        stop: &Stop,
    ) -> Result<String, RecordingError> {
        let end = Instant::now() + self.args.time.map_or(FOREVER, NonZeroDuration::get);
        loop {
            let part = tokio::select! {
                part = stream.next() => part.map_err(RecordingError::Server)?,
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
    fn take(&mut self, part: &[u8]) -> Result<Option<String>, RecordingError> {
        for piece in part.split_inclusive(|byte| *byte == b'\n') {
            self.part.extend_from_slice(piece);
            if self.part.len() > MAX_LINE_BYTES + 1 {
                return Err(refused("the server sends a line without end".to_owned()));
            }
            if self.part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.part);
                if let Some(reason) = self.line(&line)? {
                    return Ok(Some(reason));
                }
            }
        }
        // A line that is seen is not lost if the machine ends.
        self.file.flush().map_err(RecordingError::Write)?;
        Ok(None)
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<String>, RecordingError> {
        let peek: Peek = serde_json::from_slice(line).map_err(|error| {
            refused(format!("the server sends a line that is not valid: {error}"))
        })?;
        self.dropped = self.dropped.max(peek.dropped);
        let limit = u64::from(self.args.max_mib.get()) << 20;
        if self.file.bytes() + line.len() as u64 > limit {
            return Ok(Some("size".to_owned()));
        }
        let kind = match peek.line.as_str() {
            "call" => LineKind::Call,
            "end" => LineKind::End,
            _ => LineKind::Other,
        };
        self.file.write(line, kind).map_err(RecordingError::Write)?;
        Ok(match kind {
            LineKind::Call => {
                let is_last = self.args.count.is_some_and(|it| it.get() <= self.file.calls());
                is_last.then(|| "count".to_owned())
            }
            LineKind::End => Some(peek.reason.unwrap_or_default()),
            LineKind::Other => None,
        })
    }
}

fn refused(text: String) -> RecordingError {
    RecordingError::Server(ControlError::Refused(text))
}
