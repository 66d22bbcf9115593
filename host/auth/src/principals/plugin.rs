//! Principals that a plugin knows: the plugin finds them one by one, and the server makes the challenges and
//! judges the answers as for those of a file.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use ring::hmac;
use serde::Deserialize as _;

use super::file::{RawPrincipal, principal};
use super::{Challenge, ChallengeError, Known, Principal, Principals, ProofMethod, ProofRequest};
use crate::identity::Authenticated;
use crate::users::is_name;

/// A principal that a plugin has found.
#[derive(Clone, Debug)]
pub struct FoundPrincipal(Arc<Principal>);

impl FoundPrincipal {
    /// Reads a plugin's entry: the text of a JSON object with the keys of an entry of the file.
    ///
    /// # Errors
    /// The first error. It quotes no credential.
    pub fn parse(
        authenticator: &str,
        authid: &str,
        entry: &str,
        expires: Option<SystemTime>,
    ) -> Result<Self, String> {
        if !is_name(authid) {
            return Err("the name is empty, too long, or has control characters".to_owned());
        }
        // The text of an error of a value quotes it.
        let invalid = |_: serde_json::Error| {
            "the entry is no JSON object with the keys of a principal".to_owned()
        };
        if !entry.trim_start().starts_with('{') {
            // A struct can be read from a list as well.
            return Err("the entry is no JSON object with the keys of a principal".to_owned());
        }
        let mut entry = serde_json::Deserializer::from_str(entry);
        let raw = RawPrincipal::deserialize(&mut entry).map_err(invalid)?;
        entry.end().map_err(invalid)?;
        if raw.has_password() {
            return Err("a salted `wampcra` needs `derived_key` in place of `secret`".to_owned());
        }
        let found =
            principal(authid, raw).map_err(|(message, help)| format!("{message}: {help}"))?;
        Ok(Self(Arc::new(Principal {
            authenticator: Some(authenticator.into()),
            expires,
            ..found
        })))
    }

    /// Returns the client whose ticket the plugin has verified; `None` if it may not join the realm.
    pub fn by_ticket(&self, realm: &str) -> Option<Authenticated> {
        let Self(principal) = self;
        principal.may_join(realm).then(|| principal.authenticated(ProofMethod::Ticket))
    }
}

impl Principals {
    /// Creates principals without any, whose unknown names get challenges in the form of these models.
    ///
    /// # Errors
    /// The first error, with the number of the model.
    pub fn of_models<'m>(models: impl IntoIterator<Item = &'m str>) -> Result<Self, String> {
        // The same for all versions of a plugin: a stranger who compares two challenges learns nothing.
        static DECOY: OnceLock<hmac::Key> = OnceLock::new();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| format!("the system has no random numbers: {error}"))?;
        let decoy = DECOY.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, &seed)).clone();
        let mut known = Known::default();
        for (number, model) in models.into_iter().enumerate() {
            let name = format!("model {}", number + 1);
            let FoundPrincipal(model) = FoundPrincipal::parse("", &name, model, None)
                .map_err(|it| format!("{name}: {it}"))?;
            known.by_name.insert(name, model);
        }
        known.list_methods();
        // No client is one of them.
        known.by_name = HashMap::new();
        Ok(Self { known: ArcSwap::from_pointee(known), decoy })
    }

    /// Returns the challenge for the principal that a plugin has found; `None` if no model has a credential
    /// for the method.
    ///
    /// # Errors
    /// [`ChallengeError`]
    pub fn challenge_found(
        &self,
        method: ProofMethod,
        asked: &ProofRequest<'_>,
        found: Option<FoundPrincipal>,
    ) -> Result<Option<Challenge>, ChallengeError> {
        self.challenge_of(method, asked, found.map(|FoundPrincipal(found)| found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principals::Extra;

    #[derive(Debug)]
    struct NoExtra;

    impl Extra for NoExtra {
        fn text(&self, _: &str) -> Option<&str> {
            None
        }
    }

    fn challenge(found: Option<&str>) -> Challenge {
        let model =
            r#"{"roles":["member"],"wampcra":{"derived_key":"x","salt":"abcdef01","keylen":16}}"#;
        let principals = Principals::of_models([model]).unwrap();
        let asked = ProofRequest {
            authid: Some("ann"),
            extra: &NoExtra,
            realm: "realm1",
            session: 1,
            now: SystemTime::UNIX_EPOCH,
            channel_id: Err(crate::NoChannelId::NoTls),
        };
        let found =
            found.map(|entry| FoundPrincipal::parse("acme.login", "ann", entry, None).unwrap());
        principals.challenge_found(ProofMethod::Cra, &asked, found).unwrap().unwrap()
    }

    #[test]
    fn an_unknown_name_gets_the_form_of_a_model() {
        let known = challenge(Some(
            r#"{"roles":["member"],"wampcra":{"derived_key":"y","salt":"01234567","keylen":16}}"#,
        ));
        let unknown = challenge(None);
        let keys = |it: &Challenge| it.extra.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&known), keys(&unknown));
        let salt = |it: &Challenge| it.extra["salt"].as_str().unwrap().to_owned();
        assert_eq!(salt(&known), "01234567");
        assert_eq!((salt(&unknown), salt(&unknown).len()), (salt(&challenge(None)), 8));
        assert_eq!(unknown.extra["keylen"], 16);
        // Without the credential of the method, the name is as good as unknown.
        assert_eq!(salt(&challenge(Some(r#"{"ticket":"x"}"#))), salt(&unknown));
    }

    #[test]
    fn refuses_entries_that_are_wrong_and_quotes_no_secret() {
        let check = |entry: &str, expected: &str| {
            let error = FoundPrincipal::parse("acme.login", "ann", entry, None).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hidden"), "{entry}: {error}");
        };
        check("", "no JSON object");
        check("[]", "no JSON object");
        check(r#"{"ticket":{"hidden":1}}"#, "no JSON object");
        check(r#"{"hidden":1}"#, "no JSON object");
        check("{} {}", "no JSON object");
        check(r#"{"wampcra":{"secret":"hidden","salt":"x"}}"#, "needs `derived_key`");
        check(r#"{"cryptosign":["hidden"]}"#, "a key of `cryptosign` is not one");
        assert!(FoundPrincipal::parse("acme.login", "", "{}", None).is_err());
        let found = FoundPrincipal::parse(
            "acme.login",
            "ann",
            r#"{"realms":["realm2"],"roles":["a"]}"#,
            None,
        );
        let found = found.unwrap();
        assert_eq!(found.by_ticket("realm1"), None);
        let ann = found.by_ticket("realm2").unwrap();
        assert_eq!((ann.username.as_str(), ann.roles), ("ann", vec!["a".to_owned()]));
        assert_eq!(ann.basis, crate::Basis::Plugin { authenticator: "acme.login".into() });
    }
}
