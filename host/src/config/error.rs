//! Why a single setting was refused that is looked at by itself, in the form in which routing files
//! are refused: `path:LINE:COLUMN: error: …`.

use jackfield_routing::Diagnosis;

/// Why a setting was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// What is written is of no use.
    #[error("{0}")]
    Invalid(Box<Diagnosis>),
    /// A secret is not where the file says.
    #[error("{message}")]
    Secret {
        /// With the place of its entry, and what to do.
        message: String,
    },
}

impl ConfigError {
    /// A variable of the environment whose text is of no use.
    pub(super) fn variable(name: &str, message: String, help: &str) -> Self {
        Self::Invalid(Box::new(Diagnosis::without_place(name, message).with_help(help)))
    }

    pub(super) fn diagnosis(self) -> Diagnosis {
        match self {
            Self::Invalid(diagnosis) => *diagnosis,
            Self::Secret { message } => Diagnosis::without_place("", message),
        }
    }
}
