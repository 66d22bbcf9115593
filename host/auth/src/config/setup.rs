//! From settings to what they are for: secrets are fetched, files are read, and what changes while
//! the server runs is taken in.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use jackfield_text::Untrusted;

use super::{AuthSettings, JwtSettings, KeySettings, TicketSettings, UsersSettings};
use crate::jwt::{Jwt, JwtRules, Keys};
use crate::problem::Problem;
use crate::secret::{Secret, SecretError};
use crate::ticket::{AppSecret, AppSecretError, Validity};
use crate::tickets::{TicketRules, Tickets};
use crate::users::{FileUsers, Users, UsersError};
use crate::verifiers::Verifiers;

/// All ways in, ready to be used.
#[derive(Debug)]
pub struct Auth {
    /// By ticket, with where users come from.
    pub tickets: Option<(Tickets, Users)>,
    /// By token.
    pub jwt: Option<Jwt>,
}

/// What is in a file that may change while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOf {
    /// The users of tickets.
    Users,
    /// The keys of tokens.
    Keys,
}

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
    Problem(#[from] Problem),
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

impl AuthSettings {
    /// What is wrong with the settings, as far as it can be told without secrets, which are not
    /// everywhere where settings are judged. Looks into the files that are there.
    pub fn problems(&self) -> Vec<SetupError> {
        let no_users = self.tickets.is_some() && self.users.is_none();
        let users = match &self.users {
            Some(UsersSettings::File(path)) => {
                judge(path, |name, text| FileUsers::parse(name, text).map(drop))
            }
            #[cfg(feature = "http")]
            Some(UsersSettings::Http(http)) => crate::users::HttpUsers::judge(http).err(),
            #[cfg(feature = "sql")]
            Some(UsersSettings::Sql(sql)) => crate::users::SqlUsers::judge(sql).err(),
            _ => None,
        };
        let keys = match self.jwt.as_ref().map(|jwt| &jwt.keys) {
            Some(KeySettings::Pem(path)) => {
                judge(path, |name, text| Keys::pem(name, text).map(drop))
            }
            Some(KeySettings::Jwks(path)) => {
                judge(path, |name, text| Keys::jwks(name, text).map(drop))
            }
            Some(KeySettings::Secret(_)) | None => None,
        };
        no_users.then_some(SetupError::NoUsers).into_iter().chain(users).chain(keys).collect()
    }

    /// What is not wrong in the files that are there, and is probably not meant.
    pub fn warnings(&self) -> Vec<String> {
        let Some(UsersSettings::File(path)) = &self.users else { return Vec::new() };
        let users = read(path).and_then(|text| {
            let name = path.display().to_string();
            Ok(FileUsers::parse(&name, &text)?)
        });
        users.map(|users| users.doubts()).unwrap_or_default()
    }

    /// The files that may change while the server runs; [`Auth::replace`] takes in what they say
    /// then.
    pub fn files(&self) -> Vec<(FileOf, &Path)> {
        let users = match &self.users {
            Some(UsersSettings::File(path)) => Some((FileOf::Users, path.as_path())),
            Some(UsersSettings::Http(_) | UsersSettings::Sql(_)) | None => None,
        };
        let keys = match self.jwt.as_ref().map(|jwt| &jwt.keys) {
            Some(KeySettings::Pem(path) | KeySettings::Jwks(path)) => {
                Some((FileOf::Keys, path.as_path()))
            }
            Some(KeySettings::Secret(_)) | None => None,
        };
        users.into_iter().chain(keys).collect()
    }

    /// Every path that is named, for whoever knows where relative ones start.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let secret = self.tickets.as_mut().and_then(|tickets| tickets.secret.path_mut());
        let users = self.users.iter_mut().flat_map(|users| match users {
            UsersSettings::File(path) => [Some(path), None],
            UsersSettings::Http(http) => {
                [http.token.as_mut().and_then(Secret::path_mut), http.ca.as_mut()]
            }
            UsersSettings::Sql(sql) => [sql.url.path_mut(), None],
        });
        let keys = self.jwt.as_mut().and_then(|jwt| match &mut jwt.keys {
            KeySettings::Secret(secret) => secret.path_mut(),
            KeySettings::Pem(path) | KeySettings::Jwks(path) => Some(path),
        });
        secret.into_iter().chain(users.flatten()).chain(keys)
    }

    /// Reads secrets and files, and makes what they are for. Connects to nothing yet, so that the
    /// server starts while the application is down. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// When a secret or a file is missing, or is not what it has to be.
    pub fn open(&self) -> Result<Auth, SetupError> {
        let tickets = match (&self.tickets, &self.users) {
            (Some(tickets), Some(users)) => Some((tickets.open()?, users.open()?)),
            (Some(_), None) => return Err(SetupError::NoUsers),
            (None, _) => None,
        };
        Ok(Auth { tickets, jwt: self.jwt.as_ref().map(JwtSettings::open).transpose()? })
    }
}

