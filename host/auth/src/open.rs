//! Opening of settings: loads secrets and reads files, each once. Also replaces the contents of
//! files that change while the server runs.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use jackfield_yaml::Diagnosis;

use crate::config::{
    AuthSettings, HttpSettings, JwtSettings, KeySettings, TicketSettings, UsersSettings,
};
use crate::error::SetupError;
use crate::jwt::{Jwt, JwtRules, Keys};
use crate::principals::Principals;
use crate::reading::read;
use crate::secret::Secret;
use crate::ticket::{AppSecret, Validity};
use crate::tickets::{TicketRules, Tickets};
use crate::users::{FileUsers, Users, UsersError};
use crate::verifiers::Verifiers;

/// Authentication methods, opened.
#[derive(Debug)]
pub struct Auth {
    /// Tickets, with their user source.
    pub tickets: Option<(Tickets, Users)>,
    /// JSON Web Tokens.
    pub jwt: Option<Jwt>,
    /// Principals.
    pub principals: Option<Principals>,
    /// The handler of a plugin that knows principals.
    pub authenticator: Option<String>,
}

/// Result of opening settings.
#[derive(Debug)]
pub struct AuthOpening {
    /// All methods, or the errors of all settings.
    pub auth: Result<Auth, Vec<OpenError>>,
    /// Warnings about a file of users, each complete with its place. They are reported even if
    /// another setting fails.
    pub warnings: Vec<String>,
}

/// Error of opening one setting.
#[derive(Debug)]
pub struct OpenError {
    /// The setting.
    pub key: &'static str,
    /// The error.
    pub error: SetupError,
}

/// Content of a file that may change while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOf {
    /// The users of tickets.
    Users,
    /// The keys of tokens.
    Keys,
    /// The principals.
    Principals,
}

impl AuthSettings {
    /// Returns whether there is an authentication method.
    pub const fn has_method(&self) -> bool {
        self.tickets.is_some()
            || self.jwt.is_some()
            || self.principals.is_some()
            || self.authenticator.is_some()
    }

    /// Returns the files that may change while the server runs; [`Auth::replace`] applies the
    /// changes.
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
        let principals = self.principals.as_deref().map(|path| (FileOf::Principals, path));
        users.into_iter().chain(keys).chain(principals).collect()
    }

    /// Returns all secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let tickets = self.tickets.iter().map(|tickets| &tickets.secret);
        let users = self.users.iter().filter_map(|users| match users {
            UsersSettings::Http(http) => http.token.as_ref(),
            UsersSettings::Sql(sql) => Some(&sql.url),
            UsersSettings::File(_) => None,
        });
        let jwt = self.jwt.iter().filter_map(|jwt| match &jwt.keys {
            KeySettings::Secret(secret) => Some(secret),
            KeySettings::Pem(_) | KeySettings::Jwks(_) => None,
        });
        tickets.chain(users).chain(jwt)
    }

    /// Returns all paths, for resolving the relative ones.
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
        secret.into_iter().chain(users.flatten()).chain(keys).chain(self.principals.as_mut())
    }

    /// Loads secrets and reads files, each once. Connects to nothing yet, so that the server starts
    /// while the application is down. Must be called within a tokio runtime.
    pub fn open(&self) -> AuthOpening {
        let mut errors = Vec::new();
        let mut failed = |key, error| errors.push(OpenError { key, error });
        let tickets = self.tickets.as_ref().and_then(|tickets| {
            tickets.open().map_err(|error| failed("auth.tickets.secret", error)).ok()
        });
        if self.tickets.is_some() && self.users.is_none() {
            failed("auth.tickets", SetupError::NoUsers);
        }
        let users = self.users.as_ref().and_then(|users| match users.open() {
            Ok(users) => Some(users),
            Err(error) => {
                if let (UsersSettings::Http(http), SetupError::Secret(_)) = (users, &error) {
                    // All but its token can be checked without it.
                    let http = HttpSettings { token: None, ..http.clone() };
                    if let Err(error) = UsersSettings::Http(http).open() {
                        failed("auth.users.http", error);
                    }
                }
                failed(users.key(), error);
                None
            }
        });
        let jwt = self
            .jwt
            .as_ref()
            .and_then(|jwt| jwt.open().map_err(|error| failed(jwt.keys.key(), error)).ok());
        let principals = self.principals.as_ref().and_then(|path| {
            let parsed = read(path).and_then(|text| {
                Principals::parse(&path.display().to_string(), &text).map_err(SetupError::from)
            });
            parsed.map_err(|error| failed("auth.principals", error)).ok()
        });
        let warnings = users.as_ref().map(Users::warnings).unwrap_or_default();
        let auth = if errors.is_empty() {
            let authenticator = self.authenticator.clone();
            Ok(Auth { tickets: tickets.zip(users), jwt, principals, authenticator })
        } else {
            Err(errors)
        };
        AuthOpening { auth, warnings }
    }
}

