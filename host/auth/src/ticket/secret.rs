//! The application's secret: salt of every digest, and password of anonymous tickets.

use std::fmt;

use zeroize::Zeroizing;

use crate::basis::Fingerprint;

/// Secret of the application, never printed: it allows making anonymous tickets. Never empty.
#[derive(Clone)]
pub struct AppSecret(Zeroizing<String>);

/// Error of an application's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppSecretError {
    /// Without a secret, any client could make tickets.
    #[error("the secret of the application is empty, so any client could make tickets")]
    Empty,
    /// The application makes no digests with braces in the secret.
    #[error("the application's secret has a brace in it, with which no digest can be made")]
    Brace,
}

impl AppSecret {
    /// Checks the secret, as it is configured in the application.
    ///
    /// # Errors
    /// If it is empty or contains `{` or `}`.
    pub fn new(text: Zeroizing<String>) -> Result<Self, AppSecretError> {
        if text.is_empty() {
            Err(AppSecretError::Empty)
        } else if text.contains(['{', '}']) {
            Err(AppSecretError::Brace)
        } else {
            Ok(Self(text))
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([self.0.as_bytes()])
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret")
    }
}
