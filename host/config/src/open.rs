//! Opening of settings: loads secrets, reads files, and creates the authentication methods, each
//! once. Connects to nothing.
//!
//! `jackfield serve` starts with the result, and refuses to start on any problem. `jackfield check`
//! may run where secrets are missing, and reports those as warnings.

use jackfield_auth::{Auth, OpenError, Secret, SecretError, SetupError};
use jackfield_text::Untrusted;
use jackfield_tls::{ServerTls, TlsFiles, TlsPart};
use jackfield_yaml::{Diagnosis, ValueError};
use zeroize::Zeroizing;

use super::admin::AdminToken;
use super::api::{ApiToken, HELP, acceptable};
use super::listener_tls;
use super::settings::Settings;

/// Help for an unresolved reference to a variable.
const UNEXPANDED: &str = "put the value there, or name the variable that has it: `{ env: NAME }`";

/// Result of opening settings.
pub struct Opening {
    /// The opened settings; `None` if there is any problem, or if a secret is missing.
    pub opened: Option<Opened>,
    /// The errors, each complete with its place.
    pub problems: Vec<Diagnosis>,
    /// The secrets that cannot be loaded here.
    pub absent: Vec<Diagnosis>,
    /// The warnings, each complete with its place.
    pub warnings: Vec<String>,
}

/// Opened settings, for the start of a server.
pub struct Opened {
    /// The authentication methods.
    pub auth: Auth,
    /// The tokens of the HTTP API; each is different.
    pub tokens: Vec<OpenToken>,
    /// The tokens of the admin listener; each is different.
    pub admin_tokens: Vec<OpenAdminToken>,
    /// The token of the page of metrics.
    pub metrics_token: Option<Zeroizing<String>>,
    /// TLS of `listeners`, in their order.
    pub tls: Vec<Option<ServerTls>>,
    /// TLS of the admin listener.
    pub admin_tls: Option<ServerTls>,
    /// The headers for the collector of spans: names and values.
    pub trace_headers: Vec<(String, Zeroizing<String>)>,
    /// The credentials for NATS, if the settings have some.
    pub cluster_credentials: Option<Zeroizing<String>>,
}

/// Loaded token of the HTTP API.
pub struct OpenToken {
    /// The name in the log, and the `authid` that handlers see.
    pub name: String,
    /// The token itself.
    pub text: Zeroizing<String>,
    /// The roles, for access lists and handlers.
    pub roles: Vec<String>,
    /// The only realm of the token; `None` allows all realms.
    pub realm: Option<String>,
}

/// Loaded token of the admin listener.
pub struct OpenAdminToken {
    /// The name in the log and in audit lines.
    pub name: String,
    /// The token itself.
    pub text: Zeroizing<String>,
    /// Whether the token is for reading alone.
    pub read_only: bool,
}

impl Settings {
    /// Opens all settings, except invalid ones. Must be called within a tokio runtime, which the
    /// database clients need.
    pub fn open(&self) -> Opening {
        let mut settings = Self { problems: Vec::new(), ..self.clone() };
        let (mut problems, mut absent) = (Vec::new(), Vec::new());
        let opening = self.config.auth.open();
        let auth = match opening.auth {
            Ok(auth) => Some(auth),
            Err(errors) => {
                for OpenError { key, error } in errors {
                    let is_absent = matches!(&error, SetupError::Secret(it) if it.is_absence());
                    settings.refuse(key, error);
                    let into = if is_absent { &mut absent } else { &mut problems };
                    into.append(&mut settings.problems);
                }
                None
            }
        };
        let tokens = settings.tokens(&mut absent);
        let admin_tokens = settings.admin_tokens(&mut absent);
        let metrics_token = settings.metrics_token(&mut absent);
        let trace_headers = settings.trace_headers(&mut absent);
        let cluster_credentials = settings.cluster_credentials(&mut absent);
        let mut warnings = opening.warnings;
        let config = self.config.clone();
        let listeners = config.listeners.iter().enumerate();
        let tls = listeners.map(|(at, listener)| {
            settings.tls(&format!("listeners.{at}.tls"), listener.tls.as_ref()?, &mut warnings)
        });
        let tls = tls.collect();
        let admin_tls = config.admin.tls.as_ref();
        let admin_tls =
            admin_tls.and_then(|it| settings.tls("admin.tls", &it.files, &mut warnings));
        problems.append(&mut settings.problems);
        let is_whole = problems.is_empty() && absent.is_empty();
        let opened = auth.filter(|_| is_whole);
        let opened = opened.map(|auth| Opened {
            auth,
            tokens,
            admin_tokens,
            metrics_token,
            tls,
            admin_tls,
            trace_headers,
            cluster_credentials,
        });
        Opening { opened, problems, absent, warnings }
    }

