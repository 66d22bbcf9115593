//! Settings `listeners[].tls` and `admin.tls`: certificates of a listener, and users of clients with a
//! certificate.

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

/// The keys of TLS; `C` are those of the certificates of clients.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls<C> {
    certificate: PathBuf,
    key: PathBuf,
    #[serde(default)]
    certificates: Vec<RawCertificate>,
    client_certificates: Option<C>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClients {
    authorities: PathBuf,
    #[serde(default = "is_required")]
    required: bool,
    #[serde(default)]
    user: UserName,
    #[serde(default)]
    roles: Vec<String>,
}

/// Whether clients without a certificate are refused, without the key `required`.
pub(super) const fn is_required() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCertificate {
    certificate: PathBuf,
    key: PathBuf,
}

impl RawClients {
    pub(super) fn read(self) -> (ClientAuthorities, CertificateUsers) {
        let Self { authorities: file, required, user: name, roles } = self;
        (ClientAuthorities { file, required }, CertificateUsers { name, roles })
    }
}

impl<C> RawTls<C> {
    /// Returns the files, and the users of clients with a certificate.
    pub(super) fn read<U>(
        self,
        read_clients: impl FnOnce(C) -> (ClientAuthorities, U),
    ) -> (TlsFiles, Option<U>) {
        let Self { certificate, key, certificates, client_certificates } = self;
        let more = certificates.into_iter();
        let more =
            more.map(|RawCertificate { certificate, key }| CertificateFiles { certificate, key });
        let pairs = std::iter::once(CertificateFiles { certificate, key }).chain(more).collect();
        let (clients, users) = client_certificates.map(read_clients).unzip();
        (TlsFiles { pairs, clients }, users)
    }
}

/// Returns the key of a file of TLS, below `tls`.
pub(super) fn key_of(part: TlsPart) -> String {
    match part {
        TlsPart::Certificate(0) => "certificate".to_owned(),
        TlsPart::Key(0) => "key".to_owned(),
        TlsPart::Certificate(at) => format!("certificates.{}.certificate", at - 1),
        TlsPart::Key(at) => format!("certificates.{}.key", at - 1),
        TlsPart::Authorities => "client_certificates.authorities".to_owned(),
    }
}