impl Auth {
    /// Takes in a file that says something else now, and tells how many users or keys it has.
    ///
    /// # Errors
    /// The first mistake in it; what it said before stays.
    pub fn replace(&self, file: FileOf, path: &str, text: &str) -> Result<usize, Problem> {
        match file {
            FileOf::Users => match &self.tickets {
                Some((_, Users::File(users))) => users.replace(path, text).map(|()| users.count()),
                _ => Ok(0),
            },
            FileOf::Keys => match &self.jwt {
                Some(jwt) => jwt.replace(path, text),
                None => Ok(0),
            },
        }
    }

    /// What is not wrong in a file of users, and is probably not meant.
    pub fn doubts(&self) -> Vec<String> {
        match &self.tickets {
            Some((_, Users::File(users))) => users.doubts(),
            _ => Vec::new(),
        }
    }

    /// Whether the users of tickets can be looked up: [`Users::probe`].
    ///
    /// # Errors
    /// When they cannot.
    pub async fn probe(&self) -> Result<(), UsersError> {
        match &self.tickets {
            Some((_, users)) => users.probe().await,
            None => Ok(()),
        }
    }
}

impl TicketSettings {
    /// Fetches the secret, and makes what judges tickets.
    ///
    /// # Errors
    /// When the secret is missing or is none.
    pub fn open(&self) -> Result<Tickets, SetupError> {
        Ok(Tickets::new(TicketRules {
            secret: AppSecret::new(self.secret.fetch()?)?,
            validity: Validity { ttl: self.ttl.get(), skew: self.skew.get() },
            replays: self.once.then_some(self.replays),
            anonymous: self.anonymous.then(|| self.anonymous_roles.clone()),
            verifiers: verifiers(self.threads, self.queue),
        }))
    }
}

impl UsersSettings {
    /// Makes what finds users.
    ///
    /// # Errors
    /// When a file, an address or a secret is not what it has to be.
    pub fn open(&self) -> Result<Users, SetupError> {
        match self {
            Self::File(path) => {
                let users = FileUsers::parse(&path.display().to_string(), &read(path)?)?;
                Ok(Users::File(users))
            }
            #[cfg(feature = "http")]
            Self::Http(settings) => Ok(Users::Http(crate::users::HttpUsers::new(settings)?)),
            #[cfg(not(feature = "http"))]
            Self::Http(_) => Err(SetupError::NotBuilt("http")),
            #[cfg(feature = "sql")]
            Self::Sql(settings) => Ok(Users::Sql(crate::users::SqlUsers::new(settings)?)),
            #[cfg(not(feature = "sql"))]
            Self::Sql(_) => Err(SetupError::NotBuilt("sql")),
        }
    }
}

impl JwtSettings {
    /// Reads the keys, and makes what judges tokens.
    ///
    /// # Errors
    /// When the keys are missing or are none.
    pub fn open(&self) -> Result<Jwt, SetupError> {
        let keys = match &self.keys {
            KeySettings::Secret(secret) => {
                Keys::secret("auth.jwt.keys.secret", secret.fetch()?.as_bytes())?
            }
            KeySettings::Pem(path) => Keys::pem(&path.display().to_string(), &read(path)?)?,
            KeySettings::Jwks(path) => Keys::jwks(&path.display().to_string(), &read(path)?)?,
        };
        let rules = JwtRules {
            issuers: self.issuers.clone(),
            audiences: self.audiences.clone(),
            leeway: self.leeway.get(),
            names: self.claims.clone(),
            expiry: self.expiry,
        };
        // Apart from the threads of tickets, each of which takes far longer.
        Ok(Jwt::new(keys, rules, verifiers(None, super::queue())))
    }
}

/// So many threads, or half of the processors.
fn verifiers(threads: Option<NonZeroUsize>, queue: usize) -> Verifiers {
    let threads = threads.unwrap_or_else(|| {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        NonZeroUsize::new(processors / 2).unwrap_or(NonZeroUsize::MIN)
    });
    Verifiers::new(threads, queue)
}

/// What is wrong with a file.
fn judge(path: &Path, parse: impl FnOnce(&str, &str) -> Result<(), Problem>) -> Option<SetupError> {
    let judged = read(path).and_then(|text| Ok(parse(&path.display().to_string(), &text)?));
    judged.err()
}

/// The text of a file that is read once more when it changes: [`Auth::replace`] takes it in.
///
/// # Errors
/// When there is none, or it is no regular file, or far too long.
pub fn read(path: &Path) -> Result<String, SetupError> {
    crate::reading::read(path)
        .map_err(|source| SetupError::Unreadable { path: path.to_owned(), source })
}
