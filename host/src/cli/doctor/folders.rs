//! Folders of the doctor's report: the site, the cache of compiled plugins, and the data. Nothing is
//! made or changed: the command may run as another user than the server.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jackfield_config::{Config, DataEnvironment, DataFolder};
use jackfield_text::Untrusted;

use super::finding::Finding;
use super::process::Process;
use crate::user_name;

/// The folder of the bundles.
pub(super) fn site(site: &Path) -> Finding {
    const CHECK: &str = "site";
    let shown = shown(site);
    match fs::read_dir(site) {
        Ok(_) => {
            Finding::good(CHECK, format!("{shown} can be read; `jackfield check` examines it"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Finding::problem(
            CHECK,
            format!("there is no site directory {shown}"),
            "name the DIR of `jackfield serve`",
        ),
        Err(error) => Finding::problem(
            CHECK,
            format!("the site directory {shown} cannot be read: {error}"),
            "let the server's user read it and everything below it",
        ),
    }
}

/// The folder of compiled plugins, from which the server runs code.
pub(super) fn cache(config: &Config, process: &Process) -> Finding {
    const CHECK: &str = "cache";
    const HELP: &str = "make it a folder of the server's user that no one else can write to, and its \
                        parents too, or set `plugins.cache`";
    let Some(folder) = config.plugins.cache.clone().or_else(|| process.cache_folder()) else {
        return Finding::warning(
            CHECK,
            "compiled plugins are not kept, so each start compiles all of them",
            "set `plugins.cache`, as neither XDG_CACHE_HOME nor HOME is set",
        );
    };
    let examined = examine(&folder, process, 0o022);
    match examined.and_then(|text| check_parents(&folder, process).map(|()| text)) {
        Ok(text) => Finding::good(CHECK, text),
        Err(text) => {
            Finding::warning(CHECK, format!("{text}: plugins are compiled at each start"), HELP)
        }
    }
}

/// The folder of what survives the end of the server.
pub(super) fn data(config: &Config, site: &Path, process: &Process) -> Finding {
    const CHECK: &str = "data";
    let environment = DataEnvironment {
        state_directory: process.variable("STATE_DIRECTORY"),
        xdg_state_home: process.variable("XDG_STATE_HOME"),
        home: process.variable("HOME"),
    };
    let folder = match &config.data {
        DataFolder::Off => return Finding::good(CHECK, "nothing is kept (`data: off`)"),
        DataFolder::At(path) => Some(path.clone()),
        DataFolder::Default => DataFolder::place(site, &environment),
    };
    let Some(folder) = folder else {
        return Finding::warning(
            CHECK,
            "stores and versions of plugins end with the server, as there is no place for them",
            "set `data`, as none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is set",
        );
    };
    match examine(&folder, process, 0o077) {
        Ok(text) => Finding::good(CHECK, text),
        Err(text) => Finding::problem(
            CHECK,
            text,
            "use a folder of the server's user with the mode 0700, or set `data` to another",
        ),
    }
}

/// Examines a folder that belongs to the server. `closed` are the bits that its mode may not have.
fn examine(folder: &Path, process: &Process, closed: u32) -> Result<String, String> {
    let text = shown(folder);
    let user = user_name::describe(process.uid);
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return if can_be_made(folder, process) {
                Ok(format!("{text} will be made by the server"))
            } else {
                Err(format!("{text} does not exist, and {user} cannot make it"))
            };
        }
        Err(error) => return Err(format!("{text} cannot be examined: {error}")),
    };
    if !metadata.is_dir() {
        return Err(format!("{text} is not a folder"));
    }
    if metadata.uid() != process.uid {
        let owner = user_name::describe(metadata.uid());
        return Err(format!("{text} belongs to {owner}, and the server is {user}"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & closed != 0 {
        return Err(format!("{text} is open to other users (mode {mode:o})"));
    }
    if mode & 0o300 != 0o300 {
        return Err(format!("{text} cannot be written by its user (mode {mode:o})"));
    }
    let open = mode & 0o077;
    Ok(if open == 0 {
        format!("{text} belongs to {user} alone")
    } else {
        format!("{text} belongs to {user}, and no other user can write to it")
    })
}

/// Checks that no other user can replace a folder: those above it belong to the server's user or root, and
/// others cannot write to them, unless the sticky bit protects it there. The server checks the same.
fn check_parents(folder: &Path, process: &Process) -> Result<(), String> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| PathBuf::from(folder));
    for parent in absolute.ancestors().skip(1) {
        // Those that do not exist will be made by the server.
        let Ok(metadata) = fs::metadata(parent) else { continue };
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        if owner != process.uid && owner != 0 {
            let owner = user_name::describe(owner);
            return Err(format!("{}, above it, belongs to {owner}", shown(parent)));
        }
        let by_group = mode & 0o020 != 0 && metadata.gid() != 0 && metadata.gid() != process.uid;
        if mode & 0o1000 == 0 && (by_group || mode & 0o002 != 0) {
            let parent = shown(parent);
            return Err(format!("{parent}, above it, can be written by others (mode {mode:o})"));
        }
    }
    Ok(())
}

/// Whether the process may make a folder: the closest parent that exists has to be writable.
fn can_be_made(folder: &Path, process: &Process) -> bool {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| PathBuf::from(folder));
    let parent = absolute.ancestors().skip(1).find_map(|parent| fs::metadata(parent).ok());
    parent.is_some_and(|parent| {
        let by_owner = parent.uid() == process.uid && parent.mode() & 0o200 != 0;
        parent.is_dir() && (process.uid == 0 || by_owner || parent.mode() & 0o002 != 0)
    })
}

fn shown(path: &Path) -> String {
    Untrusted::new(path.display()).to_string()
}
