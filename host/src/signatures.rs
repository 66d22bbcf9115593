//! Verification of plugins: the signature beside a component, judged before the component is
//! compiled.
//!
//! [`approve`] takes a file of a snapshot, which is in memory: the bytes that it verifies are the
//! bytes that are compiled, and the file is not read again. `generation::load` is the only way into
//! the sandbox, and begins here. [`HighestNumbers`] remembers the newest release of each plugin, so
//! that an old one with a good signature is refused where the operator asks for it.

mod numbers;

use std::fmt;
use std::path::Path;

use jackfield_sandbox::Manifest;
use jackfield_signing::{Statement, TrustedKey, Verified, VerifyError, verify};
use jackfield_text::{Untrusted, shell_word};
use tracing::warn;

use crate::log::DIAGNOSIS;
use crate::site::{PluginFile, SignatureFile, signature_of};

pub(crate) use numbers::{HighestNumbers, NumbersError};

/// A component that the settings allow to be compiled.
#[derive(Clone, Debug)]
pub(crate) enum Approval {
    /// No signature is needed.
    NotNeeded,
    /// A trusted key has signed it.
    Signed(Signed),
}

/// A verified signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The number of the key, as minisign shows it.
    pub(crate) key: String,
    /// The key in the encoding of minisign, as in settings.
    pub(crate) public: String,
    /// What the signer states.
    pub(crate) statement: Statement,
    /// Whether the component serves by a pin, which is the operator's decision.
    pub(crate) is_pinned: bool,
}

/// A release with a lower number than one of the same plugin that has served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OlderRelease {
    plugin: String,
    /// `None`: it has no number, so that it cannot be compared.
    number: Option<u64>,
    highest: u64,
}

impl OlderRelease {
    /// Compares a release with the highest number that has served.
    pub(crate) fn find(signed: &Signed, highest: Option<u64>) -> Option<Self> {
        let Statement { plugin, number, .. } = &signed.statement;
        let highest = highest.filter(|highest| number.is_none_or(|number| number < *highest))?;
        Some(Self { plugin: plugin.clone(), number: *number, highest })
    }

    /// Warns of a release in this role.
    pub(crate) fn warn(&self, plugin: &str, role: &'static str) {
        let plugin = Untrusted::new(plugin);
        warn!(
            name: "version.older",
            target: DIAGNOSIS,
            "the {role} of the plugin {plugin} is older than a version that has served: {self}"
        );
    }
}

impl fmt::Display for OlderRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, number, highest } = self;
        match number {
            Some(number) => write!(f, "its signature has the number {number}")?,
            None => f.write_str("its signature has no number")?,
        }
        write!(f, ", and the plugin `{plugin}` has had {highest} already")
    }
}

/// The reason why a component is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error(
        "is not signed: there is no {signature}\n  = help: sign it with `jackfield sign {} --key FILE`, and \
         put the signature beside it",
        shell_word(.component, "COMPONENT")
    )]
    Missing { component: String, signature: String },
    #[error("is refused: its signature {0} {1}")]
    Unusable(String, String),
    #[error("is refused: its signature {signature} {error}{help}")]
    Refused { signature: String, error: VerifyError, help: String },
    #[error(
        "is refused: its signature is for the digest sha256:{0}, and the component has another one"
    )]
    OtherDigest(String),
    #[error(
        "is refused: its signature is for the plugin `{signed}`, and it is the plugin `{found}`"
    )]
    OtherPlugin { signed: String, found: String },
    #[error(
        "is refused: its signature is for the version `{signed}`, and the plugin has the version `{found}`"
    )]
    OtherVersion { signed: String, found: String },
    #[error(
        "is refused: its signature has no number, so that it cannot be compared with earlier ones \
         (plugins.refuse_downgrades)\n  = help: sign it with `jackfield sign`, which adds one"
    )]
    NoNumber,
    #[error(
        "is refused as a downgrade: its signature has the number {number}, and the plugin `{plugin}` has had \
         {highest} already (plugins.refuse_downgrades)\n  = help: `jackfield rollback` returns to an earlier \
         version; to deploy an old component again, sign it again"
    )]
    Downgrade { plugin: String, number: u64, highest: u64 },
}

