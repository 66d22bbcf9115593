//! Sources of settings, in order of precedence, lowest first: OroPlatform's variables, the file,
//! our own variables, flags.

use std::io;
use std::path::{Path, PathBuf};

use jackfield_yaml::Diagnosis;

use super::oro::{self, Dsn};
use super::overrides::Override;
use super::redact::Redactor;
use super::settings::Settings;
use super::{Config, FILE_NAME};

/// Sources of settings.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file of `--config`, which must exist; `None` uses the site's own.
    pub file: Option<PathBuf>,
    /// The overrides of `--set`.
    pub set: Vec<Override>,
    /// The environment variables.
    pub variables: Vec<(String, String)>,
}

impl Sources {
    /// Returns this process's environment, without variables that are not text.
    pub fn environment() -> Vec<(String, String)> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// Loads the settings: the named file, else the site's own `jackfield.yml`, else the defaults;
    /// then the overrides.
    pub(super) fn settings(&self, site: &Path) -> Settings {
        let mut config = Config::default();
        let mut problems = Vec::new();
        // Only the first is used here, but errors in the other two are reported with it.
        for variable in [oro::SERVER, oro::FRONTEND, oro::BACKEND] {
            let Some((_, text)) = self.variables.iter().find(|(name, _)| name == variable) else {
                continue;
            };
            let dsn = Dsn::parse(variable, text);
            let read = dsn.and_then(|dsn| match variable {
                oro::SERVER => dsn.listen(variable).map(|listen| config.listen = Some(listen)),
                _ => Ok(()),
            });
            problems.extend(read.err());
        }
        let path = self.file.clone().unwrap_or_else(|| site.join(FILE_NAME));
        // The file of a site may be written by others; the operator may name a pipe.
        let read = match self.file {
            Some(_) if is_pipe(&path) => std::fs::read_to_string(&path),
            Some(_) | None => jackfield_auth::read_text(&path),
        };
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let missing = self.file.is_none() && read.as_ref().is_err_and(is_missing);
        let name = path.display().to_string();
        let document = match read {
            Ok(text) => Redactor { path: name, text },
            Err(_) if missing => Redactor::default(),
            Err(error) => {
                let message = format!("the settings cannot be read: {error}");
                let problem = Diagnosis::without_place(name.as_str(), message);
                problems.push(problem.with_help("name another file with --config"));
                Redactor { path: name, text: String::new() }
            }
        };
        let base = path.parent().filter(|_| !missing).unwrap_or(Path::new(""));
        let variables = Override::in_environment(self.variables.iter().cloned());
        let overrides: Vec<&Override> = variables.iter().chain(&self.set).collect();
        let mut settings = Settings::read(document, &overrides, config);
        settings.problems.splice(0..0, problems);
        settings.warnings = Override::overlooked(&self.variables);
        settings.settle(base);
        settings.missing = missing.then_some(path);
        settings
    }
}

/// Returns whether the path names a pipe or a device.
fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| !it.is_file() && !it.is_dir())
}

impl Settings {
    /// The file that was read, if there is one.
    pub fn file(&self) -> Option<&Path> {
        Some(self.document.path.as_str()).filter(|path| !path.is_empty()).map(Path::new)
    }
}

#[cfg(test)]
mod tests {
    use jackfield_routing::Action;

    use super::*;

    fn config(file: &str, variables: &[(&str, &str)], set: &[&str]) -> Result<Config, String> {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join(FILE_NAME), file).unwrap();
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let sources = Sources {
            file: None,
            set: set.iter().map(|text| text.parse().unwrap()).collect(),
            variables: variables.iter().map(owned).collect(),
        };
        sources.settings(site.path()).result()
    }

    #[test]
    fn sources_override_each_other_in_order() {
        let dsn = ("ORO_WEBSOCKET_SERVER_DSN", "//0.0.0.0:1");
        let ours = ("JACKFIELD__LISTEN", "127.0.0.1:3");
        let listen = |file: &str, variables: &[_], set: &[_]| {
            config(file, variables, set).unwrap().listen.unwrap().to_string()
        };
        assert_eq!(listen("", &[], &[]), "127.0.0.1:8080");
        assert_eq!(listen("", &[dsn], &[]), "0.0.0.0:1");
        assert_eq!(listen("listen: 127.0.0.1:2", &[dsn], &[]), "127.0.0.1:2");
        assert_eq!(listen("listen: 127.0.0.1:2", &[dsn, ours], &[]), "127.0.0.1:3");
        assert_eq!(listen("", &[dsn, ours], &["listen=127.0.0.1:4"]), "127.0.0.1:4");
    }

    #[test]
    fn authenticated_clients_may_not_publish_or_register_by_default() {
        let check = |file: &str, publish: Option<&str>, register: Option<&str>| {
            let allow = config(file, &[], &[]).unwrap().allow;
            let roles = |action| allow.roles(action).map(|roles| roles.join(" "));
            assert_eq!(roles(Action::Publish).as_deref(), publish, "{file}");
            assert_eq!(roles(Action::Register).as_deref(), register, "{file}");
            assert_eq!((roles(Action::Subscribe), roles(Action::Call)), (None, None), "{file}");
        };
        let tickets = "auth: { tickets: { secret: x }, users: { file: u } }";
        let jwt = "auth: { jwt: { keys: { jwks: k } } }";
        check("", None, None);
        for proofs in [tickets, jwt] {
            check(proofs, Some("backend"), Some("backend"));
            let some = format!("{proofs}\nallow: {{ register: [worker] }}");
            check(&some, Some("backend"), Some("worker"));
        }
    }

    #[test]
    fn does_not_wait_for_a_pipe_of_the_site() {
        let site = tempfile::tempdir().unwrap();
        let path = site.path().join(FILE_NAME);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let sources = Sources { file: None, set: Vec::new(), variables: Vec::new() };
        let error = sources.settings(site.path()).result().unwrap_err();
        assert!(error.contains("it is a named pipe, and has to be a regular file"), "{error}");
    }

    #[test]
    fn reports_an_invalid_dsn() {
        for variable in [oro::SERVER, oro::FRONTEND, oro::BACKEND] {
            let error = config("", &[(variable, "//*:port")], &[]).unwrap_err();
            assert!(error.starts_with(&format!("{variable}: error: ")), "{error}");
        }
    }
}
