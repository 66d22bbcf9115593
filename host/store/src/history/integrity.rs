//! Integrity of the file of durable histories: the proofs at its opening that it is whole.

use std::path::Path;
use std::sync::Arc;

use rusqlite::params;

use super::witness::{Testimony, Witness};
use super::{HISTORY_FILE, HistoryFile, LAYOUT, LoggedTopic};
use crate::sqlite::create;
use crate::{EngineError, seal};

/// The boot of the machine, as proofs need it.
#[derive(Clone, Copy, Debug)]
pub struct MachineBoot<'a> {
    /// Its name; empty if it is unknown.
    pub name: &'a str,
    /// A folder that loses its files with the boot, and not before. Without one, a file that was not closed
    /// in order is not believed in the same boot.
    pub memory: Option<&'a Path>,
}

/// The proofs that were there before the file was opened.
struct Proofs {
    is_sealed: bool,
    testimony: Option<Testimony>,
}

impl HistoryFile {
    /// Opens the file in a folder, created if missing. `is_synced` says whether each commit of this
    /// process is synced. Returns the topics as well, and whether they have new epochs, of the numbers of
    /// `random`.
    ///
    /// # Errors
    /// The file is foreign, damaged, newer, in use, or cannot be read or written.
    pub fn open(
        folder: &Path,
        boot: MachineBoot<'_>,
        is_synced: bool,
        mut random: impl FnMut() -> u64,
    ) -> Result<(Self, Vec<LoggedTopic>, bool), EngineError> {
        let path = folder.join(HISTORY_FILE);
        let has_log = folder.join(format!("{HISTORY_FILE}-wal")).exists();
        // Before SQLite changes the file.
        let is_sealed = !has_log && seal::is_sealed(&path);
        let (file, connection, log) = create(folder, HISTORY_FILE, &LAYOUT)?;
        let mut opened = Self { connection, log, log_file: None, file, count: 0, witness: None };
        let place = boot.memory.and_then(|memory| Witness::place(memory, folder).ok());
        let testimony = place.as_deref().and_then(Testimony::read);
        let testimony = testimony.filter(|it| it.boot == boot.name && !boot.name.is_empty());
        // The last process may not have known whether the log is on the disk.
        if let Err(error) = opened.checkpoint() {
            if let (false, Some(place)) = (matches!(error, EngineError::Full(_)), &place) {
                // The operating system reports it once, and the next start would succeed.
                let _absent = std::fs::remove_file(place);
            }
            return Err(error);
        }
        let proofs = Proofs { is_sealed, testimony };
        let line = opened.believed(boot, &proofs)?;
        let witness = |line: u64, count: u64| {
            let place = place.as_deref()?;
            let testimony = Testimony { count, line, boot: boot.name.to_owned() };
            let begun = Witness::begin(place, &testimony).ok();
            if begun.is_none() {
                // It does not follow the commits.
                let _absent = std::fs::remove_file(place);
            }
            begun.map(Arc::new)
        };
        if let Some(line) = line {
            // There is a proof at each moment: the process may be killed.
            opened.witness = witness(line, opened.count);
            opened.begin(boot, is_synced, line, None::<fn() -> u64>)?;
        } else {
            let line = random();
            opened.begin(boot, is_synced, line, Some(random))?;
            opened.witness = witness(line, opened.count);
        }
        seal::break_seal(&path).map_err(EngineError::Sync)?;
        // Otherwise a power cut could take back this note and what follows it, and the file would be
        // believed.
        opened.sync()?;
        let topics = opened.topics()?;
        Ok((opened, topics, line.is_none()))
    }

    /// Returns the number of the file's line of commits, if no commit of the last process can be missing,
    /// and the file is no copy. A file that is not believed begins another line.
    fn believed(
        &mut self,
        boot: MachineBoot<'_>,
        proofs: &Proofs,
    ) -> Result<Option<u64>, EngineError> {
        let read = "SELECT count, boot, is_synced, is_closed, inode FROM opening";
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        let (count, origin, is_synced, closed, inode): (i64, String, bool, i64, i64) =
            self.connection.query_row(read, [], row)?;
        let is_closed = closed % 2 == 1;
        self.count = count.cast_unsigned();
        let Some((last_boot, line)) = origin.split_once(' ') else { return Ok(None) };
        let Ok(line) = u64::from_str_radix(line, 16) else { return Ok(None) };
        let is_other_boot = !boot.name.is_empty() && last_boot != boot.name;
        let is_whole = match &proofs.testimony {
            // A commit that the witness does not know was not acknowledged.
            Some(last) => last.line == line && last.count <= self.count,
            None => (is_closed && proofs.is_sealed) || (is_synced && is_other_boot),
        };
        Ok((is_whole && inode == self.inode()?).then_some(line))
    }

    fn begin(
        &mut self,
        boot: MachineBoot<'_>,
        is_synced: bool,
        line: u64,
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
        let origin = format!("{} {line:x}", boot.name);
        begun.execute(note, params![origin, is_synced, inode])?;
        Ok(begun.commit()?)
    }
}
