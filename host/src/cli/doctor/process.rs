//! The process whose installation is examined: the running server if there is one, or else this
//! command itself, which stands for a server that its user would start.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A process, as far as this user may see it.
pub(super) struct Process {
    pub(super) pid: u32,
    /// Whether it is a running server.
    pub(super) is_server: bool,
    /// Its user.
    pub(super) uid: u32,
    /// Its environment; empty if this user may not see it.
    variables: HashMap<String, String>,
}

impl Process {
    /// The running server with this number. None if this user may not see it, such as in a container.
    pub(super) fn server(pid: u32) -> Option<Self> {
        let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let text = String::from_utf8_lossy(&environment);
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(Self { pid, is_server: true, uid, variables })
    }

    /// This command.
    pub(super) fn own() -> Self {
        Self {
            pid: std::process::id(),
            is_server: false,
            uid: rustix::process::geteuid().as_raw(),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        }
    }

    /// A variable of its environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Its limit of open files: the hard one, as the server raises the soft one. None if unlimited.
    pub(super) fn open_file_limit(&self) -> Result<Option<u64>, String> {
        let path = format!("/proc/{}/limits", self.pid);
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
        let hard = line.and_then(|line| line.split_whitespace().nth(1));
        match hard {
            Some("unlimited") => Ok(None),
            Some(number) => number.parse().map(Some).map_err(|error| format!("{path}: {error}")),
            None => Err(format!("{path} has no limit of open files")),
        }
    }

    /// The folder of the user's cache: XDG Base Directory Specification.
    pub(super) fn cache_folder(&self) -> Option<PathBuf> {
        let directory =
            |name| self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches =
            directory("XDG_CACHE_HOME").or_else(|| Some(directory("HOME")?.join(".cache")))?;
        Some(caches.join("jackfield"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_facts_of_a_process() {
        let own = Process::own();
        let same = Process::server(std::process::id()).unwrap();
        assert_eq!((own.uid, own.is_server, same.is_server), (same.uid, false, true));
        assert_eq!(own.variable("PATH"), same.variable("PATH"));
        assert!(own.open_file_limit().unwrap().is_none_or(|limit| limit > 0));
        assert!(Process::server(u32::MAX).is_none());
    }
}
