//! Statement: the trusted comment of a signature, `jackfield plugin=NAME version=… number=…
//! digest=sha256:…`.
//!
//! The values are percent-encoded, so that they contain neither spaces nor control characters. Keys
//! that this version does not know are ignored; a key that is there twice is an error.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The first word of a statement: the purpose of the signature.
const PURPOSE: &str = "jackfield";
/// The prefix of a digest: the only algorithm.
const DIGEST: &str = "sha256:";
/// Bytes that are encoded in values, besides those that are not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// What a signature states about a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The name of the plugin, as in its manifest.
    pub plugin: String,
    /// The version in its manifest; `None` if the signer has left it out.
    pub version: Option<String>,
    /// A number that grows with each release.
    pub number: Option<u64>,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: Option<String>,
}

/// The reason why a trusted comment is no statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The comment has another purpose.
    #[error("its trusted comment does not begin with `{PURPOSE} plugin=`")]
    Purpose,
    /// The name of the plugin is missing.
    #[error("its trusted comment names no plugin")]
    NoPlugin,
    /// A key is there twice.
    #[error("its trusted comment has a key twice")]
    Twice,
    /// A value is not encoded in the right way.
    #[error("its trusted comment has an invalid value of `{0}`")]
    Value(&'static str),
}

impl Statement {
    /// Parses a trusted comment.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn parse(comment: &str) -> Result<Self, StatementError> {
        let mut words = comment.split_ascii_whitespace();
        if words.next() != Some(PURPOSE) {
            return Err(StatementError::Purpose);
        }
        let (mut plugin, mut version, mut number, mut digest) = (None, None, None, None);
        for word in words {
            let Some((key, value)) = word.split_once('=') else { continue };
            let text = |key| {
                let text = percent_decode_str(value).decode_utf8();
                text.map(Cow::into_owned).map_err(|_| StatementError::Value(key))
            };
            let is_first = match key {
                "plugin" => plugin.replace(text("plugin")?).is_none(),
                "version" => version.replace(text("version")?).is_none(),
                "number" => {
                    let value = value.parse().map_err(|_| StatementError::Value("number"))?;
                    number.replace(value).is_none()
                }
                "digest" => {
                    let value =
                        value.strip_prefix(DIGEST).ok_or(StatementError::Value("digest"))?;
                    digest.replace(value.to_ascii_lowercase()).is_none()
                }
                _ => true,
            };
            if !is_first {
                return Err(StatementError::Twice);
            }
        }
        let plugin = plugin.filter(|name| !name.is_empty()).ok_or(StatementError::NoPlugin)?;
        Ok(Self { plugin, version, number, digest })
    }
}

/// The text of the trusted comment.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |text| utf8_percent_encode(text, ENCODED);
        write!(f, "{PURPOSE} plugin={}", encoded(&self.plugin))?;
        if let Some(version) = self.version.as_deref().filter(|version| !version.is_empty()) {
            write!(f, " version={}", encoded(version))?;
        }
        if let Some(number) = self.number {
            write!(f, " number={number}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, " digest={DIGEST}{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_statements_that_it_writes() {
        let check = |statement: Statement, text: &str| {
            assert_eq!(statement.to_string(), text);
            assert_eq!(Statement::parse(text), Ok(statement));
        };
        let plugin = |name: &str| Statement {
            plugin: name.to_owned(),
            version: None,
            number: None,
            digest: None,
        };
        check(plugin("acme-chat"), "jackfield plugin=acme-chat");
        check(plugin("a b=%é\t"), "jackfield plugin=a%20b=%25%C3%A9%09");
        let whole = Statement {
            version: Some("1.4.0 beta".to_owned()),
            number: Some(u64::MAX),
            digest: Some("0a".to_owned()),
            ..plugin("x")
        };
        let text =
            "jackfield plugin=x version=1.4.0%20beta number=18446744073709551615 digest=sha256:0a";
        check(whole, text);
    }

    #[test]
    fn rejects_comments_without_one_clear_statement() {
        let check = |text: &str, error| assert_eq!(Statement::parse(text), Err(error), "{text}");
        check("", StatementError::Purpose);
        check("timestamp:1\tfile:chat.wasm\thashed", StatementError::Purpose);
        check("xjackfield plugin=a", StatementError::Purpose);
        check("jackfield", StatementError::NoPlugin);
        check("jackfield plugin=", StatementError::NoPlugin);
        check("jackfield version=1", StatementError::NoPlugin);
        check("jackfield plugin=a plugin=b", StatementError::Twice);
        check("jackfield plugin=a number=1 number=1", StatementError::Twice);
        check("jackfield plugin=%ff", StatementError::Value("plugin"));
        for number in ["-1", "1.0", "", "18446744073709551616"] {
            check(&format!("jackfield plugin=a number={number}"), StatementError::Value("number"));
        }
        check("jackfield plugin=a digest=md5:1", StatementError::Value("digest"));
        // Keys of later versions.
        assert!(Statement::parse("jackfield  plugin=a\tnew=1 word").is_ok());
    }
}
