//! Settings `listeners`: further places where clients connect, each with rules of its own.
//!
//! A rule that a listener does not set is that of `access`. `listen` is the listener without rules of
//! its own; it is not opened if there are `listeners` and the key is not written.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use jackfield_text::Untrusted;
use jackfield_tls::TlsFiles;
use jackfield_wamp::dialect::Dialect;
use jackfield_yaml::ValueError;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::access::Path;
use super::admin::{ADMIN_LISTENER, AdminPlace, overlap};
use super::control::{ControlSocket, socket_error};
use super::listener_tls::{CertificateUsers, RawClients, RawTls};
use super::origins::Origins;
use super::{Config, listen_address};

/// A place where clients connect, and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// The name in logs, and that of an inherited socket.
    pub name: Option<String>,
    /// The place.
    pub place: ListenerPlace,
    /// The rules.
    pub rules: ListenerRules,
    /// The files of TLS; `None` does not encrypt.
    pub tls: Option<TlsFiles>,
    /// The users of clients with a certificate; `None` asks clients for no certificate.
    pub users: Option<CertificateUsers>,
}

/// The place of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerPlace {
    /// An address.
    Address(SocketAddr),
    /// A Unix socket.
    Socket {
        /// Its path.
        path: PathBuf,
        /// The users that can connect: the mode of the socket.
        mode: u32,
    },
}

/// The rules of a listener. `None` leaves a rule to `access`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerRules {
    /// The path of WebSockets; paths below it are included.
    pub path: Option<String>,
    /// The origins from which browsers may connect.
    pub origins: Option<Origins>,
    /// The subprotocols.
    pub protocols: Protocols,
    /// Whether sessions without authentication are accepted.
    pub anonymous: Option<bool>,
    /// Whether clients may use RawSocket.
    pub rawsocket: Option<bool>,
    /// Whether messages of WebSockets may be compressed.
    pub compression: Option<bool>,
    /// The authentication methods; `None` allows all that are configured.
    pub methods: Option<BTreeSet<ListenerMethod>>,
}

/// A set of subprotocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols([bool; Dialect::COUNT]);

/// An authentication method that a listener can leave out.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum ListenerMethod {
    /// Tickets of the application, `auth.tickets`.
    Tickets,
    /// JSON Web Tokens, `auth.jwt`.
    Jwt,
    /// Principals, `auth.principals`.
    Principals,
    /// Principals of a plugin, `auth.authenticator`.
    Authenticator,
}

/// The mode of a Unix socket without the key `mode`: for the server's user and its group.
const DEFAULT_MODE: u32 = 0o660;

impl ListenerSettings {
    /// The listener of the setting `listen`, without rules of its own.
    pub fn simple(address: SocketAddr) -> Self {
        let (place, rules) = (ListenerPlace::Address(address), ListenerRules::default());
        Self { name: None, place, rules, tls: None, users: None }
    }
}

/// As the settings have it.
impl fmt::Display for ListenerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Socket { path, .. } => path.display().fmt(f),
        }
    }
}

impl ListenerRules {
    /// Returns whether the method may be used, if it is configured.
    pub fn allows(&self, method: ListenerMethod) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(&method))
    }
}

impl Protocols {
    /// All subprotocols.
    pub const ALL: Self = Self([true; Dialect::COUNT]);

    /// Returns whether the subprotocol is spoken.
    pub fn contain(self, dialect: Dialect) -> bool {
        self.0.get(dialect.index()).copied().unwrap_or_default()
    }

    /// Returns the subprotocols.
    pub fn iter(self) -> impl Iterator<Item = Dialect> {
        Dialect::ALL.into_iter().filter(move |dialect| self.contain(*dialect))
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Self::ALL
    }
}

impl ListenerMethod {
    /// All methods.
    const ALL: [Self; 4] = [Self::Tickets, Self::Jwt, Self::Principals, Self::Authenticator];