    /// Loads the certificates and keys of a listener; `section` is the key of its TLS.
    fn tls(
        &mut self,
        section: &str,
        files: &TlsFiles,
        warnings: &mut Vec<String>,
    ) -> Option<ServerTls> {
        match files.load() {
            Ok(loaded) => {
                for (at, certificate) in loaded.certificates.iter().enumerate() {
                    let hosts = Untrusted::new(certificate.hosts().join(", "));
                    let expired = (certificate.seconds_left() <= 0)
                        .then(|| (format!("the certificate for {hosts} has expired"), "renew it"));
                    let fault = certificate.fault_as_server();
                    let fault = fault.map(|(message, help)| (message.to_owned(), help));
                    for (message, help) in expired.into_iter().chain(fault) {
                        let key = listener_tls::key_of(TlsPart::Certificate(at));
                        let error = ValueError::at(&format!("{section}.{key}"), message, help);
                        warnings.push(self.diagnosis(error).warning().to_string());
                    }
                }
                Some(loaded)
            }
            Err(error) => {
                let key = format!("{section}.{}", listener_tls::key_of(error.part));
                let help = error.problem().help();
                self.report(ValueError::at(&key, format!("`{key}`: {error}"), help));
                None
            }
        }
    }

    fn refuse(&mut self, key: &'static str, error: SetupError) {
        match error {
            SetupError::Secret(error @ SecretError::Unexpanded { .. }) => {
                self.report(ValueError::at(key, format!("`{key}`: {error}"), UNEXPANDED));
            }
            SetupError::Secret(error) => self.report_missing(key, &error),
            // Errors in a file of users or keys have places of their own.
            SetupError::Invalid(problem) if problem.path != "auth.jwt.keys.secret" => {
                self.problems.push(problem);
            }
            SetupError::Invalid(problem) => {
                let message = format!("`{key}` {}", problem.message);
                self.report(ValueError::at(key, message, &problem.help.unwrap_or_default()));
            }
            SetupError::Setting { key, wrong } => {
                self.report(ValueError::at(key, format!("`{key}` {wrong}"), ""));
            }
            SetupError::Unreadable { path, source } => {
                let key =
                    if key.starts_with("auth.users.http") { "auth.users.http.ca" } else { key };
                let message = format!("the file {} cannot be read: {source}", path.display());
                self.report(ValueError::at(key, format!("`{key}`: {message}"), ""));
            }
            SetupError::AppSecret(error) => {
                self.report(ValueError::at(key, format!("`{key}`: {error}"), ""));
            }
            error @ (SetupError::NoUsers | SetupError::NotBuilt(_)) => {
                self.report(ValueError::at(key, error.to_string(), ""));
            }
        }
    }

    fn report_missing(&mut self, key: &str, error: &SecretError) {
        let message = format!("cannot load `{key}`: {error}");
        self.report(ValueError::at(key, message, "a server does not start without it"));
    }

    /// Loads the token of the page of metrics.
    fn metrics_token(&mut self, absent: &mut Vec<Diagnosis>) -> Option<Zeroizing<String>> {
        const KEY: &str = "metrics.token";
        let secret = self.config.metrics.token.clone()?;
        let text = self.secret(KEY, &secret, absent)?;
        if let Err(what) = acceptable(&text) {
            self.report(ValueError::at(KEY, format!("`{KEY}` {what}"), HELP));
        }
        Some(text)
    }

