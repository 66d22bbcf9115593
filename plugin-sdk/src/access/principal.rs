//! Principals: what an authenticator knows of clients.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// A client that authenticates itself. The request has the realm, and no session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// The method.
    pub method: Method,
    /// The name that the client gives. A client of cryptosign may leave it out.
    pub authid: Option<String>,
    /// The public key of cryptosign: 64 hexadecimal digits.
    pub pubkey: Option<String>,
    /// The IP address of the client, behind a trusted proxy the forwarded one.
    pub address: Option<String>,
    /// The origin of the web page that has connected.
    pub origin: Option<String>,
    /// Whether the client uses TLS.
    pub encrypted: bool,
    /// The name of the listener in the settings, if it has one.
    pub listener: Option<String>,
}

/// A method with which a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A ticket, which `on_ticket` verifies.
    Ticket,
    /// WAMP-CRA: a shared secret.
    WampCra,
    /// WAMP-SCRAM: a password that neither side sends.
    Scram,
    /// Cryptosign: a private key of Ed25519.
    Cryptosign,
}

/// A principal: its identity, and for `on_find` the credential of the method.
#[derive(Clone, Default, PartialEq)]
#[must_use]
pub struct Principal {
    name: Option<String>,
    entry: Map<String, Value>,
    pub(crate) ttl: Option<Duration>,
}

/// The key of a salted WAMP-CRA. Both sides derive it from a password: PBKDF2-HMAC-SHA256, and the result
/// in Base64.
#[derive(Debug, Clone, Copy)]
pub struct SaltedKey<'a> {
    /// The derived key in Base64.
    pub derived_key: &'a str,
    /// The salt.
    pub salt: &'a str,
    /// The number of iterations.
    pub iterations: u32,
    /// The length of the key in bytes.
    pub keylen: u8,
}

/// The keys of WAMP-SCRAM, as RFC 5802 has them.
#[derive(Debug, Clone, Copy)]
pub struct ScramKeys<'a> {
    /// The memory of Argon2id in KiB; `None` is PBKDF2.
    pub argon2_memory: Option<u32>,
    /// The number of iterations.
    pub iterations: u32,
    /// The salt in Base64.
    pub salt: &'a str,
    /// `StoredKey`: 32 bytes in Base64.
    pub stored_key: &'a str,
    /// `ServerKey`: 32 bytes in Base64.
    pub server_key: &'a str,
}

impl Login {
    /// A client with this name, for tests.
    pub fn new(method: Method, authid: impl Into<String>) -> Self {
        Self {
            method,
            authid: Some(authid.into()),
            pubkey: None,
            address: None,
            origin: None,
            encrypted: false,
            listener: None,
        }
    }
}

impl Principal {
    /// A principal without roles and credentials, with the name that the client gives.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name, for clients of cryptosign that give none. If the client gives one, it must be the
    /// same.
    pub fn name(self, authid: impl Into<String>) -> Self {
        Self { name: Some(authid.into()), ..self }
    }

    /// Sets the id of the user in the application. Default: the name.
    pub fn id(self, id: impl Into<String>) -> Self {
        self.with("id", json!(id.into()))
    }

    /// Adds a role. The first one is the `authrole`.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        if let Value::Array(roles) = self.entry.entry("roles").or_insert_with(|| json!([])) {
            roles.push(json!(role.into()));
        }
        self
    }

    /// Sets claims, such as `json!({"team": 7})`, which hooks read with
    /// [`Session`](crate::Session).
    pub fn claims(self, claims: Value) -> Self {
        self.with("claims", claims)
    }

    /// Ends the session after this time.
    pub fn ttl(self, time: Duration) -> Self {
        Self { ttl: Some(time), ..self }
    }

    /// Sets the shared secret of WAMP-CRA.
    pub fn wampcra(self, secret: impl Into<String>) -> Self {
        self.with("wampcra", json!({ "secret": secret.into() }))
    }

    /// Sets the key of a salted WAMP-CRA.
    pub fn salted_wampcra(self, key: SaltedKey<'_>) -> Self {
        let SaltedKey { derived_key, salt, iterations, keylen } = key;
        let key = json!({
            "derived_key": derived_key, "salt": salt, "iterations": iterations, "keylen": keylen,
        });
        self.with("wampcra", key)
    }

    /// Sets the keys of WAMP-SCRAM.
    pub fn scram(self, keys: ScramKeys<'_>) -> Self {
        let ScramKeys { argon2_memory, iterations, salt, stored_key, server_key } = keys;
        let kdf = if argon2_memory.is_some() { "argon2id13" } else { "pbkdf2" };
        let mut keys = json!({
            "kdf": kdf, "iterations": iterations, "salt": salt,
            "stored_key": stored_key, "server_key": server_key,
        });
        if let (Some(memory), Value::Object(keys)) = (argon2_memory, &mut keys) {
            keys.insert("memory".to_owned(), json!(memory));
        }
        self.with("scram", keys)
    }

    /// Adds a public key of cryptosign: 64 hexadecimal digits.
    pub fn cryptosign(mut self, key: impl Into<String>) -> Self {
        if let Value::Array(keys) = self.entry.entry("cryptosign").or_insert_with(|| json!([])) {
            keys.push(json!(key.into()));
        }
        self
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.entry.insert(key.to_owned(), value);
        self
    }

    /// The text of the entry.
    #[cfg(target_family = "wasm")]
    pub(crate) fn entry(&self) -> String {
        Value::Object(self.entry.clone()).to_string()
    }

    /// The name of the principal of a client.
    #[cfg(target_family = "wasm")]
    pub(crate) fn name_for(&self, login: &Login) -> String {
        self.name.clone().or_else(|| login.authid.clone()).unwrap_or_default()
    }
}

/// Without the values, which are secrets.
impl std::fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<_> = self.entry.keys().collect();
        formatter
            .debug_struct("Principal")
            .field("name", &self.name)
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}
