//! Which pages a browser may connect from. Only hosts are compared: neither ports nor schemes, as
//! the PHP servers have it.

/// Hosts whose pages may connect.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Origins(Vec<String>);

/// Where developers and the backends of applications connect from.
const ALWAYS: [&str; 2] = ["localhost", "127.0.0.1"];

impl Origins {
    /// Hosts, or URLs with them; `*.example.com` is every host below `example.com`. An error is
    /// the one that names no host.
    pub(crate) fn new(written: &[String]) -> Result<Self, String> {
        let hosts = written.iter().map(|text| host(text).ok_or_else(|| text.clone()));
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

/// The host of an origin, of a URL, or by itself.
fn host(text: &str) -> Option<String> {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    (!host.is_empty() && host != "null").then(|| host.to_ascii_lowercase())
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
        assert_eq!(Origins::new(&["http://".to_owned()]), Err("http://".to_owned()));
    }
}