impl Auth {
    /// Takes the place of other methods: used tickets stay used.
    #[must_use]
    pub fn continuing(self, before: &Self) -> Self {
        let Self { tickets, jwt, principals, authenticator } = self;
        let tickets = tickets.map(|(tickets, users)| match &before.tickets {
            Some((before, _)) => (tickets.continuing(before), users),
            None => (tickets, users),
        });
        Self { tickets, jwt, principals, authenticator }
    }

    /// Replaces users, keys or principals by the new content of their file. Returns their number.
    ///
    /// # Errors
    /// The first error in the file; the previous content stays.
    pub fn replace(&self, file: FileOf, path: &str, text: &str) -> Result<usize, Diagnosis> {
        match file {
            FileOf::Users => match &self.tickets {
                Some((_, Users::File(users))) => users.replace(path, text).map(|()| users.count()),
                _ => Ok(0),
            },
            FileOf::Keys => match &self.jwt {
                Some(jwt) => jwt.replace(path, text),
                None => Ok(0),
            },
            FileOf::Principals => match &self.principals {
                Some(principals) => principals.replace(path, text).map(|()| principals.count()),
                None => Ok(0),
            },
        }
    }

    /// Returns warnings about a file of users.
    pub fn warnings(&self) -> Vec<String> {
        match &self.tickets {
            Some((_, users)) => users.warnings(),
            None => Vec::new(),
        }
    }

    /// Checks that the users of tickets can be looked up: [`Users::probe`].
    ///
    /// # Errors
    /// If they cannot.
    pub async fn probe(&self) -> Result<(), UsersError> {
        match &self.tickets {
            Some((_, users)) => users.probe().await,
            None => Ok(()),
        }
    }
}

impl UsersSettings {
    /// Returns the key of the secret or file that is loaded.
    const fn key(&self) -> &'static str {
        match self {
            Self::File(_) => "auth.users.file",
            Self::Http(_) => "auth.users.http.token",
            Self::Sql(_) => "auth.users.sql.url",
        }
    }
}

impl KeySettings {
    /// Returns the key of the secret or file that is loaded.
    const fn key(&self) -> &'static str {
        match self {
            Self::Secret(_) => "auth.jwt.keys.secret",
            Self::Pem(_) => "auth.jwt.keys.pem",
            Self::Jwks(_) => "auth.jwt.keys.jwks",
        }
    }
}

impl TicketSettings {
    /// Loads the secret and creates the verifier of tickets.
    ///
    /// # Errors
    /// If the secret is missing or invalid.
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
    /// Creates the user source.
    ///
    /// # Errors
    /// If a file, an address or a secret is missing or invalid.
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
    /// Reads the keys and creates the verifier of tokens.
    ///
    /// # Errors
    /// If the keys are missing or invalid.
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
        // A separate pool: a ticket takes a thread for far longer.
        Ok(Jwt::new(keys, rules, verifiers(None, crate::config::queue())))
    }
}

/// Creates a pool of `threads`, by default half of the processors.
fn verifiers(threads: Option<NonZeroUsize>, queue: usize) -> Verifiers {
    let threads = threads.unwrap_or_else(|| {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        NonZeroUsize::new(processors / 2).unwrap_or(NonZeroUsize::MIN)
    });
    Verifiers::new(threads, queue)
}
