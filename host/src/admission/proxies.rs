//! Networks of addresses: who is blocked, and whose word counts on whom they forward for.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Addresses that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Networks(Vec<IpNet>);

impl Networks {
    /// `10.0.0.0/8`, or single addresses. An error is the one that is neither.
    pub(crate) fn new(written: &[String]) -> Result<Self, String> {
        let network = |text: &String| {
            let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| text.clone())
        };
        written.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the address is in one of them.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who is behind `peer`, these networks being those of proxies whose word counts: the nearest
    /// address of `X-Forwarded-For` that is not one of theirs. What somebody else wrote into the
    /// header counts for nothing. None if one of these proxies names somebody who cannot be known,
    /// as in `unknown`.
    pub(crate) fn client(&self, peer: IpAddr, forwarded_for: &[String]) -> Option<IpAddr> {
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

/// The address in a member of `X-Forwarded-For`, as proxies write it: some with the port, and some
/// as RFC 7239 has it, with quotes and brackets.
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
        Networks::new(&written.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[track_caller]
    fn check(peer: &str, forwarded_for: &[&str], expect: &str) {
        let proxies = networks(&["127.0.0.1", "10.0.0.0/8", "::1"]);
        let forwarded: Vec<_> = forwarded_for.iter().map(ToString::to_string).collect();
        let client = proxies.client(peer.parse().unwrap(), &forwarded);
        let client = client.map_or("nobody knows".to_owned(), |client| client.to_string());
        assert_eq!(client, expect, "{peer} {forwarded_for:?}");
    }

    #[test]
    fn believes_forwarded_addresses_of_trusted_proxies_only() {
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("::ffff:127.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("127.0.0.1", &["192.0.2.1", "10.1.2.3"], "192.0.2.1");
        // What the client wrote itself is before what the proxy added.
        check("127.0.0.1", &["6.6.6.6", "192.0.2.1"], "192.0.2.1");
        check("192.0.2.9", &["6.6.6.6"], "192.0.2.9");
        check("127.0.0.1", &["unknown"], "nobody knows");
        check("127.0.0.1", &["192.0.2.1", "10.1.2.3", ""], "nobody knows");
        check("127.0.0.1", &["\u{fffd}", "192.0.2.1"], "192.0.2.1");
        check("127.0.0.1", &["192.0.2.1:5000"], "192.0.2.1");
        check("127.0.0.1", &["\"192.0.2.1\""], "192.0.2.1");
        check("127.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("127.0.0.1", &["\"[2001:db8::1]\""], "2001:db8::1");
        check("127.0.0.1", &["2001:db8::1"], "2001:db8::1");
    }

    #[test]
    fn rejects_invalid_networks() {
        assert_eq!(Networks::new(&["10.0.0.0/33".to_owned()]), Err("10.0.0.0/33".to_owned()));
        assert!(networks(&["192.0.2.0/24"]).contain("192.0.2.7".parse().unwrap()));
        assert!(!networks(&["192.0.2.0/24"]).contain("192.0.3.7".parse().unwrap()));
    }
}