    /// The key of the method below `auth`.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Tickets => "auth.tickets",
            Self::Jwt => "auth.jwt",
            Self::Principals => "auth.principals",
            Self::Authenticator => "auth.authenticator",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListener {
    name: Option<String>,
    address: Option<Listen>,
    socket: Option<PathBuf>,
    mode: Option<Mode>,
    tls: Option<RawTls<RawClients>>,
    path: Option<Path>,
    origins: Option<Origins>,
    protocols: Option<Protocols>,
    rawsocket: Option<bool>,
    compression: Option<bool>,
    #[serde(default)]
    auth: RawListenerAuth,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawListenerAuth {
    anonymous: Option<bool>,
    methods: Option<BTreeSet<ListenerMethod>>,
}

/// The mode of a file, in octal digits.
struct Mode(u32);

/// Address to listen on.
pub(super) struct Listen(pub(super) SocketAddr);

/// The list of listeners.
pub(super) struct RawListeners(Vec<ListenerSettings>);

impl RawListeners {
    pub(super) fn apply(self, config: &mut Config) {
        config.listeners = self.0;
        // An address of the setting or of a variable is listened on beside them.
        if !config.listeners.is_empty() && config.listen == Config::default().listen {
            config.listen = None;
        }
    }
}

impl<'de> Deserialize<'de> for RawListeners {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let listeners = Vec::<RawListener>::deserialize(deserializer)?;
        listeners
            .into_iter()
            .map(RawListener::read)
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        listen_address(&text).map(Self).map_err(|help| {
            let text = Untrusted::new(&text);
            D::Error::custom(format!("`{text}` is not an address to listen on\n{help}"))
        })
    }
}

impl RawListener {
    fn read(self) -> Result<ListenerSettings, String> {
        let place = match (self.address, self.socket) {
            (Some(Listen(address)), None) => ListenerPlace::Address(address),
            (None, Some(path)) => {
                let mode = self.mode.as_ref().map_or(DEFAULT_MODE, |mode| mode.0);
                ListenerPlace::Socket { path, mode }
            }
            (None, None) => {
                return Err(
                    "a listener has neither `address` nor `socket`\nadd one of them".to_owned()
                );
            }
            (Some(_), Some(_)) => {
                let message = "a listener has `address` and `socket`\nmake two listeners of it";
                return Err(message.to_owned());
            }
        };
        if self.mode.is_some() && matches!(place, ListenerPlace::Address(_)) {
            return Err("`mode` has no effect without `socket`\nremove the key".to_owned());
        }
        let rules = ListenerRules {
            path: self.path.map(|Path(path)| path),
            origins: self.origins,
            protocols: self.protocols.unwrap_or_default(),
            anonymous: self.auth.anonymous,
            rawsocket: self.rawsocket,
            compression: self.compression,
            methods: self.auth.methods,
        };
        let (tls, users) = self.tls.map(|tls| tls.read(RawClients::read)).unzip();
        Ok(ListenerSettings { name: self.name, place, rules, tls, users: users.flatten() })
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
        let is_octal = text.len() == 4 && text.starts_with('0');
        mode.filter(|_| is_octal).map(Self).ok_or_else(|| {
            let text = Untrusted::new(&text);
            D::Error::custom(format!("`{text}` is not the mode of a file\nwrite four octal digits in quotes, such as '0660'"))
        })
    }
}

impl<'de> Deserialize<'de> for Protocols {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spoken = || Dialect::ALL.map(Dialect::subprotocol).join(", ");
        let names = Vec::<String>::deserialize(deserializer)?;
        if names.is_empty() {
            return Err(D::Error::custom(format!(
                "no client could connect: the list is empty\nname some of {}, or leave the key out",
                spoken()
            )));
        }
        let mut protocols = [false; Dialect::COUNT];
        for name in names {
            let dialect = Dialect::from_subprotocol(&name).ok_or_else(|| {
                let name = Untrusted::new(&name);
                D::Error::custom(format!(
                    "`{name}` is not a subprotocol\nname some of {}",
                    spoken()
                ))
            })?;
            if let Some(spoken) = protocols.get_mut(dialect.index()) {
                *spoken = true;
            }
        }
        Ok(Self(protocols))
    }
}

impl ListenerSettings {
    /// Resolves relative paths against `base`.
    pub(super) fn resolve(&mut self, base: &std::path::Path) {
        if let ListenerPlace::Socket { path, .. } = &mut self.place {
            *path = base.join(&*path);
        }
        for path in self.tls.iter_mut().flat_map(TlsFiles::paths_mut) {
            *path = base.join(&*path);
        }
    }
}

impl Config {
    /// Returns all listeners: that of `listen` first, if it is opened.
    pub fn all_listeners(&self) -> impl Iterator<Item = ListenerSettings> {
        let simple = self.listen.map(ListenerSettings::simple);
        simple.into_iter().chain(self.listeners.iter().cloned())
    }

    /// Returns the files of TLS of all listeners and of the admin listener, each with its key.
    pub fn tls_files(&self) -> impl Iterator<Item = (String, &TlsFiles)> {
        let listeners = self.listeners.iter().enumerate();
        let listeners = listeners
            .filter_map(|(at, it)| Some((format!("listeners.{at}.tls"), it.tls.as_ref()?)));
        listeners.chain(self.admin.tls.iter().map(|tls| ("admin.tls".to_owned(), &tls.files)))
    }
}

