//! What is set elsewhere than in the file: variables of the environment, and `--set`.
//!
//! Each setting is taken in as if it were a file that has only this key, so that the same words are
//! known and the same mistakes are found. Its text is first taken as text, which is what most
//! settings are written in, and a secret may hold any character; where that is not what belongs
//! there it is taken as YAML, which numbers and lists need.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::error::ConfigError;
use super::{Config, file};

/// What the names of variables begin with. Two underscores, as one would meet the variables that
/// Kubernetes makes for a service of this name, and those that the commands know.
const PREFIX: &str = "JACKFIELD__";

/// What is a secret, and text whatever stands beside it: as YAML, `p@ss #1` would be `p@ss`.
const SECRETS: [&[&str]; 4] = [
    &["auth", "tickets", "secret"],
    &["auth", "jwt", "keys", "secret"],
    &["auth", "users", "sql", "url"],
    &["auth", "users", "http", "token"],
];

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// How errors call it.
    source: String,
    /// From the outermost key to the innermost; at least one.
    keys: Vec<String>,
    text: String,
}

impl Override {
    /// The settings among these variables of the environment.
    pub(super) fn in_environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Vec<Self> {
        let mut found: Vec<Self> = variables
            .into_iter()
            .filter_map(|(name, text)| {
                let keys = name.strip_prefix(PREFIX)?.split("__").map(str::to_lowercase).collect();
                Some(Self { source: name, keys, text })
            })
            .collect();
        // The system keeps them in no order that anybody could rely on.
        found.sort_by(|a, b| a.source.cmp(&b.source));
        found
    }

    /// All of them, in this order, on top of a file's settings. `file` is its text, because what is
    /// set below `auth` is put together with what the file says there.
    pub(super) fn apply_all(
        overrides: &[&Self],
        file: &str,
        config: &mut Config,
    ) -> Result<(), ConfigError> {
        let (auth, others): (Vec<&Self>, Vec<&Self>) =
            overrides.iter().partition(|it| it.keys.first().is_some_and(|key| key == "auth"));
        for setting in others {
            let nested = setting.keys.iter().rev();
            let document = |value| nested.clone().fold(value, |value, key| object(key, value));
            setting.either(document, config)?;
        }
        if let Some(last) = auth.last() {
            let source = auth.iter().map(|it| it.source.as_str()).collect::<Vec<_>>().join(", ");
            let whole = Self { source, ..Self::clone(last) };
            let base = file::auth(file);
            let document = |as_yaml: bool| {
                let mut document = object("auth", base.clone());
                for setting in &auth {
                    set(&mut document, &setting.keys, setting.value(as_yaml));
                }
                document
            };
            let mut changed = config.clone();
            match whole.take(&document(false), &mut changed) {
                Ok(()) => *config = changed,
                Err(_) => whole.take(&document(true), config)?,
            }
        }
        Ok(())
    }

    fn either(
        &self,
        document: impl Fn(Value) -> Value,
        config: &mut Config,
    ) -> Result<(), ConfigError> {
        let mut changed = config.clone();
        if self.take(&document(self.value(false)), &mut changed).is_ok() {
            *config = changed;
            return Ok(());
        }
        self.take(&document(self.value(true)), config)
    }

    fn take(&self, document: &Value, config: &mut Config) -> Result<(), ConfigError> {
        file::apply(&self.source, &document.to_string(), config)
            .map_err(|error| error.without_place(&self.source))
    }

    fn value(&self, as_yaml: bool) -> Value {
        let yaml = || serde_saphyr::from_str(&self.text).ok();
        let value = if as_yaml && !SECRETS.iter().any(|it| self.keys == *it) { yaml() } else { None };
        value.unwrap_or_else(|| Value::from(self.text.as_str()))
    }
}

/// `limits.message=2MiB`
impl FromStr for Override {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "write KEY=VALUE, such as limits.message=2MiB";
        let (keys, value) = text.split_once('=').ok_or(WRONG)?;
        let keys: Vec<String> = keys.split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err(WRONG);
        }
        let source = format!("--set {}", keys.join("."));
        Ok(Self { source, keys, text: value.to_owned() })
    }
}

