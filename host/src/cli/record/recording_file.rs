//! File of a recording: whole lines, and a last one, also when the disk is full.

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _, SeekFrom, Stdout, Write};

use crate::recording::line::{End, Line};

/// The place of a recording.
pub(super) trait Storage: Write {
    /// Removes all but the first bytes.
    ///
    /// # Errors
    /// It is a stream, or the file system refuses.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;

    /// Writes all bytes to the medium.
    fn finish(&mut self) -> io::Result<()>;
}

/// The file that is being written.
pub(super) struct RecordingFile<S> {
    storage: S,
    /// The size of all whole lines.
    bytes: u64,
    calls: u64,
    /// The place of the last call.
    last_call: Option<u64>,
    /// Whether there may be a part of a line.
    is_cut: bool,
    /// Whether the last line is written.
    has_end: bool,
}

/// A line, by its meaning for the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    Call,
    End,
    Other,
}

impl<S: Storage> RecordingFile<S> {
    pub(super) fn new(storage: S) -> Self {
        Self { storage, bytes: 0, calls: 0, last_call: None, is_cut: false, has_end: false }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Writes a line with its line end.
    pub(super) fn write(&mut self, line: &[u8], kind: LineKind) -> io::Result<()> {
        self.is_cut = true;
        self.storage.write_all(line)?;
        self.is_cut = false;
        if kind == LineKind::Call {
            self.last_call = Some(self.bytes);
            self.calls += 1;
        }
        self.has_end |= kind == LineKind::End;
        self.bytes += line.len() as u64;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.storage.flush()
    }

    /// Writes the last line, unless it is written. A part of a line before it is removed, and the
    /// last call as well if there is no room otherwise. Returns the number of dropped calls.
    ///
    /// # Errors
    /// There is no last line.
    pub(super) fn end(&mut self, reason: &str, mut dropped: u64) -> io::Result<u64> {
        if !self.has_end
            && let Err(error) = self.try_end(reason, dropped)
        {
            let place = self.last_call.take().ok_or(error)?;
            (self.bytes, self.calls, self.is_cut) = (place, self.calls.saturating_sub(1), true);
            dropped += 1;
            self.try_end(reason, dropped)?;
        }
        self.storage.finish()?;
        Ok(dropped)
    }

    fn try_end(&mut self, reason: &str, dropped: u64) -> io::Result<()> {
        if self.is_cut {
            self.storage.cut(self.bytes)?;
        }
        let end = Line::End(End { reason: reason.to_owned(), calls: self.calls, dropped });
        self.write(&end.bytes(), LineKind::End)
    }
}

impl Storage for File {
    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)?;
        self.seek(SeekFrom::Start(bytes)).map(drop)
    }

    fn finish(&mut self) -> io::Result<()> {
        // Some file systems tell only now that there is no room.
        self.sync_all()
    }
}

impl Storage for Stdout {
    fn cut(&mut self, _: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}

impl Storage for Box<dyn Storage> {
    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        (**self).cut(bytes)
    }

    fn finish(&mut self) -> io::Result<()> {
        (**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk {
        file: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(self.room - self.file.len());
            if length == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.file.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Storage for Disk {
        fn cut(&mut self, bytes: u64) -> io::Result<()> {
            self.file.truncate(usize::try_from(bytes).unwrap());
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn check(room: usize, expect: &[(&str, u64)]) {
        let mut lines = RecordingFile::new(Disk { file: Vec::new(), room });
        lines.write(b"{\"line\":\"header\"}\n", LineKind::Other).unwrap();
        let call = format!("{{\"line\":\"call\",\"x\":\"{}\"}}\n", "x".repeat(200));
        while lines.write(call.as_bytes(), LineKind::Call).is_ok() {}
        let ended = lines.end("full", 0);
        let text = String::from_utf8(lines.storage.file).unwrap();
        let found: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let kinds: Vec<&str> = found.iter().map(|line| line["line"].as_str().unwrap()).collect();
        let expected: Vec<&str> = expect.iter().map(|it| it.0).collect();
        assert_eq!(kinds, expected, "{room}");
        assert_eq!(ended.is_ok(), expect.last().unwrap().0 == "end");
        if let (Some(end), ("end", dropped)) = (found.last(), expect.last().unwrap()) {
            let calls = kinds.iter().filter(|kind| **kind == "call").count();
            assert_eq!((&end["calls"], &end["dropped"]), (&calls.into(), &(*dropped).into()));
        }
    }

    #[test]
    fn a_full_disk_leaves_whole_lines_and_a_last_one() {
        // The part of the third call makes room.
        check(600, &[("header", 0), ("call", 0), ("call", 0), ("end", 0)]);
        // There is none: the second call makes it.
        check(480, &[("header", 0), ("call", 0), ("end", 1)]);
        check(300, &[("header", 0), ("call", 0), ("end", 0)]);
    }
}
