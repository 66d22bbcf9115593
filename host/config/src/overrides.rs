//! Overrides of the file: environment variables and `--set`.
//!
//! They are applied to the [tree](jackfield_yaml::value) of the file, so that keys and errors are
//! the same.

use std::str::FromStr;
use std::sync::Arc;

use jackfield_yaml::{Diagnosis, Value};

/// Prefix of variables. It has two underscores, because one would also match the variables of a
/// Kubernetes service named `jackfield`, and those of the commands.
const PREFIX: &str = "JACKFIELD__";

/// Override of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The name of the variable or flag in errors.
    source: Arc<str>,
    /// The keys, outermost first; at least one.
    keys: Vec<String>,
    text: String,
}

impl Override {
    /// Returns the overrides among environment variables.
    pub(super) fn in_environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Vec<Self> {
        let mut found: Vec<Self> = variables
            .into_iter()
            .filter_map(|(name, text)| {
                let keys = name.strip_prefix(PREFIX)?.split("__").map(str::to_lowercase).collect();
                Some(Self { source: name.into(), keys, text })
            })
            .collect();
        // The system has no reliable order.
        found.sort_by(|a, b| a.source.cmp(&b.source));
        found
    }

    /// Applies the override to the settings. A map replaces the existing one below `auth`, because
    /// half of a secret's source is invalid; elsewhere it is merged.
    pub(super) fn apply(&self, tree: &mut Value) {
        let merges = self.keys.first().is_some_and(|key| key != "auth");
        tree.set(&self.keys, &self.source, &self.text, merges);
    }

    /// Warns about variables that are probably misspelt settings and are not read:
    /// `JACKFIELD_LIMITS__MESSAGE`. Names without two underscores are the commands' own, or
    /// Kubernetes'.
    pub(super) fn overlooked(variables: &[(String, String)]) -> Vec<Diagnosis> {
        let mut found: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        found.sort_unstable();
        let warning = |name: &str| {
            let rest = name.strip_prefix("JACKFIELD_").filter(|rest| !rest.starts_with('_'))?;
            rest.contains("__").then(|| {
                Diagnosis::without_place(name, "nothing reads this variable")
                    .with_help(format!("settings begin with two underscores: {PREFIX}{rest}"))
            })
        };
        found.into_iter().filter_map(warning).collect()
    }
}

/// Parses `limits.message=2MiB`.
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
        Ok(Self { source: source.into(), keys, text: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use jackfield_auth::Secret;

    use super::*;
    use crate::{Config, Settings};

    fn configured(file: &str, written: &[&str]) -> Result<Config, String> {
        Settings::of(file, written).result()
    }

    #[test]
    fn set_overrides_the_file() {
        let config = configured(
            "limits: { message: 5 MiB, outbox: { messages: 3 } }\nrealms: [a]",
            &[
                "limits.message=2 MiB",
                "limits.outbox.bytes=65536",
                "limits.connections=7",
                "realms=[b, c]",
                "plugins.named.acme-chat.deadline=1s",
                "access.https=true",
                "allow.publish=[ROLE_USER]",
            ],
        );
        let config = config.unwrap();
        assert_eq!(config.limits.message_bytes, 2 << 20);
        assert_eq!((config.limits.outbox.bytes, config.limits.outbox.frames), (65_536, 3));
        assert_eq!(config.limits.connections, 7);
        assert_eq!(config.realms, ["b", "c"]);
        assert_eq!(config.plugins.policy("acme-chat").limits.deadline.as_secs(), 1);
        assert!(config.access.https);
    }

    #[test]
    fn set_merges_into_auth() {
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
    fn keeps_the_text_of_a_secret_beside_a_list() {
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
    fn errors_name_the_key_and_not_the_value() {
        let check = |set: &str, expect: &str| {
            let error = configured("", &[set]).unwrap_err();
            assert!(error.starts_with(expect), "{error}\ndoes not begin with\n{expect}");
            assert!(!error.contains("hunter2"), "{error}");
        };
        check("limits.mesage=1", "--set limits.mesage: error: unknown key `mesage`");
        check("entrance.https=true", "--set entrance.https: error: the key `entrance` is named");
        check("limits.connections=hunter2", "--set limits.connections: error: ");
        check("limits=x", "--set limits: error: `limits` takes a map, not text\n");
        check("auth.tickets=hunter2", "--set auth.tickets: error: `auth.tickets` takes a map");
        check("auth.tickets.secert=hunter2", "--set auth.tickets.secert: error: unknown key");
        check("auth.tickets={secret: hunter2, x: 1}", "--set auth.tickets: error: unknown key `x`");
        check("auth.tickets.secret.x=hunter2", "--set auth.tickets.secret.x: error: ");
        check("api.tokens=hunter2", "--set api.tokens: error: `api.tokens` takes a list");
        check("api.tokens.0.token=hunter2", "--set api.tokens.0.token: error: `api.tokens` takes");
        check("listen=", "--set listen: error: `` is not an address");
        check("realms=", "--set realms: error: `realms` takes a list");
        check("limits=", "--set limits: error: `limits` takes a map");
        check("limits.message=", "--set limits.message: error: `` is not what belongs here");
    }

    #[test]
    fn errors_of_lists_show_their_syntax() {
        let error = configured("", &["access.origins=shop.example.com"]).unwrap_err();
        let expect = "--set access.origins: error: `access.origins` takes a list, not text\n  = \
                      help: write `[shop.example.com]`";
        assert_eq!(error, expect);
    }

    #[test]
    fn a_map_merges_into_the_file() {
        let config = configured(
            "limits: { connections: 7 }\nwatch: { poll: 2s }",
            &["limits={ message: 2 MiB, outbox: { messages: 3 } }", "watch.settle=1s"],
        );
        let config = config.unwrap();
        assert_eq!((config.limits.connections, config.limits.message_bytes), (7, 2 << 20));
        assert_eq!(config.watch.poll.unwrap().as_secs(), 2);
    }

    #[test]
    fn reports_misspelt_variables() {
        let names = [
            "JACKFIELD_LIMITS__MESSAGE",
            "JACKFIELD__LIMITS__MESSAGE",
            "JACKFIELD_PORT",
            "JACKFIELD_SERVICE_HOST",
            "JACKFIELD_PORT_8080_TCP_ADDR",
            "JACKFIELD_URL",
            "JACKFIELD_TICKET",
            "OTHER_LIMITS__MESSAGE",
        ];
        let found = Override::overlooked(&names.map(|name| (name.to_owned(), "x".to_owned())));
        let shown: Vec<_> = found.iter().map(|it| it.warning().to_string()).collect();
        let expect = "JACKFIELD_LIMITS__MESSAGE: warning: nothing reads this variable\n  = help: \
                      settings begin with two underscores: JACKFIELD__LIMITS__MESSAGE";
        assert_eq!(shown, [expect]);
    }

    #[test]
    fn reads_keys_from_variable_names() {
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
    fn rejects_malformed_overrides() {
        for wrong in ["limits", "=1", "a..b=1", ".a=1"] {
            assert!(wrong.parse::<Override>().is_err(), "{wrong}");
        }
    }
}
