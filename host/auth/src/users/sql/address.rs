//! Address of a database: conversion from Doctrine's format,
//! `pgsql://…?charset=utf8&serverVersion=13.7`, to that of the database's client.
//!
//! Parameters of the application's own driver are removed. Unknown parameters of encryption are
//! errors, so that none is silently ignored.

use zeroize::Zeroizing;

use crate::reference::reference;

/// Supported schemes, and their databases.
const SCHEMES: [(&str, Kind); 10] = [
    ("postgres", Kind::Postgres),
    ("postgresql", Kind::Postgres),
    ("pgsql", Kind::Postgres),
    ("pdo-pgsql", Kind::Postgres),
    ("mysql", Kind::MySql),
    ("mariadb", Kind::MySql),
    ("mysql2", Kind::MySql),
    ("mysqli", Kind::MySql),
    ("pdo-mysql", Kind::MySql),
    ("pdo-mariadb", Kind::MySql),
];

/// Parameters of Doctrine without a meaning here. Text is always UTF-8 here, regardless of the
/// application's `charset`.
const IDLE: [&str; 11] = [
    "charset",
    "serverVersion",
    "server_version",
    "driver",
    "driverClass",
    "driverOptions",
    "defaultTableOptions",
    "default_dbname",
    "persistent",
    "gssencmode",
    "wrapperClass",
];

/// Database system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Postgres,
    MySql,
}

/// Error of an address. The text never contains the address, which has a password in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressError(pub(super) String);

/// Parses an address. Returns the database system, and the address in the format of its client.
pub(super) fn read(url: &str) -> Result<(Kind, Zeroizing<String>), AddressError> {
    if let Some(written) = reference(url) {
        return Err(AddressError(format!("holds `{written}`, a reference that is never resolved")));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(unknown_scheme)?;
    // Names of Doctrine's drivers have underscores, which addresses write as hyphens.
    let scheme = scheme.to_ascii_lowercase().replace('_', "-");
    let known = SCHEMES.iter().find(|(name, _)| *name == scheme);
    let (_, kind) = *known.ok_or_else(unknown_scheme)?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let query = query.split('#').next().unwrap_or_default();
    let mut address = Zeroizing::new(format!("{}://{place}", kind.scheme()));
    let mut mark = '?';
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if let Some((name, value)) = kind.parameter(name, value)? {
            address.push(mark);
            address.push_str(name);
            address.push('=');
            address.push_str(value);
            mark = '&';
        }
    }
    Ok((kind, address))
}

impl Kind {
    const fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }

    /// Returns whether the address names the user; for PostgreSQL, `PGUSER` may name it instead.
    pub(super) fn names_user(self, address: &str) -> bool {
        let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = place.split('/').next().unwrap_or_default();
        let named = authority
            .rsplit_once('@')
            .is_some_and(|(who, _)| !who.is_empty() && !who.starts_with(':'));
        named
            || self == Self::Postgres
                && (query.split('&').any(|it| it.starts_with("user="))
                    || std::env::var_os("PGUSER").is_some())
    }

    /// Returns the name and the value of a parameter in the client's format; `None` if it has no
    /// meaning here.
    fn parameter<'a>(
        self,
        name: &'a str,
        value: &'a str,
    ) -> Result<Option<(&'a str, &'a str)>, AddressError> {
        // `driverOptions[1009]`, with brackets possibly percent-encoded.
        let base = name.split(['[', '%']).next().unwrap_or_default();
        if IDLE.contains(&base) {
            return Ok(None);
        }
        let known = match (self, name) {
            (Self::Postgres, "sslmode" | "ssl-mode" | "ssl_mode") => {
                ssl_mode(value)?;
                ("sslmode", value)
            }
            (Self::MySql, "sslmode" | "ssl-mode" | "ssl_mode") => ("ssl-mode", ssl_mode(value)?),
            (Self::Postgres, "sslrootcert" | "ssl-root-cert" | "ssl-ca") => ("sslrootcert", value),
            (Self::MySql, "sslca" | "ssl-ca" | "ssl_ca") => ("ssl-ca", value),
            (_, "sslcert" | "ssl-cert" | "ssl_cert") => ("ssl-cert", value),
            (_, "sslkey" | "ssl-key" | "ssl_key") => ("ssl-key", value),
            (Self::MySql, "unix_socket") => ("socket", value),
            (_, name) if name.to_ascii_lowercase().starts_with("ssl") => {
                let name: String = name.chars().filter(char::is_ascii_graphic).take(32).collect();
                return Err(AddressError(format!(
                    "has the parameter `{name}`, which is not known here: for encryption there are \
                     sslmode, {}, sslcert and sslkey",
                    if self == Self::Postgres { "sslrootcert" } else { "sslca" }
                )));
            }
            (_, name) => (name, value),
        };
        Ok(Some(known))
    }
}

/// Returns MySQL's value for PostgreSQL's `sslmode`. Addresses of both databases use either.
fn ssl_mode(value: &str) -> Result<&'static str, AddressError> {
    match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Ok("DISABLED"),
        "allow" | "prefer" | "preferred" => Ok("PREFERRED"),
        "require" | "required" => Ok("REQUIRED"),
        "verify-ca" => Ok("VERIFY_CA"),
        "verify-full" | "verify-identity" => Ok("VERIFY_IDENTITY"),
        _ => Err(AddressError(
            "has an `sslmode` that is not known here: write disable, prefer, require, verify-ca or \
             verify-full"
                .to_owned(),
        )),
    }
}

