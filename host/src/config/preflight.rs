//! Whether a server could start with these settings: secrets are fetched, files are read, and
//! everything is made that proofs are judged by. Connects to nothing.
//!
//! `jackfield serve` refuses to start where anything is wrong; `jackfield check` runs where secrets
//! may not be, and only mentions those that it cannot have.

use jackfield_auth::config::{KeySettings, UsersSettings};
use jackfield_auth::{Problem, SecretError, SetupError};
use jackfield_routing::Diagnosis;
use zeroize::Zeroizing;

use super::api::{HELP, acceptable};
use super::setting_error::SettingError;
use super::settings::Settings;

/// What to do about a variable's name in the place of its value.
const UNEXPANDED: &str = "put the value there, or name the variable that has it: `{ env: NAME }`";

/// What keeps a server from starting.
#[derive(Debug, Default)]
pub struct Preflight {
    /// What is wrong, each complete with its place.
    pub problems: Vec<Diagnosis>,
    /// The secrets that are not to be had here.
    pub absent: Vec<Diagnosis>,
}

impl Settings {
    /// Whether a server could start, apart from mistakes in the settings themselves.
    ///
    /// # Errors
    /// When the operating system has no room for a runtime.
    pub fn preflight(&self) -> std::io::Result<Preflight> {
        let mut settings = Self { problems: Vec::new(), ..self.clone() };
        let mut ready = Preflight::default();
        // What databases are asked with is made within one.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        for (key, error) in self.proofs() {
            let missing = matches!(&error, SetupError::Secret(error) if error.is_absence());
            settings.refuse(key, error);
            let into = if missing { &mut ready.absent } else { &mut ready.problems };
            into.append(&mut settings.problems);
        }
        drop(within);
        self.tokens(&mut settings, &mut ready);
        Ok(ready)
    }

    /// The ways to prove who one is, those that cannot be put to work.
    fn proofs(&self) -> Vec<(&'static str, SetupError)> {
        let auth = &self.config.auth;
        let mut errors = Vec::new();
        if let Some(tickets) = &auth.tickets
            && let Err(error) = tickets.open()
        {
            errors.push(("auth.tickets.secret", error));
        }
        if auth.tickets.is_some() && auth.users.is_none() {
            errors.push(("auth.tickets", SetupError::NoUsers));
        }
        let key = match &auth.users {
            Some(UsersSettings::File(_)) => "auth.users.file",
            Some(UsersSettings::Http(_)) => "auth.users.http.token",
            Some(UsersSettings::Sql(_)) => "auth.users.sql.url",
            None => "auth.users",
        };
        if let Some(users) = &auth.users
            && let Err(error) = users.open()
        {
            if let (UsersSettings::Http(http), SetupError::Secret(_)) = (users, &error) {
                // The rest can be judged without its token.
                let mut http = http.clone();
                http.token = None;
                let rest = UsersSettings::Http(http).open().err();
                errors.extend(rest.map(|error| ("auth.users.http", error)));
            }
            errors.push((key, error));
        }
        let key = match auth.jwt.as_ref().map(|jwt| &jwt.keys) {
            Some(KeySettings::Secret(_)) => "auth.jwt.keys.secret",
            Some(KeySettings::Pem(_)) => "auth.jwt.keys.pem",
            Some(KeySettings::Jwks(_)) => "auth.jwt.keys.jwks",
            None => "auth.jwt",
        };
        if let Some(jwt) = &auth.jwt
            && let Err(error) = jwt.open()
        {
            errors.push((key, error));
        }
        errors
    }

    fn refuse(&mut self, key: &'static str, error: SetupError) {
        match error {
            SetupError::Secret(error @ SecretError::Unexpanded { .. }) => {
                self.complain(SettingError::at(key, format!("`{key}`: {error}"), UNEXPANDED));
            }
            SetupError::Secret(error) => self.lack(key, &error),
            // A file of users or keys has places of its own.
            SetupError::Problem(problem) if problem.path != "auth.jwt.keys.secret" => {
                self.problems.push(of_file(problem));
            }
            SetupError::Problem(problem) => {
                let message = format!("`{key}` {}", problem.message);
                self.complain(SettingError::at(key, message, &problem.help.unwrap_or_default()));
            }
            SetupError::Setting { key, wrong } => {
                self.complain(SettingError::at(key, format!("`{key}` {wrong}"), ""));
            }
            SetupError::Unreadable { path, source } => {
                let key =
                    if key.starts_with("auth.users.http") { "auth.users.http.ca" } else { key };
                let message = format!("the file {} cannot be read: {source}", path.display());
                self.complain(SettingError::at(key, format!("`{key}`: {message}"), ""));
            }
            SetupError::AppSecret(error) => {
                self.complain(SettingError::at(key, format!("`{key}`: {error}"), ""));
            }
            error @ (SetupError::NoUsers | SetupError::NotBuilt(_)) => {
                self.complain(SettingError::at(key, error.to_string(), ""));
            }
        }
    }

    fn lack(&mut self, key: &str, error: &SecretError) {
        let message = format!("cannot load `{key}`: {error}");
        self.complain(SettingError::at(key, message, "a server does not start without it"));
    }

    fn tokens(&self, settings: &mut Self, ready: &mut Preflight) {
        let mut known: Vec<(&str, Zeroizing<String>)> = Vec::new();
        for (at, token) in self.config.api.tokens.iter().enumerate() {
            let (name, key) = (token.name.as_str(), format!("api.tokens.{at}"));
            let fetched = match token.secret.fetch() {
                Ok(fetched) => fetched,
                Err(error @ SecretError::Unexpanded { .. }) => {
                    let message = format!("the token `{name}`: {error}");
                    settings.complain(SettingError::at(&key, message, UNEXPANDED));
                    continue;
                }
                Err(error) => {
                    let message = format!("the token `{name}` is missing: {error}");
                    settings.complain(SettingError::at(
                        &key,
                        message,
                        "a server does not start without it",
                    ));
                    ready.absent.append(&mut settings.problems);
                    continue;
                }
            };
            if let Err(what) = acceptable(&fetched) {
                settings.complain(SettingError::at(
                    &key,
                    format!("the token `{name}` {what}"),
                    HELP,
                ));
            }
            if let Some((other, _)) = known.iter().find(|(_, other)| *other == fetched) {
                let message = format!("the token `{name}` is the same as `{other}`");
                let help = "give each its own, or nobody can tell who it was";
                settings.complain(SettingError::at(&key, message, help));
            }
            known.push((name, fetched));
        }
        ready.problems.append(&mut settings.problems);
    }
}

