//! The file of durable histories: the newest events of topics, with the epoch and the offset of each
//! topic. SQLite, opened and written as the stores of plugins are.
//!
//! It is a file of its own: a copy of it must not be used again, since the same offsets would be given
//! to other events. Backups of stores are made to be used again.
//!
//! **Trust.** A start goes on with the epochs of the file only if no commit can be missing whose event a
//! client has seen. There are three proofs; without one, as after a power cut or in a copy, all topics get
//! new epochs:
//! - in the same boot of the machine, a [`Witness`] outside of the folder knows the last commit. It alone
//!   decides if it is there;
//! - the file was closed in order, and has a [`seal`](mod@seal) that is whole;
//! - in another boot, each commit of the last process was synced, and the inode is that of then.

mod integrity;
mod witness;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::sqlite::Layout;
use crate::{EngineError, seal};

pub use integrity::MachineBoot;
use witness::Witness;

/// The name of the file.
pub const HISTORY_FILE: &str = "history.sqlite3";
/// Version of the file's tables (`user_version`).
pub const HISTORY_VERSION: i64 = 1;

const LAYOUT: Layout = Layout {
    // "JFhi"
    application_id: 0x4a46_6869,
    version: HISTORY_VERSION,
    // Not the number of commits, which a copy would catch up with. The file is closed if this is odd.
    probe: "UPDATE opening SET is_closed = is_closed + 2",
    tables: "
CREATE TABLE topic (
    id INTEGER PRIMARY KEY,
    realm TEXT NOT NULL,
    name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    top INTEGER NOT NULL,
    last INTEGER NOT NULL,
    retained BLOB,
    UNIQUE (realm, name)
);
CREATE TABLE event (
    topic INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (topic, offset)
) WITHOUT ROWID;
CREATE TABLE opening (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL,
    boot TEXT NOT NULL,
    is_synced INTEGER NOT NULL,
    is_closed INTEGER NOT NULL,
    inode INTEGER NOT NULL
);
INSERT INTO opening VALUES (1, 0, '', 0, 1, 0);
",
};

/// The file of durable histories, which belongs to one thread.
#[derive(Debug)]
pub struct HistoryFile {
    connection: Connection,
    log: PathBuf,
    /// Opened at the first use. Another descriptor of the log drops no lock.
    log_file: Option<File>,
    /// Closing any descriptor of the file drops SQLite's locks, so it is closed last.
    file: File,
    /// The number of commits of this file since its first opening.
    count: u64,
    /// `None` if there is no place for it.
    witness: Option<Arc<Witness>>,
}

/// [`HistoryFile::sync`] on another thread.
pub type HistorySyncer = crate::Syncer;

/// The place of a topic in the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicKey {
    /// The name of the realm.
    pub realm: String,
    /// The topic.
    pub topic: String,
    /// The number of its epoch. A change of another epoch than that of the file does nothing.
    pub epoch: u64,
}

/// What the file has of a topic, for a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedExtent {
    /// The topic.
    pub key: TopicKey,
    /// The offset of the oldest event; `None` without events.
    pub first: Option<u64>,
    /// Whether there is a retained event.
    pub has_retained: bool,
}

/// A topic in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedTopic {
    /// Its realm, name and epoch.
    pub key: TopicKey,
    /// The offset of the newest event.
    pub top: u64,
    /// The time of the newest event, in milliseconds since 1970.
    pub last_ms: u64,
    /// The newest events, up to `top`, without a hole.
    pub events: Vec<Vec<u8>>,
    /// The retained event.
    pub retained: Option<Vec<u8>>,
}

/// A change of one topic in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryChange {
    /// Appends an event, and removes those before `first`.
    Append {
        /// The topic.
        key: TopicKey,
        /// Whether nothing of the topic is to be in the file before, also of earlier epochs.
        is_new: bool,
        /// The offset of the oldest event that is kept.
        first: u64,
        /// The offset of the event, the next one.
        offset: u64,
        /// The time in milliseconds since 1970.
        at_ms: u64,
        /// The event.
        event: Vec<u8>,
        /// The new retained event; `None` keeps the one before.
        retained: Option<Vec<u8>>,
    },
    /// Takes an appended event back, which nobody has received.
    Rewind {
        /// The topic.
        key: TopicKey,
        /// The offset of the event.
        offset: u64,
        /// The retained event before it, if it replaced that.
        retained: Option<Option<Vec<u8>>>,
    },
    /// Removes events before `first`, and perhaps the retained event.
    Trim {
        /// The topic.
        key: TopicKey,
        /// The offset of the oldest event that is kept.
        first: u64,
        /// The offset of the newest event that is known. The retained event is kept if there is a later
        /// one: it may be that.
        top: u64,
        /// Whether the retained event is kept in any case.
        keeps_retained: bool,
    },
    /// Removes all of the topic.
    Forget {
        /// The topic.
        key: TopicKey,
    },
}

impl HistoryFile {
    fn inode(&self) -> Result<i64, EngineError> {
        let metadata = self.file.metadata().map_err(EngineError::Sync)?;
        Ok(metadata.ino().cast_signed())
    }

