//! Errors of the authentication settings.

use std::path::PathBuf;

use jackfield_text::Untrusted;
use jackfield_yaml::Diagnosis;

use crate::secret::SecretError;
use crate::ticket::AppSecretError;

/// Errors of opening settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A secret is missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The application's secret is invalid.
    #[error(transparent)]
    AppSecret(#[from] AppSecretError),
    /// A file cannot be read.
    #[error("{}: error: the file cannot be read: {source}", Untrusted::new(.path.display()))]
    Unreadable {
        /// The configured path.
        path: PathBuf,
        /// The operating system's error.
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
        /// The error.
        wrong: String,
    },
    /// Tickets are configured without a source of users.
    #[error(
        "there are `auth.tickets` and no `auth.users`: say where the users of tickets come from"
    )]
    NoUsers,
    /// This build does not include the feature.
    #[error("this program was built without `auth.users.{0}`: build it with the feature `{0}`")]
    NotBuilt(&'static str),
}
