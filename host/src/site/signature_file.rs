//! Signature file of a component: its content, or the reason why it cannot be read.
//!
//! A bad one is no problem of the site: servers that verify no signatures ignore it.

use std::sync::Arc;

use jackfield_signing::MAX_SIGNATURE_BYTES;

use super::Interruption;
use super::content_hash::ContentHash;
use super::listing::Found;

/// The signature beside a component.
#[derive(Clone, Debug, Default)]
pub(crate) enum SignatureFile {
    /// There is no such file.
    #[default]
    Absent,
    /// The content of the file.
    Content(Arc<[u8]>),
    /// The reason why it is not read, as a sentence about the file.
    Unusable(Arc<str>),
}

impl SignatureFile {
    pub(super) fn read(found: &Found) -> Result<Self, Interruption> {
        let size = found.stat.size();
        if size > MAX_SIGNATURE_BYTES as u64 {
            let text = format!("is {size} bytes long; at most {MAX_SIGNATURE_BYTES} are read");
            return Ok(Self::Unusable(text.into()));
        }
        Ok(match found.read()? {
            Ok(bytes) => Self::Content(bytes.into()),
            Err(error) => Self::Unusable(format!("cannot be read: {error}").into()),
        })
    }

    /// The content, if there is any.
    pub(crate) fn content(&self) -> Option<&Arc<[u8]>> {
        match self {
            Self::Content(bytes) => Some(bytes),
            Self::Absent | Self::Unusable(_) => None,
        }
    }

    /// The hash of the content, or of the reason.
    pub(crate) fn hash(&self) -> ContentHash {
        match self {
            Self::Absent => ContentHash::default(),
            Self::Content(bytes) => ContentHash::of(bytes),
            Self::Unusable(reason) => ContentHash::of(reason.as_bytes()),
        }
    }
}
