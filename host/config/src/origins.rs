//! Origins: hosts whose pages may connect. Ports and schemes are not compared, as in the PHP
//! servers.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use jackfield_text::Untrusted;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Maximum length of an origin in a log, in bytes.
const MAX_LOGGED_BYTES: usize = 100;

/// Set of hosts whose pages may connect.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Origins {
    hosts: Vec<HostPattern>,
    /// Whether programs, which name no page, are admitted as pages are.
    admit_programs: bool,
}

/// Host, or with the prefix `*.` all its subdomains. It may be written as a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPattern(String);

/// Error of a text without a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NoHost;

impl FromStr for HostPattern {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let named = text.split_once("://").map_or(text, |(_, host)| host);
        if named.strip_prefix("*.").unwrap_or(named).contains('*') {
            return Err(NoHost);
        }
        let pattern = match text.strip_prefix("*.") {
            Some(parent) => host(parent).map(|parent| format!("*.{parent}")),
            None => host(text),
        };
        pattern.map(Self).ok_or(NoHost)
    }
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hosts = Vec::deserialize(deserializer)?;
        Ok(Self { hosts, admit_programs: false })
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const HELP: &str = "each is the name of a host, such as shop.example.com, or *.example.com \
                            for every host below it; leave the key out to let any page connect";
        let text = String::deserialize(deserializer)?;
        let named =
            |NoHost| D::Error::custom(format!("`{}` names no host\n{HELP}", Untrusted::new(&text)));
        text.parse().map_err(named)
    }
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self.0.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(parent).is_some_and(|head| head.ends_with('.')),
            None => host == self.0,
        }
    }
}

impl Origins {
    /// Pages of this machine, and all programs.
    pub fn of_this_machine() -> Self {
        Self { hosts: Vec::new(), admit_programs: true }
    }

    /// Returns whether a client without an origin needs no credentials for being no page.
    pub fn admit_programs(&self) -> bool {
        self.admit_programs
    }

    /// Checks whether a page of this origin may connect.
    ///
    /// # Errors
    /// The reason, for the log.
    pub fn check(&self, origin: &str) -> Result<(), String> {
        let Some(host) = host(origin) else {
            return Err(format!("the origin `{}` names no host", shown(origin)));
        };
        if is_loopback(&host) || self.hosts.iter().any(|allowed| allowed.matches(&host)) {
            return Ok(());
        }
        Err(format!("the origin `{}` is not among `origins`", shown(origin)))
    }
}

/// Returns whether the host is this machine, from which developers and the application's backend
/// connect.
fn is_loopback(host: &str) -> bool {
    let address = host.parse().map(|address: IpAddr| address.to_canonical());
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Returns the host of an origin or URL, or a bare host. Non-ASCII names are rejected: browsers
/// send them in ASCII (RFC 5890).
fn host(text: &str) -> Option<String> {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        // Normalized, as one address has many forms.
        Some(v6) => v6.split(']').next()?.parse::<Ipv6Addr>().ok()?.to_string(),
        None => authority.split(':').next().filter(|name| is_name(name))?.to_ascii_lowercase(),
    };
    // A trailing dot marks the same name as fully qualified.
    Some(host.strip_suffix('.').map_or(host.clone(), str::to_owned))
}

/// Returns whether the text is a list of labels separated by dots.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_part);
    text != "null" && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// Formats an origin for a log.
fn shown(origin: &str) -> impl Display {
    Untrusted::new(origin).at_most(MAX_LOGGED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extracts_the_host_of_an_origin() {
        let cases = [
            ("example.com", Some("example.com")),
            ("https://Example.com:8443/some/path", Some("example.com")),
            ("example.com/some/path", Some("example.com")),
            ("//www.example.com", Some("www.example.com")),
            ("http://user@example.com", Some("example.com")),
            ("http://[::1]:80", Some("::1")),
            ("http://[0:0:0:0:0:0:0:1]", Some("::1")),
            ("https://Example.com.", Some("example.com")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("", None),
            ("http://", None),
            ("null", None),
            ("http://evil.com\\.example.org", None),
            ("http://evil.com%2f.example.org", None),
            ("http://evil.com;.example.org", None),
            ("http://evil.com .example.org", None),
            ("http://.example.org", None),
            ("http://[evil.example.org]", None),
            ("https://shop.example.com, https://evil.com", None),
            ("bücher.example", None),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
        ];
        for (text, expect) in cases {
            assert_eq!(host(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn accepts_configured_and_local_origins_only() {
        let patterns = ["https://shop.example.com", "*.example.org"];
        let origins = Origins {
            hosts: patterns.map(|it| it.parse().unwrap()).to_vec(),
            admit_programs: false,
        };
        let cases = [
            ("https://shop.example.com", true),
            ("http://shop.example.com:8080", true),
            ("https://example.com", false),
            ("https://evil-shop.example.com", false),
            ("https://a.example.org", true),
            ("https://example.org", false),
            ("https://evilexample.org", false),
            ("http://localhost:3000", true),
            ("http://localhost.", true),
            ("127.0.0.1", true),
            ("http://127.1.2.3:8000", true),
            ("http://[::1]", true),
            ("http://[::1]:3000", true),
            ("http://[0:0:0:0:0:0:0:1]", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://[::2]", false),
            ("http://[::ffff:192.0.2.1]", false),
            ("http://localhost.evil.example", false),
            ("null", false),
        ];
        for (origin, expect) in cases {
            assert_eq!(origins.check(origin).is_ok(), expect, "{origin:?}");
        }
        for wrong in ["http://", "*", "shop*.example.com", "*.", "bücher.example"] {
            assert_eq!(wrong.parse::<HostPattern>(), Err(NoHost), "{wrong}");
        }
    }
}
