//! Users of clients with a certificate, of listeners and of the admin listener. TLS has verified the
//! certificate; this reads the user from it.

use jackfield_auth::{Authenticated, Basis, Method};
use jackfield_config::{CertificateUsers, UserName};
use jackfield_tls::CertificateInfo;
use serde_json::Map;

/// The user of a certificate, or the reason why it names none.
pub(crate) type CertificateUser = Result<Authenticated, &'static str>;

/// Reads the user of a certificate in DER. A session ends with the certificate.
pub(crate) fn user(users: &CertificateUsers, der: &[u8]) -> CertificateUser {
    let (name, info) = name(users.name, der)?;
    Ok(Authenticated {
        id: Some(name.clone()),
        username: name,
        roles: users.roles.clone(),
        organization: None,
        method: Method::Certificate,
        claims: Map::new(),
        expires: Some(info.end()),
        basis: Basis::Certificate,
    })
}

/// Reads the name in a part of a certificate in DER.
///
/// # Errors
/// The reason why it names no single user.
pub(crate) fn name(part: UserName, der: &[u8]) -> Result<(String, CertificateInfo), &'static str> {
    let mut info =
        CertificateInfo::read(der).ok_or("the certificate of the client cannot be read")?;
    let names = match part {
        UserName::CommonName => &mut info.common_names,
        UserName::Email => &mut info.emails,
        UserName::Dns => &mut info.dns_names,
        UserName::Uri => &mut info.uris,
    };
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok((name, info)),
        (Some(_), false) => Err("the certificate of the client names several users"),
        (None, _) => Err("the certificate of the client names no user"),
    }
}
