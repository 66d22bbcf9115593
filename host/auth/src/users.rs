//! User sources: a file, an HTTP endpoint of the application, or its database.
//!
//! A source that cannot be asked is an error, never "no such user" and never an admission (fail
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

/// Bytes of the longest name that is looked up.
const MAX_NAME_BYTES: usize = 255;

/// A source of users.
#[derive(Debug)]
pub enum Users {
    /// A file that names them all.
    File(FileUsers),
    /// An address of the application's.
    #[cfg(feature = "http")]
    Http(HttpUsers),
    /// The application's database.
    #[cfg(feature = "sql")]
    Sql(SqlUsers),
}

/// Result of asking a source again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Anew {
    /// [`Users::find`] was up to date.
    Same,
    /// The current user.
    Now(Option<Arc<User>>),
}

/// A source could not answer.
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
    /// It answered something else than a user.
    #[error(
        "the users at {} gave an answer that is of no use: {}",
        Untrusted::new(place),
        Untrusted::new(reason)
    )]
    Answer {
        /// The source.
        place: Arc<str>,
        /// The error of the answer, without the answer itself.
        reason: String,
    },
    /// Too many lookups are pending.
    #[error(
        "the users at {place} are being asked for {waiting} users already, which is all that may wait"
    )]
    Busy {
        /// The source.
        place: Arc<str>,
        /// How many are being looked up.
        waiting: usize,
    },
}

impl Users {
    /// What is valid in a file of users and probably not meant, each complete with its place.
    pub fn doubts(&self) -> Vec<String> {
        match self {
            Self::File(users) => users.doubts(),
            #[cfg(feature = "http")]
            Self::Http(_) => Vec::new(),
            #[cfg(feature = "sql")]
            Self::Sql(_) => Vec::new(),
        }
    }

    /// The user of this name, if there is one. A name that no application has (empty, longer than
    /// 255 bytes, with control characters in it) is not asked for.
    ///
    /// # Errors
    /// When the source does not say.
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

    /// Whether users can be looked up, where that can be seen without any trace in the application:
    /// in its database.
    ///
    /// # Errors
    /// When they cannot.
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

    /// What the source says of this user now, if what it said before may be out of date: asked
    /// when a digest did not fit, as the password may have been changed.
    ///
    /// # Errors
    /// As [`Users::find`].
    #[cfg_attr(
        not(feature = "http"),
        expect(clippy::unused_async, reason = "sources that are elsewhere are waited for")
    )]
    pub(crate) async fn find_anew(&self, username: &str) -> Result<Anew, UsersError> {
        if !is_name(username) {
            return Ok(Anew::Same);
        }
        match self {
            Self::File(_) => Ok(Anew::Same),
            #[cfg(feature = "http")]
            Self::Http(users) => users.find_anew(username).await,
            #[cfg(feature = "sql")]
            Self::Sql(_) => Ok(Anew::Same),
        }
    }
}

fn is_name(username: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&username.len()) && !username.chars().any(char::is_control)
}
