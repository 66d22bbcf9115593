//! Tests of the identity and the expiry of a token's session.

use serde_json::json;

use super::*;

/// Names reach logs and plugins.
#[test]
fn refuses_control_characters_in_names() {
    for bad in ["ann\n", "\u{1b}[31mann", "a\0", "\u{7f}", "\u{9b}x", "a\u{85}b"] {
        for (claim, value) in [
            ("sub", json!(bad)),
            ("preferred_username", json!(bad)),
            ("organization", json!(bad)),
            ("roles", json!(bad)),
            ("roles", json!(["member", bad])),
        ] {
            let mut claims = good();
            claims[claim] = value;
            let refused = shared().verifier.authenticate(&Issuer::hs().token(&claims), at(NOW));
            assert!(matches!(refused, Err(JwtError::Claim { .. })), "{claim} {bad:?} {refused:?}");
        }
    }
    let mut claims = good();
    claims["preferred_username"] = json!("Zoë O’Neil-Ωμέγα");
    assert!(shared().verifier.authenticate(&Issuer::hs().token(&claims), at(NOW)).is_ok());
}

#[test]
fn roles_may_be_a_list_as_php_writes_it() {
    let mut claims = good();
    claims["roles"] = json!({"0": "a", "2": "b"});
    let who = shared().verifier.authenticate(&Issuer::hs().token(&claims), at(NOW)).unwrap();
    assert_eq!(who.roles, ["a", "b"]);
    claims["roles"] = json!({"0": 7});
    assert!(shared().verifier.authenticate(&Issuer::hs().token(&claims), at(NOW)).is_err());
}

/// A session ends with its token: at `exp` and the leeway.
#[test]
fn says_when_a_token_expires() {
    let token = |exp: Value| {
        let mut claims = good();
        claims["exp"] = exp;
        Issuer::hs().token(&claims)
    };
    let expires =
        |jwt: &Jwt, exp: Value| jwt.verifier.authenticate(&token(exp), at(NOW)).unwrap().expires;
    assert_eq!(expires(&shared(), json!(NOW + 5)), Some(at(NOW + 15)));
    // Beyond the clock's range.
    assert_eq!(expires(&shared(), json!(u64::MAX)), None);
    let keys = Keys::secret("secret", SECRET).unwrap();
    let lasting = jwt(keys, JwtRules { expiry: Expiry::Ignore, ..rules() });
    assert_eq!(expires(&lasting, json!(NOW + 5)), None);
}
