//! Trusted certificate authorities.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Certificates of trusted authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

/// Authorities cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The text has no certificate.
    #[error("has no certificate in PEM")]
    Empty,
    /// A certificate is damaged.
    #[error("has a certificate that cannot be read")]
    Unreadable,
    /// The operating system has no certificates.
    #[error(
        "is needed, as this machine has no certificates of its own (Debian: apt-get install \
         ca-certificates)"
    )]
    NoneHere,
}

impl Authorities {
    /// Reads authorities from a PEM file.
    ///
    /// # Errors
    /// When it has no certificate, or a damaged one.
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

    /// Returns the authorities of the operating system, or of the file in `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// When there are none.
    pub fn of_system() -> Result<Self, TrustError> {
        let certificates = rustls_native_certs::load_native_certs().certs;
        if certificates.is_empty() { Err(TrustError::NoneHere) } else { Ok(Self(certificates)) }
    }

    /// Returns the TLS configuration. Without authorities, no handshake succeeds.
    ///
    /// # Errors
    /// When the library supports no version of TLS, which is never the case.
    pub fn client_config(authorities: Option<Self>) -> Result<ClientConfig, rustls::Error> {
        let mut roots = RootCertStore::empty();
        // Operating systems have some damaged or outdated certificates.
        roots.add_parsable_certificates(authorities.map(|it| it.0).unwrap_or_default());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions()?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }
}
