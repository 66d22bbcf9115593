//! Cache of compilation results: compiled code, and errors of files.
//!
//! Code in the folder is executed, so a folder that others can write to is not used; a private
//! temporary one takes its place. Below it are `code`, wasmtime's own cache, `results`, one small
//! file per component, and the folders of running compilers.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wasmtime::Engine;

use super::CompileLimits;
use super::error::CompileError;
use crate::engine::address_space;

/// Folder of wasmtime's cache; it removes foreign files there.
const CODE: &str = "code";
const RESULTS: &str = "results";
const STAGING: &str = "compiling-";
/// Folder of code within wasmtime's cache.
const MODULES: &str = "modules";
/// Results on disk. Beyond it the oldest half is removed.
const MAX_RESULTS: usize = 4_000;
/// Errors in memory.
const MAX_ERRORS: usize = 1_000;
/// Age after which a compiler's folder was left behind by a killed server.
const ABANDONED_AFTER: Duration = Duration::from_hours(24);

/// Hash of a component and its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// Result of a cache lookup.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CacheLookup {
    Compiled,
    Failed(CompileError),
    Missing,
}

/// A result on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    /// The code's file, relative to wasmtime's folder.
    Compiled { code: PathBuf },
    /// Valid for these limits and this version of Jackfield.
    Failed { failure: CompileError, limits: String },
}

/// Cache of compiled components.
pub(crate) struct CodeCache {
    root: PathBuf,
    /// Errors, including those not on disk. A std mutex, held for one lookup.
    errors: Mutex<HashMap<Key, CompileError>>,
    /// Removed with the cache.
    _temporary: Option<TempDir>,
}

impl Key {
    /// Hashes a component; slow for a large one.
    pub(crate) fn of(engine: &Engine, bytes: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(Self::engine(engine).to_le_bytes());
        hasher.update(bytes);
        Self(hasher.finalize().into())
    }

    /// Hash of the engine's configuration; equal for engines that run the same code.
    pub(crate) fn engine(engine: &Engine) -> u64 {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    fn name(self) -> String {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }
}

impl CodeCache {
    /// Opens the folder, or a temporary one, with a warning, where it is not private or not
    /// writable.
    ///
    /// # Errors
    /// When no temporary folder can be made either.
    pub(crate) fn open(folder: Option<&Path>) -> io::Result<Self> {
        if let Some(folder) = folder {
            match Self::within(folder) {
                Ok(root) => return Ok(Self::new(root, None)),
                Err(text) => tracing::warn!(
                    name: "compile.cache_unusable",
                    folder = %folder.display(),
                    "the cache of compiled plugins is not used, plugins are compiled at each \
                     start: {text}"
                ),
            }
        }
        let temporary = tempfile::Builder::new()
            .prefix("jackfield-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let root = temporary.path().to_owned();
        create_private(&root.join(CODE))?;
        create_private(&root.join(RESULTS))?;
        Ok(Self::new(root, Some(temporary)))
    }

    fn new(root: PathBuf, temporary: Option<TempDir>) -> Self {
        Self { root, errors: Mutex::default(), _temporary: temporary }
    }

    /// The canonical folder, after a check that only this user can write there.
    fn within(folder: &Path) -> Result<PathBuf, String> {
        let absolute = std::path::absolute(folder).map_err(|e| e.to_string())?;
        create_private(&absolute).map_err(|e| e.to_string())?;
        let root = absolute.canonicalize().map_err(|e| e.to_string())?;
        for folder in root.ancestors() {
            let metadata = folder.metadata().map_err(|e| e.to_string())?;
            check_private(&metadata, folder != root)
                .map_err(|text| format!("{} {text}", folder.display()))?;
        }
        for below in [CODE, RESULTS] {
            let folder = root.join(below);
            create_private(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
            let metadata = folder.symlink_metadata().map_err(|e| e.to_string())?;
            check_private(&metadata, false)
                .map_err(|text| format!("{} {text}", folder.display()))?;
        }
        // wasmtime would only notice a failed write in the background.
        tempfile::tempfile_in(root.join(CODE)).map_err(|e| e.to_string())?;
        remove_abandoned(&root);
        Ok(root)
    }

    /// The folder of wasmtime's own cache.
    pub(crate) fn code(&self) -> PathBuf {
        self.root.join(CODE)
    }

    /// An empty folder for one compiler, in the file system of the cache, so that code can be
    /// renamed into it.
    pub(crate) fn staging(&self) -> io::Result<TempDir> {
        tempfile::Builder::new()
            .prefix(STAGING)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&self.root)
    }

    /// Looks up a component under these limits.
    pub(crate) fn look_up(&self, key: Key, limits: &CompileLimits) -> CacheLookup {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = errors.get(&key) {
            return CacheLookup::Failed(failure.clone());
        }
        drop(errors);
        let Ok(text) = fs::read(self.result(key)) else { return CacheLookup::Missing };
        match serde_json::from_slice(&text) {
            Ok(Record::Compiled { code }) if self.has(&code) => CacheLookup::Compiled,
            Ok(Record::Failed { failure, limits: under }) if under == conditions(limits) => {
                CacheLookup::Failed(failure)
            }
            _ => CacheLookup::Missing,
        }
    }

    /// Moves a compiler's code into the cache.
    pub(crate) fn publish(&self, key: Key, staging: &TempDir) -> io::Result<()> {
        let code = compiled(&staging.path().join(MODULES))?;
        let below = code.strip_prefix(staging.path()).map_err(io::Error::other)?.to_owned();
        let target = self.code().join(&below);
        if let Some(folder) = target.parent() {
            create_private(folder)?;
        }
        fs::rename(&code, &target)?;
        self.write(key, &Record::Compiled { code: below })
    }

    /// Stores an error in memory, and on disk if it is deterministic.
    pub(crate) fn remember(&self, key: Key, failure: &CompileError, limits: &CompileLimits) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() >= MAX_ERRORS {
            errors.clear();
        }
        errors.insert(key, failure.clone());
        drop(errors);
        if !failure.is_deterministic() {
            return;
        }
        let record = Record::Failed { failure: failure.clone(), limits: conditions(limits) };
        if let Err(error) = self.write(key, &record) {
            tracing::warn!(name: "compile.error_not_kept", %error, "cannot store a compile error; the file is compiled again at each start");
        }
    }

