//! The client that a session belongs to: its user or, without a user, its address. All that counts
//! by client (circuit breakers, shares of a realm's totals) goes by this key.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;

use crate::identity::Identity;

/// The key of a client. Sessions have the same key if they belong to the same user or, without a
/// user, to the same IPv4 address or IPv6 network of 56 bits.
///
/// A hash, so that copying and comparing it is cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey(u64);

/// Bytes of the network part of an IPv6 address: providers give each customer a /56.
const IPV6_PREFIX_BYTES: usize = 7;

/// Chosen at the start of the process, so that clients cannot search for names with the same key.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl ClientKey {
    /// Returns the client of a session with this identity.
    pub fn of(identity: &Identity) -> Self {
        let hash = match identity.anonymous_from.map(|address| address.to_canonical()) {
            // A token of the HTTP API may have the same name as a user.
            None => SEED.hash_one((&identity.authmethod, &identity.authid)),
            Some(IpAddr::V4(address)) => SEED.hash_one(address.octets()),
            Some(IpAddr::V6(address)) => SEED.hash_one(address.octets().get(..IPV6_PREFIX_BYTES)),
        };
        Self(hash)
    }

    /// Returns the key as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(authmethod: &str, authid: &str) -> ClientKey {
        let identity = Identity::anonymous(authid.to_owned(), IpAddr::from([0, 0, 0, 0]));
        let authmethod = authmethod.to_owned();
        ClientKey::of(&Identity { authmethod, anonymous_from: None, ..identity })
    }

    fn visitor(number: u32, address: &str) -> ClientKey {
        let name = format!("anonymous-{number}");
        ClientKey::of(&Identity::anonymous(name, address.parse().unwrap()))
    }

    #[test]
    fn takes_sessions_of_one_user_for_one_client() {
        assert_eq!(user("ticket", "ann"), user("ticket", "ann"));
        assert_ne!(user("ticket", "ann"), user("ticket", "bob"));
        assert_ne!(user("ticket", "ann"), user("token", "ann"));
    }

    #[test]
    fn takes_sessions_without_a_user_of_one_address_for_one_client() {
        assert_eq!(visitor(1, "192.0.2.1"), visitor(2, "192.0.2.1"));
        assert_eq!(visitor(1, "192.0.2.1"), visitor(2, "::ffff:192.0.2.1"));
        assert_ne!(visitor(1, "192.0.2.1"), visitor(1, "192.0.2.2"));
        assert_eq!(visitor(1, "2001:db8:0:100::1"), visitor(2, "2001:db8:0:1ff:ffff::"));
        assert_ne!(visitor(1, "2001:db8:0:100::1"), visitor(1, "2001:db8:0:200::1"));
    }
}
