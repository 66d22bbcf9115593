//! User sources: a file, an HTTP endpoint of the application, or its database.
//!
//! A source that cannot answer is an error, never "no such user" and never an admission (fail
//! closed): the client is refused and may retry.

mod file;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "sql")]
mod roles;
#[cfg(feature = "sql")]
mod sql;

use std::sync::Arc;

use jackfield_text::Untrusted;

use crate::user::User;

pub use file::FileUsers;
#[cfg(feature = "http")]
pub use http::HttpUsers;
#[cfg(feature = "sql")]
pub use sql::SqlUsers;

/// Maximum length of a name that is looked up, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Source of users.
#[derive(Debug)]
pub enum Users {
    /// A file with all users.
    File(FileUsers),
    /// An HTTP endpoint of the application.
    #[cfg(feature = "http")]
    Http(HttpUsers),
    /// The application's database.
    #[cfg(feature = "sql")]
    Sql(SqlUsers),
}

/// Result of asking a source again, without its cache.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refresh {
    /// [`Users::find`] was up to date.
    Same,
    /// The current user.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP users are cached"))]
    Now(Option<Arc<User>>),
}

/// Error of a user source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// The source is unreachable or too slow.
    #[error("the users at {} cannot be asked: {}", Untrusted::new(place), Untrusted::new(reason))]
    Unreachable {
        /// The source.
        place: Arc<str>,
        /// The error.
        reason: String,
    },
    /// Its response is not a valid user.
    #[error(
        "the users at {} returned an invalid response: {}",
        Untrusted::new(place),
        Untrusted::new(reason)
    )]
    Answer {
        /// The source.
        place: Arc<str>,
        /// The error in the response, without the response itself.
        reason: String,
    },
    /// Too many lookups are pending.
    #[error("the user source {place} has reached its limit of {waiting} pending lookups")]
    Busy {
        /// The source.
        place: Arc<str>,
        /// The number of pending lookups.
        waiting: usize,
    },
}

impl Users {
    /// Returns warnings about a file of users, each complete with its place.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::File(users) => users.warnings(),
            #[cfg(feature = "http")]
            Self::Http(_) => Vec::new(),
            #[cfg(feature = "sql")]
            Self::Sql(_) => Vec::new(),
        }
    }

    /// Looks up a user by name. Impossible names (empty, longer than 255 bytes, or with control
    /// characters) are not looked up.
    ///
    /// # Errors
    /// If the source cannot answer.
    #[cfg_attr(
        not(any(feature = "http", feature = "sql")),
        expect(clippy::unused_async, reason = "sources that are elsewhere are waited for")
    )]
    pub async fn find(&self, username: &str) -> Result<Option<Arc<User>>, UsersError> {
        if !is_name(username) {
            return Ok(None);
        }
        match self {
            Self::File(users) => Ok(users.find(username)),
            #[cfg(feature = "http")]
            Self::Http(users) => users.find(username).await,
            #[cfg(feature = "sql")]
            Self::Sql(users) => users.find(username).await,
        }
    }

    /// Looks up a user without a cache.
    ///
    /// # Errors
    /// As [`Users::find`].
    pub(crate) async fn find_now(&self, username: &str) -> Result<Option<Arc<User>>, UsersError> {
        match self.refresh(username).await? {
            Refresh::Now(user) => Ok(user),
            Refresh::Same => self.find(username).await,
        }
    }

    /// Checks that users can be looked up, if the check leaves no trace in the application: only in
    /// its database.
    ///
    /// # Errors
    /// If they cannot.
    #[cfg_attr(
        not(feature = "sql"),
        expect(clippy::unused_async, reason = "databases are waited for")
    )]
    pub async fn probe(&self) -> Result<(), UsersError> {
        match self {
            Self::File(_) => Ok(()),
            #[cfg(feature = "http")]
            Self::Http(_) => Ok(()),
            #[cfg(feature = "sql")]
            Self::Sql(users) => users.probe().await,
        }
    }

    /// Looks up the user again if the cached one may be outdated. Called after a wrong digest, as
    /// the password may have changed.
    ///
    /// # Errors
    /// As [`Users::find`].
    #[cfg_attr(
        not(feature = "http"),
        expect(clippy::unused_async, reason = "sources that are elsewhere are waited for")
    )]
    pub(crate) async fn refresh(&self, username: &str) -> Result<Refresh, UsersError> {
        if !is_name(username) {
            return Ok(Refresh::Same);
        }
        match self {
            Self::File(_) => Ok(Refresh::Same),
            #[cfg(feature = "http")]
            Self::Http(users) => users.refresh(username).await,
            #[cfg(feature = "sql")]
            Self::Sql(_) => Ok(Refresh::Same),
        }
    }
}

pub(crate) fn is_name(username: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&username.len()) && !username.chars().any(char::is_control)
}
