//! Secret in the settings: a literal, a file, an environment variable, or a credential that systemd
//! passes. Neither `Debug` nor
//! `Serialize` shows it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use zeroize::Zeroizing;

use crate::reference::reference;

/// The variable with the folder of credentials.
const FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// Source of a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The text itself.
    Value(Zeroizing<String>),
    /// A file with the secret; line ends at its end are removed.
    File(PathBuf),
    /// The name of an environment variable.
    Env(String),
    /// The name of a file in the folder that systemd makes for the credentials of a unit, as
    /// `LoadCredential=` names it; line ends at its end are removed.
    Credential(String),
}

/// Errors of loading a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret in {} cannot be read: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The variable is missing or not text.
    #[error("the environment has no variable {0} that is text: set it, or name another")]
    Env(String),
    /// The service manager has passed no credentials.
    #[error(
        "there is no credential {0}, as the variable {FOLDER} is not set: start the server as a unit of \
         systemd with LoadCredential={0}:FILE"
    )]
    NoCredentials(String),
    /// The secret is an unresolved reference to a variable, for a shell or Symfony to replace.
    #[error("{place} holds `{written}`, a reference that is never resolved")]
    Unexpanded {
        /// The place of the reference.
        place: String,
        /// The reference.
        written: String,
    },
}

impl SecretError {
    /// Returns whether the secret is missing in this process, though the server's may have it.
    pub const fn is_absence(&self) -> bool {
        match self {
            Self::File { .. } | Self::Env(_) | Self::NoCredentials(_) => true,
            Self::Unexpanded { .. } => false,
        }
    }
}

impl Secret {
    /// Loads the secret.
    ///
    /// # Errors
    /// If the file or the variable is missing or not text, or if the secret is an unresolved
    /// reference.
    pub fn fetch(&self) -> Result<Zeroizing<String>, SecretError> {
        let text = match self {
            Self::Value(text) => text.clone(),
            Self::File(path) => Self::read(path)?,
            Self::Env(name) => match std::env::var(name) {
                Ok(text) => Zeroizing::new(text),
                Err(_) => return Err(SecretError::Env(name.clone())),
            },
            Self::Credential(name) => match std::env::var_os(FOLDER) {
                Some(folder) => Self::read(&Path::new(&folder).join(name))?,
                None => return Err(SecretError::NoCredentials(name.clone())),
            },
        };
        match reference(&text) {
            None => Ok(text),
            Some(written) => {
                let place = match self {
                    Self::Value(_) => "the text".to_owned(),
                    Self::File(path) => format!("the file {}", path.display()),
                    Self::Env(name) => format!("the variable {name}"),
                    Self::Credential(name) => format!("the credential {name}"),
                };
                Err(SecretError::Unexpanded { place, written: written.to_owned() })
            }
        }
    }

    /// Returns the file with the secret, if there is one.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Credential(name) => Some(Path::new(&std::env::var_os(FOLDER)?).join(name)),
            Self::Value(_) | Self::Env(_) => None,
        }
    }

    /// Returns the path in the settings, if the secret has one.
    pub const fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Value(_) | Self::Env(_) | Self::Credential(_) => None,
        }
    }

    fn read(path: &Path) -> Result<Zeroizing<String>, SecretError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SecretError::File { path: path.to_owned(), source })?;
        let mut text = Zeroizing::new(text);
        let end = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(end);
        Ok(text)
    }
}

