//! Identifiers (WAMP v2 specification, section "IDs"): integers in 1..=2^53, which JavaScript
//! carries exactly. The host and the broker choose them, at random or by counting.

use std::fmt;

/// The largest id, 2^53.
pub const MAX_ID: u64 = 1 << 53;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u64);

        impl $name {
            /// Returns the id with this number. `None` outside 1..=2^53.
            pub const fn new(number: u64) -> Option<Self> {
                if number >= 1 && number <= MAX_ID { Some(Self(number)) } else { None }
            }

            /// Returns the number, in 1..=2^53.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A session, unique in the process and random. Version 1 shows it as a decimal string.
    SessionId
}
id! {
    /// A publication, random; shared by all events that it causes.
    PublicationId
}
id! {
    /// A subscription of a realm: one for each URI and match policy, shared by its subscribers.
    SubscriptionId
}
id! {
    /// A registration of a realm.
    RegistrationId
}

/// The id of a request, chosen by its sender. Clients may start anywhere and repeat ids: no router
/// enforces the sequence, and old clients draw ids at random. Zero is accepted, as some clients
/// send it and it does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RequestId(u64);

impl RequestId {
    /// Returns the request id with this number. `None` above 2^53.
    pub const fn new(number: u64) -> Option<Self> {
        if number <= MAX_ID { Some(Self(number)) } else { None }
    }

    /// Returns the number, in 0..=2^53.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