    fn result(&self, key: Key) -> PathBuf {
        self.root.join(RESULTS).join(key.name())
    }

    /// Whether the code exists and is private.
    fn has(&self, code: &Path) -> bool {
        let plain = code.components().all(|it| matches!(it, std::path::Component::Normal(_)));
        let metadata = self.code().join(code).symlink_metadata();
        plain && metadata.is_ok_and(|it| it.is_file() && check_private(&it, false).is_ok())
    }

    fn write(&self, key: Key, record: &Record) -> io::Result<()> {
        self.prune();
        let mut file = tempfile::NamedTempFile::new_in(self.root.join(RESULTS))?;
        serde_json::to_writer(&mut file, record)?;
        file.persist(self.result(key))?;
        Ok(())
    }

    /// Removes the older half of too many results.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(self.root.join(RESULTS)) else { return };
        let mut results: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        if results.len() < MAX_RESULTS {
            return;
        }
        results.sort();
        for (_, path) in results.iter().take(MAX_RESULTS / 2) {
            // Removal is tried again later.
            let _removed = fs::remove_file(path);
        }
    }
}

/// Creates a folder and its parents, for this user only.
fn create_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Checks that other users cannot write. In a parent folder, the sticky bit protects files of
/// others.
fn check_private(metadata: &Metadata, above: bool) -> Result<(), String> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if owner != user && owner != 0 {
        return Err(format!("belongs to another user ({owner})"));
    }
    if above && mode & 0o1000 != 0 {
        return Ok(());
    }
    // A group with the user's own number is a user-private group.
    let own_group = metadata.gid() == group && group == user;
    let by_group = mode & 0o020 != 0 && !own_group && metadata.gid() != 0;
    if by_group || mode & 0o002 != 0 {
        return Err(format!("can be written by others (mode {:o})", mode & 0o7777));
    }
    Ok(())
}

