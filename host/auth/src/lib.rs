//! Authentication: tickets of the application, JSON Web Tokens, and the users behind them.
//!
//! This crate knows neither WAMP nor sockets nor files that change: the host hands it what a client
//! sent, the time, and the texts of files, and gets an [`Authenticated`] or a reason for its log.
//! It fails closed: a credential that cannot be verified opens no session.
//!
//! The features `http` and `sql`, both on by default, are the sources of users that need a client
//! of their own.
//!
//! The modules, in reading order:
//!
//! - [`identity`]: what comes out, whichever way a client came in
//! - [`mod@user`]: a user as the application knows them
//! - [`mod@ticket`]: tickets, read, verified and made
//! - [`tickets`]: from a ticket to who came in
//! - [`mod@jwt`]: from a JSON Web Token to who came in
//! - [`verifiers`]: where digests are computed, so that a storm of them stalls nothing
//! - [`users`]: where users come from
//! - [`config`]: the settings; [`mod@open`]: secrets are fetched, files are read, all is made ready;
//!   [`error`]: why that fails
//! - [`secret`], [`mod@reference`]: how secrets are written, and references that nothing expands
//! - [`reading`]: how files that settings name are read

pub mod config;
pub mod error;
pub mod identity;
pub mod jwt;
pub mod open;
pub mod php;
mod reading;
pub mod reference;
mod secret;
pub mod ticket;
pub mod tickets;
pub mod user;
pub mod users;
pub mod verifiers;

pub use config::AuthSettings;
pub use error::SetupError;
pub use identity::{Authenticated, Method};
pub use jwt::{ClaimNames, Jwt, JwtError, JwtRules, Keys};
pub use open::{Auth, AuthOpening, FileOf, OpenError};
pub use php::PhpList;
pub use reading::read;
pub use secret::{Secret, SecretError};
pub use tickets::{TicketRefusal, TicketRules, Tickets};
pub use user::{PasswordHash, User};
pub use users::{FileUsers, Users, UsersError};
pub use verifiers::{Verifiers, VerifiersError};
