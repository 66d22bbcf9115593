//! Settings of the admin listener: the API of the control channel at an address of its own.
//!
//! At an address, every request needs a token, also on the loopback device: any user of the machine
//! and any page in a browser on it can connect there. A Unix socket has the access rules of the
//! control socket, and no tokens.

use std::net::SocketAddr;
use std::path::PathBuf;

use jackfield_auth::Secret;
use jackfield_text::Untrusted;
use jackfield_yaml::ValueError;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::Config;
use super::control::{ControlSocket, socket_error};
use super::place::OFF;

/// Settings of the admin listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// The place where it listens; `None` disables it.
    pub listen: Option<AdminPlace>,
    /// The tokens, each of one client.
    pub tokens: Vec<AdminToken>,
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
pub(super) fn mistakes(config: &Config, written: Written) -> Vec<ValueError> {
    let Config { admin, .. } = config;
    let has_tokens = written.tokens;
    let mut wrongs: Vec<ValueError> = collisions(config).into_iter().collect();
    let mut wrong = |key: &str, message: String, help: &str| {
        wrongs.push(ValueError::at(key, message, help));
    };
    match &admin.listen {
        Some(AdminPlace::Address(address)) if !has_tokens => {
            let message = format!(
                "no client could use the admin listener at {address}: there are no `admin.tokens`"
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
        let socket = read("admin: { listen: /run/a.sock }").unwrap().listen;
        assert_eq!(socket, Some(AdminPlace::Socket("/run/a.sock".into())));
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
