//! `access` and `allow` of the settings: who is let in, and what those may do on whom a route
//! says nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::admission::{Networks, Origins};

/// Who is let in, before it is asked who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Connections are taken at this path and below.
    pub(crate) path: String,
    /// The pages that browsers may connect from; none if it does not matter.
    pub(crate) origins: Option<Origins>,
    /// The addresses that nobody may connect from.
    pub(crate) blocked: Networks,
    /// The proxies whose word counts on whom they forward for.
    pub(crate) proxies: Networks,
    /// Whether clients have to come through HTTPS, as one of `proxies` says.
    pub(crate) https: bool,
    /// Whether sessions are opened without proof; none is yes where nothing can be proven.
    pub(crate) anonymous: Option<bool>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            origins: None,
            blocked: Networks::default(),
            proxies: Networks::default(),
            https: false,
            anonymous: None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAccess {
    path: Option<Path>,
    origins: Option<Vec<Host>>,
    blocked: Option<Vec<Network>>,
    proxies: Option<Vec<Network>>,
    https: Option<bool>,
    anonymous: Option<bool>,
}

/// The path of a URL.
struct Path(String);

/// One host, or every host below it, as [`Origins`] reads it.
struct Host(String);

/// An address, or a network of them, as [`Networks`] reads it.
struct Network(String);

impl RawAccess {
    pub(super) fn apply(self, access: &mut Access) {
        if let Some(Path(path)) = self.path {
            access.path = path;
        }
        if let Some(origins) = self.origins {
            let hosts: Vec<String> = origins.into_iter().map(|host| host.0).collect();
            // Each has been read before.
            access.origins = Origins::new(&hosts).ok();
        }
        set_networks(&mut access.blocked, self.blocked);
        set_networks(&mut access.proxies, self.proxies);
        access.https = self.https.unwrap_or(access.https);
        access.anonymous = self.anonymous.or(access.anonymous);
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.starts_with('/') || text.contains(['?', '#']) {
            return Err(D::Error::custom(format!(
                "`{text}` is not a path\nwrite a path such as /ws"
            )));
        }
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const HELP: &str = "each is the name of a host, such as shop.example.com, or *.example.com \
                            for every host below it; leave the key out to let any page connect";
        let text = String::deserialize(deserializer)?;
        let host = text.split_once("://").map_or(&*text, |(_, host)| host);
        let name = host.strip_prefix("*.").unwrap_or(host);
        if name.contains('*') || Origins::new(std::slice::from_ref(&text)).is_err() {
            return Err(D::Error::custom(format!("`{text}` names no host\n{HELP}")));
        }
        Ok(Self(text))
    }
}

/// IPv4 that is written as IPv6 is the IPv4 that it stands for, because that is how addresses of
/// connections are compared.
impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Bits before an IPv4 address in an IPv6 one; RFC 4291, section 2.5.5.2.
        const BEFORE: u8 = 96;
        let text = String::deserialize(deserializer)?;
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let net: IpNet = net.map_err(|_| {
            let help = "write addresses such as 192.0.2.1 or 10.0.0.0/8";
            D::Error::custom(format!("`{text}` is not an address\n{help}"))
        })?;
        let mapped = net.addr().to_canonical();
        let short = match (net, mapped) {
            (IpNet::V6(net), IpAddr::V4(address)) => {
                let bits = net.prefix_len().checked_sub(BEFORE);
                bits.and_then(|bits| Ipv4Net::new(address, bits).ok()).map(IpNet::V4)
            }
            _ => None,
        };
        Ok(Self(short.unwrap_or(net).to_string()))
    }
}

fn set_networks(networks: &mut Networks, written: Option<Vec<Network>>) {
    if let Some(written) = written {
        let written: Vec<String> = written.into_iter().map(|network| network.0).collect();
        // Each has been read before.
        *networks = Networks::new(&written).unwrap_or_default();
    }
}

/// The roles that may do what, by action.
pub(super) type RawAllow = BTreeMap<RawAction, Vec<String>>;

/// What a route may leave unsaid.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAction {
    Subscribe,
    Publish,
    Call,
    Register,
}

impl From<RawAction> for jackfield_routing::Action {
    fn from(written: RawAction) -> Self {
        match written {
            RawAction::Subscribe => Self::Subscribe,
            RawAction::Publish => Self::Publish,
            RawAction::Call => Self::Call,
            RawAction::Register => Self::Register,
        }
    }
}