/// Returns the errors of listeners that exclude each other, and of rules without effect. `has` tells
/// whether a key is written, with a valid value or not.
pub(super) fn mistakes(config: &Config, has: impl Fn(&str) -> bool) -> Vec<ValueError> {
    let mut wrongs = Vec::new();
    for (at, listener) in config.listeners.iter().enumerate() {
        let key = format!("listeners.{at}");
        let others = config.listen.map(ListenerSettings::simple).into_iter();
        let others: Vec<_> = others.chain(config.listeners.iter().take(at).cloned()).collect();
        wrongs.extend(collision(config, listener, &others, &key));
        let rules = &listener.rules;
        let methods = rules.methods.iter().flatten();
        wrongs.extend(methods.filter(|method| !has(method.key())).map(|method| {
            let name = method.key();
            let message = format!("`{name}` is not configured, so this listener cannot use it");
            let help = format!("add `{name}`, or remove it here");
            ValueError::at(&format!("{key}.auth.methods"), message, &help)
        }));
        let has_method =
            ListenerMethod::ALL.into_iter().any(|method| rules.allows(method) && has(method.key()));
        if rules.anonymous == Some(false) && !has_method && listener.users.is_none() {
            let message = "no client could connect: `anonymous: false` requires authentication, and there \
                           is no method for it";
            let help = "configure a method in `auth`, or remove the key";
            wrongs.push(ValueError::at(&format!("{key}.auth.anonymous"), message.to_owned(), help));
        }
        let name = listener.name.as_ref();
        let is_taken = |name: &String| {
            name.is_empty()
                // Metrics and log lines of certificates have it.
                || (name == ADMIN_LISTENER && config.admin.tls.is_some())
                || config.listeners.iter().take(at).any(|it| it.name.as_ref() == Some(name))
        };
        if let Some(name) = name.filter(|name| is_taken(name)) {
            let name = Untrusted::new(name);
            let message =
                format!("`{name}` is not a name that tells this listener from the others");
            let help = "give each listener a name of its own, or none";
            wrongs.push(ValueError::at(&format!("{key}.name"), message, help));
        }
    }
    wrongs
}

