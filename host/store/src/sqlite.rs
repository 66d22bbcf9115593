//! The engine in SQLite: write-ahead log, one owner, one transaction for each commit.

mod backup;

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};
use rustix::fs::OFlags;

use backup::BackupState;

use crate::{Backup, Changes, Engine, EngineError, Saved, Syncer, Value};

/// Name of the file in the data folder.
pub const FILE: &str = "store.sqlite3";
/// Version of the file's tables (`user_version`).
pub const VERSION: i64 = 1;
/// Size that the write-ahead log is cut to after a checkpoint, in bytes.
const MAX_IDLE_LOG_BYTES: i64 = 16 << 20;
/// Size of the write-ahead log at which a commit makes a checkpoint, in pages.
const CHECKPOINT_PAGES: i64 = 1000;
/// Size of the write-ahead log at which a backup is given up, in bytes: until its end there is no
/// checkpoint, and the log grows.
const MAX_BACKUP_LOG_BYTES: u64 = 1 << 30;

const LAYOUT: Layout = Layout {
    // "JFst"
    application_id: 0x4a46_7374,
    version: VERSION,
    probe: "UPDATE opening SET count = count + 1",
    tables: "
CREATE TABLE entry (
    plugin TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    expires INTEGER,
    PRIMARY KEY (plugin, key)
) WITHOUT ROWID;
CREATE TABLE space (plugin TEXT PRIMARY KEY NOT NULL, schema INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE opening (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL);
INSERT INTO opening VALUES (1, 0);
",
};

/// The logs of a cluster of which the entries of plugins are a copy. Servers without it ignore it.
const COPIES: &str = "
CREATE TABLE IF NOT EXISTS copy (plugin TEXT PRIMARY KEY NOT NULL, log INTEGER NOT NULL) WITHOUT ROWID
";

/// The kind of a file.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Marks the file as ours (`application_id`).
    pub(crate) application_id: i64,
    /// Version of the tables (`user_version`).
    pub(crate) version: i64,
    /// A statement that changes the file at each opening: one that cannot be written is found.
    pub(crate) probe: &'static str,
    /// The script of a new file.
    pub(crate) tables: &'static str,
}

/// The file of a data folder. No other process can open it meanwhile.
#[derive(Debug)]
pub struct SqliteEngine {
    connection: Connection,
    /// For backups. Closing any descriptor of the file drops SQLite's locks, so it is closed last.
    file: Arc<File>,
    log: PathBuf,
    /// Opened at the first use.
    log_file: Option<File>,
    /// The numbers of layouts that are in the file already.
    schemas: HashMap<Arc<str>, u32>,
    /// The table of copies.
    origins: HashMap<Arc<str>, u64>,
    /// The plugins whose commits are in their log.
    copied: HashSet<Arc<str>>,
    /// The backup that is under way.
    backup: Option<Arc<BackupState>>,
    max_backup_log: u64,
}

impl SqliteEngine {
    /// Opens the file in a data folder, created if missing.
    ///
    /// # Errors
    /// The file is foreign, damaged, newer, in use, or cannot be written.
    pub fn open(folder: &Path) -> Result<Self, EngineError> {
        let (file, connection, log) = create(folder, FILE, &LAYOUT)?;
        let file = Arc::new(file);
        connection.execute_batch(COPIES)?;
        let origins = origins(&connection)?;
        Ok(Self {
            connection,
            file,
            log,
            log_file: None,
            schemas: HashMap::new(),
            origins,
            copied: HashSet::new(),
            backup: None,
            max_backup_log: MAX_BACKUP_LOG_BYTES,
        })
    }

    fn write(&mut self, changes: &[&Changes]) -> rusqlite::Result<()> {
        for changes in changes {
            let plugin = &*changes.plugin;
            if self.schemas.get(plugin) != Some(&changes.schema) {
                let mut put = self
                    .connection
                    .prepare_cached("INSERT OR REPLACE INTO space VALUES (?1, ?2)")?;
                put.execute(params![plugin, changes.schema])?;
            }
            if self.loses_origin(plugin) {
                let mut forget =
                    self.connection.prepare_cached("DELETE FROM copy WHERE plugin = ?1")?;
                forget.execute([plugin])?;
            }
            let mut put = self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO entry VALUES (?1, ?2, ?3, ?4)")?;
            let mut delete = self
                .connection
                .prepare_cached("DELETE FROM entry WHERE plugin = ?1 AND key = ?2")?;
            for (key, value) in &changes.entries {
                match value {
                    Some(Value { bytes, expires }) => {
                        put.execute(params![plugin, key.as_bytes(), &**bytes, expires])?;
                    }
                    None => {
                        delete.execute(params![plugin, key.as_bytes()])?;
                    }
                }
            }
        }
        self.run("COMMIT")
    }

