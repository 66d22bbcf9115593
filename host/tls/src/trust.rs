//! The certificates of the authorities that may vouch for a server.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The certificates of the authorities that may vouch for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

/// Why there are no authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The text has none.
    #[error("has no certificate in PEM")]
    Empty,
    /// One of them is damaged.
    #[error("has a certificate that cannot be read")]
    Unreadable,
    /// The operating system has none.
    #[error(
        "is needed, as this machine has no certificates of its own (Debian: apt-get install \
         ca-certificates)"
    )]
    NoneHere,
}

impl Authorities {
    /// Those of a file in PEM.
    ///
    /// # Errors
    /// When it has none, or one that is damaged.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| TrustError::Unreadable)?;
            roots.add(certificate.clone()).map_err(|_| TrustError::Unreadable)?;
            certificates.push(certificate);
        }
        if certificates.is_empty() { Err(TrustError::Empty) } else { Ok(Self(certificates)) }
    }

    /// Those of the operating system, or of the file that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// When there are none.
    pub fn of_system() -> Result<Self, TrustError> {
        let certificates = rustls_native_certs::load_native_certs().certs;
        if certificates.is_empty() { Err(TrustError::NoneHere) } else { Ok(Self(certificates)) }
    }

    /// What connections are made with. Without authorities, none succeeds.
    ///
    /// # Errors
    /// When the library has no version of TLS, which no build is without.
    pub fn client_config(authorities: Option<Self>) -> Result<ClientConfig, rustls::Error> {
        let mut roots = RootCertStore::empty();
        // Operating systems have certificates among theirs that are damaged or of old kinds.
        roots.add_parsable_certificates(authorities.map(|it| it.0).unwrap_or_default());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions()?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }
}