/// Returns the error of a place that another listener has.
fn collision(
    config: &Config,
    listener: &ListenerSettings,
    others: &[ListenerSettings],
    key: &str,
) -> Option<ValueError> {
    match &listener.place {
        ListenerPlace::Address(address) => {
            let key = format!("{key}.address");
            let is_taken = others.iter().any(|other| match other.place {
                ListenerPlace::Address(other) => overlap(*address, other),
                ListenerPlace::Socket { .. } => false,
            });
            let is_admin = matches!(&config.admin.listen, Some(AdminPlace::Address(admin)) if overlap(*address, *admin));
            let other = match (is_taken, is_admin) {
                (true, _) => "another listener",
                (false, true) => "the admin listener",
                (false, false) => return None,
            };
            Some(ValueError::at(
                &key,
                format!("{other} has the address {address}"),
                "choose another port",
            ))
        }
        ListenerPlace::Socket { path, .. } => {
            let key = format!("{key}.socket");
            let is_same = |other: &ListenerSettings| matches!(&other.place, ListenerPlace::Socket { path: other, .. } if other == path);
            let is_taken = others.iter().any(is_same)
                || config.control.socket == ControlSocket::At(path.clone())
                || config.admin.listen == Some(AdminPlace::Socket(path.clone()));
            if is_taken {
                let message = "another listener has the same path".to_owned();
                return Some(ValueError::at(&key, message, "choose another path"));
            }
            socket_error(&key, path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, UserName};
    use jackfield_wamp::dialect::Codec;

    fn read(text: &str) -> Result<Config, String> {
        Settings::validated(text, &[])
    }

    #[track_caller]
    fn refused(text: &str, expect: &str) {
        let error = read(text).unwrap_err();
        assert!(error.contains(expect), "{text}\n{error}\ndoes not contain\n{expect}");
        assert!(error.starts_with("j.yml:"), "{error}");
        assert_eq!(error.matches("error:").count(), 1, "{error}");
    }

    #[test]
    fn reads_every_key() {
        let config = read(
            "
auth: { jwt: { keys: { jwks: keys.json } } }
listeners:
  - name: public
    address: '[::1]:8443'
    path: /ws
    origins: [shop.example.com]
    protocols: [wamp, wamp.2.cbor]
    compression: true
    auth: { anonymous: false, methods: [jwt] }
  - { socket: /run/ws.sock, mode: '0600' }
  - { socket: other/ws.sock }
",
        )
        .unwrap();
        assert_eq!(config.listen, None, "`listen` is not written");
        let [public, private, other] = config.listeners.as_slice() else { panic!("three") };
        assert_eq!(public.name.as_deref(), Some("public"));
        assert_eq!(public.place, ListenerPlace::Address("[::1]:8443".parse().unwrap()));
        let ListenerRules { path, origins, protocols, anonymous, rawsocket, compression, methods } =
            &public.rules;
        let known = (path.as_deref(), *anonymous, *rawsocket, *compression);
        assert_eq!(known, (Some("/ws"), Some(false), None, Some(true)));
        assert!(origins.as_ref().unwrap().check("https://shop.example.com").is_ok());
        let spoken: Vec<Dialect> = protocols.iter().collect();
        assert_eq!(spoken, [Dialect::V1, Dialect::V2(Codec::Cbor)]);
        assert_eq!(methods, &Some(BTreeSet::from([ListenerMethod::Jwt])));
        let socket = |path: &str, mode| ListenerPlace::Socket { path: path.into(), mode };
        assert_eq!(private.place, socket("/run/ws.sock", 0o600));
        assert_eq!(private.rules, ListenerRules::default());
        assert_eq!(other.place, socket("other/ws.sock", DEFAULT_MODE));
        let both = read("listen: 127.0.0.1:1\nlisteners: [{ socket: /run/a }]").unwrap();
        assert_eq!(both.all_listeners().count(), 2);
        assert_eq!(read("listeners: []").unwrap(), Config::default());
    }

    #[test]
    fn refuses_listeners_that_exclude_each_other() {
        refused("listeners: [{ path: / }]", "neither `address` nor `socket`");
        refused("listeners: [{ address: 127.0.0.1:1, socket: /a }]", "`address` and `socket`");
        refused("listeners: [{ address: 127.0.0.1:1, mode: '0600' }]", "`mode` has no effect");
        refused("listeners: [{ socket: /a, mode: '999' }]", "is not the mode of a file");
        refused(
            "listeners: [{ address: 127.0.0.1:1 }, { address: '0.0.0.0:1' }]",
            "another listener has the address 0.0.0.0:1",
        );
        refused("listen: '[::]:1'\nlisteners: [{ address: 127.0.0.1:1 }]", "another listener has");
        refused(
            "listeners: [{ socket: /a }, { socket: /a }]",
            "another listener has the same path",
        );
        refused("control: { socket: /a }\nlisteners: [{ socket: /a }]", "has the same path");
        refused(
            "listeners: [{ name: a, socket: /a }, { name: a, socket: /b }]",
            "`a` is not a name that tells",
        );
    }

    #[test]
    fn reads_every_key_of_tls() {
        let config = read(
            "
listeners:
  - address: 127.0.0.1:1
    tls:
      certificate: a.crt
      key: /a.key
      certificates: [{ certificate: b.crt, key: b.key }]
      client_certificates: { authorities: ca.crt, required: false, user: email, roles: [m] }
  - { socket: /a, tls: { certificate: a, key: b, client_certificates: { authorities: c } } }
",
        )
        .unwrap();
        let [all, few] = config.listeners.as_slice() else { panic!("two") };
        let tls = all.tls.as_ref().unwrap();
        let paths: Vec<_> = tls.paths().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(paths, ["a.crt", "/a.key", "b.crt", "b.key", "ca.crt"]);
        assert!(!tls.clients.as_ref().unwrap().required);
        let users = CertificateUsers { name: UserName::Email, roles: vec!["m".to_owned()] };
        assert_eq!(all.users, Some(users));
        assert!(few.tls.as_ref().unwrap().clients.as_ref().unwrap().required);
        assert_eq!(few.users.as_ref().unwrap().name, UserName::CommonName);
        let alone = "listeners: [{ address: 127.0.0.1:1, tls: { certificate: a } }]";
        refused(alone, "`key`");
        let pasted = "listeners: [{ address: 127.0.0.1:1, tls: { certificate: a, key: '-----BEGIN hunter2' } }]";
        refused(pasted, "looks like the content of a file");
        assert!(!read(pasted).unwrap_err().contains("hunter2"));
        read(
            "access: { https: true }\nlisteners: [{ socket: /a, tls: { certificate: a, key: b } }]",
        )
        .unwrap();
    }

    #[test]
    fn refuses_rules_without_effect() {
        let rules = |text: &str| format!("listeners: [{{ socket: /a, {text} }}]");
        refused(&rules("protocols: []"), "no client could connect");
        refused(&rules("protocols: [soap]"), "`soap` is not a subprotocol");
        refused(&rules("auth: { methods: [jwt] }"), "`auth.jwt` is not configured");
        refused(&rules("auth: { anonymous: false }"), "no client could connect");
        refused(&rules("path: ws"), "is not a path");
    }

    #[test]
    fn addresses_are_read_as_those_of_listen() {
        refused("listeners: [{ address: localhost }]", "is not an address to listen on");
    }
}
