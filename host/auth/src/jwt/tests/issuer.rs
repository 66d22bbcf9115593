//! Token issuers for tests: they sign with ring and encode their keys by hand.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};

/// Test key, used nowhere else.
const RSA: &str = include_str!("rsa.pkcs8.base64");

const SECRET: &[u8] = super::SECRET;

/// Issuer with one key for one algorithm.
pub(super) enum Issuer {
    Hs(Vec<u8>),
    Rs(RsaKeyPair),
    Es(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Issuer {
    pub(super) fn hs() -> Self {
        Self::Hs(SECRET.to_vec())
    }

    pub(super) fn rs() -> Self {
        let der = BASE64_STANDARD.decode(RSA.replace('\n', "")).unwrap();
        Self::Rs(RsaKeyPair::from_pkcs8(&der).unwrap())
    }

    pub(super) fn es() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Es(EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap())
    }

    pub(super) fn ed() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap())
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs(_) => "HS256",
            Self::Rs(_) => "RS256",
            Self::Es(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    pub(super) fn signed(&self, header: &Value, claims: &Value) -> String {
        let encode = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Hs(secret) => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
                ring::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            Self::Rs(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Es(key) => key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.signed(&json!({ "typ": "JWT", "alg": self.algorithm() }), claims)
    }

    pub(super) fn pem(&self) -> String {
        let spki = match self {
            Self::Hs(_) => panic!("a secret is not public"),
            Self::Rs(key) => {
                let key = key.public_key().as_ref();
                let bits = [&[0x03, 0x82, 0x01, 0x0f, 0x00], key].concat();
                let rsa = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
                [b"\x30\x82\x01\x22", &rsa[..], &bits].concat()
            }
            Self::Es(key) => {
                let p256 = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
                [&p256[..], key.public_key().as_ref()].concat()
            }
            Self::Ed(key) => {
                let ed = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
                [&ed[..], key.public_key().as_ref()].concat()
            }
        };
        let base64 = BASE64_STANDARD.encode(spki);
        format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n")
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match self {
            Self::Hs(secret) => json!({ "kty": "oct", "k": encode(secret) }),
            Self::Rs(key) => {
                let public: ring::rsa::PublicKeyComponents<Vec<u8>> = key.public().into();
                // With the leading zero of ASN.1, as some issuers write it.
                let n = [&[0], &public.n[..]].concat();
                json!({ "kty": "RSA", "n": encode(&n), "e": encode(&public.e), "alg": "RS256" })
            }
            Self::Es(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig" })
            }
            Self::Ed(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref()) })
            }
        };
        jwk["kid"] = kid.into();
        jwk
    }

    /// Returns the public key without any wrapping.
    pub(super) fn public_key(&self) -> Vec<u8> {
        match self {
            Self::Hs(_) => panic!("a secret is not public"),
            Self::Rs(key) => key.public_key().as_ref().to_vec(),
            Self::Es(key) => key.public_key().as_ref().to_vec(),
            Self::Ed(key) => key.public_key().as_ref().to_vec(),
        }
    }
}
