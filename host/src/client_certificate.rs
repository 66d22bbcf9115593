//! Users of clients with a certificate. TLS has verified the certificate; this reads the user from it.

use jackfield_auth::{Authenticated, Basis, Method};
use jackfield_config::{CertificateUsers, UserName};
use jackfield_tls::CertificateInfo;
use serde_json::Map;

/// The user of a certificate, or the reason why it names none.
pub(crate) type CertificateUser = Result<Authenticated, &'static str>;

/// Reads the user of a certificate in DER. A session ends with the certificate.
pub(crate) fn user(users: &CertificateUsers, der: &[u8]) -> CertificateUser {
    let info = CertificateInfo::read(der).ok_or("the certificate of the client cannot be read")?;
    let names = match users.name {
        UserName::CommonName => &info.common_names,
        UserName::Email => &info.emails,
        UserName::Dns => &info.dns_names,
        UserName::Uri => &info.uris,
    };
    let [name] = names.as_slice() else {
        return Err(if names.is_empty() {
            "the certificate of the client names no user"
        } else {
            "the certificate of the client names several users"
        });
    };
    Ok(Authenticated {
        id: Some(name.clone()),
        username: name.clone(),
        roles: users.roles.clone(),
        organization: None,
        method: Method::Certificate,
        claims: Map::new(),
        expires: Some(info.end()),
        basis: Basis::Certificate,
    })
}
