//! `jackfield store export` and `import`: whole stores as lines of JSON, a part at a time.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Method;
use hyper::body::{Body, Frame};
use jackfield_text::Untrusted;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use super::super::control::{self, ANSWER_TIME, Answer, ControlError, PluginControlArgs};
use super::super::say;
use super::{HERE, path};
use crate::count::count;

/// Bytes that are read from a file at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// The parts that are read ahead.
const MAX_QUEUED_PARTS: usize = 2;
/// The time for the server to read all lines and to save them: longer than the server's own for the
/// lines, whose error says more.
const IMPORT_TIME: Duration = Duration::from_mins(12);

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// Name of the plugin.
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// Only keys that begin with this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Write to this new file, for your user alone [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Read the copy of this node, also if it is not the current one: in a cluster.
    #[arg(long)]
    here: bool,
    #[command(flatten)]
    control: PluginControlArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// Name of the plugin.
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// The export, or `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Remove all other keys.
    #[arg(long)]
    replace: bool,
    /// Accept an export of another plugin or of another layout (`schema`).
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    control: PluginControlArgs,
}

/// Writes a store to a file or to standard output.
pub(super) async fn export(
    args: &ExportArgs,
    out: &mut dyn Write,
) -> Result<ExitCode, ControlError> {
    let ExportArgs { plugin, prefix, output, here, control } = args;
    let server = control.find().await?;
    let mut pairs = vec![("plugin", plugin.as_str()), ("prefix", prefix)];
    pairs.extend(here.then_some(HERE));
    let path = path("export", &pairs);
    let sent = timeout(ANSWER_TIME, server.send_body(Method::GET, &path, Empty::new())).await;
    let (response, _connection) = sent.map_err(|_elapsed| server.failed(&"none in time"))??;
    if !response.status().is_success() {
        let answer = server.collect(response).await?;
        if control.json() {
            control::written(answer.print(out))?;
        }
        answer.accepted()?;
        return Ok(ExitCode::FAILURE);
    }
    let Some(file) = output else {
        // Not escaped for a terminal: these lines are for programs, and JSON escapes control codes.
        let written = copy(&server, response, &mut io::stdout().lock()).await?;
        control::written(written.map(drop))?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut target = create(file)?;
    let copied = copy(&server, response, &mut target).await;
    let copied = match copied {
        Ok(Ok(bytes)) => target.sync_all().map(|()| bytes).map_err(|error| unwritten(file, &error)),
        Ok(Err(error)) => Err(unwritten(file, &error)),
        Err(error) => Err(error),
    };
    let bytes = match copied {
        Ok(bytes) => bytes,
        Err(error) => {
            // A part of an export is none.
            let _gone = std::fs::remove_file(file);
            return Err(error);
        }
    };
    let written = if control.json() {
        writeln!(out, "{}", json!({ "plugin": plugin, "file": file, "bytes": bytes }))
    } else {
        writeln!(out, "{}: {bytes} bytes", Untrusted::new(file.display()))
    };
    control::written(written)?;
    Ok(ExitCode::SUCCESS)
}

/// Copies the body of a response part by part; the outer error is the server's.
async fn copy(
    server: &control::Server,
    response: hyper::Response<hyper::body::Incoming>,
    target: &mut impl Write,
) -> Result<io::Result<u64>, ControlError> {
    let mut body = response.into_body();
    let mut bytes = 0;
    loop {
        let part = timeout(ANSWER_TIME, body.frame()).await;
        let part = part.map_err(|_elapsed| server.failed(&"it stopped in the middle"))?;
        let Some(part) = part else { break };
        let part = part.map_err(|error| server.failed(&error))?.into_data().unwrap_or_default();
        if let Err(error) = target.write_all(&part) {
            return Ok(Err(error));
        }
        bytes += u64::try_from(part.len()).unwrap_or_default();
    }
    Ok(target.flush().map(|()| bytes))
}

/// Writes the lines of a file into a store.
pub(super) async fn import(
    args: &ImportArgs,
    out: &mut dyn Write,
) -> Result<ExitCode, ControlError> {
    let ImportArgs { plugin, file, replace, force, control } = args;
    let source: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| unread(file, &error))?)
    };
    let server = control.find().await?;
    let flag = |is_set: &bool| if *is_set { "true" } else { "false" };
    let path =
        path("import", &[("plugin", plugin), ("replace", flag(replace)), ("force", flag(force))]);
    let failed = Arc::new(OnceLock::new());
    let lines = Lines { parts: parts(source), failed: Arc::clone(&failed) };
    let sending = async {
        let (response, _connection) = server.send_body(Method::POST, &path, lines).await?;
        server.collect(response).await
    };
    let answer = timeout(IMPORT_TIME, sending).await;
    let answer = answer.map_err(|_elapsed| server.failed(&"none in time"))?;
    if let Some(error) = failed.get() {
        return Err(unread(file, error));
    }
    let answer = answer?;
    let code = if answer.status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if control.json() {
        control::written(answer.print(out))?;
        return Ok(code);
    }
    let answer = placed(answer, file)?;
    control::written(writeln!(out, "{}", summary(&answer.body)))?;
    Ok(code)
}

