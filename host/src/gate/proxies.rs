//! Networks of addresses: who is blocked, and whose word counts on whom they forward for.

use std::net::IpAddr;

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

    /// Whether the address is in one of them.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who is behind `peer`, these networks being those of proxies whose word counts: the nearest
    /// address of `X-Forwarded-For` that is not one of theirs. What somebody else wrote into the
    /// header counts for nothing.
    pub(crate) fn client(&self, peer: IpAddr, forwarded_for: &[String]) -> IpAddr {
        let mut client = peer.to_canonical();
        for address in forwarded_for.iter().rev() {
            if !self.contain(client) {
                break;
            }
            match address.parse::<IpAddr>() {
                Ok(address) => client = address.to_canonical(),
                // Nobody knows who is behind that.
                Err(_) => break,
            }
        }
        client
    }
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
        assert_eq!(client, expect.parse::<IpAddr>().unwrap(), "{peer} {forwarded_for:?}");
    }

    #[test]
    fn whose_word_counts() {
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("::ffff:127.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("127.0.0.1", &["192.0.2.1", "10.1.2.3"], "192.0.2.1");
        // What the client wrote itself is before what the proxy added.
        check("127.0.0.1", &["6.6.6.6", "192.0.2.1"], "192.0.2.1");
        check("192.0.2.9", &["6.6.6.6"], "192.0.2.9");
        check("127.0.0.1", &["unknown"], "127.0.0.1");
        check("127.0.0.1", &["2001:db8::1"], "2001:db8::1");
    }

    #[test]
    fn what_is_no_network() {
        assert_eq!(Networks::new(&["10.0.0.0/33".to_owned()]), Err("10.0.0.0/33".to_owned()));
        assert!(networks(&["192.0.2.0/24"]).contain("192.0.2.7".parse().unwrap()));
        assert!(!networks(&["192.0.2.0/24"]).contain("192.0.3.7".parse().unwrap()));
    }
}
