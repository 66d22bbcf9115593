//! The doubt after a sync that has failed: what was committed may not be on the disk.

use jackfield_store::{Engine, EngineError, Saved};

/// The reason of a hold while there is a doubt.
pub(super) const REASON: &str = "the disk has failed to sync the store";

/// Whether the disk has what was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It has, or will have with the next sync.
    None,
    /// It is to be written anew.
    Open,
    /// That has failed as well. The operating system reports an error once, so a further success
    /// would prove nothing: only a new process reads and checks what the disk has.
    Final,
}

impl Doubt {
    /// A sync has failed.
    pub(crate) fn arise(&mut self) {
        if *self == Self::None {
            *self = Self::Open;
        }
    }

    /// Reads what a plugin has, if there is no doubt left and the file can be written.
    pub(crate) fn trial(&mut self, engine: &mut dyn Engine, plugin: &str) -> Result<Saved, String> {
        if *self == Self::Open {
            match engine.renew() {
                Ok(()) => *self = Self::None,
                // The disk has answered: the call can be repeated.
                Err(error @ EngineError::Full(_)) => return Err(error.to_string()),
                Err(error) => {
                    *self = Self::Final;
                    tracing::error!(name: "store.rewrite_failed", "{REASON}, and to write it anew: {error}");
                }
            }
        }
        if *self == Self::Final {
            return Err(format!("{REASON}\n  = help: check the disk, then restart the server"));
        }
        let tried = engine.probe().and_then(|()| engine.read(plugin));
        tried.map_err(|error| error.to_string())
    }
}
