//! Trusted certificate authorities.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, RootCertStore};

/// Certificates of trusted authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

/// How long a certificate is still accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is still accepted after the time.
    Valid,
    /// It is not accepted after the time any more.
    Ending,
}

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

    /// Returns whether the certificate of a server, the first of `chain`, is still accepted after this
    /// time. It was accepted by a handshake now.
    pub fn validity(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        after: Duration,
    ) -> Validity {
        let Some((certificate, between)) = chain.split_first() else { return Validity::Ending };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.0.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let later = Duration::from_secs(UnixTime::now().as_secs()).saturating_add(after);
        let later = UnixTime::since_unix_epoch(later);
        let accepted = verifier.ok().and_then(|verifier| {
            verifier.verify_server_cert(certificate, between, name, &[], later).ok()
        });
        if accepted.is_some() { Validity::Valid } else { Validity::Ending }
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
