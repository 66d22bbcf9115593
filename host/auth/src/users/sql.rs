//! User source: the application's database, PostgreSQL, MySQL or MariaDB.
//!
//! One statement with one parameter finds a user. It returns no row for an unknown name, and
//! otherwise one row with these columns, by name:
//!
//! | column | content |
//! |---|---|
//! | `id` | a number or a text |
//! | `username` | optional: the application's spelling of the name |
//! | `password` | the stored hash; NULL if all tickets of the user are to be refused |
//! | `roles` | a list in the format of `users.sql.roles`; NULL for none |
//! | `organization` | optional: a number or a text, or NULL |
//! | `enabled` | optional: whether the user may connect; NULL is no |
//!
//! Users are not cached, so a disabled user or a new password takes effect at once.
//!
//! The address may be the application's own, in Doctrine's format. If it has no user name, the name
//! of this process's user is used.
//!
//! For a database on another machine, add `?sslmode=verify-full` to the address, for PostgreSQL and
//! MySQL: by default the connection is encrypted if the server supports it, and any certificate is
//! trusted.

mod address;
mod mysql;
mod postgres;

use std::sync::Arc;

use jackfield_tls::HandshakeError;

use crate::config::{RolesForm, SqlSettings};
use crate::error::SetupError;
use crate::user::{PasswordHash, User};

use super::{UsersError, is_name, roles};
use address::{AddressError, Kind};
use mysql::MySqlUsers;
use postgres::PostgresUsers;

/// Users in the application's database.
#[derive(Debug)]
pub struct SqlUsers {
    database: Database,
    /// The address without its password, for messages.
    place: Arc<str>,
    query: String,
    roles: RolesForm,
    connect_timeout: jackfield_yaml::Duration,
    timeout: jackfield_yaml::Duration,
}

#[derive(Debug)]
enum Database {
    Postgres(PostgresUsers),
    MySql(MySqlUsers),
}

/// One row, its columns as text; `None` for NULL.
#[derive(Debug, Default)]
struct Row {
    id: Option<String>,
    username: Option<String>,
    password: Option<String>,
    roles: Option<String>,
    organization: Option<String>,
    /// `true` if there is no such column, `false` if it is NULL.
    enabled: String,
}

/// Error of reading a row.
enum RowError {
    Database(sqlx::Error),
    /// The statement returns an invalid result.
    Shape(String),
}

impl From<sqlx::Error> for RowError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Reader of a row's columns, independent of the database.
trait Columns {
    /// Returns whether there is such a column.
    fn has(&self, column: &str) -> bool;
    /// Returns a column as text; `None` for NULL.
    fn text(&self, column: &str) -> Result<Option<String>, RowError>;
}

impl SqlUsers {
    /// Creates a user source. Must be called within a tokio runtime; connects to nothing yet.
    ///
    /// # Errors
    /// If the address is invalid, or the secret that holds it is missing.
    pub fn new(settings: &SqlSettings) -> Result<Self, SetupError> {
        let url = settings.url.fetch()?;
        let (kind, url) = address::read(&url)?;
        let user = if kind.names_user(&url) { None } else { Some(process_user()?) };
        // The parsers' messages may quote the password of the address.
        let unreadable = |_| {
            let how = "is not an address: write postgres://user:password@host/database, with % and \
                       two digits for what is special in a password";
            AddressError(how.to_owned())
        };
        let (database, place, default) = match kind {
            Kind::Postgres => {
                let (users, place) =
                    PostgresUsers::new(&url, user, settings).map_err(unreadable)?;
                (Database::Postgres(users), place, postgres::ORO)
            }
            Kind::MySql => {
                let (users, place) = MySqlUsers::new(&url, user, settings).map_err(unreadable)?;
                (Database::MySql(users), place, mysql::ORO)
            }
        };
        Ok(Self {
            database,
            place: format!("{place} (auth.users.sql)").into(),
            query: settings.query.clone().unwrap_or_else(|| default.to_owned()),
            roles: if settings.query.is_some() { settings.roles } else { RolesForm::Json },
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
        })
    }

    /// Looks up a user to test the query: the database may be unavailable, or have no such tables.
    pub(super) async fn probe(&self) -> Result<(), UsersError> {
        self.find("jackfield").await.map(drop)
    }

    /// Default statement for PostgreSQL: the tables of OroPlatform.
    pub const POSTGRES: &str = postgres::ORO;
    /// Default statement for MySQL and MariaDB: the tables of OroPlatform.
    pub const MYSQL: &str = mysql::ORO;

