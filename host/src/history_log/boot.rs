//! The boot of the machine, as the proofs of durable histories need it: its name, and a folder in memory
//! that outlives this process and ends with the boot.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use jackfield_store::MachineBoot;

/// The kernel's name of this boot.
const NAME: &str = "/proc/sys/kernel/random/boot_id";
/// The folder in memory that each Linux has, the last choice.
const SHARED_MEMORY: &str = "/dev/shm";
/// The kind of a file system in memory (`TMPFS_MAGIC`).
const TMPFS: i64 = 0x0102_1994;
/// The mode of a folder: the user alone.
const FOLDER_MODE: u32 = 0o700;

pub(super) struct Boot {
    name: String,
    memory: Option<PathBuf>,
}

impl Boot {
    /// Finds both. The first folder that is in memory is used, always the same one in one environment.
    pub(super) fn find() -> Self {
        let name = fs::read_to_string(NAME).unwrap_or_default().trim().to_owned();
        let of_service = env::var("RUNTIME_DIRECTORY").ok();
        let of_service = of_service.as_deref().and_then(|it| it.split(':').next());
        let of_login = env::var("XDG_RUNTIME_DIR").ok();
        let places = [of_service, of_login.as_deref(), Some(SHARED_MEMORY)];
        let memory = places.into_iter().flatten().find_map(|it| own_folder(Path::new(it)));
        Self { name, memory }
    }

    pub(super) fn machine(&self) -> MachineBoot<'_> {
        MachineBoot { name: &self.name, memory: self.memory.as_deref() }
    }
}

/// Returns the folder of this user in a folder in memory, which other users may write to.
fn own_folder(parent: &Path) -> Option<PathBuf> {
    let kind = rustix::fs::statfs(parent).ok()?.f_type;
    let uid = rustix::process::geteuid().as_raw();
    let folder = parent.join(format!("jackfield-{uid}"));
    // It may be there. Its owner decides.
    let _made = DirBuilder::new().mode(FOLDER_MODE).create(&folder);
    let metadata = folder.symlink_metadata().ok()?;
    let is_own =
        metadata.is_dir() && metadata.uid() == uid && metadata.mode().trailing_zeros() >= 6;
    (parent.is_absolute() && kind == TMPFS && is_own).then_some(folder)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn uses_a_folder_in_memory_that_is_its_own() {
        let memory = tempfile::tempdir_in(SHARED_MEMORY).unwrap();
        let folder = own_folder(memory.path()).unwrap();
        assert_eq!(own_folder(memory.path()), Some(folder.clone()));
        fs::set_permissions(&folder, Permissions::from_mode(0o770)).unwrap();
        assert_eq!(own_folder(memory.path()), None);
        fs::remove_dir(&folder).unwrap();
        symlink("/", &folder).unwrap();
        assert_eq!(own_folder(memory.path()), None);
        assert_eq!(own_folder(Path::new("/proc")), None);
    }
}