/// Shows the place, never the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Secret"),
            Self::File(path) => write!(f, "Secret({})", path.display()),
            Self::Env(name) => write!(f, "Secret(${name})"),
            Self::Credential(name) => write!(f, "Secret(credential {name})"),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = match self {
            Self::Value(_) => return serializer.serialize_str("(secret)"),
            Self::File(_) | Self::Env(_) | Self::Credential(_) => {
                serializer.serialize_map(Some(1))?
            }
        };
        match self {
            Self::Value(_) => {}
            Self::File(path) => map.serialize_entry("file", path)?,
            Self::Env(name) => map.serialize_entry("env", name)?,
            Self::Credential(name) => map.serialize_entry("credential", name)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl SecretVisitor {
    const WRONG: &'static str = "a secret is text in quotes, or { file: PATH }, { env: NAME } or { credential: NAME }, and nothing \
         else";
    const NO_NAME: &'static str = "the name of a credential has letters, digits, `.`, `_` and `-`, as in LoadCredential=NAME:FILE";
}

/// Rejects each kind of value that is not text or a map, because serde's own message would quote
/// it.
impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text in quotes, { file: PATH }, { env: NAME } or { credential: NAME }")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Secret, E> {
        Ok(Secret::Value(Zeroizing::new(value.to_owned())))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(Self::WRONG))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(Self::WRONG))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(Self::WRONG))
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Secret, E> {
        Err(E::custom(Self::WRONG))
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Secret, E> {
        Err(E::custom(Self::WRONG))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(Self::WRONG))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let key: Option<String> = map.next_key()?;
        let secret = match key.as_deref() {
            Some("file") => Secret::File(map.next_value()?),
            Some("env") => Secret::Env(map.next_value()?),
            Some("credential") => match map.next_value::<String>()? {
                name if is_file_name(&name) => Secret::Credential(name),
                _ => return Err(A::Error::custom(Self::NO_NAME)),
            },
            _ => return Err(A::Error::custom(Self::WRONG)),
        };
        match map.next_key::<String>()? {
            None => Ok(secret),
            Some(_) => Err(A::Error::custom(Self::WRONG)),
        }
    }
}

/// Returns whether the text can be the name of a credential, which is a file in one folder.
fn is_file_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && !text.starts_with('.') && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_secrets_from_text_file_or_variable() {
        let check = |yaml: &str, expect: &Secret| {
            let secret: Secret = jackfield_yaml::de::read("jackfield.yml", yaml).unwrap();
            assert_eq!(&secret, expect, "{yaml}");
        };
        check("'hunter2'", &Secret::Value(Zeroizing::new("hunter2".to_owned())));
        check("{ file: /run/secrets/app }", &Secret::File("/run/secrets/app".into()));
        check("{ env: APP_SECRET }", &Secret::Env("APP_SECRET".to_owned()));
        check("{ credential: app.secret }", &Secret::Credential("app.secret".to_owned()));
        for wrong in [
            "12345",
            "[12345]",
            "{ file: 12345, env: B }",
            "{ fil: '12345' }",
            "true",
            "{ credential: ../12345 }",
            "{ credential: .12345 }",
            "{ credential: '' }",
        ] {
            let error =
                jackfield_yaml::de::read::<Secret>("jackfield.yml", wrong).unwrap_err().to_string();
            assert!(!error.contains("12345"), "{error}");
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let secret = Secret::Value(Zeroizing::new("hunter2".to_owned()));
        let printed = format!("{secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!printed.contains("hunter2"), "{printed}");
        let file = serde_json::to_string(&Secret::File("a/b".into())).unwrap();
        assert_eq!(file, r#"{"file":"a/b"}"#);
    }

    #[test]
    fn trims_the_final_newline_of_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "  hunter2 \r\n").unwrap();
        assert_eq!(*Secret::File(path).fetch().unwrap(), "  hunter2 ");
        let missing = Secret::File(directory.path().join("none")).fetch().unwrap_err();
        assert!(missing.to_string().contains("none"), "{missing}");
        let path = directory.path().join("reference");
        std::fs::write(&path, "${ORO_SECRET}\n").unwrap();
        let error = Secret::File(path).fetch().unwrap_err();
        assert!(!error.is_absence() && error.to_string().contains("`${ORO_SECRET}`"), "{error}");
        let credential = Secret::Credential("jackfield-none".to_owned()).fetch().unwrap_err();
        assert!(credential.is_absence() && credential.to_string().contains("jackfield-none"));
        let unset = Secret::Env("JACKFIELD_NO_SUCH_VARIABLE".to_owned()).fetch().unwrap_err();
        assert!(unset.to_string().contains("JACKFIELD_NO_SUCH_VARIABLE"), "{unset}");
    }
}
