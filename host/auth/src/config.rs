//! The settings of authentication, as an operator writes them. [`crate::open`] puts them to work.
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
//! ```
//!
//! They are a part of the server's own file, whose rules they follow: unknown keys are errors,
//! durations are text such as `5s`, and a key that is left out keeps its default.

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
    /// Where the users of tickets come from.
    pub users: Option<UsersSettings>,
    /// JSON Web Tokens.
    pub jwt: Option<JwtSettings>,
}

/// How tickets are judged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TicketSettings {
    /// The application's secret: `secret` in the parameters of Symfony, `ORO_SECRET` in the
    /// environment of newer versions.
    pub secret: Secret,
    /// How old a ticket may be. 5 minutes, as in the application.
    #[serde(default = "ttl")]
    pub ttl: Duration,
    /// How far in the future it may have been made. 30 seconds, as in the application.
    #[serde(default = "skew")]
    pub skew: Duration,
    /// Whether a ticket is good for one connection only. The application does not demand it, but
    /// its clients take a new ticket for each connection.
    #[serde(default)]
    pub once: bool,
    /// How many used tickets are remembered, if they are good only once. 100 000.
    #[serde(default = "replays")]
    pub replays: NonZeroUsize,
    /// Whether anonymous tickets are good. The application's backend comes with one.
    #[serde(default = "yes")]
    pub anonymous: bool,
    /// The roles of those who come with one.
    #[serde(default = "anonymous_roles")]
    pub anonymous_roles: Vec<String>,
    /// How many threads verify tickets at a time. Half of the processors, if nothing is said.
    #[serde(default)]
    pub threads: Option<NonZeroUsize>,
    /// How many tickets may wait to be verified. 512, which is about a second's work of one thread.
    #[serde(default = "queue")]
    pub queue: usize,
}

/// Where users come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UsersSettings {
    /// A file that names them all.
    File(PathBuf),
    /// An address of the application's.
    Http(HttpSettings),
    /// The application's database.
    Sql(SqlSettings),
}

/// How the application is asked for users.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// `https://app.example.com/api/users/{username}`.
    pub url: String,
    /// What is sent as `Authorization: Bearer …`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file with the certificates, in PEM, of those who may vouch for the application; those of
    /// the operating system, if nothing is said.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// How long a connection may take to be opened.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Duration,
    /// How long an answer may take altogether.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// The time for which a user is cached. A disabled user can connect until then.
    #[serde(default = "cache")]
    pub cache: Duration,
    /// How long it is remembered that there is no such user.
    #[serde(default = "unknown_cache")]
    pub unknown_cache: Duration,
    /// How much longer users are remembered while the application cannot be asked.
    #[serde(default = "grace")]
    pub grace: Duration,
    /// How many users are remembered; as many again who do not exist.
    #[serde(default = "capacity")]
    pub capacity: NonZeroUsize,
    /// How many requests are made at a time.
    #[serde(default = "parallel")]
    pub parallel: NonZeroUsize,
}

/// How the database is asked for users.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SqlSettings {
    /// `postgres://user:password@host/database` or `mysql://…`, which is MariaDB too.
    pub url: Secret,
    /// One statement with one parameter, the username: `$1` in PostgreSQL, `?` in MySQL. What it
    /// has to return is said at [`SqlUsers`](crate::users::SqlUsers). The tables of OroPlatform,
    /// if nothing is said.
    #[serde(default)]
    pub query: Option<String>,
    /// How the column with the roles is written.
    #[serde(default)]
    pub roles: RolesForm,
    /// How many connections are open at most.
    #[serde(default = "connections")]
    pub connections: NonZeroUsize,
    /// How long to wait for a connection, be it a new one.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Duration,
    /// How long an answer may take altogether.
    #[serde(default = "timeout")]
    pub timeout: Duration,
}

/// How a list of roles is written in one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RolesForm {
    /// `["ROLE_USER"]`
    #[default]
    Json,
    /// `ROLE_USER,ROLE_ADMIN`
    Comma,
    /// `a:1:{i:0;s:9:"ROLE_USER";}`, as Doctrine's type `array` writes it.
    Php,
}

/// How JSON Web Tokens are judged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtSettings {
    /// Who may sign them.
    pub keys: KeySettings,
    /// Accepted issuers; empty accepts any.
    #[serde(default)]
    pub issuers: Vec<String>,
    /// For whom they have to be.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// How far clocks may differ.
    #[serde(default = "leeway")]
    pub leeway: Duration,
    /// What becomes of a session whose token ceases to be good: at its `exp` and the leeway.
    #[serde(default)]
    pub expiry: Expiry,
    /// Which claims say who it is.
    #[serde(default)]
    pub claims: ClaimNames,
}

/// Where keys come from, and by that which algorithms they are for.
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
    // The application's backend is who comes with such tickets, and it has to publish.
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
