//! The caller of a request, and the audit line of a change.

use std::fmt;
use std::path::Path;

use jackfield_text::Untrusted;
use tracing::info;

use super::problem::Problem;
use crate::log::AUDIT;
use crate::user_name::user_name;

/// The peer of a control connection, as the operating system names it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    uid: u32,
    /// Of the process that connected.
    pid: Option<i32>,
}

impl Caller {
    pub(super) const fn new(uid: u32, pid: Option<i32>) -> Self {
        Self { uid, pid }
    }

    pub(super) const fn uid(&self) -> u32 {
        self.uid
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        self.pid.map_or(Ok(()), |pid| write!(f, ", pid {pid}"))
    }
}

/// The maximum size of a plugin's name.
const MAX_NAME_BYTES: usize = 256;

/// The part of the site that a change is about; the whole site by default.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    plugin: Option<String>,
    topic: Option<String>,
    /// Of the plugin's store.
    key: Option<String>,
    /// That the server writes.
    file: Option<String>,
}

impl Subject {
    /// The calls that are recorded.
    pub(super) fn recording(plugin: Option<&str>, topic: Option<&str>) -> Result<Self, Problem> {
        let of_plugin = plugin.map_or_else(|| Ok(Self::default()), Self::plugin)?;
        let topic = topic.map(|topic| Untrusted::new(topic).to_string());
        Ok(Self { topic, ..of_plugin })
    }

    /// The plugin of this name.
    pub(super) fn plugin(name: &str) -> Result<Self, Problem> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            let message = format!("`plugin` is the name of a plugin, 1 to {MAX_NAME_BYTES} bytes");
            return Err(Problem::invalid(message));
        }
        Ok(Self { plugin: Some(Untrusted::new(name).to_string()), ..Self::default() })
    }

    /// A key of the store of a plugin.
    pub(super) fn entry(plugin: &str, key: &str) -> Result<Self, Problem> {
        let key = Some(Untrusted::new(key).to_string());
        Ok(Self { key, ..Self::plugin(plugin)? })
    }

    /// A file that the server writes.
    pub(super) fn file(file: &Path) -> Self {
        Self { file: Some(Untrusted::new(file.display()).to_string()), ..Self::default() }
    }
}

/// Writes the line of a change that has ended: who, what, and the result.
pub(super) fn record(
    caller: &Caller,
    action: &'static str,
    subject: &Subject,
    result: &str,
    generation: u64,
) {
    info!(
        target: AUDIT,
        action,
        plugin = subject.plugin,
        topic = subject.topic,
        key = subject.key,
        file = subject.file,
        result,
        generation,
        uid = caller.uid,
        pid = caller.pid,
        user = user_name(caller.uid),
        "control"
    );
}
