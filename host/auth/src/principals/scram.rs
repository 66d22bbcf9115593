//! WAMP-SCRAM: the client proves that it knows a password, which the server does not know. WAMP v2
//! specification, section "Salted Challenge Response Authentication"; RFC 5802 and RFC 7677.
//!
//! Autobahn and Crossbar implement a draft, under the name `scram`: the names of the function and the text
//! that is signed differ. Without channel binding: the specification has `tls-unique` and
//! `tls-server-end-point`. TLS 1.3 does not define the first, and the second binds the certificate alone.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Spelling;

/// What the server knows of a password.
pub(super) struct Keys {
    pub(super) function: Function,
    /// Random bytes, in Base64.
    pub(super) salt: String,
    pub(super) iterations: u32,
    pub(super) stored_key: [u8; 32],
    pub(super) server_key: [u8; 32],
}

/// The function that derives a key from a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Pbkdf2,
    /// Argon2id 1.3, with this memory in KiB.
    Argon2 {
        memory: u32,
    },
}

/// The messages so far.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) spelling: Spelling,
    pub(super) authid: String,
    pub(super) client_nonce: String,
    /// The client's, and behind it the server's.
    pub(super) nonce: String,
}

impl Keys {
    /// Returns the `Extra` of CHALLENGE.
    pub(super) fn extra(&self, exchange: &Exchange) -> Map<String, Value> {
        let (function, memory) = match (self.function, exchange.spelling) {
            (Function::Pbkdf2, _) => ("pbkdf2", None),
            (Function::Argon2 { memory }, Spelling::Specification) => ("argon2id13", Some(memory)),
            (Function::Argon2 { memory }, Spelling::Autobahn) => ("argon2id-13", Some(memory)),
        };
        let mut extra = Map::new();
        let mut set = |key: &str, value: Value| extra.insert(key.to_owned(), value);
        set("nonce", json!(exchange.nonce));
        set("salt", json!(self.salt));
        set("kdf", json!(function));
        set("iterations", json!(self.iterations));
        // Autobahn fails on a memory that is null.
        if let Some(memory) = memory {
            set("memory", json!(memory));
        }
        extra
    }

    /// Verifies the client's proof. Returns the server's signature.
    pub(super) fn verify(&self, exchange: &Exchange, proof: &str) -> Option<String> {
        let proof: [u8; 32] = STANDARD.decode(proof.trim()).ok()?.try_into().ok()?;
        let message = self.message(exchange);
        let sign =
            |key: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
        let signature = sign(&self.stored_key);
        let client_key: Vec<u8> =
            proof.iter().zip(signature.as_ref()).map(|(proof, signed)| proof ^ signed).collect();
        let is_right: bool = Sha256::digest(&client_key)[..].ct_eq(&self.stored_key).into();
        is_right.then(|| STANDARD.encode(sign(&self.server_key)))
    }

    /// The text that both sides sign.
    fn message(&self, exchange: &Exchange) -> String {
        let Self { salt, iterations, .. } = self;
        let Exchange { spelling, authid, client_nonce, nonce } = exchange;
        let (name, binding) = match spelling {
            // `biws` is `n,,` in Base64: no channel binding.
            Spelling::Specification => (authid.replace('=', "=3D").replace(',', "=2C"), "biws"),
            Spelling::Autobahn => (authid.clone(), ""),
        };
        format!("n={name},r={client_nonce},r={nonce},s={salt},i={iterations},c={binding},r={nonce}")
    }
}

impl Exchange {
    /// Returns the `authextra` of WELCOME that shows the server's signature.
    pub(super) fn verifier(&self, signature: &str) -> (&'static str, String) {
        match self.spelling {
            Spelling::Specification => ("verifier", format!("v={signature}")),
            Spelling::Autobahn => ("scram_server_signature", signature.to_owned()),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}
