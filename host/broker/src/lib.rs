//! The broker: who is subscribed to what, and whose outbox an event goes into.
//!
//! It does no I/O, owns no clock and spawns nothing. A transport is something that can be told
//! "frames are waiting" ([`Transport`]); plugins, routes and sockets are the host's.
//!
//! In reading order:
//! - [`identity`]: who a session is;
//! - [`outbox`]: the bounded queue between the broker and one connection;
//! - [`total`]: the limit of what all outboxes hold together;
//! - [`session`]: a session as the broker sees it, and the batch of those to be flushed;
//! - `uris`: values by URI, prefix and wildcard;
//! - [`subscriptions`]: who receives what in a realm;
//! - [`publication`]: an event on its way, encoded at most once a dialect;
//! - [`realm`]: sessions and subscriptions under one lock, and what can be done with them;
//! - `registrations`: who offers which procedure;
//! - [`dealer`]: procedures and pending calls under one lock, and what can be done with them.
//!
//! **Locks.** A realm has one lock, a dealer has one, and each outbox has one. The order is always
//! realm or dealer, then outbox; nothing else is ever locked under any of them, and none is held
//! over an await, a wasm call or a callback of the host's.

#![forbid(unsafe_code)]

pub mod dealer;
pub mod identity;
pub mod outbox;
pub mod publication;
pub mod realm;
mod registrations;
pub mod session;
pub mod subscriptions;
pub mod total;
mod uris;

pub use dealer::{CallError, Dealer, Encode, UnregisterError};
pub use identity::Identity;
pub use outbox::{Bounds, CloseReason, Outbox, Overflow};
pub use publication::{DeliveryError, Framing, PatternAudience, Publication, Report, TooLarge};
pub use realm::{Realm, RealmLimits, Revoked, SubscribeError, UnsubscribeError};
pub use registrations::RegisterError;
pub use session::{Features, PendingFlushes, Session, Transport};
pub use subscriptions::Subscribed;
pub use total::Total;
pub use uris::{MAX_WILDCARD_COMPONENTS, RealmFull};
