//! Digests of secrets: whether the content of a file with a secret has changed, which its setting
//! does not show.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jackfield_auth::Secret;
use jackfield_auth::config::{KeySettings, UsersSettings};
use sha2::{Digest, Sha256};

use super::Config;

/// The digest of each secret by the setting that changes with it; `None` for one that cannot be
/// loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretDigests(BTreeMap<String, Option<[u8; 32]>>);

impl SecretDigests {
    /// Returns the settings of `next` with other content than here, each once. A setting that only
    /// one of them has is not among these: it has changed itself.
    pub fn changed(&self, next: &Self) -> Vec<String> {
        let is_other = |(key, digest): (&String, &Option<[u8; 32]>)| {
            self.0.get(key).is_some_and(|before| before != digest)
        };
        let changed = next.0.iter().filter(|it| is_other(*it));
        let mut settings: Vec<String> = changed.map(|(key, _)| setting(key)).collect();
        settings.dedup();
        settings
    }
}

/// The setting without the index of a token.
fn setting(key: &str) -> String {
    key.split_once(".tokens.").map_or_else(|| key.to_owned(), |(of, _)| format!("{of}.tokens"))
}

impl Config {
    /// Loads all secrets, and returns their digests.
    pub fn secret_digests(&self) -> SecretDigests {
        let digest = |secret: &Secret| {
            let text = secret.fetch().ok()?;
            Some(Sha256::digest(text.as_bytes()).into())
        };
        let secrets = self.keyed_secrets();
        let mut digests: BTreeMap<_, _> =
            secrets.map(|(key, secret)| (key, digest(secret))).collect();
        if let Some(ca) = self.authorities() {
            let text = jackfield_auth::read_text(&ca).ok();
            let digest = text.map(|text| Sha256::digest(text.as_bytes()).into());
            digests.insert("auth.users.http.ca".to_owned(), digest);
        }
        SecretDigests(digests)
    }

    /// Returns the files whose content belongs to the settings, except those of users and keys.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let files = self.keyed_secrets().filter_map(|(_, secret)| secret.file());
        files.chain(self.authorities()).collect()
    }

    /// The file of the authorities of users over HTTP.
    fn authorities(&self) -> Option<PathBuf> {
        match &self.auth.users {
            Some(UsersSettings::Http(http)) => http.ca.clone(),
            Some(UsersSettings::File(_) | UsersSettings::Sql(_)) | None => None,
        }
    }

    fn keyed_secrets(&self) -> impl Iterator<Item = (String, &Secret)> {
        let tickets = self.auth.tickets.iter().map(|it| ("auth.tickets.secret", &it.secret));
        let users = self.auth.users.iter().filter_map(|users| match users {
            UsersSettings::Http(http) => Some(("auth.users.http.token", http.token.as_ref()?)),
            UsersSettings::Sql(sql) => Some(("auth.users.sql.url", &sql.url)),
            UsersSettings::File(_) => None,
        });
        let jwt = self.auth.jwt.iter().filter_map(|jwt| match &jwt.keys {
            KeySettings::Secret(secret) => Some(("auth.jwt.keys.secret", secret)),
            KeySettings::Pem(_) | KeySettings::Jwks(_) => None,
        });
        let metrics = self.metrics.token.iter().map(|token| ("metrics.token", token));
        let single = tickets.chain(users).chain(jwt).chain(metrics);
        let single = single.map(|(key, secret)| (key.to_owned(), secret));
        let api = self.api.tokens.iter().map(|token| &token.secret).enumerate();
        let api = api.map(|(at, secret)| (format!("api.tokens.{at}"), secret));
        let admin = self.admin.tokens.iter().map(|token| &token.secret).enumerate();
        let admin = admin.map(|(at, secret)| (format!("admin.tokens.{at}"), secret));
        single.chain(api).chain(admin)
    }
}

#[cfg(test)]
mod tests {
    use crate::Settings;

    #[test]
    fn names_the_setting_whose_secret_has_other_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let text = format!(
            "api: {{ tokens: [{{ name: a, token: {{ file: {} }} }}, {{ name: b, token: {{ file: {} }} }}] }}\n\
             auth: {{ jwt: {{ keys: {{ secret: {{ file: {} }} }} }} }}",
            file("a").display(),
            file("b").display(),
            file("c").display(),
        );
        let config = Settings::validated(&text, &[]).unwrap();
        assert_eq!(config.secret_files(), [file("c"), file("a"), file("b")]);
        let digests = || config.secret_digests();
        for name in ["a", "b", "c"] {
            std::fs::write(file(name), "before").unwrap();
        }
        let before = digests();
        assert_eq!(before.changed(&digests()), [""; 0]);
        std::fs::write(file("b"), "after").unwrap();
        assert_eq!(before.changed(&digests()), ["api.tokens"]);
        std::fs::write(file("a"), "after").unwrap();
        std::fs::remove_file(file("c")).unwrap();
        let after = digests();
        assert_eq!(before.changed(&after), ["api.tokens", "auth.jwt.keys.secret"]);
        assert!(!format!("{after:?}").contains("after"));
    }
}
