//! Trust: public keys, the plugins that each may sign, and the verification of a signature.

use std::fmt;

use globset::Glob;
use minisign_verify::{Error, PublicKey, Signature};

use super::key_number;
use super::statement::{Statement, StatementError};

/// The line of a signature file with the number of the key.
const KEY_LINE: usize = 1;

/// A public key, and the plugins that it may sign.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedKey {
    key: PublicKey,
    number: String,
    /// In the encoding of minisign.
    encoded: String,
    /// Patterns of names; `None` is all plugins.
    plugins: Option<Vec<Glob>>,
}

/// A signature that a trusted key has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The number of the key, as minisign shows it.
    pub key: String,
    /// The key in the encoding of minisign.
    pub public: String,
    /// What the signer states.
    pub statement: Statement,
}

/// The reason why a text is no trusted key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no public key.
    #[error("this is no public key of minisign: {0}")]
    Invalid(String),
    /// It is the path of a key or the whole file.
    #[error("this is no public key of minisign, which is one line that begins with `RW`")]
    NoKey,
    /// A pattern of plugin names is invalid.
    #[error("`{pattern}` is not a pattern of plugin names: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The reason.
        reason: String,
    },
}

/// The reason why a signature is not accepted. Each is a sentence about the signature file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is no signature file of minisign.
    #[error("is not a signature of minisign")]
    Malformed,
    /// It was made without hashing the file first, which old versions of minisign do.
    #[error("has the old format of minisign, which is not accepted")]
    Legacy,
    /// The key is not trusted.
    #[error("was made with the key {0}, which is not among the trusted ones")]
    UnknownKey(String),
    /// The bytes or the comment are not those that were signed.
    #[error(
        "does not match: the component or the signature was changed, or the signature is that of another file"
    )]
    Mismatch,
    /// The signature states nothing about a plugin.
    #[error("is not for a plugin: {0}")]
    Statement(#[from] StatementError),
    /// The key may not sign this plugin.
    #[error("was made with the key {key}, which may not sign the plugin `{plugin}`")]
    OtherPlugins {
        /// The number of the key.
        key: String,
        /// The plugin of the statement.
        plugin: String,
    },
}

impl TrustedKey {
    /// Parses a public key in the encoding of minisign: the second line of a `.pub` file. `plugins`
    /// are patterns of the names that it may sign; `None` is all.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(text: &str, plugins: Option<&[String]>) -> Result<Self, KeyError> {
        let text = text.trim();
        let key = PublicKey::from_base64(text).map_err(|error| match error {
            Error::InvalidEncoding => KeyError::NoKey,
            error => KeyError::Invalid(error.to_string()),
        })?;
        let number = key_number(text).ok_or(KeyError::NoKey)?;
        let glob = |pattern: &String| {
            Glob::new(pattern).map_err(|error| KeyError::Pattern {
                pattern: pattern.clone(),
                reason: error.kind().to_string(),
            })
        };
        let plugins = plugins.map(|patterns| patterns.iter().map(glob).collect()).transpose()?;
        Ok(Self { key, number, encoded: text.to_owned(), plugins })
    }

    /// The number of the key, as minisign shows it.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// Whether the key may sign the plugin of this name.
    fn may_sign(&self, plugin: &str) -> bool {
        let Some(patterns) = &self.plugins else { return true };
        patterns.iter().any(|pattern| pattern.compile_matcher().is_match(plugin))
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugins = self.plugins.iter().flatten().map(Glob::glob);
        write!(f, "TrustedKey({}, {:?})", self.number, plugins.collect::<Vec<_>>())
    }
}

