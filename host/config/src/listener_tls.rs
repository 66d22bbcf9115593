//! Settings `listeners[].tls`: certificates of a listener, and users of clients with a certificate.

use std::path::PathBuf;

use jackfield_tls::{CertificateFiles, ClientAuthorities, TlsFiles, TlsPart};
use serde::Deserialize;

/// The users of clients with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateUsers {
    /// The part of the certificate that names the user.
    pub name: UserName,
    /// The roles of these users.
    pub roles: Vec<String>,
}

/// The part of a certificate that names the user.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum UserName {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// The alternative name that is an address of mail.
    Email,
    /// The alternative name that is the name of a host.
    Dns,
    /// The alternative name that is a URI, such as those of SPIFFE.
    Uri,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    #[serde(default)]
    certificates: Vec<RawCertificate>,
    client_certificates: Option<RawClients>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClients {
    authorities: PathBuf,
    #[serde(default = "is_required")]
    required: bool,
    #[serde(default)]
    user: UserName,
    #[serde(default)]
    roles: Vec<String>,
}

/// Whether clients without a certificate are refused, without the key `required`.
const fn is_required() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCertificate {
    certificate: PathBuf,
    key: PathBuf,
}

impl RawTls {
    pub(super) fn read(self) -> (TlsFiles, Option<CertificateUsers>) {
        let Self { certificate, key, certificates, client_certificates } = self;
        let more = certificates.into_iter();
        let more =
            more.map(|RawCertificate { certificate, key }| CertificateFiles { certificate, key });
        let pairs = std::iter::once(CertificateFiles { certificate, key }).chain(more).collect();
        let (clients, users) = match client_certificates {
            Some(RawClients { authorities: file, required, user: name, roles }) => {
                (Some(ClientAuthorities { file, required }), Some(CertificateUsers { name, roles }))
            }
            None => (None, None),
        };
        (TlsFiles { pairs, clients }, users)
    }
}

/// Returns the key of a file of TLS, below that of its listener.
pub(super) fn key_of(part: TlsPart) -> String {
    match part {
        TlsPart::Certificate(0) => "tls.certificate".to_owned(),
        TlsPart::Key(0) => "tls.key".to_owned(),
        TlsPart::Certificate(at) => format!("tls.certificates.{}.certificate", at - 1),
        TlsPart::Key(at) => format!("tls.certificates.{}.key", at - 1),
        TlsPart::Authorities => "tls.client_certificates.authorities".to_owned(),
    }
}
