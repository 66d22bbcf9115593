//! Handshake errors in plain words. rustls writes some for programmers, such as
//! `Other(OtherError(CaUsedAsEndEntity))`.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

const DAY_SECONDS: u64 = 86_400;

/// A TLS handshake failed. Its `Display` is a phrase about the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// No trusted authority has signed the certificate.
    #[error("its certificate is signed by an authority that is not trusted here")]
    UnknownAuthority,
    /// The server's certificate is that of an authority.
    #[error("its certificate is that of an authority (CA:TRUE), which cannot be a server's own")]
    AuthorityAsServer,
    /// The certificate is for other names.
    #[error("its certificate is for other names than the one that was asked for: {0}")]
    OtherName(String),
    /// The certificate has expired.
    #[error("its certificate has expired{0}")]
    Expired(String),
    /// The certificate is not valid yet.
    #[error("its certificate is not valid yet{0}")]
    NotValidYet(String),
    /// The certificate is invalid for another reason.
    #[error("its certificate is not accepted: {0}")]
    Certificate(String),
    /// The server does not speak TLS.
    #[error("it does not speak TLS on this port")]
    NoTls,
    /// No common TLS version or cipher.
    #[error("it and this client have no version of TLS, or no cipher, in common")]
    Incompatible,
    /// The server ended the handshake with an alert.
    #[error("it ended the TLS handshake: {0}")]
    Refused(String),
    /// Another error.
    #[error("the TLS handshake failed: {0}")]
    Other(String),
}

impl HandshakeError {
    /// Finds a handshake error in an error's chain of sources.
    pub fn among(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<TlsError>() {
                return Some(Self::of(error));
            }
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(found) = wrapped.and_then(|inner| Self::among(inner)) {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }

    /// The next step for the user of a command.
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::UnknownAuthority => Some(
                "if the server uses a private CA, pass the CA certificate with --ca FILE or \
             JACKFIELD_CA",
            ),
            Self::AuthorityAsServer => Some(
                "use a server certificate with CA:FALSE: openssl req -x509 … -addext \
             basicConstraints=critical,CA:FALSE",
            ),
            Self::OtherName(_) => {
                Some("use a host name or IP address that the certificate contains")
            }
            Self::Expired(_) => Some("renew the server certificate"),
            Self::NotValidYet(_) => Some("check the clocks of the client and the server"),
            Self::NoTls => Some("use ws:// for a server without TLS"),
            Self::Certificate(_) | Self::Incompatible | Self::Refused(_) | Self::Other(_) => None,
        }
    }

    fn of(error: &TlsError) -> Self {
        match error {
            TlsError::InvalidCertificate(error) => Self::of_certificate(error),
            TlsError::InvalidMessage(_) => Self::NoTls,
            TlsError::PeerIncompatible(_)
            | TlsError::AlertReceived(AlertDescription::ProtocolVersion) => Self::Incompatible,
            TlsError::AlertReceived(alert) => Self::Refused(words(&format!("{alert:?}"))),
            other => Self::Other(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            // A bad signature means an authority of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            CertificateError::NotValidForName => Self::OtherName("unknown".to_owned()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::OtherName(names(presented))
            }
            CertificateError::Expired => Self::Expired(String::new()),
            CertificateError::ExpiredContext { time, not_after } => {
                let seconds = time.as_secs().saturating_sub(not_after.as_secs());
                Self::Expired(format!(", {} ago", days(seconds)))
            }
            CertificateError::NotValidYet => Self::NotValidYet(String::new()),
            CertificateError::NotValidYetContext { time, not_before } => {
                let seconds = not_before.as_secs().saturating_sub(time.as_secs());
                Self::NotValidYet(format!(", but in {}", days(seconds)))
            }
            CertificateError::Other(error) => match error.to_string().as_str() {
                "CaUsedAsEndEntity" => Self::AuthorityAsServer,
                other => Self::Certificate(words(other)),
            },
            other => {
                let text = other.to_string();
                let name = text.split(" {").next().unwrap_or_default();
                if name.starts_with("UnsupportedSignatureAlgorithm") {
                    return Self::UnknownAuthority;
                }
                Self::Certificate(words(name))
            }
        }
    }
}

/// Returns the names of a certificate without their type: `DnsName("localhost")`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| match name.split('"').nth(1) {
        Some(inner) => inner.to_owned(),
        None => name.clone(),
    };
    let names: Vec<String> = presented.iter().map(bare).collect();
    if names.is_empty() { "it has none".to_owned() } else { names.join(", ") }
}

fn days(seconds: u64) -> String {
    match seconds / DAY_SECONDS {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Returns `HandshakeFailure` as `handshake failure`; a sentence unchanged.
fn words(name: &str) -> String {
    if name.contains(' ') {
        return name.to_owned();
    }
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() && !words.ends_with(' ') {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::UnixTime;
    use rustls::{InvalidMessage, OtherError};

    use super::*;

    #[track_caller]
    fn check(error: TlsError, expect: &str) {
        // The error is nested, as within the errors of sockets and clients.
        let error = io::Error::other(io::Error::other(error));
        let found = HandshakeError::among(&error).unwrap().to_string();
        assert_eq!(found, expect);
        assert!(!found.contains("Other("), "{found}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("CaUsedAsEndEntity")]
    struct AsAuthority;

    #[test]
    fn explains_handshake_errors() {
        let certificate = TlsError::InvalidCertificate;
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let other = CertificateError::Other(OtherError(Arc::new(AsAuthority)));
        check(
            certificate(other),
            "its certificate is that of an authority (CA:TRUE), which cannot be a server's own",
        );
        check(
            certificate(CertificateError::UnknownIssuer),
            "its certificate is signed by an authority that is not trusted here",
        );
        let expired =
            CertificateError::ExpiredContext { time: at(9 * DAY_SECONDS), not_after: at(7) };
        check(certificate(expired), "its certificate has expired, 8 days ago");
        let early = CertificateError::NotValidYetContext { time: at(7), not_before: at(8) };
        check(certificate(early), "its certificate is not valid yet, but in less than a day");
        let named = CertificateError::NotValidForNameContext {
            expected: "a.example".try_into().unwrap(),
            presented: vec!["DnsName(\"localhost\")".to_owned(), "b.example".to_owned()],
        };
        check(
            certificate(named),
            "its certificate is for other names than the one that was asked for: localhost, \
             b.example",
        );
        check(
            TlsError::AlertReceived(AlertDescription::HandshakeFailure),
            "it ended the TLS handshake: handshake failure",
        );
        check(
            TlsError::AlertReceived(AlertDescription::ProtocolVersion),
            "it and this client have no version of TLS, or no cipher, in common",
        );
        check(
            TlsError::InvalidMessage(InvalidMessage::InvalidContentType),
            "it does not speak TLS on this port",
        );
        check(
            certificate(CertificateError::BadEncoding),
            "its certificate is not accepted: bad encoding",
        );
    }

    #[test]
    fn ignores_other_errors() {
        assert_eq!(HandshakeError::among(&io::Error::other("x")), None);
    }
}