    /// Loads the headers for the collector of spans.
    fn trace_headers(&mut self, absent: &mut Vec<Diagnosis>) -> Vec<(String, Zeroizing<String>)> {
        let headers = self.config.traces.headers.clone().into_iter();
        let opened = headers.filter_map(|(name, secret)| {
            let key = format!("traces.headers.{name}");
            let value = self.secret(&key, &secret, absent)?;
            if value.is_empty() || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                let message = format!("`{key}` has characters that no header can hold");
                self.report(ValueError::at(&key, message, ""));
            }
            Some((name, value))
        });
        opened.collect()
    }

    /// Loads the credentials for NATS.
    fn cluster_credentials(&mut self, absent: &mut Vec<Diagnosis>) -> Option<Zeroizing<String>> {
        let secret = self.config.cluster.credentials.clone()?;
        self.secret("cluster.nats.credentials", &secret, absent)
    }

    /// Loads the secret of a setting, or reports that it is missing.
    fn secret(
        &mut self,
        key: &str,
        secret: &Secret,
        absent: &mut Vec<Diagnosis>,
    ) -> Option<Zeroizing<String>> {
        match secret.fetch() {
            Ok(text) => Some(text),
            Err(error @ SecretError::Unexpanded { .. }) => {
                self.report(ValueError::at(key, format!("`{key}`: {error}"), UNEXPANDED));
                None
            }
            Err(error) => {
                let message = format!("cannot load `{key}`: {error}");
                let error = ValueError::at(key, message, "a server does not start without it");
                absent.push(self.diagnosis(error));
                None
            }
        }
    }

    /// Loads the tokens of the HTTP API, each once.
    fn tokens(&mut self, absent: &mut Vec<Diagnosis>) -> Vec<OpenToken> {
        let mut known = Vec::new();
        let tokens = self.config.api.tokens.clone().into_iter().enumerate();
        let opened = tokens.filter_map(|(at, token)| {
            let ApiToken { name, secret, roles, realm } = token;
            let text =
                self.token(&format!("api.tokens.{at}"), &name, &secret, &mut known, absent)?;
            Some(OpenToken { name, text, roles, realm })
        });
        opened.collect()
    }

    /// Loads the tokens of the admin listener, each once.
    fn admin_tokens(&mut self, absent: &mut Vec<Diagnosis>) -> Vec<OpenAdminToken> {
        let mut known = Vec::new();
        let tokens = self.config.admin.tokens.clone().into_iter().enumerate();
        let opened = tokens.filter_map(|(at, token)| {
            let AdminToken { name, secret, read_only } = token;
            let key = format!("admin.tokens.{at}");
            let text = self.token(&key, &name, &secret, &mut known, absent)?;
            Some(OpenAdminToken { name, text, read_only })
        });
        opened.collect()
    }

    /// Loads a token. `known` has the names and texts of those before it.
    fn token(
        &mut self,
        key: &str,
        name: &str,
        secret: &Secret,
        known: &mut Vec<(String, Zeroizing<String>)>,
        absent: &mut Vec<Diagnosis>,
    ) -> Option<Zeroizing<String>> {
        let text = match secret.fetch() {
            Ok(text) => text,
            Err(error @ SecretError::Unexpanded { .. }) => {
                let message = format!("the token `{name}`: {error}");
                self.report(ValueError::at(key, message, UNEXPANDED));
                return None;
            }
            Err(error) => {
                let message = format!("the token `{name}` is missing: {error}");
                let error = ValueError::at(key, message, "a server does not start without it");
                absent.push(self.diagnosis(error));
                return None;
            }
        };
        if let Err(what) = acceptable(&text) {
            self.report(ValueError::at(key, format!("the token `{name}` {what}"), HELP));
        }
        if let Some((other, _)) = known.iter().find(|(_, other)| *other == text) {
            let message = format!("the token `{name}` is the same as `{other}`");
            let help = "give each its own: the log tells clients apart by it";
            self.report(ValueError::at(key, message, help));
        }
        known.push((name.to_owned(), text.clone()));
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    /// Returns the problems and the missing secrets; the first line of each.
    fn opening(text: &str) -> (Vec<String>, Vec<String>) {
        let mut settings = Settings::of(text, &[]);
        settings.settle(std::path::Path::new(""));
        assert!(settings.problems.is_empty(), "{text}\n{:?}", settings.problems);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _within = runtime.enter();
        let ready = settings.open();
        let is_good = ready.problems.is_empty() && ready.absent.is_empty();
        assert_eq!(ready.opened.is_some(), is_good, "{text}");
        let lines = |of: Vec<Diagnosis>| {
            let shown = of.into_iter().map(|it| it.to_string());
            let shown = shown.inspect(|it| assert!(!it.contains("hunter2"), "{it}"));
            shown.map(|it| it.lines().next().unwrap().to_owned()).collect()
        };
        (lines(ready.problems), lines(ready.absent))
    }

    #[track_caller]
    fn refused(text: &str, expect: &[&str]) {
        let (problems, absent) = opening(text);
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
            &["j.yml:1:28: error: `auth.tickets.secret`: the secret of the application is empty"],
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
        refused(
            "metrics: { enabled: true, token: hunter2 }",
            &["j.yml:1:34: error: `metrics.token` is shorter than 16 characters"],
        );
        refused(&tokens(&[token("a", LONG)]), &[]);
        let admin = [token("a", LONG), token("b", "hunter2"), token("c", LONG)].join(", ");
        refused(
            &format!("admin: {{ listen: '[::1]:1', tokens: [{admin}] }}"),
            &[
                "j.yml:1:94: error: the token `b` is shorter",
                "j.yml:1:125: error: the token `c` is the same as `a`",
            ],
        );
        refused(&format!("auth: {{ tickets: {{ secret: x }}, {sql} }}"), &[]);
    }

    #[test]
    fn names_missing_secrets_by_their_key() {
        let (problems, absent) = opening(
            "auth:
  tickets:
    secret: { env: JACKFIELD_NO_SUCH }
  users:
    http: { url: 'https://h/{username}', token: { file: /no/such } }
  jwt: { keys: { secret: { env: JACKFIELD_NO_SUCH } } }
api: { tokens: [{ name: a, token: { env: JACKFIELD_NO_SUCH } }] }
admin: { listen: '[::1]:1', tokens: [{ name: b, token: { file: /no/such } }] }",
        );
        assert_eq!(problems, [""; 0]);
        let expect = [
            "j.yml:3:13: error: cannot load `auth.tickets.secret`: the environment has no \
             variable JACKFIELD_NO_SUCH",
            "j.yml:5:49: error: cannot load `auth.users.http.token`: the secret in /no/such",
            "j.yml:6:26: error: cannot load `auth.jwt.keys.secret`",
            "j.yml:7:17: error: the token `a` is missing: the environment",
            "j.yml:8:38: error: the token `b` is missing: the secret in /no/such",
        ];
        assert_eq!(absent.len(), expect.len(), "{absent:?}");
        for (found, expect) in absent.iter().zip(expect) {
            assert!(found.starts_with(expect), "{found}\ndoes not begin with\n{expect}");
        }
    }
}
