//! The network of a client, as limits by address count it: one IPv4 address, or an IPv6 network of 64
//! bits, because a host in such a network chooses the other bits itself.

use std::net::{IpAddr, Ipv6Addr};

/// The bits of an IPv6 address that name its network.
const IPV6_NETWORK: u128 = !(u64::MAX as u128);

/// The network of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientNetwork(IpAddr);

impl ClientNetwork {
    /// Returns the network of an address. An IPv4 address in the form of IPv6 is an IPv4 address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_64_bits_of_ipv6_for_one_client() {
        let same = |one: &str, other: &str| {
            ClientNetwork::of(one.parse().unwrap()) == ClientNetwork::of(other.parse().unwrap())
        };
        assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
