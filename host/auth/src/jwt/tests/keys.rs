//! Verification keys: rotation, selection without a key id, and unusable keys.

use super::*;

#[test]
fn follows_rotated_keys() {
    let (old, new) = (Issuer::es(), Issuer::ed());
    let token = |issuer: &Issuer, kid: &str| {
        issuer.signed(&json!({ "alg": issuer.algorithm(), "kid": kid }), &good())
    };
    let (by_old, by_new) = (token(&old, "2024"), token(&new, "2025"));
    let jwt = self::jwt(Keys::jwks("keys.json", &jwks(&[old.jwk("2024")])).unwrap(), rules());
    assert!(jwt.verifier.authenticate(&by_old, at(NOW)).is_ok());
    let early = jwt.verifier.authenticate(&by_new, at(NOW)).unwrap_err();
    assert_eq!(early, JwtError::Algorithm { algorithm: "EdDSA".to_owned() });
    // Both keys are valid during the rotation.
    jwt.replace("keys.json", &jwks(&[old.jwk("2024"), new.jwk("2025")])).unwrap();
    assert!(jwt.verifier.authenticate(&by_old, at(NOW)).is_ok());
    assert!(jwt.verifier.authenticate(&by_new, at(NOW)).is_ok());
    // A file that is half written does not change the keys.
    jwt.replace("keys.json", "{ \"keys\": [").unwrap_err();
    jwt.replace("keys.json", &new.pem()).unwrap_err();
    assert!(jwt.verifier.authenticate(&by_old, at(NOW)).is_ok());
    // The same algorithm, and a new key with a new id.
    let newest = Issuer::ed();
    jwt.replace("keys.json", &jwks(&[newest.jwk("2026")])).unwrap();
    assert!(jwt.verifier.authenticate(&by_old, at(NOW)).is_err());
    let late = jwt.verifier.authenticate(&by_new, at(NOW)).unwrap_err();
    assert_eq!(late, JwtError::UnknownKey { kid: "2025".to_owned() });
    assert!(jwt.verifier.authenticate(&token(&newest, "2026"), at(NOW)).is_ok());
}

#[test]
fn tries_every_key_of_the_algorithm_without_a_key_id() {
    let (first, second) = (Issuer::ed(), Issuer::ed());
    let set = jwks(&[first.jwk("a"), second.jwk("b")]);
    let jwt = self::jwt(Keys::jwks("keys.json", &set).unwrap(), rules());
    assert!(jwt.verifier.authenticate(&second.token(&good()), at(NOW)).is_ok());
    let expired =
        jwt.verifier.authenticate(&second.token(&json!({ "sub": "7", "exp": 1 })), at(NOW));
    assert_eq!(expired, Err(JwtError::Expired { ago: NOW - 1 }));
    assert_eq!(
        jwt.verifier.authenticate(&Issuer::ed().token(&good()), at(NOW)),
        Err(JwtError::Signature)
    );
    let pems = Keys::pem("keys.pem", &format!("{}\n{}", first.pem(), second.pem())).unwrap();
    assert_eq!(pems.count(), 2);
    let jwt = self::jwt(pems, rules());
    let named = second.signed(&json!({ "alg": "EdDSA", "kid": "b" }), &good());
    assert!(jwt.verifier.authenticate(&named, at(NOW)).is_ok());
}

#[test]
fn rejects_or_skips_unusable_keys() {
    let pem = |text: &str, expect: &str| {
        let problem = Keys::pem("keys.pem", text).unwrap_err().to_string();
        assert!(problem.contains(expect), "{problem}");
    };
    pem("", "there is no key in PEM");
    pem(
        "\n-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
        "keys.pem:2:1: error: is not a public key",
    );
    pem("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "is not a public key");
    pem("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n", "that can be read");
    // secp384r1, and RSA of 1024 bits.
    pem(P384, "that can be read");
    pem(RSA_1024, "fewer than 2048 bits");

    let short = Keys::secret("secret", b"short").unwrap_err().to_string();
    assert!(short.contains("too short"), "{short}");

    let ed = Issuer::ed();
    let set = |key: Value| Keys::jwks("keys.json", &jwks(&[ed.jwk("good"), key]));
    let mut encrypts = ed.jwk("x");
    encrypts["use"] = "enc".into();
    let mut other = Issuer::rs().jwk("x");
    other["alg"] = "RS512".into();
    let mut signs_not = ed.jwk("x");
    signs_not["key_ops"] = json!(["encrypt"]);
    let curve = json!({ "kty": "OKP", "crv": "Ed448", "x": "AA" });
    for aside in [encrypts, other, signs_not, curve, json!({ "kty": "new" })] {
        assert_eq!(set(aside.clone()).unwrap().count(), 1, "{aside}");
        Keys::jwks("keys.json", &jwks(&[aside])).unwrap_err();
    }
    let private = |mut key: Value, more: &str, expect: &str| {
        key[more] = "c2VjcmV0".into();
        let problem = set(key).unwrap_err().to_string();
        assert!(problem.contains(expect), "{problem}");
        assert!(problem.contains("is a private key") && !problem.contains("c2VjcmV0"), "{problem}");
    };
    private(Issuer::rs().jwk("rsa"), "d", r#"the key "rsa" "#);
    private(Issuer::es().jwk("ec"), "d", r#"the key "ec" "#);
    private(Issuer::ed().jwk("ed"), "d", r#"the key "ed" "#);
    private(Issuer::rs().jwk("p"), "p", r#"the key "p" "#);
    private(json!({ "kty": "new" }), "d", "the key number 2 ");
    let mut encrypts = ed.jwk("x");
    encrypts["use"] = "enc".into();
    private(encrypts, "d", r#"the key "x" "#);
    for empty in ["", "\n", "{}", r#"{"keys":[]}"#] {
        let problem = Keys::jwks("keys.json", empty).unwrap_err().to_string();
        let expect = "keys.json: error: there are no keys in it\n  = help: a JWKS is";
        assert!(problem.starts_with(expect), "{problem}");
    }
    let weak = set(json!({ "kty": "oct", "k": "c2hvcnQ", "kid": "weak" })).unwrap_err();
    assert!(weak.to_string().contains(r#"the key "weak" is a secret that is too short"#), "{weak}");
    assert!(!weak.to_string().contains("c2hvcnQ"), "{weak}");
    set(json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" })).unwrap_err();
    set(json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "!" })).unwrap_err();
    set(json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" })).unwrap_err();
}
