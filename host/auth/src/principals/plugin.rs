//! Principals that a plugin knows: the plugin finds them one by one, and the server makes the challenges and
//! judges the answers as for those of a file.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jackfield_text::Untrusted;
use ring::hmac;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::file::{RawPrincipal, principal};
use super::{Challenge, ChallengeError, Known, Principal, Principals, ProofMethod, ProofRequest};
use crate::identity::Authenticated;
use crate::users::is_name;

/// The maximum length of an entry in bytes, as of the answer of a user source.
const MAX_ENTRY_BYTES: usize = 64 << 10;
/// The maximum length of the claims in bytes of JSON, as of a token: each session keeps them.
const MAX_CLAIMS_BYTES: usize = 16 << 10;
const MAX_ROLES: usize = 64;
/// The maximum number of bytes of a key that an error shows.
const MAX_SHOWN_KEY: usize = 64;

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
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(format!("the entry is longer than {MAX_ENTRY_BYTES} bytes"));
        }
        if !entry.trim_start().starts_with('{') {
            // A struct can be read from a list as well.
            return Err(NO_ENTRY.to_owned());
        }
        let mut reader = serde_json::Deserializer::from_str(entry);
        let raw = RawPrincipal::deserialize(&mut reader);
        let raw = raw.and_then(|raw| reader.end().map(|()| raw)).map_err(|_| explain(entry))?;
        if raw.has_password() {
            return Err("a salted `wampcra` needs `derived_key` in place of `secret`".to_owned());
        }
        let found =
            principal(authid, raw).map_err(|(message, help)| format!("{message}: {help}"))?;
        check_bounds(&found)?;
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

const NO_ENTRY: &str = "the entry is no JSON object with the keys of a principal";

/// Names the key in error. The error of the parser would quote its value.
fn explain(entry: &str) -> String {
    let keys: Map<String, Value> = serde_json::from_str(entry).unwrap_or_default();
    let wrong = keys.into_iter().find_map(|(key, value)| {
        let alone = Map::from_iter([(key.clone(), value)]);
        RawPrincipal::deserialize(Value::Object(alone)).is_err().then_some(key)
    });
    wrong.map_or_else(
        || NO_ENTRY.to_owned(),
        |key| {
            let key = Untrusted::new(key).at_most(MAX_SHOWN_KEY);
            format!("the key `{key}` of the entry is unknown, or its value is wrong")
        },
    )
}

/// Bounds the parts of a principal that its session keeps.
fn check_bounds(principal: &Principal) -> Result<(), String> {
    let Principal { id, roles, claims, .. } = principal;
    if !is_name(id) {
        return Err("`id` is empty, too long, or has control characters".to_owned());
    }
    if roles.len() > MAX_ROLES {
        return Err(format!("`roles` has more than {MAX_ROLES} roles"));
    }
    if !roles.iter().all(|role| is_name(role)) {
        return Err("a role is empty, longer than 255 bytes, or has control characters".to_owned());
    }
    if serde_json::to_string(claims).map_or(true, |text| text.len() > MAX_CLAIMS_BYTES) {
        return Err(format!("`claims` is longer than {MAX_CLAIMS_BYTES} bytes of JSON"));
    }
    Ok(())
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
    use serde_json::json;

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
    fn bounds_the_parts_that_a_session_keeps() {
        let check = |entry: Value, expected: Option<&str>| {
            let parsed = FoundPrincipal::parse("acme.login", "ann", &entry.to_string(), None);
            match (parsed.err(), expected) {
                (None, None) => {}
                (Some(error), Some(expected)) if error.contains(expected) => {}
                (error, _) => panic!("{error:?} in place of {expected:?}"),
            }
        };
        let roles = |count: usize| json!({ "roles": vec!["r".repeat(255); count] });
        check(roles(64), None);
        check(roles(65), Some("more than 64 roles"));
        check(json!({ "roles": ["r".repeat(256)] }), Some("a role is"));
        check(json!({ "id": "i".repeat(256) }), Some("`id` is"));
        // With `{"a":""}`.
        let claims = |bytes: usize| json!({ "claims": { "a": "c".repeat(bytes - 8) } });
        check(claims(16 << 10), None);
        check(claims((16 << 10) + 1), Some("`claims` is longer than 16384 bytes"));
        check(json!({ "realms": ["r".repeat(64 << 10)] }), Some("longer than 65536 bytes"));
        let scram = |iterations: u32, memory: Option<u32>| {
            let kdf = if memory.is_some() { "argon2id13" } else { "pbkdf2" };
            let (salt, key) = ("MDEyMzQ1Njc4OWFiY2RlZg==", "00".repeat(32));
            json!({ "scram": {
                "kdf": kdf, "salt": salt, "iterations": iterations, "memory": memory,
                "stored_key": key, "server_key": key,
            } })
        };
        check(scram(1_000_000, None), None);
        check(scram(1_000_001, None), Some("`scram.iterations` is over 1000000"));
        check(scram(4096, Some(512)), None);
        check(scram(64, Some(1 << 20)), None);
        check(scram(1, Some((1 << 20) + 1)), Some("`scram.memory` is over 1048576"));
        check(scram(65, Some(1 << 20)), Some("times `scram.memory`"));
    }

    #[test]
    fn refuses_entries_that_are_wrong_and_quotes_no_secret() {
        let check = |entry: &str, expected: &str| {
            let error = FoundPrincipal::parse("acme.login", "ann", entry, None).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hidden"), "{entry}: {error}");
        };
        check("", "no JSON object");
        check("[]", "no JSON object");
        check(r#"{"ticket":{"hidden":1}}"#, "the key `ticket` of the entry");
        check(r#"{"roles":["a"],"role\n":"hidden"}"#, r"the key `role\n` of the entry");
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