/// The one code file of a compiler.
fn compiled(modules: &Path) -> io::Result<PathBuf> {
    for version in fs::read_dir(modules)? {
        for file in fs::read_dir(version?.path())? {
            let path = file?.path();
            // Statistics files have an extension.
            if path.extension().is_none() {
                return Ok(path);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the compiler wrote no code"))
}

/// Conditions of an error besides the file and the engine.
fn conditions(limits: &CompileLimits) -> String {
    let CompileLimits { memory, cpu, time, at_once: _ } = limits;
    let (version, address_space) = (env!("CARGO_PKG_VERSION"), address_space());
    format!("{version} {memory} {} {} {address_space:?}", cpu.as_millis(), time.as_millis())
}

fn remove_abandoned(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let abandoned = entry.file_name().to_string_lossy().starts_with(STAGING)
            && entry
                .metadata()
                .and_then(|it| it.modified())
                .is_ok_and(|it| it.elapsed().is_ok_and(|age| age > ABANDONED_AFTER));
        if abandoned {
            // Removal is tried again at the next start.
            let _removed = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; 32]);

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A folder in which only this user writes.
    fn folder() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        mode(folder.path(), 0o700);
        folder
    }

    #[test]
    fn refuses_folders_that_others_can_write() {
        let check = |outer: u32, inner: u32, expected: Result<(), &str>| {
            let above = folder();
            let inside = above.path().join("cache");
            fs::create_dir(&inside).unwrap();
            mode(&inside, inner);
            mode(above.path(), outer);
            match (CodeCache::within(&inside), expected) {
                (Ok(_), Ok(())) => {}
                (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
                (found, _) => panic!("{outer:o} {inner:o} gave {found:?}"),
            }
        };
        check(0o755, 0o700, Ok(()));
        check(0o755, 0o755, Ok(()));
        check(0o755, 0o777, Err("cache can be written by others (mode 777)"));
        check(0o755, 0o1777, Err("cache can be written by others (mode 1777)"));
        check(0o777, 0o700, Err("can be written by others (mode 777)"));
        // As /tmp is.
        check(0o1777, 0o700, Ok(()));
    }

    #[test]
    fn makes_a_missing_folder_for_the_user_alone() {
        let above = folder();
        let root = CodeCache::within(&above.path().join("new/deep")).unwrap();
        for folder in [root.as_path(), &root.join(CODE), root.parent().unwrap()] {
            assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700, "{}", folder.display());
        }
    }

    #[test]
    fn falls_back_to_a_temporary_folder() {
        let above = folder();
        let file = above.path().join("file");
        fs::write(&file, "").unwrap();
        let cache = CodeCache::open(Some(&file.join("below"))).unwrap();
        let root = cache.root.clone();
        assert_eq!(root.metadata().unwrap().mode() & 0o777, 0o700);
        drop(cache);
        assert!(!root.exists());
    }

    #[test]
    fn remembers_failures_until_a_limit_changes() {
        let folder = folder();
        let limits = CompileLimits::default();
        let open = || CodeCache::open(Some(folder.path())).unwrap();
        let cache = open();
        assert_eq!(cache.look_up(KEY, &limits), CacheLookup::Missing);
        cache.remember(KEY, &CompileError::Memory, &limits);
        assert_eq!(cache.look_up(KEY, &limits), CacheLookup::Failed(CompileError::Memory));
        let cache = open();
        assert_eq!(cache.look_up(KEY, &limits), CacheLookup::Failed(CompileError::Memory));
        assert_eq!(cache.look_up(Key([8; 32]), &limits), CacheLookup::Missing);
        let more = CompileLimits { memory: 4 << 30, ..limits };
        assert_eq!(cache.look_up(KEY, &more), CacheLookup::Missing);
        // What depends on the load of the machine is tried again by the next process.
        cache.remember(KEY, &CompileError::Time, &more);
        assert_eq!(cache.look_up(KEY, &more), CacheLookup::Failed(CompileError::Time));
        assert_eq!(open().look_up(KEY, &more), CacheLookup::Missing);
    }

    #[test]
    fn ignores_entries_whose_code_is_missing() {
        let folder = folder();
        let limits = CompileLimits::default();
        let cache = CodeCache::open(Some(folder.path())).unwrap();
        let staging = cache.staging().unwrap();
        assert!(cache.publish(KEY, &staging).is_err());
        let version = staging.path().join("modules/wasmtime-1");
        fs::create_dir_all(&version).unwrap();
        fs::write(version.join("abc"), "code").unwrap();
        fs::write(version.join("abc.stats"), "").unwrap();
        cache.publish(KEY, &staging).unwrap();
        assert_eq!(cache.look_up(KEY, &limits), CacheLookup::Compiled);
        fs::remove_file(folder.path().join("code/modules/wasmtime-1/abc")).unwrap();
        assert_eq!(cache.look_up(KEY, &limits), CacheLookup::Missing);
    }

    #[test]
    fn forgets_the_oldest_results() {
        let folder = folder();
        let cache = CodeCache::open(Some(folder.path())).unwrap();
        for number in 0..MAX_RESULTS {
            fs::write(folder.path().join(RESULTS).join(number.to_string()), "").unwrap();
        }
        cache.write(KEY, &Record::Compiled { code: PathBuf::new() }).unwrap();
        let left = fs::read_dir(folder.path().join(RESULTS)).unwrap().count();
        assert_eq!(left, MAX_RESULTS / 2 + 1);
    }
}
