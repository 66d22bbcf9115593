//! Authentication: tickets of the application, JSON Web Tokens, and user sources.
//!
//! This crate knows neither WAMP nor sockets, and does not watch files. The host passes a client's
//! credential, the time, and the texts of files; it receives an [`Authenticated`] or an error for
//! its log. It fails closed: a credential that cannot be verified opens no session.
//!
//! The features `http` and `sql`, both on by default, are the user sources that need a client
//! library.
//!
//! The modules, in reading order:
//!
//! - [`identity`]: the result of authentication, for each method; [`basis`]: what it rests on;
//!   `still_admits`: the second judgement
//! - [`mod@user`]: a user of the application
//! - [`mod@ticket`]: parsing, verification and minting of tickets
//! - [`tickets`]: authentication by ticket
//! - [`mod@jwt`]: authentication by JSON Web Token
//! - [`principals`]: authentication by a challenge of WAMP v2
//! - [`verifiers`]: a bounded pool of threads for digests and signatures
//! - [`users`]: user sources
//! - [`config`]: the settings; [`mod@open`]: opens them; [`error`]: errors of opening
//! - [`secret`]: secrets in settings; [`mod@reference`]: unresolved references to variables
//! - [`reading`]: bounded reading of configured files

pub mod basis;
pub mod config;
pub mod error;
pub mod identity;
pub mod jwt;
mod named_entries;
pub mod open;
pub mod php;
pub mod principals;
mod reading;
pub mod reference;
mod secret;
mod still_admits;
pub mod ticket;
pub mod tickets;
pub mod user;
pub mod users;
pub mod verifiers;

pub use basis::{Basis, Fingerprint, TokenRules};
pub use config::AuthSettings;
pub use error::SetupError;
pub use identity::{Authenticated, Method};
pub use jwt::{ClaimNames, Jwt, JwtError, JwtRules, Keys};
pub use open::{Auth, AuthOpening, FileOf, OpenError};
pub use php::PhpList;
pub use principals::{
    Challenge, ChallengeError, Extra, FoundPrincipal, NoChannelId, Principals, Proof, ProofMethod,
    ProofRefusal, ProofRequest, TLS_EXPORTER_LABEL,
};
pub use reading::{read, read_text};
pub use secret::{Secret, SecretError};
pub use ticket::ReplaysError;
pub use tickets::{TicketRefusal, TicketRules, Tickets, UsedTicket};
pub use user::{PasswordHash, User};
pub use users::{FileUsers, Users, UsersError};
pub use verifiers::{Verifiers, VerifiersError};
