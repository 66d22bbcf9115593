//! Chain of a log's records: which of them count. All readers decide alike, from the heads of the messages alone.
//!
//! A record names the place behind which it was written: that of the last record that counted for its writer. It
//! counts if that is still the last one when its last part comes. So of two writers that have gone on from the
//! same place, the first whose record is complete is followed, and all of the other one is skipped. The log itself
//! should refuse the second; servers of NATS before 2.9.21 accept both, if they are under way at once.
//!
//! A record also has the term of its writer: a takeover begins a later one than all before, and other records
//! belong to the current one. So a node whose lease has ended, and that still begins to write, is skipped.
//!
//! A message has a head (a mark, the version, the kind, the log, the place, the term, the record, the index and the
//! number of its parts), then a part of the body. All numbers are big-endian. A message without the mark is of
//! another program, and is skipped: no record is behind it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The begin of each message of a node.
const MARK: &[u8; 4] = b"jfsl";

/// The version of the format.
const VERSION: u8 = 1;

/// The size of a message's head in bytes.
pub(crate) const HEAD_BYTES: usize = 46;

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
         to its streams; `nats stream rmm jf1_NAME_stores {sequence}` removes a message of another program"
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
         in JetStream; `nats stream purge jf1_NAME_stores --subject jf1.NAME.store.PLUGIN` lets the log begin with the \
         store of a node"
    )]
    NoBeginning {
        /// The place of the commit.
        sequence: u64,
    },
    /// Messages before it are missing: a home has removed them since, and has put a snapshot in their place.
    #[error(
        "messages of the store's log before message {sequence} were removed meanwhile\n  = help: if this stays, they \
         were removed in JetStream; `nats stream purge jf1_NAME_stores --subject jf1.NAME.store.PLUGIN` lets the log \
         begin with the store of a node"
    )]
    Removed {
        /// The place of the message.
        sequence: u64,
    },
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    Snapshot,
    Takeover,
}

/// The place of a record in its log, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The log: the id of the first record ever.
    pub(crate) log: u64,
    /// The place of the last record that counts.
    pub(crate) behind: u64,
    /// The time in which its writer is the only one.
    pub(crate) term: u64,
    /// A number that no other record has: parts of different records are never joined.
    pub(crate) id: u64,
}

/// The head of a message.
#[derive(Clone, Copy, Debug)]
struct Head {
    kind: Kind,
    link: Link,
    index: u32,
    count: u32,
}

/// The end of a log, as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The log; `None` before its first message.
    log: Option<u64>,
    /// The place of its first message.
    first: u64,
    /// The place of the last record that counts.
    accepted: u64,
    /// The term of that record.
    term: u64,
    /// The place of the last message, which may be one that does not count.
    last: u64,
    /// The record of which parts are missing.
    open: Option<Open>,
    /// The messages behind `accepted`, in order.
    since: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    id: u64,
    term: u64,
    kind: Kind,
    next: u32,
    count: u32,
}

/// A message that is a part of a record which may count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    /// All parts before it belong to a record that does not count.
    pub(crate) is_first: bool,
    /// The record counts.
    pub(crate) is_last: bool,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Commit => 1,
            Self::Snapshot => 2,
            Self::Takeover => 3,
        }
    }
}

/// Writes the head of a part.
pub(crate) fn put_head(message: &mut BytesMut, kind: Kind, link: Link, (index, count): (u32, u32)) {
    message.put_slice(MARK);
    message.put_u8(VERSION);
    message.put_u8(kind.byte());
    message.put_u64(link.log);
    message.put_u64(link.behind);
    message.put_u64(link.term);
    message.put_u64(link.id);
    message.put_u32(index);
    message.put_u32(count);
}

/// Returns whether a message is of a node.
pub(crate) fn is_record(message: &[u8]) -> bool {
    message.starts_with(MARK)
}

