//! Settings of the admin listener: the API of the control channel at an address of its own.
//!
//! At an address, every request needs a token or a client's certificate, also on the loopback device:
//! any user of the machine and any page in a browser on it can connect there. A Unix socket has the
//! access rules of the control socket, and no tokens.

use std::net::SocketAddr;
use std::path::PathBuf;

use jackfield_auth::Secret;
use jackfield_text::Untrusted;
use jackfield_tls::{ClientAuthorities, TlsFiles};
use jackfield_yaml::ValueError;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::Config;
use super::control::{ControlSocket, socket_error};
use super::listener_tls::{RawTls, UserName, is_required};
use super::place::OFF;

/// Settings of the admin listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// The place where it listens; `None` disables it.
    pub listen: Option<AdminPlace>,
    /// The tokens, each of one client.
    pub tokens: Vec<AdminToken>,
    /// TLS; `None` does not encrypt.
    pub tls: Option<AdminTls>,
}

/// TLS of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    /// The certificates, keys and authorities.
    pub files: TlsFiles,
    /// The clients with a certificate; `None` asks clients for no certificate.
    pub clients: Option<AdminCertificates>,
}

/// The name of the admin listener in metrics and log lines of certificates.
pub const ADMIN_LISTENER: &str = "admin";

/// Clients of the admin listener that have a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminCertificates {
    /// The part of the certificate that has the name in the log and in audit lines.
    pub name: UserName,
    /// Whether certificates are for reading alone.
    pub read_only: bool,
}

/// Place of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminPlace {
    /// An address, for clients with a token.
    Address(SocketAddr),
    /// A Unix socket, for the server's user and root.
    Socket(PathBuf),
}

/// Token of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// The name in the log and in audit lines.
    pub name: String,
    /// The token or its source.
    pub secret: Secret,
    /// Whether the token is for reading alone.
    pub read_only: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAdmin {
    listen: Option<RawPlace>,
    tokens: Option<Vec<RawToken>>,
    tls: Option<RawTls<RawCertificates>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCertificates {
    authorities: PathBuf,
    #[serde(default = "is_required")]
    required: bool,
    #[serde(default)]
    user: UserName,
    #[serde(default)]
    read_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    name: String,
    token: Secret,
    #[serde(default)]
    read_only: bool,
}

struct RawPlace(Option<AdminPlace>);

impl RawAdmin {
    pub(super) fn apply(self, admin: &mut Admin) {
        if let Some(RawPlace(listen)) = self.listen {
            admin.listen = listen;
        }
        for RawToken { name, token: secret, read_only } in self.tokens.unwrap_or_default() {
            admin.tokens.push(AdminToken { name, secret, read_only });
        }
        if let Some(tls) = self.tls {
            let (files, clients) = tls.read(RawCertificates::read);
            admin.tls = Some(AdminTls { files, clients });
        }
    }
}

impl RawCertificates {
    fn read(self) -> (ClientAuthorities, AdminCertificates) {
        let Self { authorities: file, required, user: name, read_only } = self;
        (ClientAuthorities { file, required }, AdminCertificates { name, read_only })
    }
}

impl<'de> Deserialize<'de> for RawPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == OFF {
            return Ok(Self(None));
        }
        if text.contains('/') {
            return Ok(Self(Some(AdminPlace::Socket(text.into()))));
        }
        let address = text.parse().map_err(|_| {
            let help = "write an IP address and a port, such as 127.0.0.1:9090, the path of a Unix socket \
                        with a `/`, or `off`";
            let text = Untrusted::new(&text);
            D::Error::custom(format!("`{text}` is no place to listen\n{help}"))
        })?;
        Ok(Self(Some(AdminPlace::Address(address))))
    }
}

/// Returns the errors that are found without loading tokens. A key counts as written even if its value is
/// invalid, so that each error is reported once.
pub(super) fn mistakes(
    config: &Config,
    written: Written,
    has: impl Fn(&str) -> bool,
) -> Vec<ValueError> {
    let Config { admin, .. } = config;
    let has_tokens = written.tokens;
    let mut wrongs: Vec<ValueError> = collisions(config).into_iter().collect();
    let mut wrong = |key: &str, message: String, help: &str| {
        wrongs.push(ValueError::at(key, message, help));
    };
    match &admin.listen {
        Some(AdminPlace::Address(address))
            if !has_tokens && !has("admin.tls.client_certificates") =>
        {
            let message = format!(
                "no client could use the admin listener at {address}: there are no `admin.tokens` and no \
                 `admin.tls.client_certificates`"
            );
            let help =
                "add a token, or listen on a Unix socket, which is for the server's user alone";
            wrong("admin.listen", message, help);
        }
        Some(AdminPlace::Socket(_)) if has_tokens => {
            let message =
                "tokens have no effect on a Unix socket: it is for the server's user and root";
            wrong("admin.tokens", message.to_owned(), "remove the tokens, or listen on an address");
        }
        None if has_tokens && !written.listen => {
            let message = "tokens have no effect while there is no admin listener";
            wrong("admin.tokens", message.to_owned(), "set `admin.listen`, or remove the tokens");
        }
        Some(_) | None => {}
    }
    let without_tls = match &admin.listen {
        Some(AdminPlace::Socket(_)) => Some("TLS has no effect on a Unix socket"),
        None if !written.listen => Some("TLS has no effect while there is no admin listener"),
        Some(AdminPlace::Address(_)) | None => None,
    };
    if let Some(message) = without_tls.filter(|_| has("admin.tls")) {
        let help = "set `admin.listen` to an address, or remove the key";
        wrong("admin.tls", message.to_owned(), help);
    }
    for (at, AdminToken { name, .. }) in admin.tokens.iter().enumerate() {
        if name.is_empty() || admin.tokens.iter().take(at).any(|other| other.name == *name) {
            let message = format!("`{name}` is not a name that tells this token from the others");
            let help = "give each token a name of its own; audit lines have it";
            wrong(&format!("admin.tokens.{at}"), message, help);
        }
    }
    wrongs
}

