//! Form of an exported store: lines of JSON, a head and one line for each entry.

use jackfield_sandbox::StoreValue;
use serde::{Deserialize, Serialize};

/// The version of the form.
pub(crate) const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// The version of the form.
    pub(crate) jackfield_store: u32,
    /// The plugin's name.
    pub(crate) plugin: String,
    /// The number of its store's layout.
    pub(crate) schema: u32,
    /// The number of entries.
    pub(crate) entries: usize,
}

/// Another line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) key: String,
    pub(crate) value: StoreValue,
    /// The time of its expiry, in milliseconds since 1970 by the clock of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_ms: Option<u64>,
}

/// Puts a line to others.
pub(crate) fn put(chunk: &mut Vec<u8>, line: &impl Serialize) {
    // Fields whose names are texts cannot fail to be written.
    let _written = serde_json::to_writer(&mut *chunk, line);
    chunk.push(b'\n');
}
