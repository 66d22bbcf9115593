//! Bearer tokens of requests. RFC 6750, section 2.1.
//!
//! The API, the admin listener and the page of metrics each have a set of them.

use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A set of tokens, each with a value. Their texts are not kept.
pub(crate) struct BearerTokens<T>(Vec<([u8; 32], T)>);

/// The reason why a request has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BearerError {
    /// There is no header `Authorization`.
    Missing,
    /// `Authorization` has another scheme, or no token.
    OtherScheme,
    /// There are several headers `Authorization`.
    Repeated,
    /// The token is none of the set.
    Unknown,
}

impl<T> BearerTokens<T> {
    /// A set of tokens; no two have the same text.
    pub(crate) fn new<'t>(tokens: impl IntoIterator<Item = (&'t str, T)>) -> Self {
        let digested = |(text, value): (&str, T)| (Sha256::digest(text.as_bytes()).into(), value);
        Self(tokens.into_iter().map(digested).collect())
    }

    /// The values.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Returns the value of the token with this text.
    pub(crate) fn of_text(&self, text: &str) -> Option<&T> {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        self.of_digest(digest)
    }

    /// Returns the value of the token of a request.
    ///
    /// Compares digests of the same length, each to its end, and all of them: the time reveals
    /// nothing about any token.
    ///
    /// # Errors
    /// [`BearerError`]
    pub(crate) fn find(&self, headers: &HeaderMap) -> Result<&T, BearerError> {
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let authorization = authorizations.next().ok_or(BearerError::Missing)?;
        if authorizations.next().is_some() {
            return Err(BearerError::Repeated);
        }
        let credentials = authorization.as_bytes().split_first_chunk::<7>();
        let credentials = credentials.filter(|it| it.0.eq_ignore_ascii_case(b"bearer "));
        let (_, text) = credentials.ok_or(BearerError::OtherScheme)?;
        let digest: [u8; 32] = Sha256::digest(text.trim_ascii()).into();
        self.of_digest(digest).ok_or(BearerError::Unknown)
    }

    fn of_digest(&self, digest: [u8; 32]) -> Option<&T> {
        let mut found = None;
        for (known, value) in &self.0 {
            if bool::from(known.ct_eq(&digest)) {
                found = Some(value);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn compares_tokens_in_full() {
        let tokens = BearerTokens::new([(A, "a"), (B, "b")]);
        let check = |headers: &[&str], expect: Result<&str, BearerError>| {
            let mut map = HeaderMap::new();
            for header in headers {
                map.append(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
            }
            assert_eq!(tokens.find(&map).copied(), expect, "{headers:?}");
        };
        let (a, b) = (&*format!("Bearer {A}"), &*format!("bearer  {B}"));
        check(&[a], Ok("a"));
        check(&[b], Ok("b"));
        check(&[a, b], Err(BearerError::Repeated));
        check(&[a, a], Err(BearerError::Repeated));
        check(&[&format!("Bearer {A}a")], Err(BearerError::Unknown));
        check(&[&format!("Bearer {}", &A[1..])], Err(BearerError::Unknown));
        check(&["Bearer "], Err(BearerError::Unknown));
        check(&["Bearer"], Err(BearerError::OtherScheme));
        check(&[&format!("Basic {A}")], Err(BearerError::OtherScheme));
        check(&[A], Err(BearerError::OtherScheme));
        check(&[""], Err(BearerError::OtherScheme));
        check(&[], Err(BearerError::Missing));
    }
}
