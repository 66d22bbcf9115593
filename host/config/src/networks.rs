//! Networks of addresses: the blocked ones, and the trusted proxies.

use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use jackfield_text::Untrusted;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Bits before an IPv4 address in an IPv6 one; RFC 4291, section 2.5.5.2.
const MAPPED_PREFIX_BITS: u8 = 96;

/// Set of networks.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
pub struct Networks(Vec<Network>);

/// Network `10.0.0.0/8`, or a single address. IPv4-mapped IPv6 is converted to IPv4, like the
/// addresses of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network(IpNet);

impl FromStr for Network {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from))?;
        let short = match (net, net.addr().to_canonical()) {
            (IpNet::V6(net), IpAddr::V4(address)) => {
                let bits = net.prefix_len().checked_sub(MAPPED_PREFIX_BITS);
                bits.and_then(|bits| Ipv4Net::new(address, bits).ok()).map(IpNet::V4)
            }
            _ => None,
        };
        Ok(Self(short.unwrap_or(net)))
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            let help = "write addresses such as 192.0.2.1 or 10.0.0.0/8";
            let text = Untrusted::new(&text);
            D::Error::custom(format!("`{text}` is not an address\n{help}"))
        })
    }
}

impl Networks {
    /// Returns whether there is no network.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the address is in one of the networks.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.0.contains(&address))
    }

    /// Returns the client behind `peer`, if these are the networks of trusted proxies: the nearest
    /// address of `X-Forwarded-For` that is not one of theirs. Addresses in front of it can be
    /// forged, and are ignored. `None` if a trusted proxy does not know the address (`unknown`).
    pub fn client(&self, peer: IpAddr, forwarded_for: &[String]) -> Option<IpAddr> {
        let mut client = peer.to_canonical();
        for member in forwarded_for.iter().rev() {
            if !self.contain(client) {
                break;
            }
            client = address(member)?.to_canonical();
        }
        Some(client)
    }
}

/// Parses the address in a member of `X-Forwarded-For`. Some proxies add the port, and some write
/// quotes and brackets as in RFC 7239.
fn address(member: &str) -> Option<IpAddr> {
    let text = member.trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(written: &[&str]) -> Networks {
        Networks(written.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[track_caller]
    fn check(peer: &str, forwarded_for: &[&str], expect: &str) {
        let proxies = networks(&["127.0.0.1", "10.0.0.0/8", "::1"]);
        let forwarded: Vec<_> = forwarded_for.iter().map(ToString::to_string).collect();
        let client = proxies.client(peer.parse().unwrap(), &forwarded);
        let client = client.map_or("unknown".to_owned(), |client| client.to_string());
        assert_eq!(client, expect, "{peer} {forwarded_for:?}");
    }

    #[test]
    fn believes_forwarded_addresses_of_trusted_proxies_only() {
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("::ffff:127.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("127.0.0.1", &["192.0.2.1", "10.1.2.3"], "192.0.2.1");
        // The client's own entry is before the proxy's.
        check("127.0.0.1", &["6.6.6.6", "192.0.2.1"], "192.0.2.1");
        check("192.0.2.9", &["6.6.6.6"], "192.0.2.9");
        check("127.0.0.1", &["unknown"], "unknown");
        check("127.0.0.1", &["192.0.2.1", "10.1.2.3", ""], "unknown");
        check("127.0.0.1", &["\u{fffd}", "192.0.2.1"], "192.0.2.1");
        check("127.0.0.1", &["192.0.2.1:5000"], "192.0.2.1");
        check("127.0.0.1", &["\"192.0.2.1\""], "192.0.2.1");
        check("127.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("127.0.0.1", &["\"[2001:db8::1]\""], "2001:db8::1");
        check("127.0.0.1", &["2001:db8::1"], "2001:db8::1");
    }

    #[test]
    fn rejects_invalid_networks() {
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!(networks(&["192.0.2.0/24"]).contain("192.0.2.7".parse().unwrap()));
        assert!(!networks(&["192.0.2.0/24"]).contain("192.0.3.7".parse().unwrap()));
    }
}