/// Judges a component by its signature. It blocks, for as long as hashing takes.
///
/// # Errors
/// [`SignatureError`]: the component must not be compiled.
pub(crate) fn approve(file: &PluginFile, keys: &[TrustedKey]) -> Result<Approval, SignatureError> {
    if keys.is_empty() {
        return Ok(Approval::NotNeeded);
    }
    let path = signature_of(&file.path);
    let shown = || Untrusted::new(name(&path)).to_string();
    let content = match &file.signature {
        SignatureFile::Content(content) => content,
        SignatureFile::Absent => {
            let component = Untrusted::new(name(&file.path)).to_string();
            return Err(SignatureError::Missing { component, signature: shown() });
        }
        SignatureFile::Unusable(reason) => {
            return Err(SignatureError::Unusable(shown(), reason.to_string()));
        }
    };
    let verified = verify(keys, &file.bytes, content);
    let Verified { key, public, statement } = verified.map_err(|error| {
        SignatureError::Refused { help: help(&error, keys), signature: shown(), error }
    })?;
    let digest = file.hash.hex().to_string();
    match &statement.digest {
        Some(signed) if *signed != digest => Err(SignatureError::OtherDigest(signed.clone())),
        _ => Ok(Approval::Signed(Signed { key, public, statement, is_pinned: file.is_pinned })),
    }
}

impl Approval {
    /// Compares what was signed with what the loaded component says of itself, and with the releases
    /// before.
    ///
    /// # Errors
    /// [`SignatureError`]: the plugin must not serve.
    pub(crate) fn admit(
        &self,
        manifest: &Manifest,
        highest: Option<&HighestNumbers>,
    ) -> Result<(), SignatureError> {
        let Self::Signed(Signed { statement, is_pinned, .. }) = self else { return Ok(()) };
        let Statement { plugin, version, number, .. } = statement;
        if *plugin != manifest.name {
            let (signed, found) = (plugin.clone(), manifest.name.clone());
            return Err(SignatureError::OtherPlugin { signed, found });
        }
        if let Some(version) = version.as_ref().filter(|version| **version != manifest.version) {
            let (signed, found) = (version.clone(), manifest.version.clone());
            return Err(SignatureError::OtherVersion { signed, found });
        }
        let Some(highest) = highest.filter(|_| !is_pinned) else { return Ok(()) };
        let number = number.ok_or(SignatureError::NoNumber)?;
        match highest.of(plugin) {
            Some(highest) if number < highest => {
                Err(SignatureError::Downgrade { plugin: plugin.clone(), number, highest })
            }
            _ => Ok(()),
        }
    }

    /// The verified signature, if one was needed.
    pub(crate) fn signed(self) -> Option<Signed> {
        match self {
            Self::NotNeeded => None,
            Self::Signed(signed) => Some(signed),
        }
    }
}

fn help(error: &VerifyError, keys: &[TrustedKey]) -> String {
    match error {
        VerifyError::UnknownKey(_) => {
            let keys: Vec<&str> = keys.iter().map(TrustedKey::number).collect();
            format!("\n  = help: the trusted keys in `plugins.verify` are {}", keys.join(", "))
        }
        VerifyError::Mismatch => {
            "\n  = help: put the component and its signature into place together; a component that is built \
             again needs a new signature"
                .to_owned()
        }
        VerifyError::Statement(_) => {
            "\n  = help: sign it with `jackfield sign`, or with `minisign -S -t 'jackfield plugin=NAME'`".to_owned()
        }
        VerifyError::Legacy => "\n  = help: sign it with minisign 0.10 or newer".to_owned(),
        VerifyError::Malformed | VerifyError::OtherPlugins { .. } => String::new(),
    }
}

fn name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

#[cfg(test)]
mod tests;
