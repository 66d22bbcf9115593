//! Client information of a request: path, origin, addresses and credentials. [`crate::admission`]
//! checks them.

use std::fmt;

use super::{header, header_lines};

/// The client of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientInfo {
    /// The path that is asked for, without the query.
    pub(crate) path: String,
    /// Whether the transport has no paths, as RawSocket.
    pub(crate) has_no_path: bool,
    /// The page that a browser connects for. RFC 6454, section 7.
    pub(crate) origin: Option<String>,
    pub(crate) forwarded: Forwarded,
    /// All that it brought, the most telling first.
    pub(crate) proofs: Vec<Credential>,
}

/// What proxies say of whom they forward for. It counts as much as they do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Whom for, the nearest last. What cannot be read is a member, too: a client must not be able
    /// to take away what a proxy has put behind its own words.
    pub(crate) addresses: Vec<String>,
    /// How the client reached the outermost proxy, as the nearest says.
    pub(crate) proto: Option<String>,
}

/// What is to prove who it is.
#[derive(PartialEq, Eq)]
pub(crate) enum Credential {
    /// A ticket of the application's.
    Ticket(String),
    /// A JSON Web Token.
    Token(String),
}

impl ClientInfo {
    pub(super) fn of(request: &httparse::Request<'_, '_>) -> Self {
        let target = request.path.unwrap_or_default();
        let fields = || request.headers.iter().map(|field| (field.name, field.value));
        let mut origins = header_lines(request, "Origin").map(String::from_utf8_lossy);
        let origin = origins.next().map(|origin| origin.trim().to_owned());
        let bearer = bearer(request).map(Credential::Token);
        Self {
            path: path(target).to_owned(),
            has_no_path: false,
            origin,
            forwarded: Forwarded::of(fields()),
            proofs: bearer.into_iter().chain(Credential::in_query(target)).collect(),
        }
    }
}

impl Forwarded {
    /// From the fields of a request's head, in their order.
    pub(crate) fn of<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut forwarded = Self::default();
        for (name, value) in fields {
            let members = || {
                let parts = value.split(|&byte| byte == b',');
                parts.map(|part| String::from_utf8_lossy(part).trim().to_owned())
            };
            if name.eq_ignore_ascii_case("X-Forwarded-For") {
                forwarded.addresses.extend(members());
            } else if name.eq_ignore_ascii_case("X-Forwarded-Proto") {
                forwarded.proto = members().next_back();
            }
        }
        forwarded
    }
}

impl Credential {
    /// A proof that arrives where nothing says of which kind it is: a query's `ticket`, or WAMP's
    /// authentication by ticket. Tokens have two dots, and tickets, being base64, have none.
    pub(crate) fn of_either_kind(text: String) -> Self {
        if text.bytes().filter(|&byte| byte == b'.').count() == 2 {
            Self::Token(text)
        } else {
            Self::Ticket(text)
        }
    }

    /// `?ticket=…`, as the clients of OroPlatform say it, or `?access_token=…` (RFC 6750, section
    /// 2.3), which is all that a browser can do.
    fn in_query(target: &str) -> impl Iterator<Item = Self> {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let value = |name| {
            let mut parameters = form_urlencoded::parse(query.as_bytes());
            let found = parameters.find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.into_owned())
        };
        let token = value("access_token").map(Self::Token);
        token.into_iter().chain(value("ticket").map(Self::of_either_kind))
    }
}

impl fmt::Debug for Credential {
    /// Without the text, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ticket(_) => "a ticket",
            Self::Token(_) => "a token",
        })
    }
}

/// The path of a request's target, which may be a whole URI: some PHP clients write one. RFC 9112,
/// section 3.2.
fn path(target: &str) -> &str {
    let origin_form = match target.split_once("://") {
        // A path may hold those characters too.
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find(['/', '?']).and_then(|start| rest.get(start..)).unwrap_or("/")
        }
        _ => target,
    };
    let path = origin_form.split(['?', '#']).next().unwrap_or_default();
    if path.is_empty() { "/" } else { path }
}

/// `Authorization: Bearer …`; RFC 6750, section 2.1.
fn bearer(request: &httparse::Request<'_, '_>) -> Option<String> {
    let (scheme, token) = header(request, "Authorization")?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, expect: &[Credential]) {
        assert_eq!(Credential::in_query(target).collect::<Vec<_>>(), expect, "{target}");
    }

    #[test]
    fn reads_credentials_from_the_query() {
        let ticket = |text: &str| Credential::Ticket(text.to_owned());
        let token = |text: &str| Credential::Token(text.to_owned());
        check("/", &[]);
        check("/?ticket=", &[]);
        check("/?x=1", &[]);
        check("/ws?ticket=YTtiO2M7ZA%3D%3D", &[ticket("YTtiO2M7ZA==")]);
        check("ws://127.0.0.1:8080/ws?ticket=x%3D", &[ticket("x=")]);
        check("/?a=b&ticket=x#y", &[ticket("x")]);
        check("/?ticket=a.b.c", &[token("a.b.c")]);
        check("/?ticket=x&access_token=y", &[token("y"), ticket("x")]);
    }

    #[test]
    fn keeps_forwarded_addresses_behind_invalid_ones() {
        let fields: [(&str, &[u8]); 4] = [
            ("x-forwarded-for", b"\xff, 192.0.2.1"),
            ("X-Forwarded-For", b",10.0.0.1"),
            ("X-Forwarded-Proto", b"http, https"),
            ("Host", b"x"),
        ];
        let forwarded = Forwarded::of(fields.into_iter());
        assert_eq!(forwarded.addresses, ["\u{fffd}", "192.0.2.1", "", "10.0.0.1"]);
        assert_eq!(forwarded.proto.as_deref(), Some("https"));
    }

    #[test]
    fn reads_the_path_of_both_request_forms() {
        let cases = [
            ("/", "/"),
            ("/ws?ticket=x", "/ws"),
            ("ws://127.0.0.1:8080/ws?ticket=x%3D", "/ws"),
            ("ws://127.0.0.1:8080", "/"),
            ("ws://127.0.0.1:8080?ticket=x", "/"),
            ("/a://b", "/a://b"),
            ("?ticket=x", "/"),
            ("", "/"),
        ];
        for (target, expect) in cases {
            assert_eq!(path(target), expect, "{target}");
        }
    }

    #[test]
    fn debug_output_hides_credentials() {
        assert_eq!(format!("{:?}", Credential::Ticket("secret".into())), "a ticket");
    }
}
