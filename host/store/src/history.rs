//! The file of durable histories: the newest events of topics, with the epoch and the offset of each
//! topic. SQLite, opened and written as the stores of plugins are.
//!
//! It is a file of its own: a copy of it must not be used again, since the same offsets would be given
//! to other events. Backups of stores are made to be used again.
//!
//! **Trust.** Commits survive the end of a process, but a power cut only if they were synced. The file
//! notes the boot of the machine, its own inode, and whether it was closed in order. After a power cut,
//! commits may be missing whose events clients have seen, and in a copy of the file as well: all topics get
//! new epochs then.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use crate::EngineError;
use crate::sqlite::{Layout, create};

/// The name of the file.
pub const HISTORY_FILE: &str = "history.sqlite3";
/// Version of the file's tables (`user_version`).
pub const HISTORY_VERSION: i64 = 1;

const LAYOUT: Layout = Layout {
    // "JFhi"
    application_id: 0x4a46_6869,
    version: HISTORY_VERSION,
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
    /// Opens the file in a folder, created if missing. `boot` names the boot of the machine, and is
    /// empty if that is unknown. `is_synced` says whether each commit of this process is synced.
    /// Returns the topics as well, and whether they have new epochs, of the numbers of `random`.
    ///
    /// # Errors
    /// The file is foreign, damaged, newer, in use, or cannot be read or written.
    pub fn open(
        folder: &Path,
        boot: &str,
        is_synced: bool,
        random: impl FnMut() -> u64,
    ) -> Result<(Self, Vec<LoggedTopic>, bool), EngineError> {
        let (file, connection, log) = create(folder, HISTORY_FILE, &LAYOUT)?;
        let mut opened = Self { connection, log, log_file: None, file };
        // The last process may not have known whether the log is on the disk.
        opened.checkpoint()?;
        let is_renewed = !opened.is_whole(boot)?;
        opened.begin(boot, is_synced, is_renewed.then_some(random))?;
        // Otherwise a power cut could take back this note and what follows it, and the file would be
        // believed.
        opened.sync()?;
        let topics = opened.topics()?;
        Ok((opened, topics, is_renewed))
    }

    /// Returns whether no commit of the last process can be missing, and the file is no copy.
    fn is_whole(&self, boot: &str) -> Result<bool, EngineError> {
        let read = "SELECT boot, is_synced, is_closed, inode FROM opening";
        let row =
            |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let (last, is_synced, is_closed, inode): (String, bool, bool, i64) =
            self.connection.query_row(read, [], row)?;
        let has_all = is_closed || is_synced || (!boot.is_empty() && last == boot);
        Ok(has_all && inode == self.inode()?)
    }

    fn inode(&self) -> Result<i64, EngineError> {
        let metadata = self.file.metadata().map_err(EngineError::Sync)?;
        Ok(metadata.ino().cast_signed())
    }

    /// Writes everything from the log to the disk and to the file.
    fn checkpoint(&self) -> Result<(), EngineError> {
        let busy: i64 =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(EngineError::Sqlite("the log is in use".to_owned())) }
    }

    fn begin(
        &mut self,
        boot: &str,
        is_synced: bool,
        random: Option<impl FnMut() -> u64>,
    ) -> Result<(), EngineError> {
        let inode = self.inode()?;
        let begun = self.connection.transaction()?;
        if let Some(mut random) = random {
            let mut ids = begun.prepare("SELECT id FROM topic")?;
            let ids: Vec<i64> = ids.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for id in ids {
                let epoch = random().cast_signed();
                begun.execute("UPDATE topic SET epoch = ?1 WHERE id = ?2", params![epoch, id])?;
            }
        }
        let note = "UPDATE opening SET boot = ?1, is_synced = ?2, is_closed = 0, inode = ?3";
        begun.execute(note, params![boot, is_synced, inode])?;
        Ok(begun.commit()?)
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
        if let Err(error) = written.and_then(|()| self.run("COMMIT")) {
            if !self.connection.is_autocommit() {
                // Its failure leaves the transaction open, and the next BEGIN fails.
                let _ = self.run("ROLLBACK");
            }
            return Err(error.into());
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
        log.sync_data().map_err(EngineError::Sync)
    }

    /// Returns a function that does what [`HistoryFile::sync`] does, for another thread.
    ///
    /// # Errors
    /// The log cannot be opened again.
    pub fn syncer(&mut self) -> Result<HistorySyncer, EngineError> {
        // Not a copy of the descriptor: the operating system reports an error once to all copies.
        let log = File::open(&self.log).map_err(EngineError::Sync)?;
        Ok(Box::new(move || log.sync_data().map_err(EngineError::Sync)))
    }

    /// Notes that commits may be missing, since a sync has failed: at the next start, topics get new
    /// epochs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn distrust(&mut self) -> Result<(), EngineError> {
        Ok(self.run("UPDATE opening SET is_synced = 0, boot = ''")?)
    }

    /// Notes that all is synced, as the last change.
    ///
    /// # Errors
    /// It is not: after a power cut, topics get new epochs.
    pub fn close(mut self) -> Result<(), EngineError> {
        self.run("UPDATE opening SET is_closed = 1")?;
        self.sync()
    }
}

#[cfg(test)]
mod tests;
