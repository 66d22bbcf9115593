//! Where settings come from, and which of them win: OroPlatform's variables are the weakest, then
//! the file, then our own variables, and at last what was typed.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::oro::{self, Dsn};
use super::overrides::Override;
use super::{Config, FILE_NAME, file};

/// All places that settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named, if one was; it has to be there.
    pub file: Option<PathBuf>,
    /// What was typed.
    pub set: Vec<Override>,
    /// The environment.
    pub variables: Vec<(String, String)>,
}

impl Sources {
    /// This process's environment; a variable that is not text is not one of ours.
    pub fn environment() -> Vec<(String, String)> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// The settings of the file; without one, of the site's own `jackfield.yml`; without that, the
    /// defaults; and what is set elsewhere.
    ///
    /// # Errors
    /// When the file that was named is missing, or something is not valid.
    pub(super) fn config(&self, site: &Path) -> Result<Config, ConfigError> {
        let (path, text) = self.text(site)?;
        let mut config = Config::default();
        if let Some((variable, dsn)) = self.dsn(oro::SERVER)? {
            config.listen = dsn.listen(variable)?;
        }
        // Nothing depends on it here, and yet a mistake in it is found best where one looks.
        self.dsn(oro::FRONTEND)?;
        self.dsn(oro::BACKEND)?;
        file::apply(&path.display().to_string(), &text, &mut config)?;
        let variables = Override::in_environment(self.variables.iter().cloned());
        let overrides: Vec<&Override> = variables.iter().chain(&self.set).collect();
        Override::apply_all(&overrides, &text, &mut config)?;
        Ok(config.settled(path.parent().unwrap_or(Path::new(""))))
    }

    /// The file's name and text.
    fn text(&self, site: &Path) -> Result<(PathBuf, String), ConfigError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                path: path.display().to_string(),
                source,
            })
        };
        if let Some(file) = &self.file {
            return Ok((file.clone(), read(file)?));
        }
        let file = site.join(FILE_NAME);
        match read(&file) {
            Err(error) if error.is_missing() => Ok((PathBuf::new(), String::new())),
            result => Ok((file, result?)),
        }
    }

    fn dsn(&self, variable: &'static str) -> Result<Option<(&'static str, Dsn)>, ConfigError> {
        let found = self.variables.iter().find(|(name, _)| name == variable);
        let dsn = found.map(|(_, text)| Dsn::parse(variable, text)).transpose()?;
        Ok(dsn.map(|dsn| (variable, dsn)))
    }
}

#[cfg(test)]
mod tests {
    use jackfield_routing::Action;

    use super::*;

    fn config(file: &str, variables: &[(&str, &str)], set: &[&str]) -> Result<Config, ConfigError> {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join(FILE_NAME), file).unwrap();
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let sources = Sources {
            file: None,
            set: set.iter().map(|text| text.parse().unwrap()).collect(),
            variables: variables.iter().map(owned).collect(),
        };
        sources.config(site.path())
    }

    #[test]
    fn who_wins() {
        let dsn = ("ORO_WEBSOCKET_SERVER_DSN", "//0.0.0.0:1");
        let ours = ("JACKFIELD__LISTEN", "127.0.0.1:3");
        let listen = |file: &str, variables: &[_], set: &[_]| {
            config(file, variables, set).unwrap().listen.to_string()
        };
        assert_eq!(listen("", &[], &[]), "127.0.0.1:8080");
        assert_eq!(listen("", &[dsn], &[]), "0.0.0.0:1");
        assert_eq!(listen("listen: 127.0.0.1:2", &[dsn], &[]), "127.0.0.1:2");
        assert_eq!(listen("listen: 127.0.0.1:2", &[dsn, ours], &[]), "127.0.0.1:3");
        assert_eq!(listen("", &[dsn, ours], &["listen=127.0.0.1:4"]), "127.0.0.1:4");
    }

    #[test]
    fn whoever_comes_with_proofs_may_neither_publish_nor_register() {
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
    fn a_dsn_that_is_none_is_told_of() {
        for variable in [oro::SERVER, oro::FRONTEND, oro::BACKEND] {
            let error = config("", &[(variable, "//*:port")], &[]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{variable}: error: ")), "{error}");
        }
    }
}
