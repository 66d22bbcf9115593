//! Target of a roll-back: the version that a plugin returns to, or the reason why it cannot.

use std::borrow::Cow;

use jackfield_text::shell_word;

/// Returns the name of a plugin as a word of a suggested command.
pub(crate) fn word(plugin: &str) -> Cow<'_, str> {
    shell_word(plugin, "NAME")
}

/// A version that a plugin can return to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) plugin: String,
    /// The path below the site of the file whose content is replaced.
    pub(crate) file: String,
    /// The digest of that content; `None` before the first reading. Another content ends the change.
    pub(crate) replaces: Option<String>,
    /// The digest of the component that serves now.
    pub(crate) from: String,
    /// The digest of the component that is to serve, and its version.
    pub(crate) to: String,
    pub(crate) version: String,
}

/// The reason why a plugin cannot return to a version.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// No plugin of this name serves.
    #[error("no plugin `{name}` is in service{hint}")]
    UnknownPlugin {
        /// The name that was given.
        name: String,
        /// The name that is probably meant, or nothing.
        hint: String,
    },
    /// There is no folder to keep components in.
    #[error(
        "no versions are kept, because there is no data folder\n  = help: set `data` to a folder, and restart the server"
    )]
    NothingKept,
    /// The plugin has no earlier version.
    #[error(
        "the plugin `{0}` has no earlier version that is kept\n  = help: versions that were rolled back or \
         taken back are passed over; `jackfield history {name}` lists their digests, and \
         `jackfield rollback {name} DIGEST` returns to one",
        name = word(.0)
    )]
    NoEarlier(String),
    /// No kept version has this digest.
    #[error(
        "no kept version of the plugin `{plugin}` has a digest that begins with `{digest}`{kept}"
    )]
    UnknownDigest {
        /// The plugin.
        plugin: String,
        /// The digest that was given.
        digest: String,
        /// The digests that are kept.
        kept: String,
    },
    /// Several kept versions have this digest.
    #[error(
        "several kept versions of the plugin `{0}` have a digest that begins with `{1}`; write more of it"
    )]
    Ambiguous(String, String),
    /// The version serves already.
    #[error("the version {1} of the plugin `{0}` is in service already")]
    Current(String, String),
    /// The layouts of the stores differ.
    #[error(
        "the plugin `{plugin}` has the store layout {current} now, and the version {digest} has {other}\n  \
         = help: build a version that reads both, or disable the plugin"
    )]
    OtherSchema {
        /// The plugin.
        plugin: String,
        /// The number of the layout in service.
        current: u32,
        /// The digest of the version.
        digest: String,
        /// The number of its layout.
        other: u32,
    },
}
