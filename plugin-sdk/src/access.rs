//! Decisions about access: hooks of handlers that the operator's settings name, and no route.
//!
//! A plugin with them is exported by [`export_access!`](crate::export_access) instead of
//! [`export!`](crate::export!). The hooks have no effects: they may read and write the store, log, and
//! wait for requests of [`http`](crate::http) that the operator allows, but not publish, send or call.
//!
//! ```
//! use std::time::Duration;
//!
//! use jackfield_plugin::{
//!     Handler, Plugin,
//!     access::{Action, Authorize},
//!     export_access,
//!     testing::{Harness, User},
//! };
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("acme-access", "1.0.0").handler(Handler::new("acme.access").stateless().on_authorize(
//!         |_state, request, attempt| {
//!             let session = request.caller()?;
//!             // `com.example.user.ann.…` is of ann alone.
//!             let mine = format!("com.example.user.{}.", session.authid());
//!             Ok(if request.topic().starts_with(&mine) {
//!                 Authorize::allow().keep_for_principal(Duration::from_secs(60))
//!             } else if attempt.action == Action::Call {
//!                 Authorize::allow().disclose()
//!             } else {
//!                 Authorize::deny("This belongs to another user.")
//!             })
//!         },
//!     ))
//! }
//!
//! export_access!(plugin);
//!
//! let mut site = Harness::new(plugin);
//! site.access("acme.access");
//! let ann = site.join(User::named("ann"));
//! let publish = Action::Publish.attempt();
//! assert!(site.authorize(ann, "com.example.user.ann.inbox", publish)?.is_allowed());
//! assert!(!site.authorize(ann, "com.example.user.bob.inbox", publish)?.is_allowed());
//! # Ok::<(), jackfield_plugin::testing::Failure>(())
//! ```
//!
//! # Authentication
//!
//! An authenticator knows the principals of clients of WAMP v2. It verifies tickets itself. For the other
//! methods it finds the credential of a principal, and the host makes the challenge and judges the answer.
//!
//! ```
//! use jackfield_plugin::{
//!     Handler, Plugin, Refusal,
//!     access::{Login, Method, Principal},
//!     export_access, store,
//!     testing::{Harness, User},
//! };
//!
//! fn plugin() -> Plugin {
//!     let model = Principal::new().role("member").wampcra("the form of a secret");
//!     Plugin::new("acme-login", "1.0.0").handler(
//!         Handler::new("acme.login")
//!             .stateless()
//!             .on_ticket(|_state, _request, _login, ticket| {
//!                 Ok::<_, Refusal>((ticket == "letmein").then(|| Principal::new().role("guest")))
//!             })
//!             .on_find([model], |_state, _request, login| {
//!                 let name = login.authid.as_deref().unwrap_or_default();
//!                 let secret: Option<String> = store::get(&format!("secret/{name}"))?;
//!                 Ok::<_, Refusal>(secret.map(|it| Principal::new().role("member").wampcra(it)))
//!             }),
//!     )
//! }
//!
//! export_access!(plugin);
//!
//! let mut site = Harness::new(plugin);
//! site.access("acme.login");
//! let ticket = Login::new(Method::Ticket, "ann");
//! assert_eq!(site.verify("realm1", &ticket, "letmein")?, Some(Principal::new().role("guest")));
//! assert_eq!(site.verify("realm1", &ticket, "other")?, None);
//! assert_eq!(site.find("realm1", &Login::new(Method::WampCra, "ann"))?, None);
//! # Ok::<(), jackfield_plugin::testing::Failure>(())
//! ```

mod principal;

use std::time::Duration;

use crate::Refusal;

pub use principal::{Login, Method, Principal, SaltedKey, ScramKeys};

/// An attempt of a session. The request has the URI as its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The action.
    pub action: Action,
    /// The meaning of the URI.
    pub policy: MatchPolicy,
    /// The options of the request.
    pub options: Options,
}

/// An action of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Subscribing to a topic or pattern.
    Subscribe,
    /// Publishing to a topic.
    Publish,
    /// Registering a procedure or pattern.
    Register,
    /// Calling a procedure.
    Call,
}

/// The meaning of a URI. Only subscriptions and registrations have patterns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MatchPolicy {
    /// It names a topic or procedure.
    #[default]
    Exact,
    /// It is the beginning of those that are meant.
    Prefix,
    /// Its empty components match any.
    Wildcard,
}

/// Options of the request; each is a wish of the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent flags of the contract")]
#[non_exhaustive]
pub struct Options {
    /// A publisher or caller asks to be disclosed to the receivers.
    pub disclose_me: bool,
    /// A publisher asks for an acknowledgement.
    pub acknowledge: bool,
    /// A publisher asks that later subscribers get the event, too.
    pub retain: bool,
    /// A subscriber asks for the event that is kept in this way.
    pub get_retained: bool,
    /// A callee shares the procedure with others.
    pub shared: bool,
    /// A callee asks to end the registrations of others.
    pub force_reregister: bool,
    /// A caller sends its arguments in several messages.
    pub progress: bool,
}

/// The answer of `on_authorize`. By default, it holds for the attempt alone: the host asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Authorize {
    /// Whether the publisher or caller is disclosed; the refusal otherwise.
    pub(crate) answer: Result<bool, Refusal>,
    pub(crate) keep: Option<(Duration, KeepFor)>,
}

/// The sessions for which a decision holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepFor {
    Session,
    Principal,
}

impl Action {
    /// The attempt of the action on an exact URI without options, for tests.
    pub fn attempt(self) -> Attempt {
        Attempt { action: self, policy: MatchPolicy::Exact, options: Options::default() }
    }
}

impl Authorize {
    /// Allows the action.
    pub const fn allow() -> Self {
        Self { answer: Ok(false), keep: None }
    }

    /// Refuses the action with `wamp.error.not_authorized` and a message for people. For other error
    /// URIs, return a [`Refusal`].
    pub fn deny(message: impl Into<String>) -> Self {
        Self { answer: Err(Refusal::not_authorized(message)), keep: None }
    }

    /// Discloses the publisher or caller to the receivers, also if it does not ask for it. Has no effect
    /// on a refusal.
    pub fn disclose(self) -> Self {
        Self { answer: self.answer.map(|_| true), ..self }
    }

    /// Lets the host answer the same attempt of the session itself for this time, up to an hour.
    pub fn keep_for_session(self, time: Duration) -> Self {
        Self { keep: Some((time, KeepFor::Session)), ..self }
    }

    /// As [`keep_for_session`](Self::keep_for_session), for all sessions of the realm with the same
    /// authid, roles, authentication method and claims.
    pub fn keep_for_principal(self, time: Duration) -> Self {
        Self { keep: Some((time, KeepFor::Principal)), ..self }
    }

    /// Whether it allows the action.
    pub const fn is_allowed(&self) -> bool {
        self.answer.is_ok()
    }

    /// Whether it discloses the publisher or caller.
    pub fn is_disclosed(&self) -> bool {
        self.answer == Ok(true)
    }

    /// The refusal, if it is one.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match &self.answer {
            Ok(_) => None,
            Err(refusal) => Some(refusal),
        }
    }
}

impl From<Refusal> for Authorize {
    fn from(refusal: Refusal) -> Self {
        Self { answer: Err(refusal), keep: None }
    }
}
