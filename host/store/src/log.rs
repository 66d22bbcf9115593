//! Format of a store's log: the commits of one plugin, in order, as messages that all nodes of a cluster read.
//!
//! A record is a commit, a snapshot of all entries, or a takeover by a new home. One that is longer than a
//! message is cut into parts, and counts only as a whole: a writer may die between two of them. A log begins
//! with a snapshot, and a later one replaces all before it.
//!
//! A message has a head (the version, the kind, the number of the record, the index and the number of its
//! parts), then a part of the body. The body of a commit or a snapshot has the schema and the entries. All
//! numbers are big-endian.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Changes, Saved, Value};

/// The version of the format.
const VERSION: u8 = 1;

/// The size of a message's head in bytes.
const HEAD_BYTES: usize = 18;

/// The maximum size of a record in bytes. A store has a quota far below.
const MAX_RECORD_BYTES: usize = 1 << 30;

const COMMIT: u8 = 1;
const SNAPSHOT: u8 = 2;
const TAKEOVER: u8 = 3;

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

/// A log cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFormatError {
    /// A newer server has written it.
    #[error(
        "message {sequence} of the store's log is of version {found}, and this server knows version {VERSION}\n  = \
         help: run the same version of jackfield on all nodes"
    )]
    Newer {
        /// The place of the message.
        sequence: u64,
        /// Its version.
        found: u8,
    },
    /// It is no such message.
    #[error(
        "message {sequence} of the store's log cannot be read: {reason}\n  = help: only nodes of the cluster may write \
         to its streams; remove the messages of this subject to begin with the store of a node"
    )]
    Damaged {
        /// The place of the message.
        sequence: u64,
        /// The reason.
        reason: &'static str,
    },
    /// Its beginning is missing.
    #[error(
        "the store's log has a commit and no snapshot before it (message {sequence})\n  = help: its beginning was removed \
         in JetStream; remove the messages of this subject to begin with the store of a node"
    )]
    NoBeginning {
        /// The place of the commit.
        sequence: u64,
    },
}

/// The content of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The store at the end of the log; `None` if there is no complete snapshot, so that no commit counts.
    pub saved: Option<Saved>,
    /// The place of the last message; 0 without any.
    pub last: u64,
    /// The size of the last snapshot, in bytes.
    pub snapshot_bytes: usize,
    /// The size and number of the messages since.
    pub bytes_since: usize,
    /// The number of the messages since.
    pub messages_since: usize,
}

/// Reads a log, message by message.
#[derive(Debug, Default)]
pub struct LogReader {
    schema: Option<u32>,
    entries: Option<BTreeMap<String, Value>>,
    state: LogState,
    partial: Option<Partial>,
}

/// A record of which parts are missing.
#[derive(Debug)]
struct Partial {
    kind: u8,
    number: u64,
    next: u32,
    count: u32,
    body: BytesMut,
}

/// A commit that was read.
struct Body {
    schema: Option<u32>,
    entries: Vec<(String, Option<Value>)>,
}

/// Writes a record as messages of up to `max_bytes`. `number` tells two records of a log apart.
pub(crate) fn write(record: Record<'_>, number: u64, max_bytes: usize) -> Vec<Bytes> {
    let (kind, body) = match record {
        Record::Commit(changes) => {
            let entries = changes.entries.iter().map(|(key, value)| (&**key, value.as_ref()));
            (COMMIT, write_body(Some(changes.schema), entries))
        }
        Record::Snapshot(saved) => {
            let entries = saved.entries.iter().map(|(key, value)| (key.as_str(), Some(value)));
            (SNAPSHOT, write_body(saved.schema, entries))
        }
        Record::Takeover(name) => (TAKEOVER, Bytes::copy_from_slice(name.as_bytes())),
    };
    let room = max_bytes.saturating_sub(HEAD_BYTES).max(1);
    let count = length(body.len().div_ceil(room).max(1));
    let parts = (0..count).map(|index| {
        let begin =
            room.saturating_mul(usize::try_from(index).unwrap_or(usize::MAX)).min(body.len());
        let part = body.slice(begin..begin.saturating_add(room).min(body.len()));
        let mut message = BytesMut::with_capacity(HEAD_BYTES + part.len());
        message.put_u8(VERSION);
        message.put_u8(kind);
        message.put_u64(number);
        message.put_u32(index);
        message.put_u32(count);
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
    /// Takes the next message.
    ///
    /// # Errors
    /// It is not one of this version, or the beginning of the log is missing.
    pub fn take(&mut self, sequence: u64, message: Bytes) -> Result<(), LogFormatError> {
        self.state.last = sequence;
        self.state.messages_since += 1;
        self.state.bytes_since += message.len();
        let damaged = |reason| LogFormatError::Damaged { sequence, reason };
        let Some((kind, body)) = self.join(message, sequence)? else { return Ok(()) };
        if kind == TAKEOVER {
            return Ok(());
        }
        let size = body.len();
        let Body { schema, entries } = read_body(body).map_err(damaged)?;
        if kind == SNAPSHOT {
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

    /// Puts a message to the parts before it. Returns the kind and the body of a record that is whole.
    fn join(
        &mut self,
        mut message: Bytes,
        sequence: u64,
    ) -> Result<Option<(u8, Bytes)>, LogFormatError> {
        let damaged = |reason| LogFormatError::Damaged { sequence, reason };
        match message.first() {
            Some(&VERSION) => {}
            Some(&found) if found > VERSION => {
                return Err(LogFormatError::Newer { sequence, found });
            }
            _ => return Err(damaged("it has no version")),
        }
        if message.len() < HEAD_BYTES {
            return Err(damaged("its head is incomplete"));
        }
        message.advance(1);
        let (kind, number) = (message.get_u8(), message.get_u64());
        let (index, count) = (message.get_u32(), message.get_u32());
        if ![COMMIT, SNAPSHOT, TAKEOVER].contains(&kind) {
            return Err(damaged("its kind is unknown"));
        }
        if index >= count {
            return Err(damaged("its parts are miscounted"));
        }
        if index == 0 {
            // The parts of a writer that has died count for nothing.
            let body = BytesMut::new();
            self.partial = Some(Partial { kind, number, next: 0, count, body });
        }
        let is_next = |it: &Partial| {
            it.kind == kind && it.number == number && it.next == index && it.count == count
        };
        let Some(mut partial) = self.partial.take().filter(is_next) else {
            return Err(damaged("a part before it is missing"));
        };
        if partial.body.len() + message.len() > MAX_RECORD_BYTES {
            return Err(damaged("it is too long"));
        }
        if count == 1 {
            return Ok(Some((kind, message)));
        }
        partial.body.put(message);
        partial.next += 1;
        if partial.next == count {
            return Ok(Some((kind, partial.body.freeze())));
        }
        self.partial = Some(partial);
        Ok(None)
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
