//! Engine of the durable store: the file that holds what plugins have kept, in SQLite.
//!
//! It knows names, keys and values, and neither plugins nor hooks: the sandbox keeps the state in
//! memory, decides what belongs to one commit, and waits for it. An [`Engine`] belongs to one
//! thread. In a cluster, a [`CopiedEngine`] writes each commit to a log of all nodes first. [`HistoryFile`] is another
//! file, with the events of durable histories.

mod chain;
mod copied;
mod error;
mod history;
mod log;
mod seal;
mod sqlite;

pub use chain::LogFormatError;
pub use copied::{Append, AppendError, Appended, CommitLog, CopiedEngine};
pub use error::EngineError;
pub use history::{
    HISTORY_FILE, HISTORY_VERSION, HistoryChange, HistoryFile, HistorySyncer, LoggedExtent,
    LoggedTopic, MachineBoot, TopicKey,
};
pub use log::{LogReader, LogState};
pub use seal::{break_seal, is_sealed, seal};
pub use sqlite::{FILE, SqliteEngine, VERSION};

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Storage of all plugins' entries.
pub trait Engine: Send {
    /// Reads all that one plugin has.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(&mut self, plugin: &str) -> Result<Saved, EngineError>;

    /// The plugins that have entries, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    fn plugins(&mut self) -> Result<Vec<String>, EngineError>;

    /// Hands changes to other copies of the store, before they are committed here. Returns a result for each:
    /// one that has failed must not be committed.
    fn prepare(&mut self, changes: &[&Changes]) -> Vec<Result<(), EngineError>> {
        changes.iter().map(|_| Ok(())).collect()
    }

    /// Tidies the other copies of plugins up, after changes are committed and their hooks go on.
    fn finish(&mut self, _plugins: &[Arc<str>]) {}

    /// Makes this engine the writer of a plugin, from what the other copies have. Returns what the plugin has
    /// now.
    ///
    /// # Errors
    /// [`EngineError::Replaced`] if there is more by now. There are no other copies, or one cannot be written.
    fn take_over(&mut self, _plugin: &str, _from: TakeOver) -> Result<Saved, EngineError> {
        Err(EngineError::Log("this store has no log".to_owned()))
    }

    /// Returns the log of a cluster of which the entries of a plugin are a copy; `None` if there were changes that
    /// are in no log.
    fn origin(&self, _plugin: &str) -> Option<u64> {
        None
    }

    /// The entries of a plugin are a copy of a log, and so are its commits until [`Engine::resign`].
    ///
    /// # Errors
    /// The file cannot be written.
    fn set_origin(&mut self, _plugin: &str, _log: u64) -> Result<(), EngineError> {
        Ok(())
    }

    /// Ends being the writer of a plugin: further changes are refused.
    fn resign(&mut self, _plugin: &str) {}

    /// Writes all changes or none. They survive the end of this process, and a power cut only after
    /// [`Engine::sync`].
    ///
    /// # Errors
    /// The file cannot be written: nothing has changed.
    fn commit(&mut self, changes: &[&Changes]) -> Result<(), EngineError>;

    /// Writes something without a meaning, to learn whether writing works again.
    ///
    /// # Errors
    /// It does not.
    fn probe(&mut self) -> Result<(), EngineError>;

    /// Writes all that was committed anew, and waits until it survives a power cut. To be called
    /// after a failed sync, and once only: the operating system reports each error once, so a second
    /// call may succeed although a part was lost.
    ///
    /// # Errors
    /// It is not known what the disk has. After [`EngineError::Full`] the call may be repeated.
    fn renew(&mut self) -> Result<(), EngineError>;

    /// Waits until all that was committed survives a power cut.
    ///
    /// # Errors
    /// The operating system cannot promise it.
    fn sync(&mut self) -> Result<(), EngineError>;

    /// A function that does what [`Engine::sync`] does, for another thread.
    ///
    /// # Errors
    /// The file cannot be opened again.
    fn syncer(&mut self) -> Result<Syncer, EngineError>;

    /// Begins a backup of all that is committed: a function that writes it to a new file, on another
    /// thread. Commits go on meanwhile. The backup is given up if they are too many.
    ///
    /// # Errors
    /// The file cannot be written.
    fn begin_backup(&mut self) -> Result<Backup, EngineError>;

    /// Ends a backup. To be called when the function has returned.
    ///
    /// # Errors
    /// The engine's settings cannot be restored.
    fn end_backup(&mut self) -> Result<(), EngineError>;
}

/// Writes a backup to a new file, and returns its size in bytes.
pub type Backup = Box<dyn FnOnce(&Path) -> Result<u64, EngineError> + Send>;

/// [`Engine::sync`] on another thread.
pub type Syncer = Box<dyn FnMut() -> Result<(), EngineError> + Send>;

/// The input of a node that begins to write for a plugin.
#[derive(Clone, Debug)]
pub struct TakeOver {
    /// The content of the plugin's log.
    pub state: LogState,
    /// The name of the node, for people.
    pub node: String,
    /// The lease of the node.
    pub lease: WriteLease,
}

/// The right of this node to write for a plugin, which ends by itself.
#[derive(Clone)]
pub struct WriteLease {
    number: u64,
    is_valid: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl WriteLease {
    /// A lease that is valid while a function returns `true`. Later ones have larger numbers.
    pub fn new(number: u64, is_valid: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { number, is_valid: Arc::new(is_valid) }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn is_valid(&self) -> bool {
        (self.is_valid)()
    }
}

impl fmt::Debug for WriteLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteLease").field(&self.number).finish()
    }
}

/// All that one plugin has in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The number of the layout of its last writer; none before its first commit.
    pub schema: Option<u32>,
    /// In the order of their keys.
    pub entries: Vec<(String, Value)>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The bytes.
    pub bytes: Arc<[u8]>,
    /// The time at which it expires, in milliseconds since 1970 by the clock of the machine.
    pub expires: Option<i64>,
}

/// The changes of one plugin in one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The number of the layout that the plugin writes.
    pub schema: u32,
    /// Each key once, with its new value; none for a key that is no longer there.
    pub entries: Vec<(Arc<str>, Option<Value>)>,
}