/// A mistake in a file of users or keys.
fn of_file(problem: Problem) -> Diagnosis {
    let Problem { path, line, column, message, help } = problem;
    let number = |number| usize::try_from(number).unwrap_or(0);
    Diagnosis { path, line: number(line), column: number(column), message, help, snippet: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    /// What is wrong, and what is absent; the first line of each.
    fn preflight(text: &str) -> (Vec<String>, Vec<String>) {
        let mut settings = Settings::of(text, &[]);
        settings.settle(std::path::Path::new(""));
        assert!(settings.problems.is_empty(), "{text}\n{:?}", settings.problems);
        let ready = settings.preflight().unwrap();
        let lines = |of: Vec<Diagnosis>| {
            let shown = of.into_iter().map(|it| it.to_string());
            let shown = shown.inspect(|it| assert!(!it.contains("hunter2"), "{it}"));
            shown.map(|it| it.lines().next().unwrap().to_owned()).collect()
        };
        (lines(ready.problems), lines(ready.absent))
    }

    #[track_caller]
    fn refused(text: &str, expect: &[&str]) {
        let (problems, absent) = preflight(text);
        assert_eq!((problems.len(), absent.len()), (expect.len(), 0), "{problems:?} {absent:?}");
        for (problem, expect) in problems.iter().zip(expect) {
            assert!(problem.starts_with(expect), "{problem}\ndoes not begin with\n{expect}");
        }
    }

    #[test]
    fn reports_settings_that_serve_refuses() {
        let sql = "users: { sql: { url: 'postgres://u:p@h/d' } }";
        refused(
            "auth: { tickets: { secret: x } }",
            &["j.yml:1:18: error: there are `auth.tickets` and no `auth.users`: say where"],
        );
        refused(
            "auth: { jwt: { keys: { secret: hunter2 } } }",
            &["j.yml:1:32: error: `auth.jwt.keys.secret` is a secret that is too short"],
        );
        refused(
            "auth: { tickets: { secret: x }, users: { sql: { url: hunter2 } } }",
            &["j.yml:1:54: error: `auth.users.sql.url` has to begin with postgres://"],
        );
        refused(
            &format!("auth: {{ tickets: {{ secret: '' }}, {sql} }}"),
            &["j.yml:1:28: error: `auth.tickets.secret`: the application's secret is empty"],
        );
        refused(
            &format!("auth: {{ tickets: {{ secret: 'a{{hunter2' }}, {sql} }}"),
            &["j.yml:1:28: error: `auth.tickets.secret`: the application's secret has a brace"],
        );
        refused(
            "auth: { tickets: { secret: x }, users: { http: { url: 'https://h/{username}', token: \
             \"a\\nb\" } } }",
            &["j.yml:1:86: error: `auth.users.http.token` has characters that no header can hold"],
        );
        refused(
            "auth: { tickets: { secret: x }, users: { file: /no/such } }",
            &["j.yml:1:48: error: `auth.users.file`: the file /no/such cannot be read: "],
        );
        refused(
            "auth: { tickets: { secret: '' }, users: { file: /no/such }, jwt: { keys: { pem: /no } } }",
            &["j.yml:1:28: ", "j.yml:1:49: ", "j.yml:1:81: error: `auth.jwt.keys.pem`: the file"],
        );
        let token = |name: &str, text: &str| format!("{{ name: {name}, token: '{text}' }}");
        let tokens = |of: &[String]| format!("api: {{ tokens: [{}] }}", of.join(", "));
        refused(
            &tokens(&[token("a", LONG), token("b", LONG)]),
            &["j.yml:1:73: error: the token `b` is the same as `a`"],
        );
        refused(
            &tokens(&[token("a", "hunter2"), token("b", "hunter2 hunter2 hunter2")]),
            &[
                "j.yml:1:17: error: the token `a` is shorter",
                "j.yml:1:48: error: the token `b` has white",
            ],
        );
        refused(&tokens(&[token("a", LONG)]), &[]);
        refused(&format!("auth: {{ tickets: {{ secret: x }}, {sql} }}"), &[]);
    }

    #[test]
    fn names_missing_secrets_by_their_key() {
        let (problems, absent) = preflight(
            "auth:
  tickets:
    secret: { env: JACKFIELD_NO_SUCH }
  users:
    http: { url: 'https://h/{username}', token: { file: /no/such } }
  jwt: { keys: { secret: { env: JACKFIELD_NO_SUCH } } }
api: { tokens: [{ name: a, token: { env: JACKFIELD_NO_SUCH } }] }",
        );
        assert_eq!(problems, [""; 0]);
        let expect = [
            "j.yml:3:13: error: cannot load `auth.tickets.secret`: the environment has no \
             variable JACKFIELD_NO_SUCH",
            "j.yml:5:49: error: cannot load `auth.users.http.token`: the secret in /no/such",
            "j.yml:6:26: error: cannot load `auth.jwt.keys.secret`",
            "j.yml:7:17: error: the token `a` is missing: the environment",
        ];
        assert_eq!(absent.len(), expect.len(), "{absent:?}");
        for (found, expect) in absent.iter().zip(expect) {
            assert!(found.starts_with(expect), "{found}\ndoes not begin with\n{expect}");
        }
    }
}