/// The keys of the section that are in the settings, with valid values or not. `off` is no listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) listen: bool,
    pub(super) tokens: bool,
}

/// Returns the errors of listeners that exclude each other.
fn collisions(config: &Config) -> Option<ValueError> {
    let Config { admin, listen, control, .. } = config;
    let (message, help) = match &admin.listen {
        Some(AdminPlace::Address(address))
            if let Some(listen) = listen.filter(|listen| overlap(*address, *listen)) =>
        {
            (
                format!(
                    "the admin listener has the same address as the WebSocket port (listen: {listen})"
                ),
                "choose another port",
            )
        }
        Some(AdminPlace::Socket(path)) if ControlSocket::At(path.clone()) == control.socket => (
            "the admin listener has the same path as the control socket".to_owned(),
            "choose another path, or remove the key: the control socket serves the same API",
        ),
        Some(AdminPlace::Socket(path)) => return socket_error("admin.listen", path),
        Some(AdminPlace::Address(_)) | None => return None,
    };
    Some(ValueError::at("admin.listen", message, help))
}

/// Whether one of two listeners would find the port in use.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let is_any = one_ip.is_unspecified() || other_ip.is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one_ip == other_ip || is_any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn read(text: &str) -> Result<Admin, String> {
        Settings::validated(text, &[]).map(|config| config.admin)
    }

    #[track_caller]
    fn refused(text: &str, expect: &str) {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(expect), "{text}\n{error}\ndoes not begin with\n{expect}");
        assert!(!error.contains("0123"), "{error}");
    }

    #[test]
    fn reads_every_key() {
        let text = format!(
            "
admin:
  listen: '[::1]:9090'
  tokens:
    - {{ name: console, token: {TOKEN} }}
    - {{ name: scraper, token: {{ env: SCRAPER }}, read_only: true }}
"
        );
        let admin = read(&text).unwrap();
        let address = "[::1]:9090".parse().unwrap();
        assert_eq!(admin.listen, Some(AdminPlace::Address(address)));
        let [console, scraper] = admin.tokens.as_slice() else { panic!("two tokens") };
        assert_eq!((console.name.as_str(), console.read_only), ("console", false));
        assert_eq!((scraper.name.as_str(), scraper.read_only), ("scraper", true));
        assert!(!format!("{admin:?}").contains("0123"));
        assert_eq!(read("").unwrap(), Admin::default());
        assert_eq!(read("admin: { listen: off }").unwrap().listen, None);
        assert_eq!(admin.tls, None);
        let socket = read("admin: { listen: /run/a.sock }").unwrap().listen;
        assert_eq!(socket, Some(AdminPlace::Socket("/run/a.sock".into())));
    }

    #[test]
    fn reads_every_key_of_tls() {
        let tls = |clients: &str| {
            read(&format!(
                "admin: {{ listen: '[::]:1', tls: {{ certificate: a.crt, key: /a.key, certificates: \
                 [{{ certificate: b, key: c }}], client_certificates: {clients} }} }}"
            ))
        };
        let tls = |clients: &str| tls(clients).map(|admin| admin.tls.unwrap());
        let AdminTls { files, clients } =
            tls("{ authorities: ca, user: email, read_only: true }").unwrap();
        let paths: Vec<_> = files.paths().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(paths, ["a.crt", "/a.key", "b", "c", "ca"]);
        assert!(files.clients.unwrap().required);
        let expect = AdminCertificates { name: UserName::Email, read_only: true };
        assert_eq!(clients, Some(expect));
        assert!(!tls("{ authorities: ca, required: false }").unwrap().clients.unwrap().read_only);
        // Roles are for clients of the application.
        let error = tls("{ authorities: ca, roles: [a] }").unwrap_err();
        assert!(error.contains("unknown key `roles`"), "{error}");
    }

    #[test]
    fn refuses_tls_without_effect() {
        let tls = "tls: { certificate: a, key: b }";
        refused(
            &format!("admin: {{ listen: 0.0.0.0:1, {tls} }}"),
            "j.yml:1:18: error: no client could use the admin listener at 0.0.0.0:1",
        );
        for (listen, message) in [("off", "while there is no"), ("./a", "on a Unix socket")] {
            let error = read(&format!("admin: {{ listen: {listen}, {tls} }}")).unwrap_err();
            assert!(error.contains(message) && error.matches("error:").count() == 1, "{error}");
        }
        let tokens = format!("tokens: [{{ name: a, token: {TOKEN} }}]");
        read(&format!("admin: {{ listen: 0.0.0.0:1, {tokens}, {tls} }}")).unwrap();
        // An invalid section is one error.
        let error =
            read("admin: { listen: 0.0.0.0:1, tls: { client_certificates: x } }").unwrap_err();
        assert_eq!(error.matches("error:").count(), 1, "{error}");
        let pasted = "tls: { certificate: a, key: '-----BEGIN hunter2' }";
        let error =
            read(&format!("admin: {{ listen: '[::1]:1', {tokens}, {pasted} }}")).unwrap_err();
        assert!(error.contains("`admin.tls.key`: the value is a file path"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        let named = "listeners: [{ name: admin, socket: /a }]";
        let error = read(&format!("{named}\nadmin: {{ listen: '[::1]:1', {tokens}, {tls} }}"));
        assert!(error.unwrap_err().contains("`admin` is not a name that tells"));
    }

    #[test]
    fn refuses_listeners_that_exclude_each_other() {
        let at = |listen: &str, admin: &str| {
            let tokens = format!("tokens: [{{ name: a, token: {TOKEN} }}]");
            read(&format!("listen: '{listen}'\nadmin: {{ listen: '{admin}', {tokens} }}"))
        };
        for (listen, admin) in [
            ("127.0.0.1:9090", "127.0.0.1:9090"),
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("127.0.0.1:9090", "[::]:9090"),
            ("127.0.0.1:9090", "[::ffff:127.0.0.1]:9090"),
        ] {
            let error = at(listen, admin).unwrap_err();
            assert!(
                error.starts_with(
                    "j.yml:2:18: error: `admin.listen`: the admin listener has the same"
                ),
                "{error}"
            );
        }
        for (listen, admin) in [
            ("127.0.0.1:9090", "127.0.0.1:9091"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:9090", "127.0.0.2:9090"),
        ] {
            at(listen, admin).unwrap();
        }
        let path = "/run/a.sock";
        refused(
            &format!("control: {{ socket: {path} }}\nadmin: {{ listen: {path} }}"),
            "j.yml:2:18: error: `admin.listen`: the admin listener has the same path",
        );
    }

    #[test]
    fn refuses_paths_that_no_socket_can_have() {
        let long = format!("/run/{}", "x".repeat(103));
        for path in [long.as_str(), "\"/run/a\\nb\""] {
            for key in ["admin: { listen:", "control: { socket:"] {
                let error = read(&format!("{key} {path} }}")).unwrap_err();
                assert!(error.contains("no Unix socket can have the path"), "{error}");
            }
        }
    }

    /// A line feed in a value would end the message, and begin the help.
    #[test]
    fn errors_quote_line_feeds_escaped() {
        for key in [
            "admin: { listen: \"a\\nb\" }",
            "listen: \"a\\nb\"",
            "realms: [\"a\\nb\"]",
            "access: { path: \"a\\nb\" }",
            "access: { origins: [\"a\\nb\"] }",
            "access: { proxies: [\"a\\nb\"] }",
            "control: { socket: \"a\\nb\" }",
            "data: \"a\\nb\"",
            "plugins: { default: { http: { allow: [\"a\\nb\"] } } }",
            "plugins: { default: { calls: { allow: [\"a\\nb c\"] } } }",
        ] {
            let error = read(key).unwrap_err();
            assert!(error.contains("a\\nb"), "{key}\n{error}");
            assert!(!error.contains("= help: b"), "{key}\n{error}");
        }
    }

    #[test]
    fn an_invalid_place_is_one_error() {
        let text = format!("admin: {{ listen: nowhere, tokens: [{{ name: a, token: {TOKEN} }}] }}");
        assert_eq!(read(&text).unwrap_err().matches("error:").count(), 1);
    }

    #[test]
    fn refuses_settings_without_effect() {
        refused(
            "admin: { listen: '127.0.0.1:9090' }",
            "j.yml:1:18: error: no client could use the admin listener at 127.0.0.1:9090",
        );
        for listen in ["listen: off", "listen: ./a"] {
            let tokens = format!("tokens: [{{ name: a, token: {TOKEN} }}]");
            refused(&format!("admin: {{ {listen}, {tokens} }}"), "j.yml:1:");
        }
        let twice = format!("{{ name: a, token: {TOKEN} }}, {{ name: a, token: x{TOKEN} }}");
        refused(
            &format!("admin: {{ listen: '[::]:1', tokens: [{twice}] }}"),
            "j.yml:1:91: error: `a` is not a name",
        );
        for place in ["9090", "localhost:9090", "auto", "''"] {
            refused(&format!("admin: {{ listen: {place} }}"), "j.yml:1:18: error: ");
        }
    }
}
