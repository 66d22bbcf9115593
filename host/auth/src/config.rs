//! Section `auth` of the settings, as an operator writes it: tickets, tokens, users and principals.
//! [`crate::open`] fetches their secrets and files.
//!
//! ```yaml
//! tickets:
//!     secret: { env: ORO_SECRET }
//! users:
//!     sql: { url: { file: /run/secrets/database-url } }
//! jwt:
//!     keys: { jwks: keys.json }
//!     issuers: [https://id.example.com]
//!     audiences: [jackfield]
//! principals: principals.yml
//! ```
//!
//! They are a part of the server's own file and follow its rules: unknown keys are errors,
//! durations are text such as `5s`, and an omitted key keeps its default.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use jackfield_yaml::Duration;
use serde::{Deserialize, Serialize};

use crate::jwt::{ClaimNames, Expiry};
use crate::secret::Secret;

/// Authentication methods. `None` disables a method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// Tickets of an OroPlatform application.
    pub tickets: Option<TicketSettings>,
    /// The source of the users of tickets.
    pub users: Option<UsersSettings>,
    /// JSON Web Tokens.
    pub jwt: Option<JwtSettings>,
    /// A file with principals, for the authentication methods of WAMP v2.
    pub principals: Option<PathBuf>,
    /// The handler of a plugin that knows principals, in place of a file.
    pub authenticator: Option<String>,
}

/// Settings of tickets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TicketSettings {
    /// The application's secret: `secret` in the parameters of Symfony, `ORO_SECRET` in the
    /// environment of newer versions.
    pub secret: Secret,
    /// The maximum age of a ticket. Default: 5 minutes, as in the application.
    #[serde(default = "ttl")]
    pub ttl: Duration,
    /// The tolerated clock difference into the future. Default: 30 seconds, as in the application.
    #[serde(default = "skew")]
    pub skew: Duration,
    /// Whether a ticket is valid for one connection only. Default: false, as in the application.
    /// The application's clients use a new ticket for each connection.
    #[serde(default)]
    pub once: bool,
    /// The maximum number of used tickets remembered for `once`. Default: 100 000.
    #[serde(default = "replays")]
    pub replays: NonZeroUsize,
    /// Whether anonymous tickets are valid. Default: true, because the application's backend uses
    /// them.
    #[serde(default = "yes")]
    pub anonymous: bool,
    /// The roles of clients with anonymous tickets. Default: `anonymous` and `backend`.
    #[serde(default = "anonymous_roles")]
    pub anonymous_roles: Vec<String>,
    /// The number of threads that verify tickets. Default: half of the processors.
    #[serde(default)]
    pub threads: Option<NonZeroUsize>,
    /// The maximum number of tickets that wait for verification. Default: 512, about a second's
    /// work of one thread.
    #[serde(default = "queue")]
    pub queue: usize,
}

/// Source of users.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UsersSettings {
    /// A file with all users.
    File(PathBuf),
    /// An HTTP endpoint of the application.
    Http(HttpSettings),
    /// The application's database.
    Sql(SqlSettings),
}

/// Settings of users behind an HTTP endpoint of the application.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// The URL of a user: `https://app.example.com/api/users/{username}`.
    pub url: String,
    /// The token of the header `Authorization: Bearer …`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file with the certificates, in PEM, of trusted authorities. Default: the authorities of
    /// the operating system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The maximum time for opening a connection. Default: 2 seconds.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Duration,
    /// The maximum time for a response. Default: 5 seconds.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// The time for which a user is cached. A disabled user can connect until then. Default: 60
    /// seconds.
    #[serde(default = "cache")]
    pub cache: Duration,
    /// The time for which the absence of a user is cached. Default: 10 seconds.
    #[serde(default = "unknown_cache")]
    pub unknown_cache: Duration,
    /// The additional cache time of users while the application is unavailable. Default: 5 minutes.
    #[serde(default = "grace")]
    pub grace: Duration,
    /// The maximum number of cached users, and of cached absent users. Default: 10 000.
    #[serde(default = "capacity")]
    pub capacity: NonZeroUsize,
    /// The maximum number of concurrent requests. Default: 8.
    #[serde(default = "parallel")]
    pub parallel: NonZeroUsize,
}

/// Settings of users in the application's database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SqlSettings {
    /// The address: `postgres://user:password@host/database`, or `mysql://…`, also for MariaDB.
    pub url: Secret,
    /// One statement with one parameter, the username: `$1` in PostgreSQL, `?` in MySQL.
    /// [`SqlUsers`](crate::users::SqlUsers) describes its result. Default: a query of OroPlatform's
    /// tables.
    #[serde(default)]
    pub query: Option<String>,
    /// The format of the column with the roles.
    #[serde(default)]
    pub roles: RolesForm,
    /// The maximum number of connections. Default: 4.
    #[serde(default = "connections")]
    pub connections: NonZeroUsize,
    /// The maximum wait for a connection, pooled or new. Default: 2 seconds.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Duration,
    /// The maximum time for a response. Default: 5 seconds.
    #[serde(default = "timeout")]
    pub timeout: Duration,
}

/// Format of a list of roles in one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RolesForm {
    /// `["ROLE_USER"]`
    #[default]
    Json,
    /// `ROLE_USER,ROLE_ADMIN`
    Comma,
    /// `a:1:{i:0;s:9:"ROLE_USER";}`, the format of Doctrine's type `array`.
    Php,
}

/// Settings of JSON Web Tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtSettings {
    /// The verification keys.
    pub keys: KeySettings,
    /// Accepted issuers; empty accepts any.
    #[serde(default)]
    pub issuers: Vec<String>,
    /// Accepted audiences; empty accepts only tokens without one.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// The tolerated clock difference. Default: 30 seconds.
    #[serde(default = "leeway")]
    pub leeway: Duration,
    /// The action at the expiry of a session's token: at its `exp` and the leeway.
    #[serde(default)]
    pub expiry: Expiry,
    /// The names of the identity claims.
    #[serde(default)]
    pub claims: ClaimNames,
}

/// Source of keys. It also determines the algorithms.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySettings {
    /// A secret of 32 bytes or more, for HS256.
    Secret(Secret),
    /// A file with public keys in PEM.
    Pem(PathBuf),
    /// A file with a JWKS.
    Jwks(PathBuf),
}

const fn ttl() -> Duration {
    Duration::seconds(300)
}

const fn skew() -> Duration {
    Duration::seconds(30)
}

fn replays() -> NonZeroUsize {
    NonZeroUsize::new(100_000).unwrap_or(NonZeroUsize::MIN)
}

const fn yes() -> bool {
    true
}

fn anonymous_roles() -> Vec<String> {
    // The application's backend uses such tickets, and has to publish.
    ["anonymous", "backend"].map(str::to_owned).to_vec()
}

pub(crate) const fn queue() -> usize {
    512
}

const fn connect_timeout() -> Duration {
    Duration::seconds(2)
}

const fn timeout() -> Duration {
    Duration::seconds(5)
}

const fn cache() -> Duration {
    Duration::seconds(60)
}

const fn unknown_cache() -> Duration {
    Duration::seconds(10)
}

const fn grace() -> Duration {
    Duration::seconds(300)
}

fn capacity() -> NonZeroUsize {
    NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN)
}

fn parallel() -> NonZeroUsize {
    NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN)
}

fn connections() -> NonZeroUsize {
    NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN)
}

const fn leeway() -> Duration {
    Duration::seconds(30)
}

#[cfg(test)]
mod tests;
