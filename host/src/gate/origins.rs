//! Which pages a browser may connect from. Only hosts are compared: neither ports nor schemes, as
//! the PHP servers have it.

use std::net::Ipv6Addr;

/// Hosts whose pages may connect.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Origins(Vec<String>);

/// Where developers and the backends of applications connect from.
const ALWAYS: [&str; 2] = ["localhost", "127.0.0.1"];

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
    pub(crate) fn check(&self, origin: Option<&str>) -> Result<(), String> {
        let Some(origin) = origin else {
            return Err("the Origin header is missing, and `origins` are configured".to_owned());
        };
        let Some(host) = host(origin) else {
            return Err(format!("the origin `{}` names no host", shown(origin)));
        };
        let allowed = self.0.iter().map(String::as_str).chain(ALWAYS);
        if allowed.into_iter().any(|allowed| matches(&host, allowed)) {
            return Ok(());
        }
        Err(format!("the origin `{}` is not among `origins`", shown(origin)))
    }
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
        Some(v6) => v6.split(']').next().filter(|v6| v6.parse::<Ipv6Addr>().is_ok())?,
        None => authority.split(':').next().filter(|name| is_name(name))?,
    };
    Some(host.to_ascii_lowercase())
}

/// Labels with dots between them.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_part);
    text != "null" && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// Not longer than a log wants it.
fn shown(origin: &str) -> String {
    origin.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_whatever_is_written() {
        let cases = [
            ("example.com", Some("example.com")),
            ("https://Example.com:8443/some/path", Some("example.com")),
            ("example.com/some/path", Some("example.com")),
            ("//www.example.com", Some("www.example.com")),
            ("http://user@example.com", Some("example.com")),
            ("http://[::1]:80", Some("::1")),
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
    fn whose_pages_may_connect() {
        let written = ["https://shop.example.com", "*.example.org"].map(str::to_owned);
        let origins = Origins::new(&written).unwrap();
        let cases = [
            (Some("https://shop.example.com"), true),
            (Some("http://shop.example.com:8080"), true),
            (Some("https://example.com"), false),
            (Some("https://evil-shop.example.com"), false),
            (Some("https://a.example.org"), true),
            (Some("https://example.org"), false),
            (Some("https://evilexample.org"), false),
            (Some("http://localhost:3000"), true),
            (Some("127.0.0.1"), true),
            (Some("null"), false),
            (None, false),
        ];
        for (origin, expect) in cases {
            assert_eq!(origins.check(origin).is_ok(), expect, "{origin:?}");
        }
        for wrong in ["http://", "*", "shop*.example.com", "*.", "bücher.example"] {
            assert_eq!(Origins::new(&[wrong.to_owned()]), Err(wrong.to_owned()));
        }
    }
}
