//! Reader of recordings: one line at a time, within limits. A file may be damaged, cut off, of a newer
//! format, or anything else.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield_sandbox::{CallRecord, Hook, PluginVersion};
use jackfield_text::Untrusted;

use super::line::{End, Header, Line, Start};
use super::{FORMAT, MAX_LINE_BYTES};

/// The maximum number of versions in a recording.
const MAX_VERSIONS: usize = 1_000;
/// The maximum size of a text of a damaged line that is shown, in bytes.
const MAX_SHOWN_BYTES: usize = 200;

/// A recording that is being read.
pub(crate) struct Reader<R = BufReader<File>> {
    path: PathBuf,
    input: R,
    /// The number of the last line.
    line: u64,
    header: Header,
    versions: Vec<Arc<PluginVersion>>,
    /// The calls that were read.
    calls: u64,
    end: Option<End>,
}

/// A call with its number.
pub(crate) struct NumberedCall {
    pub(crate) number: u64,
    /// The number of its version.
    pub(crate) version: usize,
    pub(crate) record: CallRecord,
}

impl Reader {
    /// Opens a file, and reads its header.
    ///
    /// # Errors
    /// With the file and the line.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| {
            format!("{}: error: failed to read the recording: {error}", shown(path))
        };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        Self::new(path, BufReader::new(file))
    }
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(path: &Path, input: R) -> Result<Self, String> {
        let header = Header::default();
        let path = path.to_owned();
        let versions = Vec::new();
        let mut reader = Self { path, input, line: 0, header, versions, calls: 0, end: None };
        reader.header = reader.read_header()?;
        Ok(reader)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The last line, after the last call.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The next call; none after the last line.
    pub(crate) fn next_call(&mut self) -> Result<Option<NumberedCall>, String> {
        loop {
            let Some(bytes) = self.next_line()? else {
                return match self.end {
                    Some(_) => Ok(None),
                    None => Err(self.wrong(
                        "the recording is cut off: its last line is missing",
                        "record it again, and let `jackfield record` end by itself or by Ctrl-C",
                    )),
                };
            };
            if self.end.is_some() {
                return Err(self.damaged("there are lines after the last one"));
            }
            match serde_json::from_slice(&bytes) {
                Ok(Line::Call(line)) => {
                    let (number, version) = (line.call, line.version);
                    self.calls += 1;
                    if number != self.calls {
                        let expected = self.calls;
                        let text = format!(
                            "call {number} is where call {expected} should be: a line is missing, or \
                             out of order"
                        );
                        return Err(self.damaged(&text));
                    }
                    let Some(of) = self.versions.get(version).map(Arc::clone) else {
                        let text = format!(
                            "call {number} is of version {version}, which has no line before it"
                        );
                        return Err(self.damaged(&text));
                    };
                    let (hook, answer) = (line.input.hook, &line.input.answer);
                    let needs_answer = hook.is_answer() && line.is_whole;
                    let is_of_hook = match answer {
                        None => !needs_answer,
                        Some(answer) if answer.received.is_of_request() => hook == Hook::Response,
                        Some(_) => hook == Hook::Result,
                    };
                    if !is_of_hook {
                        let text = format!("call {number} of {hook} has no answer of its kind");
                        return Err(self.damaged(&text));
                    }
                    return Ok(Some(NumberedCall { number, version, record: line.record(&of) }));
                }
                Ok(Line::Version(line)) => {
                    if line.number != self.versions.len() || line.number >= MAX_VERSIONS {
                        return Err(self.damaged("the number of the version is out of order"));
                    }
                    self.versions.push(Arc::new(line.version));
                }
                Ok(Line::End(End { calls, .. })) if calls != self.calls => {
                    let found = self.calls;
                    let text = format!("it has {found} calls, and its last line says {calls}");
                    return Err(self.damaged(&text));
                }
                Ok(Line::End(end)) => self.end = Some(end),
                Ok(Line::Header(_)) => return Err(self.damaged("there is a second header")),
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
    }

    fn read_header(&mut self) -> Result<Header, String> {
        let Some(bytes) = self.next_line()? else {
            self.line = 1;
            return Err(self.wrong("the file is empty", "name a file of `jackfield record`"));
        };
        let start: Start = match serde_json::from_slice(&bytes) {
            Ok(start) => start,
            Err(error) => {
                let text = format!("this is no recording: {error}");
                return Err(self.wrong(&text, "name a file of `jackfield record`"));
            }
        };
        if start.line != "header" {
            return Err(self.wrong(
                "this is no recording: its first line is no header",
                "name a file of `jackfield record`",
            ));
        }
        if start.format != u64::from(FORMAT) {
            let found = start.format;
            let text =
                format!("the recording has the format {found}, and this command reads {FORMAT}");
            return Err(self.wrong(&text, "use the jackfield that has recorded it, or a newer one"));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Line::Header(header)) => Ok(header),
            Ok(_) => Err(self.damaged("its first line is no header")),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// The next line, without its end; none at the end of the file.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.line += 1;
        let mut bytes = Vec::new();
        let limit = MAX_LINE_BYTES as u64 + 1;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut bytes);
        read.map_err(|error| {
            format!("{}: error: failed to read the recording: {error}", self.place())
        })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.pop_if(|last| *last == b'\n').is_none() {
            return Err(if bytes.len() > MAX_LINE_BYTES {
                self.damaged(&format!("the line is longer than {MAX_LINE_BYTES} bytes"))
            } else {
                self.wrong(
                    "the recording is cut off in this line",
                    "record it again, and let `jackfield record` end by itself or by Ctrl-C",
                )
            });
        }
        Ok(Some(bytes))
    }

    fn unreadable(&self, error: &serde_json::Error) -> String {
        let text = Untrusted::new(error).at_most(MAX_SHOWN_BYTES).to_string();
        self.damaged(&text)
    }

    fn damaged(&self, text: &str) -> String {
        self.wrong(&format!("the recording is damaged: {text}"), "record it again")
    }

    fn wrong(&self, text: &str, help: &str) -> String {
        format!("{}: error: {text}\n  = help: {help}", self.place())
    }

    fn place(&self) -> String {
        format!("{}:{}", shown(&self.path), self.line)
    }
}

fn shown(path: &Path) -> String {
    Untrusted::new(path.display()).to_string()
}

#[cfg(test)]
mod tests;