    pub(super) async fn find(&self, username: &str) -> Result<Option<Arc<User>>, UsersError> {
        let row = async {
            match &self.database {
                Database::Postgres(users) => users.row(&self.query, username).await,
                Database::MySql(users) => users.row(&self.query, username).await,
            }
        };
        let row = match tokio::time::timeout(self.timeout.get(), row).await {
            Ok(Ok(row)) => row,
            Ok(Err(RowError::Shape(reason))) => return Err(self.useless(reason)),
            Ok(Err(RowError::Database(error))) => return Err(self.explain(&error)),
            Err(_) => return Err(self.unreachable(format!("it took longer than {}", self.timeout))),
        };
        row.map(|row| self.user(username, row)).transpose()
    }

    fn user(&self, asked: &str, row: Row) -> Result<Arc<User>, UsersError> {
        let wrong =
            |column: &str, wrong: &str| self.useless(format!("the column `{column}` {wrong}"));
        let id = row.id.filter(|id| !id.is_empty()).ok_or_else(|| wrong("id", "is empty"))?;
        let username = row.username.unwrap_or_else(|| asked.to_owned());
        if !is_name(&username) {
            return Err(wrong("username", "is no user name"));
        }
        let roles = match row.roles {
            None => Vec::new(),
            Some(text) => {
                roles::read(self.roles, &text).map_err(|message| wrong("roles", message))?
            }
        };
        let enabled = match row.enabled.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" => true,
            "0" | "false" | "f" | "no" => false,
            _ => return Err(wrong("enabled", "is neither true nor false")),
        };
        Ok(Arc::new(User {
            id,
            username,
            password: row.password.and_then(PasswordHash::new),
            roles,
            organization: row.organization,
            enabled,
            claims: serde_json::Map::new(),
        }))
    }

    fn explain(&self, error: &sqlx::Error) -> UsersError {
        match error {
            sqlx::Error::PoolTimedOut => self.unreachable(format!(
                "no connection was available for {}: the database is down, or all connections are in use",
                self.connect_timeout
            )),
            sqlx::Error::ColumnDecode { index, .. } => {
                self.useless(format!("the column {index} cannot be read: cast it to text"))
            }
            other => self.unreachable(reason(other)),
        }
    }

    fn unreachable(&self, reason: String) -> UsersError {
        UsersError::Unreachable { place: Arc::clone(&self.place), reason }
    }

    fn useless(&self, reason: String) -> UsersError {
        UsersError::Answer { place: Arc::clone(&self.place), reason }
    }
}

/// Returns the name of this process's user: the default of addresses without a user name, as in the
/// databases' own clients.
fn process_user() -> Result<String, AddressError> {
    whoami::username().map_err(|error| {
        let wrong = "names no user, and the user of this process has no name";
        AddressError(format!("{wrong} ({error}): write postgres://user:password@host/database"))
    })
}

/// Formats an error: of a database its message and code, of TLS the reason of the failed handshake.
/// The library's text would also name a line of the database's source.
fn reason(error: &sqlx::Error) -> String {
    if let sqlx::Error::Database(error) = error {
        return match error.code() {
            Some(code) => format!("it answered: {} (SQLSTATE {code})", error.message()),
            None => format!("it answered: {}", error.message()),
        };
    }
    match HandshakeError::among(error) {
        Some(handshake) => handshake.to_string(),
        None => error.to_string(),
    }
}

impl From<AddressError> for SetupError {
    fn from(AddressError(wrong): AddressError) -> Self {
        Self::Setting { key: "auth.users.sql.url", wrong }
    }
}

impl Row {
    fn read(columns: &impl Columns) -> Result<Self, RowError> {
        let required = |column: &str| {
            if columns.has(column) {
                return columns.text(column);
            }
            Err(RowError::Shape(format!("`auth.users.sql.query` returns no column `{column}`")))
        };
        let optional = |column: &str| {
            if columns.has(column) { columns.text(column) } else { Ok(None) }
        };
        Ok(Self {
            id: required("id")?,
            username: optional("username")?,
            password: required("password")?,
            roles: required("roles")?,
            organization: optional("organization")?,
            enabled: if columns.has("enabled") {
                columns.text("enabled")?.unwrap_or_else(|| "false".to_owned())
            } else {
                "true".to_owned()
            },
        })
    }

    /// Returns the only row. A name has one user; with two rows, either could connect as the other.
    fn only<R: Columns>(rows: &[R]) -> Result<Option<Self>, RowError> {
        match rows {
            [] => Ok(None),
            [row] => Self::read(row).map(Some),
            _ => {
                Err(RowError::Shape("`auth.users.sql.query` returns more than one row".to_owned()))
            }
        }
    }
}

fn uncastable(column: &str, kind: &str) -> RowError {
    RowError::Shape(format!("the column `{column}` is of the type {kind}: cast it to text"))
}
