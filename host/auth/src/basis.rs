//! Basis of an authentication: the user, key or secret that it rests on, as a fingerprint. A session is
//! checked against it when users, keys or settings change: [`crate::Auth::still_admits`].

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::user::User;

/// Digest of a user, a key or a secret, for comparisons. It cannot be turned back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 16]);

/// What an authentication rests on.
#[derive(Clone, Debug, PartialEq)]
pub enum Basis {
    /// A ticket with the application's secret.
    Ticket {
        /// The application's secret.
        secret: Fingerprint,
        /// The user, by name; `None` for an anonymous ticket.
        user: Option<(String, Fingerprint)>,
        /// The roles that the client has got.
        roles: Vec<String>,
    },
    /// A token.
    Token {
        /// The key that has verified the token.
        key: Fingerprint,
        /// The rules that the token has passed.
        rules: Arc<TokenRules>,
    },
    /// A credential of a principal.
    Principal {
        /// The name.
        name: String,
        /// The principal: its roles and credentials.
        fingerprint: Fingerprint,
    },
    /// The answer of a plugin.
    Plugin {
        /// The handler that has answered: `auth.authenticator`.
        authenticator: Arc<str>,
    },
    /// A certificate: its authorities and users are settings of a listener.
    Certificate,
}

/// The rules that decide whether a token passes, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// Accepted issuers; empty accepts any.
    pub(crate) issuers: Vec<String>,
    /// Accepted audiences; empty accepts only tokens without one.
    pub(crate) audiences: Vec<String>,
    /// The names of the identity claims.
    pub(crate) names: Fingerprint,
}

impl Fingerprint {
    /// Of parts, in order.
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            // With its length, so that parts cannot be mistaken for one another.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(digest.finalize()) {
            *to = from;
        }
        Self(first)
    }

    /// Of several, and a condition.
    pub(crate) fn of_all(several: [Self; 3], condition: bool) -> Self {
        let parts = several.iter().map(|it| it.0.as_slice());
        Self::of(parts.chain([[u8::from(condition)].as_slice()]))
    }

    /// Of what decides about a user: not of further claims, which may change with each login.
    pub(crate) fn of_user(user: &User) -> Self {
        let User { id, username, password, roles, organization, enabled, claims: _ } = user;
        let password = password.as_ref().map_or("", |it| it.reveal());
        let organization = organization.as_deref().unwrap_or_default();
        let enabled = if *enabled { "enabled" } else { "disabled" };
        let texts = [id.as_str(), username.as_str(), password, organization, enabled];
        Self::of(texts.into_iter().chain(roles.iter().map(String::as_str)).map(str::as_bytes))
    }
}

impl TokenRules {
    /// Returns whether each token that passes `before` passes these, and has the same identity.
    pub(crate) fn admit_all_of(&self, before: &Self) -> bool {
        let has_all = |now: &[String], before: &[String]| before.iter().all(|it| now.contains(it));
        let issuers = match (self.issuers.is_empty(), before.issuers.is_empty()) {
            // Any issuer.
            (true, _) => true,
            (false, true) => false,
            (false, false) => has_all(&self.issuers, &before.issuers),
        };
        // Without audiences, only tokens without one pass.
        let audiences = if before.audiences.is_empty() {
            self.audiences.is_empty()
        } else {
            has_all(&self.audiences, &before.audiences)
        };
        issuers && audiences && self.names == before.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_not_mistaken_for_one_another() {
        let of = |parts: &[&str]| Fingerprint::of(parts.iter().map(|it| it.as_bytes()));
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab", ""]), of(&["ab"]));
    }

    #[test]
    fn narrower_rules_do_not_admit_all() {
        let rules = |issuers: &[&str], audiences: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect();
            let (issuers, audiences) = (texts(issuers), texts(audiences));
            TokenRules { issuers, audiences, names: Fingerprint::of([]) }
        };
        let check = |before: TokenRules, now: TokenRules, expect: bool| {
            assert_eq!(now.admit_all_of(&before), expect, "{before:?} {now:?}");
        };
        check(rules(&["a"], &["x"]), rules(&["a", "b"], &["x", "y"]), true);
        check(rules(&["a", "b"], &["x"]), rules(&["a"], &["x"]), false);
        check(rules(&[], &["x"]), rules(&["a"], &["x"]), false);
        check(rules(&["a"], &["x"]), rules(&[], &["x"]), true);
        check(rules(&["a"], &["x"]), rules(&["a"], &["y"]), false);
        check(rules(&["a"], &["x"]), rules(&["a"], &[]), false);
        check(rules(&["a"], &[]), rules(&["a"], &["x"]), false);
    }
}
