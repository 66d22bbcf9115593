//! The application's secret: salt of every digest, and password of anonymous tickets.

use std::fmt;

use zeroize::Zeroizing;

/// The application's secret, never printed: it allows to make anonymous tickets.
/// Never empty.
#[derive(Clone)]
pub struct AppSecret(Zeroizing<String>);

/// Why a text is no secret of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppSecretError {
    /// Without a secret, any client could make tickets.
    #[error("the secret of the application is empty, so any client could make tickets")]
    Empty,
    /// The application makes no digests with such a secret.
    #[error("the application's secret has a brace in it, with which no digest can be made")]
    Brace,
}

impl AppSecret {
    /// The secret as the application is configured with it.
    ///
    /// # Errors
    /// When it is empty or has `{` or `}` in it.
    pub fn new(text: Zeroizing<String>) -> Result<Self, AppSecretError> {
        if text.is_empty() {
            Err(AppSecretError::Empty)
        } else if text.contains(['{', '}']) {
            Err(AppSecretError::Brace)
        } else {
            Ok(Self(text))
        }
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
