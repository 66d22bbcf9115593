//! Broker and dealer of a realm (sans-I/O): subscriptions, registrations, pending calls, and the
//! outboxes of sessions.
//!
//! The crate does no I/O, reads no clock and spawns no tasks. The host implements [`Transport`],
//! which is notified when frames are waiting. Plugins, routes and sockets belong to the host.
//!
//! In reading order:
//! - `changes`: changes of subscriptions and registrations, for meta events;
//! - [`identity`]: identity of a session;
//! - [`client_key`]: the client that a session belongs to;
//! - [`outbox`]: the bounded queue between the broker and one connection;
//! - [`total`]: a byte counter with a limit, such as that of all outboxes together;
//! - `tally`: counters of publications;
//! - `node`: ids of nodes, and sessions that stand for them;
//! - [`session`]: a session, and the set of sessions to be flushed;
//! - [`quota`]: totals of a realm, and the share of each client;
//! - `wake`: wakes the task that sends to other nodes;
//! - `uri_table`: values by URI, prefix and wildcard;
//! - [`subscriptions`]: subscriptions of a realm;
//! - `event_frames`: the frames of an event, each encoded and compressed once;
//! - `recording`: what a publication leaves for the history of its topic;
//! - [`history`]: the recent events of topics;
//! - [`publication`]: an event and its audience, encoded at most once per dialect;
//! - [`realm`]: sessions and subscriptions under one lock;
//! - [`peers`]: the other nodes of a cluster; [`cluster`]: shared by the realms of a node;
//! - [`relay`]: calls between nodes;
//! - `registrations`: registrations of a realm;
//! - [`dealer`]: registrations and pending calls under one lock.
//!
//! **Locks.** A realm, a dealer, the history of all topics, that of each topic, and each outbox have
//! one lock each. The order is realm or dealer, then history, then that of a topic, then outbox. No
//! other lock is taken under any of them. The lock of the peers is taken under that of a topic: events of a history have
//! one order for all nodes. No other lock but those of the peers' outboxes is taken under it. None is held over an await, a wasm call
//! or a callback of the host.

#![forbid(unsafe_code)]

mod changes;
#[cfg(test)]
mod churn;
mod client_key;
mod close_reason;
pub mod cluster;
pub mod dealer;
mod event_frames;
pub mod history;
pub mod identity;
mod node;
pub mod outbox;
pub mod peers;
pub mod publication;
pub mod quota;
pub mod realm;
mod recording;
mod registrations;
pub mod relay;
pub mod session;
mod spread;
pub mod subscriptions;
mod tally;
pub mod total;
mod uri_table;
mod wake;

pub use changes::{Change, Clock, Facts, IdLists};
pub use client_key::ClientKey;
pub use close_reason::{CloseCause, CloseReason};
pub use cluster::Cluster;
pub use dealer::{CallError, CallsView, Continued, Dealer, Encode, UnregisterError};
pub use history::{
    EventHistory, EventQuery, FoundEvents, HistoryNumbers, HistoryPage, LoggedHistory, MayReceive,
    Mirror, MirroredEvent, PastEvent, PreparedEvent, ReplayLimits, ReplayRequest, RetainedWish,
    SavedContent, SavedEvent, SavedTopic, UnknownPublication,
};
pub use identity::Identity;
pub use outbox::{Bounds, Outbox, OutboxTraffic, Overflow};
pub use publication::{
    DeliveryError, DeliveryReport, EventSource, Framing, PatternAudience, Publication, TooLarge,
};
pub use quota::QuotaError;
pub use realm::{
    ListPage, Realm, RealmLimits, Revoked, SessionView, SubscribeError, SubscriptionView,
    UnsubscribeError,
};
pub use recording::{HistoryRule, Recording};
pub use registrations::{Claim, RegisterError, Terms};
pub use session::{ConnectionInfo, Features, PendingFlushes, Session, Transport};
pub use subscriptions::Subscribed;
pub use tally::PublicationCounts;
pub use total::Total;
pub use uri_table::MAX_WILDCARD_COMPONENTS;
