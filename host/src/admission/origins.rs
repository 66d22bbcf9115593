//! Which pages a browser may connect from. Only hosts are compared: neither ports nor schemes, as
//! the PHP servers have it.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr};

use jackfield_text::Untrusted;

use super::MAX_LOGGED_BYTES;

/// Hosts whose pages may connect.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Origins(Vec<String>);

impl Origins {
    /// Hosts, or URLs with them; `*.example.com` is every host below `example.com`. An error is
    /// the one that names no host.
    pub(crate) fn new(written: &[String]) -> Result<Self, String> {
        let entry = |text: &str| match text.strip_prefix("*.") {
            Some(parent) => host(parent).map(|parent| format!("*.{parent}")),
            None => host(text),
        };
        let hosts = written.iter().map(|text| entry(text).ok_or_else(|| text.clone()));
        hosts.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a page of this origin may connect; the error is for the log.
    pub(crate) fn check(&self, origin: &str) -> Result<(), String> {
        let Some(host) = host(origin) else {
            return Err(format!("the origin `{}` names no host", shown(origin)));
        };
        if is_loopback(&host) || self.0.iter().any(|allowed| matches(&host, allowed)) {
            return Ok(());
        }
        Err(format!("the origin `{}` is not among `origins`", shown(origin)))
    }
}

/// Whether it is this machine, from where developers and the backends of applications connect.
fn is_loopback(host: &str) -> bool {
    let address = host.parse().map(|address: IpAddr| address.to_canonical());
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn matches(host: &str, allowed: &str) -> bool {
    match allowed.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|head| head.ends_with('.')),
        None => host == allowed,
    }
}

/// The host of an origin, of a URL, or by itself. What browsers never send is none: they write
/// names of other letters in ASCII (RFC 5890).
fn host(text: &str) -> Option<String> {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        // One address has many forms.
        Some(v6) => v6.split(']').next()?.parse::<Ipv6Addr>().ok()?.to_string(),
        None => authority.split(':').next().filter(|name| is_name(name))?.to_ascii_lowercase(),
    };
    // A name that ends with a dot is the same name, written in full.
    Some(host.strip_suffix('.').map_or(host.clone(), str::to_owned))
}

/// Labels with dots between them.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_part);
    text != "null" && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// As a log shows it.
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
        let written = ["https://shop.example.com", "*.example.org"].map(str::to_owned);
        let origins = Origins::new(&written).unwrap();
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
            assert_eq!(Origins::new(&[wrong.to_owned()]), Err(wrong.to_owned()));
        }
    }
}
