//! What a request says of whoever makes it: where it wants to go, where it comes from, and what is
//! to prove who it is. Nothing is judged here; that is [`crate::gate`]'s.

use std::fmt;

use super::{header, values};

/// Whoever asks to be connected.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// The path that is asked for, without the query.
    pub(crate) path: String,
    /// The page that a browser connects for. RFC 6454, section 7.
    pub(crate) origin: Option<String>,
    /// Whom proxies say that they forward for, the nearest last.
    pub(crate) forwarded_for: Vec<String>,
    /// How the client reached the outermost proxy, as the nearest says.
    pub(crate) forwarded_proto: Option<String>,
    pub(crate) proof: Option<Proof>,
}

/// What is to prove who it is.
#[derive(PartialEq, Eq)]
pub(crate) enum Proof {
    /// A ticket of the application's.
    Ticket(String),
    /// A JSON Web Token.
    Token(String),
}

impl Visitor {
    pub(super) fn of(request: &httparse::Request<'_, '_>) -> Self {
        let target = request.path.unwrap_or_default();
        let text = |name| header(request, name).map(str::to_owned);
        Self {
            path: path(target).to_owned(),
            origin: text("Origin"),
            forwarded_for: values(request, "X-Forwarded-For").map(str::to_owned).collect(),
            forwarded_proto: values(request, "X-Forwarded-Proto").last().map(str::to_owned),
            proof: bearer(request).map(Proof::Token).or_else(|| Proof::in_query(target)),
        }
    }
}

impl Proof {
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
    fn in_query(target: &str) -> Option<Self> {
        let query = target.split_once('?')?.1;
        let query = query.split('#').next().unwrap_or_default();
        let value = |name| {
            let mut parameters = form_urlencoded::parse(query.as_bytes());
            parameters.find(|(key, value)| key == name && !value.is_empty())
        };
        let token = value("access_token").map(|(_, token)| Self::Token(token.into_owned()));
        token.or_else(|| Some(Self::of_either_kind(value("ticket")?.1.into_owned())))
    }
}

impl fmt::Debug for Proof {
    /// Without the text: whoever has it can use it.
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
    fn check(target: &str, expect: Option<&Proof>) {
        assert_eq!(Proof::in_query(target).as_ref(), expect, "{target}");
    }

    #[test]
    fn proofs_in_a_query() {
        let ticket = |text: &str| Proof::Ticket(text.to_owned());
        let token = |text: &str| Proof::Token(text.to_owned());
        check("/", None);
        check("/?ticket=", None);
        check("/?x=1", None);
        check("/ws?ticket=YTtiO2M7ZA%3D%3D", Some(&ticket("YTtiO2M7ZA==")));
        check("ws://127.0.0.1:8080/ws?ticket=x%3D", Some(&ticket("x=")));
        check("/?a=b&ticket=x#y", Some(&ticket("x")));
        check("/?ticket=a.b.c", Some(&token("a.b.c")));
        check("/?ticket=x&access_token=y", Some(&token("y")));
    }

    #[test]
    fn the_path_of_either_form() {
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
    fn a_proof_is_not_printed() {
        assert_eq!(format!("{:?}", Proof::Ticket("secret".into())), "a ticket");
    }
}