    /// Returns whether a commit, which is in no log, makes the entries of a plugin differ from those of its log.
    fn loses_origin(&self, plugin: &str) -> bool {
        self.origins.contains_key(plugin) && !self.copied.contains(plugin)
    }

    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }

    /// Writes everything from the log to the file, and empties the log.
    fn checkpoint(&self) -> Result<(), EngineError> {
        let busy: i64 =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(EngineError::Sqlite("the log is in use".to_owned())) }
    }

    /// Gives a backup up that keeps the log from being emptied for too long.
    fn bound_backup(&mut self) {
        let Some(backup) = &self.backup else { return };
        let length = self.log.metadata().map_or(0, |metadata| metadata.len());
        if length > self.max_backup_log && backup.give_up(length) {
            // The commit has succeeded in any case, and the backup's end tries it again.
            let _ = self.end_backup();
        }
    }

    /// The write-ahead log. Another descriptor of it drops no lock: SQLite locks the file itself.
    fn log(&mut self) -> Result<&File, EngineError> {
        if self.log_file.is_none() {
            self.log_file = Some(File::open(&self.log).map_err(EngineError::Sync)?);
        }
        self.log_file.as_ref().ok_or_else(|| EngineError::Sync(io::ErrorKind::NotFound.into()))
    }
}

impl Engine for SqliteEngine {
    fn read(&mut self, plugin: &str) -> Result<Saved, EngineError> {
        let mut schemas =
            self.connection.prepare_cached("SELECT schema FROM space WHERE plugin = ?1")?;
        let schema = schemas.query_map([plugin], |row| row.get(0))?.next().transpose()?;
        let mut rows = self.connection.prepare_cached(
            "SELECT key, value, expires FROM entry WHERE plugin = ?1 ORDER BY key",
        )?;
        let entries = rows.query_map([plugin], |row| {
            let (key, bytes): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let key = String::from_utf8_lossy(&key).into_owned();
            Ok((key, Value { bytes: bytes.into(), expires: row.get(2)? }))
        })?;
        Ok(Saved { schema, entries: entries.collect::<Result<_, _>>()? })
    }