    /// Returns whether a kill of this process leaves a proof.
    pub const fn has_witness(&self) -> bool {
        self.witness.is_some()
    }

    /// Returns whether the file and its log are those of their folder. They are not after another
    /// program has removed or replaced them.
    pub fn is_in_place(&self) -> bool {
        let is_there = |path: &Path, file: &File| match (path.symlink_metadata(), file.metadata()) {
            (Ok(there), Ok(open)) => (there.dev(), there.ino()) == (open.dev(), open.ino()),
            (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => true,
        };
        is_there(&self.log.with_file_name(HISTORY_FILE), &self.file)
            && self.log_file.as_ref().is_none_or(|log| is_there(&self.log, log))
    }

    /// Writes everything from the log to the disk and to the file.
    fn checkpoint(&self) -> Result<(), EngineError> {
        let busy: i64 =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(EngineError::Sqlite("the log is in use".to_owned())) }
    }

    fn topics(&self) -> Result<Vec<LoggedTopic>, EngineError> {
        let mut rows = self
            .connection
            .prepare("SELECT id, realm, name, epoch, top, last, retained FROM topic")?;
        let rows = rows.query_map([], |row| {
            let key = TopicKey {
                realm: row.get(1)?,
                topic: row.get(2)?,
                epoch: row.get::<_, i64>(3)?.cast_unsigned(),
            };
            let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
            let (top, last_ms) = (number(4)?, number(5)?);
            let topic =
                LoggedTopic { key, top, last_ms, events: Vec::new(), retained: row.get(6)? };
            Ok((row.get::<_, i64>(0)?, topic))
        })?;
        let mut topics = Vec::new();
        let mut events = self
            .connection
            .prepare("SELECT offset, content FROM event WHERE topic = ?1 ORDER BY offset DESC")?;
        for row in rows {
            let (id, mut topic) = row?;
            let mut expected = topic.top;
            for event in events.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))? {
                let (offset, content): (i64, Vec<u8>) = event?;
                // Commits leave no hole; events behind one would be wrong.
                if offset.cast_unsigned() != expected {
                    break;
                }
                expected = expected.wrapping_sub(1);
                topic.events.push(content);
            }
            topic.events.reverse();
            topics.push(topic);
        }
        Ok(topics)
    }

    /// Returns what the file has of each topic, without the events.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn extents(&self) -> Result<Vec<LoggedExtent>, EngineError> {
        let mut rows = self.connection.prepare_cached(
            "SELECT realm, name, epoch, retained IS NOT NULL,
                    (SELECT min(offset) FROM event WHERE event.topic = topic.id)
             FROM topic",
        )?;
        let extents = rows.query_map([], |row| {
            let epoch = row.get::<_, i64>(2)?.cast_unsigned();
            let key = TopicKey { realm: row.get(0)?, topic: row.get(1)?, epoch };
            let first = row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned);
            Ok(LoggedExtent { key, first, has_retained: row.get(3)? })
        })?;
        Ok(extents.collect::<Result<_, _>>()?)
    }

    /// Makes all changes or none. They survive the end of this process, and a power cut only after
    /// [`HistoryFile::sync`].
    ///
    /// # Errors
    /// The file cannot be written: nothing has changed.
    pub fn commit<'c>(
        &mut self,
        changes: impl IntoIterator<Item = &'c HistoryChange>,
    ) -> Result<(), EngineError> {
        self.run("BEGIN IMMEDIATE")?;
        let written = changes.into_iter().try_for_each(|change| self.change(change));
        let counted = written.and_then(|()| self.run("UPDATE opening SET count = count + 1"));
        if let Err(error) = counted.and_then(|()| self.run("COMMIT")) {
            if !self.connection.is_autocommit() {
                // Its failure leaves the transaction open, and the next BEGIN fails.
                let _ = self.run("ROLLBACK");
            }
            return Err(error.into());
        }
        self.count += 1;
        if let Some(witness) = &self.witness
            && witness.note(self.count).is_err()
        {
            witness.revoke();
        }
        Ok(())
    }

    fn change(&self, change: &HistoryChange) -> rusqlite::Result<()> {
        let run = |statement: &str, values: &[&dyn rusqlite::ToSql]| {
            self.connection.prepare_cached(statement)?.execute(values)
        };
        match change {
            HistoryChange::Append { key, is_new, first, offset, at_ms, event, retained } => {
                let id = if *is_new { self.renew(key)? } else { self.id(key)? };
                // The topic of an append that is not the first one is there.
                let id = id.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                let (first, offset) = (first.cast_signed(), offset.cast_signed());
                let put = "INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3)";
                run(put, params![id, offset, event])?;
                run("DELETE FROM event WHERE topic = ?1 AND offset < ?2", params![id, first])?;
                run(
                    "UPDATE topic SET top = ?2, last = ?3, retained = coalesce(?4, retained)
                     WHERE id = ?1",
                    params![id, offset, at_ms.cast_signed(), retained],
                )?;
            }
            HistoryChange::Rewind { key, offset, retained } => {
                let Some(id) = self.id(key)? else { return Ok(()) };
                let offset = offset.cast_signed();
                run("DELETE FROM event WHERE topic = ?1 AND offset >= ?2", params![id, offset])?;
                let back = "UPDATE topic SET top = ?2 WHERE id = ?1 AND top > ?2";
                run(back, params![id, offset - 1])?;
                if let Some(retained) = retained {
                    let put = "UPDATE topic SET retained = ?2 WHERE id = ?1";
                    run(put, params![id, retained])?;
                }
            }
            HistoryChange::Trim { key, first, top, keeps_retained } => {
                let Some(id) = self.id(key)? else { return Ok(()) };
                let first = first.cast_signed();
                run("DELETE FROM event WHERE topic = ?1 AND offset < ?2", params![id, first])?;
                if !keeps_retained {
                    let remove = "UPDATE topic SET retained = NULL WHERE id = ?1 AND top <= ?2";
                    run(remove, params![id, top.cast_signed()])?;
                }
            }
            HistoryChange::Forget { key } => {
                let Some(id) = self.id(key)? else { return Ok(()) };
                run("DELETE FROM event WHERE topic = ?1", params![id])?;
                run("DELETE FROM topic WHERE id = ?1", params![id])?;
            }
        }
        Ok(())
    }

    /// Returns the row of a topic, if it is there with this epoch.
    fn id(&self, key: &TopicKey) -> rusqlite::Result<Option<i64>> {
        let TopicKey { realm, topic, epoch } = key;
        self.connection
            .prepare_cached("SELECT id FROM topic WHERE realm = ?1 AND name = ?2 AND epoch = ?3")?
            .query_row(params![realm, topic, epoch.cast_signed()], |row| row.get(0))
            .optional()
    }

    /// Replaces a topic by an empty one.
    fn renew(&self, key: &TopicKey) -> rusqlite::Result<Option<i64>> {
        let TopicKey { realm, topic, epoch } = key;
        let run = |statement: &str, values: &[&dyn rusqlite::ToSql]| {
            self.connection.prepare_cached(statement)?.execute(values)
        };
        let events = "DELETE FROM event WHERE topic =
                      (SELECT id FROM topic WHERE realm = ?1 AND name = ?2)";
        run(events, params![realm, topic])?;
        run("DELETE FROM topic WHERE realm = ?1 AND name = ?2", params![realm, topic])?;
        let put = "INSERT INTO topic VALUES (NULL, ?1, ?2, ?3, 0, 0, NULL)";
        run(put, params![realm, topic, epoch.cast_signed()])?;
        Ok(Some(self.connection.last_insert_rowid()))
    }

    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }

    /// Waits until all that was committed survives a power cut.
    ///
    /// # Errors
    /// The operating system cannot promise it. It reports an error once: a later success proves nothing.
    pub fn sync(&mut self) -> Result<(), EngineError> {
        let log = match &self.log_file {
            Some(log) => log,
            None => self.log_file.insert(File::open(&self.log).map_err(EngineError::Sync)?),
        };
        log.sync_data().map_err(EngineError::Sync).inspect_err(|_| self.revoke())
    }

    /// Returns a function that does what [`HistoryFile::sync`] does, for another thread.
    ///
    /// # Errors
    /// The log cannot be opened again.
    pub fn syncer(&mut self) -> Result<HistorySyncer, EngineError> {
        // Not a copy of the descriptor: the operating system reports an error once to all copies.
        let log = File::open(&self.log).map_err(EngineError::Sync)?;
        let witness = self.witness.clone();
        Ok(Box::new(move || {
            log.sync_data().map_err(|error| {
                if let Some(witness) = &witness {
                    witness.revoke();
                }
                EngineError::Sync(error)
            })
        }))
    }

    /// Ends the trust of a start in this boot. It needs no disk.
    fn revoke(&self) {
        if let Some(witness) = &self.witness {
            witness.revoke();
        }
    }

    /// Notes that commits may be missing, since a sync has failed or the file is gone: at the next start,
    /// topics get new epochs.
    ///
    /// # Errors
    /// The file cannot be written. After the next boot, it is believed if it was synced until then.
    pub fn distrust(&mut self) -> Result<(), EngineError> {
        self.revoke();
        Ok(self.run("UPDATE opening SET is_synced = 0, boot = ''")?)
    }

    /// Syncs all, and seals the file as the last change.
    ///
    /// # Errors
    /// The file is not sealed. If the disk has failed to sync, topics get new epochs at the next start;
    /// otherwise they go on as after a kill.
    pub fn close(mut self) -> Result<(), EngineError> {
        self.run("UPDATE opening SET is_closed = 1")?;
        self.sync()?;
        self.checkpoint().inspect_err(|error| {
            if !matches!(error, EngineError::Full(_)) {
                self.revoke();
            }
        })?;
        let Self { connection, log, log_file, file, .. } = self;
        drop(log_file);
        connection.close().map_err(|(_, error)| error)?;
        drop(file);
        if log.exists() {
            return Err(EngineError::Sqlite("the log cannot be removed".to_owned()));
        }
        seal::seal(&log.with_file_name(HISTORY_FILE)).map_err(EngineError::Sync)
    }
}

#[cfg(test)]
mod tests;