/// Verifies that a trusted key has signed these bytes, by the content of the signature file. The
/// digest and the name in the statement are the caller's to compare.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(
    keys: &[TrustedKey],
    bytes: &[u8],
    signature: &[u8],
) -> Result<Verified, VerifyError> {
    let text = std::str::from_utf8(signature).map_err(|_| VerifyError::Malformed)?;
    let signature = Signature::decode(text).map_err(|_| VerifyError::Malformed)?;
    let by = text.lines().nth(KEY_LINE).and_then(key_number).ok_or(VerifyError::Malformed)?;
    // Almost always one; numbers are random, and no proof.
    let mut candidates = keys.iter().filter(|key| key.number == by).peekable();
    if candidates.peek().is_none() {
        return Err(VerifyError::UnknownKey(by));
    }
    let mut refusal = VerifyError::Mismatch;
    for key in candidates {
        match key.key.verify(bytes, &signature, false) {
            Ok(()) => {
                let statement = Statement::parse(signature.trusted_comment())?;
                if key.may_sign(&statement.plugin) {
                    return Ok(Verified { key: by, public: key.encoded.clone(), statement });
                }
                refusal = VerifyError::OtherPlugins { key: by.clone(), plugin: statement.plugin };
            }
            Err(Error::UnexpectedAlgorithm) => return Err(VerifyError::Legacy),
            Err(_) => {}
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret_key::SecretKey;

    const BYTES: &[u8] = b"\0asm component";

    struct Signer {
        secret: SecretKey,
        public: String,
    }

    impl Signer {
        fn new() -> Self {
            let pair = SecretKey::generate(None).unwrap();
            let secret = SecretKey::open(&pair.secret, None).unwrap();
            Self { secret, public: pair.key }
        }

        fn trusted(&self, plugins: Option<&[&str]>) -> TrustedKey {
            let plugins: Option<Vec<String>> =
                plugins.map(|all| all.iter().map(|it| (*it).to_owned()).collect());
            TrustedKey::parse(&self.public, plugins.as_deref()).unwrap()
        }

        fn sign(&self, bytes: &[u8], comment: &str) -> String {
            self.secret.sign_with_comment(bytes, comment)
        }
    }

    #[test]
    fn accepts_the_signatures_of_trusted_keys() {
        let (first, second) = (Signer::new(), Signer::new());
        let both = [first.trusted(None), second.trusted(None)];
        for signer in [&first, &second] {
            let signature = signer.sign(BYTES, "jackfield plugin=a number=3");
            let verified = verify(&both, BYTES, signature.as_bytes()).unwrap();
            assert_eq!(
                (verified.statement.plugin.as_str(), verified.statement.number),
                ("a", Some(3))
            );
            let windows = signature.replace('\n', "\r\n");
            assert!(verify(&both, BYTES, windows.as_bytes()).is_ok());
        }
        let signature = second.sign(BYTES, "jackfield plugin=a");
        let refused = verify(&both[..1], BYTES, signature.as_bytes()).unwrap_err();
        assert_eq!(refused, VerifyError::UnknownKey(second.trusted(None).number));
    }

    #[test]
    fn rejects_every_changed_byte() {
        let signer = Signer::new();
        let keys = [signer.trusted(None)];
        let signature = signer.sign(BYTES, "jackfield plugin=a number=3");
        for at in 0..BYTES.len() {
            let mut bytes = BYTES.to_vec();
            bytes[at] ^= 1;
            assert_eq!(verify(&keys, &bytes, signature.as_bytes()), Err(VerifyError::Mismatch));
        }
        // All of the signature file but the first line and the line ends.
        let first = signature.find('\n').unwrap();
        for at in first + 1..signature.len() {
            let mut changed = signature.clone().into_bytes();
            if changed[at] == b'\n' {
                continue;
            }
            changed[at] ^= 1;
            assert!(verify(&keys, BYTES, &changed).is_err(), "byte {at}");
            assert!(verify(&keys, BYTES, &signature.as_bytes()[..at]).is_err(), "cut at {at}");
        }
        for text in ["", "\n\n\n\n", "untrusted comment: x\nRW\ntrusted comment: \n", "é"] {
            assert_eq!(
                verify(&keys, BYTES, text.as_bytes()),
                Err(VerifyError::Malformed),
                "{text}"
            );
        }
        assert_eq!(verify(&keys, BYTES, b"\xff\xfe"), Err(VerifyError::Malformed));
    }

    #[test]
    fn restricts_keys_to_plugins() {
        let signer = Signer::new();
        let check = |plugins: Option<&[&str]>, name: &str, expected: bool| {
            let signature = signer.sign(BYTES, &format!("jackfield plugin={name}"));
            let found = verify(&[signer.trusted(plugins)], BYTES, signature.as_bytes());
            assert_eq!(found.is_ok(), expected, "{plugins:?} {name}: {found:?}");
        };
        check(None, "acme-chat", true);
        check(Some(&["acme-*"]), "acme-chat", true);
        check(Some(&["acme-*"]), "other-acme-chat", false);
        check(Some(&["other", "acme-chat"]), "acme-chat", true);
        check(Some(&["acme-chat"]), "acme-chats", false);
        check(Some(&[]), "acme-chat", false);
        // A second entry of the same key adds to the first.
        let keys = [signer.trusted(Some(&["x"])), signer.trusted(Some(&["a"]))];
        let signature = signer.sign(BYTES, "jackfield plugin=a");
        assert!(verify(&keys, BYTES, signature.as_bytes()).is_ok());
    }

    #[test]
    fn rejects_comments_of_another_purpose() {
        let signer = Signer::new();
        let signature = signer.sign(BYTES, "timestamp:1\tfile:a.wasm");
        let refused = verify(&[signer.trusted(None)], BYTES, signature.as_bytes());
        assert_eq!(refused, Err(VerifyError::Statement(StatementError::Purpose)));
    }

    #[test]
    fn rejects_texts_that_are_no_key() {
        let secret = SecretKey::generate(None).unwrap().secret;
        let secret = secret.lines().nth(1).unwrap();
        for text in ["", "minisign.pub", "RWQ", "é", secret] {
            let refused = TrustedKey::parse(text, None).unwrap_err();
            assert_eq!(refused, KeyError::NoKey, "{text}");
        }
        let key = Signer::new().public;
        let refused = TrustedKey::parse(&key, Some(&["[".to_owned()])).unwrap_err();
        assert!(
            refused.to_string().starts_with("`[` is not a pattern of plugin names: "),
            "{refused}"
        );
    }
}
