//! URL of the measured server.

/// A parsed `ws://` or `wss://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL as given.
    pub url: String,
    /// Host and port, to resolve and for the `Host` header.
    pub(crate) authority: String,
    /// The path with its query, at least `/`.
    pub(crate) path: String,
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// The error, and the expected form.
    pub fn parse(url: &str) -> Result<Self, String> {
        let lower = url.to_ascii_lowercase();
        let scheme = ["ws://", "wss://"].into_iter().find(|scheme| lower.starts_with(scheme));
        let rest = scheme.and_then(|scheme| url.get(scheme.len()..));
        let rest = rest.ok_or("expected a URL such as ws://127.0.0.1:8080/")?;
        let default_port = if scheme == Some("wss://") { 443 } else { 80 };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if authority.is_empty() || authority.contains(['@', ' ']) || path.contains(' ') {
            return Err("expected a URL such as ws://127.0.0.1:8080/".to_owned());
        }
        // The colons of an IPv6 address are within brackets.
        let tail = authority.rsplit(']').next().unwrap_or_default();
        let authority = match tail.split_once(':') {
            Some((_, port)) => {
                port.parse::<u16>().map_err(|_| format!("`{port}` is not a port"))?;
                authority.to_owned()
            }
            None => format!("{authority}:{default_port}"),
        };
        Ok(Self { url: url.to_owned(), authority, path })
    }

    /// Whether the server has TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss:"))
    }

    /// Returns the host without its port.
    pub(crate) fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the path with a segment appended.
    pub(crate) fn below(&self, segment: &str) -> String {
        format!("{}/{segment}", self.path.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> (String, String) {
        let target = Target::parse(url).unwrap();
        (target.authority, target.path)
    }

    #[test]
    fn parses_urls() {
        let cases = [
            ("ws://localhost:8080", "localhost:8080", "/"),
            ("WS://10.0.0.1:80/ws?x=1#y", "10.0.0.1:80", "/ws?x=1"),
            ("ws://example.org?x", "example.org:80", "/?x"),
            ("ws://[::1]/", "[::1]:80", "/"),
            ("ws://[::1]:8080/a", "[::1]:8080", "/a"),
            ("wss://example.org", "example.org:443", "/"),
            ("WSS://[::1]:8443/ws", "[::1]:8443", "/ws"),
        ];
        for (url, authority, path) in cases {
            assert_eq!(parse(url), (authority.to_owned(), path.to_owned()), "{url}");
        }
        let host = |url: &str| Target::parse(url).unwrap().host().to_owned();
        assert_eq!(
            (host("wss://a.example:1"), host("wss://[::1]")),
            ("a.example".into(), "::1".into())
        );
        assert_eq!(Target::parse("ws://h").unwrap().below("pub"), "/pub");
        assert_eq!(Target::parse("ws://h/a/").unwrap().below("pub"), "/a/pub");
    }

    #[test]
    fn rejects_other_urls_with_an_example() {
        for (url, message) in [
            ("localhost:8080", "ws://127.0.0.1:8080/"),
            ("http://localhost", "ws://127.0.0.1:8080/"),
            ("ws://", "ws://127.0.0.1:8080/"),
            ("ws://user@host", "ws://127.0.0.1:8080/"),
            ("ws://localhost:808080", "`808080` is not a port"),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.contains(message), "{url}: {error}");
        }
    }
}