    fn plugins(&mut self) -> Result<Vec<String>, EngineError> {
        // One look-up for each plugin: the entries are not read.
        let mut names = self.connection.prepare_cached(
            "SELECT plugin FROM space
             WHERE EXISTS (SELECT 1 FROM entry WHERE entry.plugin = space.plugin)
             ORDER BY plugin",
        )?;
        let names = names.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    fn commit(&mut self, changes: &[&Changes]) -> Result<(), EngineError> {
        self.run("BEGIN IMMEDIATE")?;
        if let Err(error) = self.write(changes) {
            if !self.connection.is_autocommit() {
                // Its failure leaves the transaction open, and the next BEGIN fails.
                let _ = self.run("ROLLBACK");
            }
            return Err(error.into());
        }
        for changes in changes {
            if self.loses_origin(&changes.plugin) {
                self.origins.remove(&changes.plugin);
            }
            if self.schemas.get(&changes.plugin) != Some(&changes.schema) {
                self.schemas.insert(Arc::clone(&changes.plugin), changes.schema);
            }
        }
        self.bound_backup();
        Ok(())
    }

    fn origin(&self, plugin: &str) -> Option<u64> {
        self.origins.get(plugin).copied()
    }

    fn set_origin(&mut self, plugin: &str, log: u64) -> Result<(), EngineError> {
        if self.origin(plugin) != Some(log) {
            let mut put =
                self.connection.prepare_cached("INSERT OR REPLACE INTO copy VALUES (?1, ?2)")?;
            put.execute(params![plugin, log.cast_signed()])?;
        }
        self.origins.insert(plugin.into(), log);
        self.copied.insert(plugin.into());
        Ok(())
    }

    fn resign(&mut self, plugin: &str) {
        self.copied.remove(plugin);
    }

    fn probe(&mut self) -> Result<(), EngineError> {
        // An update that changes nothing writes nothing.
        Ok(self.run("UPDATE opening SET count = count + 1")?)
    }

    fn renew(&mut self) -> Result<(), EngineError> {
        // It syncs the log by a descriptor that has not seen the error of another, copies it to the
        // file, and syncs that.
        let renewed = self.checkpoint().and_then(|()| self.sync());
        if renewed.as_ref().is_err_and(|error| !matches!(error, EngineError::Full(_))) {
            // The next process reads the log from the disk, and checks it.
            self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
        renewed
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        self.log()?.sync_data().map_err(EngineError::Sync)
    }

    fn syncer(&mut self) -> Result<Syncer, EngineError> {
        // Not a copy of the descriptor: the operating system reports an error once to all copies.
        let log = File::open(&self.log).map_err(EngineError::Sync)?;
        Ok(Box::new(move || log.sync_data().map_err(EngineError::Sync)))
    }

    fn begin_backup(&mut self) -> Result<Backup, EngineError> {
        self.connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        self.checkpoint()?;
        let (file, state) = (Arc::clone(&self.file), Arc::<BackupState>::default());
        self.backup = Some(Arc::clone(&state));
        Ok(Box::new(move |target| backup::copy(&file, target, &state)))
    }

    fn end_backup(&mut self) -> Result<(), EngineError> {
        self.backup = None;
        Ok(self.connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?)
    }
}

fn origins(connection: &Connection) -> Result<HashMap<Arc<str>, u64>, EngineError> {
    let mut rows = connection.prepare("SELECT plugin, log FROM copy")?;
    let rows = rows.query_map([], |row| {
        let (plugin, log): (String, i64) = (row.get(0)?, row.get(1)?);
        Ok((plugin.into(), log.cast_unsigned()))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Opens a file in a folder, created if missing. Returns it with its connection and the path of its
/// write-ahead log.
///
/// # Errors
/// The file is foreign, damaged, newer, in use, or cannot be written.
pub(crate) fn create(
    folder: &Path,
    name: &str,
    layout: &Layout,
) -> Result<(File, Connection, PathBuf), EngineError> {
    // SQLite refuses links anywhere in the path, and the folder of a service may be one.
    let failed = |source| EngineError::Open { file: folder.join(name), source };
    let folder = &folder.canonicalize().map_err(failed)?;
    let file = folder.join(name);
    // SQLite would make it with the process's file mode; what it makes beside it has the mode of
    // this file.
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&file)
        .map_err(|source| EngineError::Open { file: file.clone(), source })?;
    let connection = connect(&file, layout)?;
    Ok((opened, connection, folder.join(format!("{name}-wal"))))
}

/// Opens the file, checks it, and writes to it once, so that a file that cannot be written is found
/// at the start.
fn connect(file: &Path, layout: &Layout) -> Result<Connection, EngineError> {
    let Layout { application_id, version: known, probe, tables: script } = *layout;
    let failed = |error: rusqlite::Error| EngineError::opening(file, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    let number = |name: &str| -> Result<i64, EngineError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(failed)
    };
    connection.busy_timeout(std::time::Duration::ZERO).map_err(failed)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(failed)?;
    connection.pragma_update(None, "trusted_schema", "OFF").map_err(failed)?;
    let (version, owner) = (number("user_version")?, number("application_id")?);
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0)).map_err(failed)?;
    if tables > 0 && owner != application_id {
        return Err(EngineError::Foreign { file: file.to_owned() });
    }
    if version > known {
        return Err(EngineError::Newer { file: file.to_owned(), found: version, known });
    }
    let check: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if check != "ok" {
        return Err(EngineError::Damaged { file: file.to_owned(), text: check });
    }
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(failed)?;
    if mode != "wal" {
        let text = format!("its journal mode is {mode}, not wal");
        return Err(EngineError::ReadOnly { file: file.to_owned(), text });
    }
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", MAX_IDLE_LOG_BYTES).map_err(failed)?;
    let new = if tables == 0 { script } else { "" };
    let script = format!(
        "BEGIN IMMEDIATE;
         {new}
         PRAGMA application_id = {application_id};
         PRAGMA user_version = {known};
         {probe};
         COMMIT;"
    );
    connection.execute_batch(&script).map_err(failed)?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