fn unknown_scheme() -> AddressError {
    let of = |kind| {
        let names = SCHEMES.iter().filter(move |it| it.1 == kind);
        names.map(|(name, _)| format!("{name}://")).collect::<Vec<_>>().join(", ")
    };
    AddressError(format!(
        "has to begin with postgres:// or mysql://; the same are {} and {}",
        of(Kind::Postgres),
        of(Kind::MySql)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expect: &str) {
        let found = read(url).map(|(_, address)| address.to_string());
        assert_eq!(found.as_deref(), Ok(expect), "{url}");
    }

    #[test]
    fn maps_every_scheme_to_a_database() {
        for scheme in ["postgres", "postgresql", "pgsql", "pdo_pgsql", "pdo-pgsql", "PGSQL"] {
            check(&format!("{scheme}://u:p@h:5432/d"), "postgres://u:p@h:5432/d");
        }
        for scheme in ["mysql", "mariadb", "mysqli", "mysql2", "pdo_mysql", "pdo-mysql"] {
            check(&format!("{scheme}://u:p@h/d"), "mysql://u:p@h/d");
        }
        for url in ["sqlite:///x?hunter2", "u:hunter2@h/d", "", "oci8://u:hunter2@h", "://"] {
            let AddressError(wrong) = read(url).unwrap_err();
            let listed = ["postgres://", "pgsql://", "pdo-pgsql://", "mysqli://", "mariadb://"];
            assert!(listed.iter().all(|it| wrong.contains(it)), "{wrong}");
            assert!(!wrong.contains("hunter2"), "{wrong}");
        }
    }

    #[test]
    fn drops_driver_specific_parameters() {
        let pg = "postgres://u:p%3F@h/d";
        check("pgsql://u:p%3F@h/d?charset=utf8&serverVersion=13.7", pg);
        check(
            "pgsql://u:p%3F@h/d?serverVersion=13.7&sslmode=disable&charset=utf8",
            &format!("{pg}?sslmode=disable"),
        );
        check(
            "pgsql://u:p%3F@h/d?application_name=a&dbname=b#x",
            &format!("{pg}?application_name=a&dbname=b"),
        );
        check(
            "mysql://h/d?driverOptions[1009]=/ca&driverOptions%5B1%5D=2&&charset=latin1",
            "mysql://h/d",
        );
        check(
            "mysqli://h/d?unix_socket=/run/m.sock&collation=x",
            "mysql://h/d?socket=/run/m.sock&collation=x",
        );
    }

    #[test]
    fn detects_whether_an_address_names_a_user() {
        let check = |url: &str, expect: bool| {
            let (kind, address) = read(url).unwrap();
            assert_eq!(kind.names_user(&address), expect, "{url}");
        };
        check("postgres://u:p@h/d", true);
        check("postgres://u@/d", true);
        check("postgres://h/d?user=u", true);
        check("postgres://h/d", false);
        check("postgres://:p@h/d", false);
        check("postgres:///d?host=/run/postgresql", false);
        check("postgres://h/d?application_name=a@b", false);
        check("mysql://u@h/d", true);
        check("mysql://h/d?user=u", false);
        check("mysql://h/d?socket=/run/mysqld.sock", false);
    }

    #[test]
    fn reports_references_to_variables() {
        for url in ["postgres://u:${PW}@h/d", "${ORO_DB_DSN}", "%env(ORO_DB_DSN)%", "$DSN"] {
            let AddressError(wrong) = read(url).unwrap_err();
            assert!(wrong.contains("a reference that is never resolved"), "{wrong}");
        }
    }

    #[test]
    fn keeps_the_requested_encryption_mode() {
        check(
            "pgsql://h/d?sslmode=verify-full&sslrootcert=/ca",
            "postgres://h/d?sslmode=verify-full&sslrootcert=/ca",
        );
        let mysql = |mode: &str, expect: &str| {
            check(
                &format!("mysql://h/d?sslmode={mode}"),
                &format!("mysql://h/d?ssl-mode={expect}"),
            );
        };
        mysql("disable", "DISABLED");
        mysql("allow", "PREFERRED");
        mysql("prefer", "PREFERRED");
        mysql("require", "REQUIRED");
        mysql("verify-ca", "VERIFY_CA");
        mysql("verify-full", "VERIFY_IDENTITY");
        mysql("VERIFY_IDENTITY", "VERIFY_IDENTITY");
        check(
            "mysqli://h/d?ssl_ca=/ca&ssl-mode=VERIFY_CA",
            "mysql://h/d?ssl-ca=/ca&ssl-mode=VERIFY_CA",
        );
        let refused = |url: &str, expect: &str| {
            let AddressError(wrong) = read(url).unwrap_err();
            assert!(wrong.contains(expect) && !wrong.contains("hunter2"), "{wrong}");
        };
        for scheme in ["mysql", "pgsql"] {
            let url = format!("{scheme}://u:hunter2@h/d?sslmode=hunter2");
            refused(&url, "an `sslmode` that is not known");
        }
        refused("pgsql://u:hunter2@h/d?sslmod=verify-full", "`sslmod`");
        refused("mysql://u:hunter2@h/d?ssl_verify=1", "`ssl_verify`");
    }
}
