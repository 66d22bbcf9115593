//! Content of a store's log: the commits of one plugin, in order, as messages that all nodes of a cluster read.
//!
//! A record is a commit, a snapshot of all entries, or a takeover by a new home. One that is longer than a
//! message is cut into parts, and counts only as a whole: a writer may die between two of them. A log begins
//! with a snapshot, and a later one replaces all before it. The [chain](crate::chain) of the records decides which
//! of them count.
//!
//! The body of a commit or a snapshot has the schema and the entries. All numbers are big-endian.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::chain::{Chain, HEAD_BYTES, Kind, Link, LogFormatError, Part, is_record, put_head};
use crate::{Changes, Saved, Value};

const GONE: u8 = 0;
const KEPT: u8 = 1;
const EXPIRING: u8 = 2;

/// A record to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    /// The changes of one commit.
    Commit(&'a Changes),
    /// All entries.
    Snapshot(&'a Saved),
    /// Another node writes from now on: its name, for people.
    Takeover(&'a str),
}

/// The content of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The store at the end of the log; `None` if there is no complete snapshot, so that no commit counts.
    pub saved: Option<Saved>,
    /// The end of the log.
    pub(crate) chain: Chain,
    /// The size of the last snapshot, in bytes.
    pub snapshot_bytes: usize,
    /// The size and number of the messages since.
    pub bytes_since: usize,
    /// The number of the messages since.
    pub messages_since: usize,
    /// The number of the messages of other programs, and the place of the last one.
    pub foreign: (usize, u64),
}

/// Reads a log, message by message.
#[derive(Debug, Default)]
pub struct LogReader {
    schema: Option<u32>,
    entries: Option<BTreeMap<String, Value>>,
    state: LogState,
    /// The parts of a record of which others are missing.
    parts: BytesMut,
}

/// A commit that was read.
struct Body {
    schema: Option<u32>,
    entries: Vec<(String, Option<Value>)>,
}

/// Writes a record as messages of up to `max_bytes`.
pub(crate) fn write(record: Record<'_>, link: Link, max_bytes: usize) -> Vec<Bytes> {
    let (kind, body) = match record {
        Record::Commit(changes) => {
            let entries = changes.entries.iter().map(|(key, value)| (&**key, value.as_ref()));
            (Kind::Commit, write_body(Some(changes.schema), entries))
        }
        Record::Snapshot(saved) => {
            let entries = saved.entries.iter().map(|(key, value)| (key.as_str(), Some(value)));
            (Kind::Snapshot, write_body(saved.schema, entries))
        }
        Record::Takeover(name) => (Kind::Takeover, Bytes::copy_from_slice(name.as_bytes())),
    };
    let room = max_bytes.saturating_sub(HEAD_BYTES).max(1);
    let count = length(body.len().div_ceil(room).max(1));
    let parts = (0..count).map(|index| {
        let begin =
            room.saturating_mul(usize::try_from(index).unwrap_or(usize::MAX)).min(body.len());
        let part = body.slice(begin..begin.saturating_add(room).min(body.len()));
        let mut message = BytesMut::with_capacity(HEAD_BYTES + part.len());
        put_head(&mut message, kind, link, (index, count));
        message.put(part);
        message.freeze()
    });
    parts.collect()
}

fn write_body<'e>(
    schema: Option<u32>,
    entries: impl ExactSizeIterator<Item = (&'e str, Option<&'e Value>)>,
) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(u8::from(schema.is_some()));
    body.put_u32(schema.unwrap_or_default());
    body.put_u32(length(entries.len()));
    for (key, value) in entries {
        body.put_u32(length(key.len()));
        body.put_slice(key.as_bytes());
        let Some(Value { bytes, expires }) = value else {
            body.put_u8(GONE);
            continue;
        };
        match expires {
            None => body.put_u8(KEPT),
            Some(at) => {
                body.put_u8(EXPIRING);
                body.put_i64(*at);
            }
        }
        body.put_u32(length(bytes.len()));
        body.put_slice(bytes);
    }
    body.freeze()
}

/// Lengths are those of keys, values and entries within a store's quota.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl LogReader {
    /// Takes the next message. One of a record that does not count changes nothing.
    ///
    /// # Errors
    /// It is not one of this version, or messages before it are missing.
    pub fn take(&mut self, sequence: u64, mut message: Bytes) -> Result<(), LogFormatError> {
        self.state.messages_since += 1;
        self.state.bytes_since += message.len();
        if !is_record(&message) {
            self.state.foreign = (self.state.foreign.0 + 1, sequence);
        }
        let Some(Part { kind, is_first, is_last }) =
            self.state.chain.take(sequence, &mut message)?
        else {
            return Ok(());
        };
        if is_first {
            self.parts = BytesMut::new();
        }
        let body = if is_first && is_last {
            message
        } else {
            self.parts.put(message);
            if !is_last {
                return Ok(());
            }
            std::mem::take(&mut self.parts).freeze()
        };
        if kind == Kind::Takeover {
            return Ok(());
        }
        let size = body.len();
        let damaged = |reason| LogFormatError::Damaged { sequence, reason };
        let Body { schema, entries } = read_body(body).map_err(damaged)?;
        if kind == Kind::Snapshot {
            self.entries = Some(BTreeMap::new());
            self.state.snapshot_bytes = size;
            (self.state.bytes_since, self.state.messages_since) = (0, 0);
        }
        let Some(known) = &mut self.entries else {
            return Err(LogFormatError::NoBeginning { sequence });
        };
        self.schema = schema;
        for (key, value) in entries {
            match value {
                Some(value) => drop(known.insert(key, value)),
                None => drop(known.remove(&key)),
            }
        }
        Ok(())
    }

    /// Returns the content, at the end of the log.
    pub fn finish(self) -> LogState {
        let schema = self.schema;
        let saved =
            self.entries.map(|entries| Saved { schema, entries: entries.into_iter().collect() });
        LogState { saved, ..self.state }
    }
}

fn read_body(mut body: Bytes) -> Result<Body, &'static str> {
    const SHORT: &str = "it ends early";
    let read = |body: &mut Bytes, length: usize| {
        (body.remaining() >= length).then(|| body.split_to(length)).ok_or(SHORT)
    };
    let number = |body: &mut Bytes| read(body, 4).map(|mut it| it.get_u32());
    let has_schema = read(&mut body, 1)?.get_u8() == 1;
    let schema = Some(number(&mut body)?).filter(|_| has_schema);
    let count = number(&mut body)?;
    let mut entries = Vec::new();
    let size = |length: u32| usize::try_from(length).unwrap_or(usize::MAX);
    for _ in 0..count {
        let length = number(&mut body)?;
        let key = read(&mut body, size(length))?;
        let key = String::from_utf8(key.into()).map_err(|_| "a key is no text")?;
        let expires = match read(&mut body, 1)?.get_u8() {
            GONE => {
                entries.push((key, None));
                continue;
            }
            KEPT => None,
            EXPIRING => Some(read(&mut body, 8)?.get_i64()),
            _ => return Err("a value is of an unknown kind"),
        };
        let length = number(&mut body)?;
        let bytes = Arc::from(&*read(&mut body, size(length))?);
        entries.push((key, Some(Value { bytes, expires })));
    }
    if body.has_remaining() {
        Err("it has more than its entries")
    } else {
        Ok(Body { schema, entries })
    }
}

#[cfg(test)]
mod tests;