impl Head {
    /// Reads the head of a message of a node, and leaves the body.
    fn read(message: &mut Bytes, sequence: u64) -> Result<Self, LogFormatError> {
        let damaged = |reason| LogFormatError::Damaged { sequence, reason };
        match message.get(MARK.len()) {
            Some(&VERSION) => {}
            Some(&found) if found > VERSION => {
                return Err(LogFormatError::Newer { sequence, found });
            }
            _ => return Err(damaged("it has no version")),
        }
        if message.len() < HEAD_BYTES {
            return Err(damaged("its head is incomplete"));
        }
        message.advance(MARK.len() + 1);
        let kind = message.get_u8();
        let kinds = [Kind::Commit, Kind::Snapshot, Kind::Takeover];
        let kind = kinds.into_iter().find(|it| it.byte() == kind);
        let kind = kind.ok_or_else(|| damaged("its kind is unknown"))?;
        let (log, behind) = (message.get_u64(), message.get_u64());
        let link = Link { log, behind, term: message.get_u64(), id: message.get_u64() };
        let (index, count) = (message.get_u32(), message.get_u32());
        if index >= count {
            return Err(damaged("its parts are miscounted"));
        }
        Ok(Self { kind, link, index, count })
    }
}

impl Chain {
    /// Returns the log; `None` before its first message.
    pub(crate) const fn log(&self) -> Option<u64> {
        self.log
    }

    /// Returns the place of the last message.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Returns the place of the last record that counts.
    pub(crate) const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Returns the term that a lease begins. The numbers of leases grow, unless their stream was removed.
    pub(crate) fn next_term(&self, lease: u64) -> u64 {
        lease.max(self.term.saturating_add(1))
    }

    /// Returns the link of the next record.
    pub(crate) fn link(&self, term: u64, id: u64) -> Link {
        Link { log: self.log.unwrap_or(id), behind: self.accepted, term, id }
    }

    /// A record was written behind the last message, and nothing is between its parts.
    pub(crate) fn written(&mut self, term: u64, last: u64) {
        (self.accepted, self.term, self.last, self.open) = (last, term, last, None);
        self.since.clear();
    }

    /// Takes the next message, and leaves its body. Returns `None` if it is skipped.
    ///
    /// # Errors
    /// It is not one of this version, or messages before it are missing.
    pub(crate) fn take(
        &mut self,
        sequence: u64,
        message: &mut Bytes,
    ) -> Result<Option<Part>, LogFormatError> {
        if !is_record(message) {
            // If it was a record, the next one is behind it, and is refused.
            self.last = sequence;
            return Ok(None);
        }
        let Head { kind, link: Link { log, behind, term, id }, index, count } =
            Head::read(message, sequence)?;
        if self.log.is_none() {
            // All before a snapshot may be removed.
            if kind != Kind::Snapshot || index > 0 {
                return Err(LogFormatError::NoBeginning { sequence });
            }
            (self.log, self.first) = (Some(log), sequence);
            (self.accepted, self.term) = (behind, term);
        }
        // A writer that goes on behind a record that does not count is skipped, too.
        let is_known = behind <= self.accepted
            || behind < self.first
            || self.since.binary_search(&behind).is_ok();
        if !is_known {
            return Err(LogFormatError::Removed { sequence });
        }
        self.last = sequence;
        // A repeated first part changes nothing. Another record takes the place of one whose writer has died.
        let is_behind = behind == self.accepted && self.log == Some(log);
        let is_in_term = term > self.term || (term == self.term && kind != Kind::Takeover);
        let is_new = self.open.is_none_or(|it| it.id != id);
        let is_first = index == 0 && is_behind && is_in_term && is_new;
        if is_first {
            self.open = Some(Open { id, term, kind, next: 0, count });
        }
        let expected = Open { id, term, kind, next: index, count };
        let Some(open) = self.open.as_mut().filter(|it| **it == expected) else {
            self.since.push(sequence);
            return Ok(None);
        };
        open.next += 1;
        let is_last = open.next == count;
        if is_last {
            self.written(term, sequence);
        } else {
            self.since.push(sequence);
        }
        Ok(Some(Part { kind, is_first, is_last }))
    }
}

#[cfg(test)]
mod tests;
