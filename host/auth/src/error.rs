//! Errors of the authentication settings.

use std::path::PathBuf;

use jackfield_text::Untrusted;
use jackfield_yaml::Diagnosis;

use crate::secret::SecretError;
use crate::ticket::AppSecretError;

/// Why settings cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A secret is missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The application's secret is none.
    #[error(transparent)]
    AppSecret(#[from] AppSecretError),
    /// A file cannot be read.
    #[error("{}: error: the file cannot be read: {source}", Untrusted::new(.path.display()))]
    Unreadable {
        /// The file as it was named.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not valid.
    #[error(transparent)]
    Invalid(#[from] Diagnosis),
    /// A setting is not valid.
    #[error("`{key}` {wrong}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        wrong: String,
    },
    /// There are tickets and no users.
    #[error(
        "there are `auth.tickets` and no `auth.users`: say where the users of tickets come from"
    )]
    NoUsers,
    /// This program was built without it.
    #[error("this program was built without `auth.users.{0}`: build it with the feature `{0}`")]
    NotBuilt(&'static str),
}
