//! Origins of HTTP: scheme, host and port, as an operator lists them and as a plugin requests them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

/// A scheme of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without encryption.
    Http,
    /// With TLS.
    Https,
}

/// A host of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name in lower case, without a dot at its end.
    Name(String),
    /// An address literal; an IPv4 address in IPv6 is written as IPv4.
    Address(IpAddr),
}

/// An origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOrigin {
    /// The scheme.
    pub scheme: Scheme,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// An origin that an operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin(pub(crate) HttpOrigin);

/// Help for an origin that cannot be read.
const HELP: &str = "write scheme, host and port, such as https://api.example.com or \
                    http://10.0.0.7:8080";

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| !label.is_empty() && label.len() <= 63;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_name = name.len() <= 253 && name.chars().all(is_plain);
        (is_name && name.split('.').all(is_label)).then_some(Self::Name(name))
    }
}

impl HttpOrigin {
    /// The origin of a URL. The error has the reason.
    pub(crate) fn of(url: &Uri) -> Result<Self, String> {
        let scheme = url.scheme_str().ok_or("a URL begins with https:// or http://")?;
        let scheme = Scheme::parse(scheme).ok_or("the scheme is neither https nor http")?;
        let authority = url.authority().ok_or("the URL has no host")?;
        if authority.as_str().contains('@') {
            return Err("the URL has a user; send it in the header `authorization`".to_owned());
        }
        let host = Host::parse(authority.host()).ok_or("the host is no name and no address")?;
        let rest = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match (rest, authority.port_u16()) {
            ("", _) => scheme.port(),
            (_, Some(port)) if port > 0 => port,
            _ => return Err("the port is not in 1..65535".to_owned()),
        };
        Ok(Self { scheme, host, port })
    }

    /// The most specific reason why the origin is none of the list.
    pub(crate) fn denial(&self, allowed: &[AllowedOrigin]) -> &'static str {
        let of_host = || allowed.iter().filter(|it| it.0.host == self.host);
        if of_host().any(|it| it.0.scheme == self.scheme) {
            "the port is not allowed"
        } else if of_host().next().is_some() {
            "the scheme is not allowed"
        } else {
            "the host is not allowed"
        }
    }
}

impl From<AllowedOrigin> for HttpOrigin {
    fn from(allowed: AllowedOrigin) -> Self {
        allowed.0
    }
}

impl FromStr for AllowedOrigin {
    type Err = &'static str;

    /// Parses an origin; without a scheme it is `https`, and a slash at the end is ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_suffix('/').unwrap_or(text);
        let whole = if bare.contains("://") { bare.to_owned() } else { format!("https://{bare}") };
        let url: Uri = whole.parse().map_err(|_| HELP)?;
        let has_path = url.path_and_query().is_some_and(|path| path.as_str() != "/");
        if has_path || whole.contains(['#', '*', '?']) {
            return Err(HELP);
        }
        HttpOrigin::of(&url).map(Self).map_err(|_| HELP)
    }
}

/// As it is written in the list: without the port of the scheme.
impl fmt::Display for HttpOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let found = text.parse::<AllowedOrigin>().map(|origin| origin.0.to_string());
        assert_eq!(found.ok().as_deref(), expected, "{text}");
    }

    #[test]
    fn reads_allowed_origins() {
        check("https://api.example.com", Some("https://api.example.com"));
        check("https://API.example.com./", Some("https://api.example.com"));
        check("api.example.com", Some("https://api.example.com"));
        check("http://10.0.0.7:8080", Some("http://10.0.0.7:8080"));
        check("http://a:80", Some("http://a"));
        check("https://[::1]:9", Some("https://[::1]:9"));
        check("http://[::ffff:127.0.0.1]", Some("http://127.0.0.1"));
    }

    #[test]
    fn rejects_malformed_origins() {
        for text in [
            "",
            "https://",
            "ftp://a",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://*",
            "https://*.example.com",
            "https://u:p@a",
            "https://a:0",
            "https://a:x",
            "https://a:99999",
            "https://a b",
            "https://a..b",
            "https://[::1",
            "https://a:",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn names_the_part_that_is_denied() {
        let allowed: Vec<AllowedOrigin> =
            ["https://a", "http://b:81"].iter().map(|text| text.parse().unwrap()).collect();
        let check = |url: &str, expected: &str| {
            let origin = HttpOrigin::of(&url.parse().unwrap()).unwrap();
            assert_eq!(origin.denial(&allowed), expected, "{url}");
        };
        check("https://a:444/x", "the port is not allowed");
        check("http://a/x", "the scheme is not allowed");
        check("https://c/x", "the host is not allowed");
    }
}