fn object(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

/// Puts a value where the keys lead to, in the place of whatever is in its way.
fn set(into: &mut Value, keys: &[String], value: Value) {
    let Some((key, rest)) = keys.split_first() else {
        *into = value;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    if let Value::Object(map) = into {
        set(map.entry(key.clone()).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_auth::Secret;

    fn overrides(written: &[&str]) -> Vec<Override> {
        written.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn configured(file: &str, written: &[&str]) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        file::apply("j.yml", file, &mut config)?;
        let overrides = overrides(written);
        Override::apply_all(&overrides.iter().collect::<Vec<_>>(), file, &mut config)?;
        Ok(config)
    }

    #[test]
    fn what_is_set_wins() {
        let config = configured(
            "limits: { message: 5 MiB, outbox: { messages: 3 } }\nrealms: [a]",
            &[
                "limits.message=2 MiB",
                "limits.outbox.bytes=65536",
                "limits.connections=7",
                "realms=[b, c]",
                "plugins.named.acme-chat.deadline=1s",
                "entrance.https=true",
                "allow.publish=[ROLE_USER]",
            ],
        );
        let config = config.unwrap();
        assert_eq!(config.limits.message_bytes, 2 << 20);
        assert_eq!((config.limits.outbox.bytes, config.limits.outbox.frames), (65_536, 3));
        assert_eq!(config.limits.connections, 7);
        assert_eq!(config.realms, ["b", "c"]);
        assert_eq!(config.plugins.policy("acme-chat").limits.deadline.as_secs(), 1);
        assert!(config.entrance.https);
    }

    #[test]
    fn what_is_below_auth_is_put_together() {
        let file = "auth: { tickets: { secret: { env: A } }, users: { file: users.yml } }";
        let set =
            ["auth.tickets.secret=12#34: x", "auth.tickets.ttl=60s", "auth.tickets.once=true"];
        let tickets = configured(file, &set).unwrap().auth.tickets.unwrap();
        assert_eq!(tickets.secret, Secret::Value("12#34: x".to_owned().into()));
        assert_eq!((tickets.ttl.get().as_secs(), tickets.once), (60, true));
        let auth = configured("", &["auth.users.file=u.yml"]).unwrap().auth;
        assert!(auth.users.is_some());
    }

    #[test]
    fn a_secret_beside_a_list_stays_what_it_is() {
        for secret in ["p@ss #1", "12e3", "\"q\"", " lead", "~", "[a]", "yes"] {
            let set = |key: &str| format!("auth.{key}={secret}");
            let auth = configured(
                "auth: { users: { file: users.yml } }",
                &[
                    "auth.tickets.anonymous_roles=[backend]",
                    &set("tickets.secret"),
                    &set("jwt.keys.secret"),
                    "auth.jwt.audiences=[a, b]",
                ],
            );
            let auth = auth.unwrap().auth;
            let expect = Secret::Value(secret.to_owned().into());
            let tickets = auth.tickets.unwrap();
            assert_eq!((&tickets.secret, tickets.anonymous_roles.len()), (&expect, 1));
            let jwt = auth.jwt.unwrap();
            assert_eq!(jwt.keys, jackfield_auth::config::KeySettings::Secret(expect));
            assert_eq!(jwt.audiences, ["a", "b"]);
        }
    }

    #[test]
    fn mistakes_name_what_was_set_and_not_its_text() {
        let check = |set: &str, expect: &str| {
            let error = configured("", &[set]).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{error}\ndoes not begin with\n{expect}");
            assert!(!error.contains("hunter2"), "{error}");
        };
        check("limits.mesage=1", "--set limits.mesage: error: unknown key `mesage`");
        check("limits.connections=hunter2", "--set limits.connections: error: ");
        check("auth.tickets=hunter2", "--set auth.tickets: error: ");
        check("auth.tickets.secert=hunter2", "--set auth.tickets.secert: error: unknown key");
        check("api.tokens=hunter2", "--set api.tokens: error: `tokens` is a list");
    }

    #[test]
    fn names_of_variables() {
        let variables = [
            ("JACKFIELD__LIMITS__OUTBOX__BYTES", "1"),
            ("JACKFIELD_TOKEN", "hunter2"),
            ("JACKFIELD_PORT", "tcp://10.0.0.1:80"),
            ("JACKFIELD__HANDSHAKE_TIMEOUT", "2s"),
        ];
        let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let found = Override::in_environment(variables);
        let keys: Vec<_> = found.iter().map(|it| it.keys.join(".")).collect();
        assert_eq!(keys, ["handshake_timeout", "limits.outbox.bytes"]);
    }

    #[test]
    fn what_is_no_setting() {
        for wrong in ["limits", "=1", "a..b=1", ".a=1"] {
            assert!(wrong.parse::<Override>().is_err(), "{wrong}");
        }
    }
}