fn summary(body: &Value) -> String {
    let written = count(body["written"].as_u64().unwrap_or_default(), "key");
    let mut text = format!("{written} written, {} removed", body["removed"]);
    if body["expired"] != 0 {
        // Writing to a string cannot fail.
        let _written = write!(text, ", {} had expired", body["expired"]);
    }
    text
}

/// The answer; an error in a line has the place.
fn placed(answer: Answer, file: &Path) -> Result<Answer, ControlError> {
    let body = &answer.body;
    let Some(line) = body["line"].as_u64() else { return answer.accepted() };
    let message = body["message"].as_str().unwrap_or_default();
    let message = message.strip_prefix(&format!("line {line}: ")).unwrap_or(message);
    // The key of the API is an option of the command.
    let message = message.replace("`force`", "`--force`");
    let file = Untrusted::new(file.display());
    say(format_args!("{file}:{line}: error: {}", Untrusted::new(message)));
    Err(ControlError::Refused("nothing is imported".to_owned()))
}

/// The contents of a file as a body. A file that cannot be read ends the request, so the server
/// does not see its end.
struct Lines {
    parts: Receiver<io::Result<Bytes>>,
    /// The error of reading, if there was one.
    failed: Arc<OnceLock<io::Error>>,
}

impl Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Self { parts, failed } = self.get_mut();
        parts.poll_recv(context).map(|part| {
            part.map(|part| match part {
                Ok(part) => Ok(Frame::data(part)),
                Err(error) => {
                    let kind = error.kind();
                    // The first error ends the body.
                    let _first = failed.set(error);
                    Err(kind.into())
                }
            })
        })
    }
}

/// Reads a source part by part in a thread, so that the answer is seen while the source is silent.
fn parts(mut source: Box<dyn Read + Send>) -> Receiver<io::Result<Bytes>> {
    let (sender, receiver) = channel(MAX_QUEUED_PARTS);
    // Not joined: a read of a pipe cannot be interrupted, so the thread ends with the process.
    std::thread::spawn(move || {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let part = match source.read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => {
                    chunk.truncate(length);
                    Ok(chunk.into())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let has_failed = part.is_err();
            if sender.blocking_send(part).is_err() || has_failed {
                return;
            }
        }
    });
    receiver
}

/// Makes a new file for the user alone.
pub(super) fn create(file: &Path) -> Result<File, ControlError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.map_err(|error| unwritten(file, &error))
}

pub(super) fn unwritten(file: &Path, error: &io::Error) -> ControlError {
    let help = if error.kind() == io::ErrorKind::AlreadyExists {
        "\n  = help: name a new file; no file is overwritten"
    } else {
        ""
    };
    let file = Untrusted::new(file.display());
    ControlError::Refused(format!("write {file}: {error}{help}"))
}

pub(super) fn unread(file: &Path, error: &io::Error) -> ControlError {
    ControlError::Refused(format!("read {}: {error}", Untrusted::new(file.display())))
}
