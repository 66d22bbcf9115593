//! Settings of the HTTP API: tokens, and limits of requests.
//!
//! A token is a file, an environment variable, or the text itself. Tokens are never printed, not
//! even in errors about an invalid file.

use std::num::NonZeroUsize;
use std::time::Duration;

use jackfield_auth::Secret;
use jackfield_yaml::{ByteSize, NonZeroDuration, ValueError};
use serde::Deserialize;

use super::merge::{set_bytes, set_count, set_duration};

/// Default role of a token.
const BACKEND: &str = "backend";

/// Minimum length of a token, in characters: shorter ones can be guessed.
const MIN_BYTES: usize = 16;

/// Settings of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// The tokens; without any, the API is disabled.
    pub tokens: Vec<ApiToken>,
    /// The maximum size of a request body, in bytes. Default: 1 MiB.
    pub body: usize,
    /// The maximum number of publications in one request.
    pub batch: usize,
    /// The maximum number of concurrent requests.
    pub requests: usize,
    /// The maximum time for a request body.
    pub body_timeout: Duration,
    /// The time after which an idle connection is closed.
    pub idle_timeout: Duration,
}

/// Token of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// The name in the log, and the `authid` that handlers see.
    pub name: String,
    /// The token or its source.
    pub secret: Secret,
    /// The roles, for access lists and handlers.
    pub roles: Vec<String>,
    /// The only realm of the token; `None` allows all realms.
    pub realm: Option<String>,
}

/// The defaults, as in `docs/configuration.md`; a test compares the two.
impl Default for Api {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            body: 1 << 20,
            batch: 1_000,
            requests: 64,
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

/// Help for an invalid token.
pub(super) const HELP: &str = "`openssl rand -hex 32` makes a good one";

/// Checks that a token fits into an HTTP header (RFC 6750, section 2.1) and cannot be guessed.
pub(super) fn acceptable(token: &str) -> Result<(), String> {
    if token.len() < MIN_BYTES {
        return Err(format!("is shorter than {MIN_BYTES} characters"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has white space or other characters that no header can hold".to_owned());
    }
    Ok(())
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawApi {
    tokens: Option<Vec<RawToken>>,
    body: Option<ByteSize>,
    batch: Option<NonZeroUsize>,
    requests: Option<NonZeroUsize>,
    body_timeout: Option<NonZeroDuration>,
    idle_timeout: Option<NonZeroDuration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    name: String,
    token: Secret,
    roles: Option<Vec<String>>,
    realm: Option<String>,
}

impl RawApi {
    pub(super) fn apply(self, api: &mut Api) {
        set_bytes(&mut api.body, self.body);
        set_count(&mut api.batch, self.batch);
        set_count(&mut api.requests, self.requests);
        set_duration(&mut api.body_timeout, self.body_timeout);
        set_duration(&mut api.idle_timeout, self.idle_timeout);
        for written in self.tokens.unwrap_or_default() {
            let RawToken { name, token: secret, roles, realm } = written;
            let roles = roles.unwrap_or_else(|| vec![BACKEND.to_owned()]);
            api.tokens.push(ApiToken { name, secret, roles, realm });
        }
    }
}

/// Returns the errors of tokens that are found without loading them.
pub(super) fn mistakes(tokens: &[ApiToken], realms: &[String]) -> Vec<ValueError> {
    let mut wrongs = Vec::new();
    for (at, ApiToken { name, realm, .. }) in tokens.iter().enumerate() {
        let mut wrong = |key: &str, message: String, help: &str| {
            wrongs.push(ValueError::at(&format!("api.tokens.{at}{key}"), message, help));
        };
        if name.is_empty() || tokens.iter().take(at).any(|other| other.name == *name) {
            let message = format!("`{name}` is not a name that tells this token from the others");
            wrong("", message, "give each token a name of its own; logs and handlers see it");
        }
        if let Some(realm) = realm.as_ref().filter(|realm| !realms.contains(realm)) {
            let message = format!("the token `{name}` is for a realm `{realm}` that there is not");
            wrong("", message, "name one that `realms` lists, or leave the key out for all");
        }
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    fn parse(text: &str) -> Result<Api, String> {
        Settings::validated(text, &[]).map(|config| config.api)
    }

    #[track_caller]
    fn refused(text: &str, expect: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(expect), "{text}\n{error}\ndoes not begin with\n{expect}");
        assert!(!error.contains("0123") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn reads_every_key() {
        let text = format!(
            "
realms: [realm1, shop]
api:
  tokens:
    - {{ name: deploy, token: {LONG} }}
    - {{ name: shop, token: {{ file: /run/secrets/x }}, roles: [a, b], realm: shop }}
    - {{ name: cron, token: {{ env: CRON_TOKEN }} }}
  body: 2 MiB
  batch: 3
  requests: 4
  body_timeout: 5s
  idle_timeout: 6s
"
        );
        let api = parse(&text).unwrap();
        assert_eq!((api.body, api.batch, api.requests), (2 << 20, 3, 4));
        assert_eq!((api.body_timeout.as_secs(), api.idle_timeout.as_secs()), (5, 6));
        let [deploy, shop, cron] = api.tokens.as_slice() else { panic!("three tokens") };
        assert_eq!((deploy.name.as_str(), deploy.roles.join(",")), ("deploy", "backend".into()));
        assert_eq!(*deploy.secret.fetch().unwrap(), LONG);
        assert_eq!((shop.realm.as_deref(), shop.roles.join(",")), (Some("shop"), "a,b".into()));
        assert_eq!(shop.secret, Secret::File("/run/secrets/x".into()));
        assert_eq!(cron.secret, Secret::Env("CRON_TOKEN".to_owned()));
        let printed = format!("{api:?}");
        assert!(!printed.contains("0123") && printed.contains("/run/secrets/x"), "{printed}");
    }

    #[test]
    fn errors_show_their_place_and_no_secret() {
        refused(
            "api: { tokens: [{ name: a, token: 0123456 }] }",
            "j.yml:1:35: error: `api.tokens.token`",
        );
        refused(
            "api: { tokens: ['hunter2hunter2hunter2'] }",
            "j.yml:1:17: error: `api.tokens` takes a map, not text",
        );
        refused(
            "api: { tokens: hunter2hunter2hunter2 }",
            "j.yml:1:16: error: `api.tokens` takes a list, not text",
        );
        refused(
            "api: { tokens: [{ nam: a, token: hunter2 }] }",
            "j.yml:1:19: error: unknown key `nam`",
        );
        refused("api: { tokens: [{ token: hunter2hunter2hunter2 }] }", "j.yml:1:");
        refused("api: { tokens: [{ name: a, token: { fil: hunter2 } }] }", "j.yml:1:");
        refused(
            &format!(
                "api: {{ tokens: [{{ name: a, token: {LONG} }}, {{ name: a, token: x{LONG} }}] }}"
            ),
            "j.yml:1:",
        );
        refused(
            &format!("api: {{ tokens: [{{ name: a, realm: b, token: {LONG} }}] }}"),
            "j.yml:1:17: error: the token `a` is for a realm `b` that there is not",
        );
        refused("api: { bodi: 1 }", "j.yml:1:8: error: unknown key `bodi`");
    }
}
