//! Tests of tokens: all supported keys and algorithms, and forgeries.

mod authenticate;
mod issuer;
mod keys;

use std::num::NonZeroUsize;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use issuer::Issuer;

use super::*;

const NOW: u64 = 1_700_000_000;
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn rules() -> JwtRules {
    JwtRules { leeway: Duration::from_secs(10), ..JwtRules::default() }
}

fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn jwt(keys: Keys, rules: JwtRules) -> Jwt {
    Jwt::new(keys, rules, Verifiers::new(NonZeroUsize::MIN, 8))
}

fn shared() -> Jwt {
    jwt(Keys::secret("secret", SECRET).unwrap(), rules())
}

fn good() -> Value {
    json!({ "sub": "7", "exp": NOW + 60 })
}

/// Signatures wait for a thread; rejections before verification do not.
#[tokio::test]
async fn verifies_signatures_within_the_verifier_bound() {
    let verifiers = Verifiers::new(NonZeroUsize::MIN, 0);
    let keys = Keys::secret("secret", SECRET).unwrap();
    let jwt = Jwt::new(keys, rules(), verifiers.clone());
    let good = Issuer::hs().token(&good());
    let here = IpAddr::from([192, 0, 2, 1]);
    let who = jwt.authenticate(&good, here, at(NOW)).await.unwrap();
    assert_eq!(who.id.as_deref(), Some("7"));
    let expired = jwt.authenticate(&good, here, at(NOW + 99)).await.unwrap_err();
    assert!(!expired.is_temporary(), "{expired}");
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (started, start) = tokio::sync::oneshot::channel();
    let busy = tokio::spawn(async move {
        let work = move || {
            started.send(()).unwrap();
            released.recv().unwrap();
        };
        verifiers.run(IpAddr::from([192, 0, 2, 2]), work).await
    });
    start.await.unwrap();
    let refused = jwt.authenticate(&good, here, at(NOW)).await.unwrap_err();
    assert!(refused.is_temporary(), "{refused}");
    let other = Issuer::ed().token(&json!({}));
    for worthless in ["x", "a.b.c", &other] {
        let refused = jwt.authenticate(worthless, here, at(NOW)).await.unwrap_err();
        assert!(!refused.is_temporary(), "{refused}");
    }
    release.send(()).unwrap();
    busy.await.unwrap().unwrap();
    assert!(jwt.authenticate(&good, here, at(NOW)).await.is_ok());
}

#[test]
fn verifies_every_algorithm_with_every_form_of_its_key() {
    for issuer in [Issuer::rs(), Issuer::es(), Issuer::ed()] {
        let other = match &issuer {
            Issuer::Es(_) => Issuer::es(),
            Issuer::Hs(_) | Issuer::Rs(_) | Issuer::Ed(_) => Issuer::ed(),
        };
        let pem = Keys::pem("keys.pem", &issuer.pem()).unwrap();
        let set = Keys::jwks("keys.json", &jwks(&[issuer.jwk("a")])).unwrap();
        for keys in [pem, set] {
            let jwt = self::jwt(keys, rules());
            let who = jwt.verifier.authenticate(&issuer.token(&good()), at(NOW)).unwrap();
            assert_eq!((who.id.as_deref(), who.method.as_str()), (Some("7"), "jwt"));
            assert!(jwt.verifier.authenticate(&other.token(&good()), at(NOW)).is_err());
        }
    }
    let shared_set = Keys::jwks("keys.json", &jwks(&[Issuer::hs().jwk("a")])).unwrap();
    for jwt in [shared(), jwt(shared_set, rules())] {
        assert!(jwt.verifier.authenticate(&Issuer::hs().token(&good()), at(NOW)).is_ok());
        let other = Issuer::Hs(b"another secret of thirty-two bytes".to_vec());
        assert_eq!(
            jwt.verifier.authenticate(&other.token(&good()), at(NOW)),
            Err(JwtError::Signature)
        );
    }
}

/// RFC 7515, appendix A.1: a token of another implementation, whose claims have no `sub`.
#[test]
fn verifies_the_example_of_rfc_7515() {
    let key = json!({
        "kty": "oct",
        "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    });
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let names = ClaimNames { id: "iss".to_owned(), ..ClaimNames::default() };
    let rules = JwtRules { issuers: vec!["joe".to_owned()], names, ..JwtRules::default() };
    let jwt = self::jwt(Keys::jwks("keys.json", &jwks(&[key])).unwrap(), rules);
    let joe = jwt.verifier.authenticate(token, at(1_300_819_379)).unwrap();
    assert_eq!(joe.id.as_deref(), Some("joe"));
    assert_eq!(joe.claims["http://example.com/is_root"], true);
    let late = jwt.verifier.authenticate(token, at(1_300_819_380));
    assert_eq!(late, Err(JwtError::Expired { ago: 0 }));
}

#[test]
fn a_token_cannot_choose_its_algorithm() {
    let rs = Issuer::rs();
    let jwt = self::jwt(Keys::pem("keys.pem", &rs.pem()).unwrap(), rules());
    // Algorithm confusion: a public key as a secret, in each of its encodings.
    for secret in [rs.pem().into_bytes(), rs.public_key()] {
        let forged = Issuer::Hs(secret).token(&good());
        let refused = jwt.verifier.authenticate(&forged, at(NOW));
        assert_eq!(refused, Err(JwtError::Algorithm { algorithm: "HS256".to_owned() }));
    }
    // `alg: none`, and an empty signature.
    let encode = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    for algorithm in ["none", "None", "NONE", ""] {
        let unsigned = format!("{}.{}.", encode(json!({ "alg": algorithm })), encode(good()));
        assert_eq!(jwt.verifier.authenticate(&unsigned, at(NOW)), Err(JwtError::Malformed));
    }
    let bare = format!("{}.{}.", encode(json!({ "alg": "RS256" })), encode(good()));
    assert_eq!(jwt.verifier.authenticate(&bare, at(NOW)), Err(JwtError::Signature));
    // An algorithm of the same family, but not the key's.
    for algorithm in ["RS384", "RS512", "PS256", "ES256", "EdDSA"] {
        let token = rs.signed(&json!({ "alg": algorithm }), &good());
        let refused = jwt.verifier.authenticate(&token, at(NOW));
        assert_eq!(refused, Err(JwtError::Algorithm { algorithm: algorithm.to_owned() }));
    }
    // A token that contains its own key.
    let own = Issuer::ed();
    let header = json!({ "alg": "EdDSA", "jwk": own.jwk("own"), "jku": "https://example.com" });
    assert!(jwt.verifier.authenticate(&own.signed(&header, &good()), at(NOW)).is_err());
    // In a set of mixed keys, each key verifies only its own algorithm, whatever key id a token
    // has.
    let set = jwks(&[rs.jwk("public"), Issuer::hs().jwk("shared")]);
    let jwt = self::jwt(Keys::jwks("keys.json", &set).unwrap(), rules());
    let header = json!({ "alg": "HS256", "kid": "public" });
    let forged = Issuer::Hs(rs.pem().into_bytes()).signed(&header, &good());
    let refused = jwt.verifier.authenticate(&forged, at(NOW));
    assert_eq!(refused, Err(JwtError::UnknownKey { kid: "public".to_owned() }));
    // An unsupported critical header.
    let header = json!({ "alg": "RS256", "crit": ["exp"] });
    assert_eq!(
        jwt.verifier.authenticate(&rs.signed(&header, &good()), at(NOW)),
        Err(JwtError::Critical)
    );
}

#[test]
fn rejects_a_token_with_a_replaced_part() {
    let token = Issuer::hs().token(&good());
    let other = Issuer::hs().token(&json!({ "sub": "1", "exp": NOW + 60 }));
    let (token, other): (Vec<_>, Vec<_>) = (token.split('.').collect(), other.split('.').collect());
    let mixed = [token[0], other[1], token[2]].join(".");
    assert_eq!(shared().verifier.authenticate(&mixed, at(NOW)), Err(JwtError::Signature));
    for text in ["", ".", "..", "a.b.c", &token[..2].join("."), &"x".repeat(MAX_BYTES + 1)] {
        assert_eq!(
            shared().verifier.authenticate(text, at(NOW)),
            Err(JwtError::Malformed),
            "{text}"
        );
    }
}

#[test]
fn checks_expiry_and_not_before() {
    let check = |claims: Value, expect: Result<(), JwtError>| {
        let verdict =
            shared().verifier.authenticate(&Issuer::hs().token(&claims), at(NOW)).map(drop);
        assert_eq!(verdict, expect, "{claims}");
    };
    let no_time = || {
        let wrong = "is not a time in seconds since 1970";
        Err(JwtError::Claim { claim: "exp".to_owned(), wrong })
    };
    check(json!({ "sub": "7", "exp": NOW + 1 }), Ok(()));
    check(json!({ "sub": "7", "exp": NOW - 9 }), Ok(()));
    check(json!({ "sub": "7", "exp": NOW - 10 }), Err(JwtError::Expired { ago: 10 }));
    check(json!({ "sub": "7", "exp": 1 }), Err(JwtError::Expired { ago: NOW - 1 }));
    check(json!({ "sub": "7", "exp": 1_700_000_000.5 }), Ok(()));
    check(json!({ "sub": "7", "exp": u64::MAX }), Ok(()));
    check(json!({ "sub": "7" }), Err(JwtError::NoExpiry));
    check(json!({ "sub": "7", "exp": null }), no_time());
    check(json!({ "sub": "7", "exp": "9999999999" }), no_time());
    check(json!({ "sub": "7", "exp": -1 }), no_time());
    check(json!({ "sub": "7", "exp": 1e300 }), no_time());
    check(json!({ "sub": "7", "exp": NOW + 60, "nbf": NOW + 10 }), Ok(()));
    check(
        json!({ "sub": "7", "exp": NOW + 60, "nbf": NOW + 11 }),
        Err(JwtError::NotYet { ahead: 11 }),
    );
    let claim = || "nbf".to_owned();
    let wrong = "is not a time in seconds since 1970";
    check(
        json!({ "sub": "7", "exp": NOW + 60, "nbf": "x" }),
        Err(JwtError::Claim { claim: claim(), wrong }),
    );
}

#[test]
fn checks_issuer_and_audience() {
    let some = |text: &str| vec![text.to_owned(), "other".to_owned()];
    let rules = JwtRules { issuers: some("joe"), audiences: some("jackfield"), ..rules() };
    let strict = jwt(Keys::secret("secret", SECRET).unwrap(), rules);
    let check = |jwt: &Jwt, more: Value, expect: Result<(), JwtError>| {
        let mut claims = good();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let verdict = jwt.verifier.authenticate(&Issuer::hs().token(&claims), at(NOW)).map(drop);
        assert_eq!(verdict, expect, "{claims}");
    };
    check(&strict, json!({ "iss": "joe", "aud": "jackfield" }), Ok(()));
    check(&strict, json!({ "iss": "other", "aud": ["x", "jackfield"] }), Ok(()));
    check(&strict, json!({ "iss": "jim", "aud": "jackfield" }), Err(JwtError::Issuer));
    check(&strict, json!({ "aud": "jackfield" }), Err(JwtError::Issuer));
    check(&strict, json!({ "iss": 7, "aud": "jackfield" }), Err(JwtError::Issuer));
    check(&strict, json!({ "iss": ["joe"], "aud": "jackfield" }), Err(JwtError::Issuer));
    check(&strict, json!({ "iss": ["joe", "evil"], "aud": "jackfield" }), Err(JwtError::Issuer));
    check(&shared(), json!({ "iss": ["joe", "evil"] }), Err(JwtError::Issuer));
    check(&strict, json!({ "iss": "joe", "aud": "elsewhere" }), Err(JwtError::Audience));
    check(&strict, json!({ "iss": "joe", "aud": [] }), Err(JwtError::Audience));
    check(&strict, json!({ "iss": "joe" }), Err(JwtError::Audience));
    check(&strict, json!({ "iss": "joe", "aud": 7 }), Err(JwtError::Audience));
    check(&shared(), json!({ "iss": "jim" }), Ok(()));
    check(&shared(), json!({ "aud": "elsewhere" }), Err(JwtError::Audience));
}

/// An id, a username, roles and an organization.
type Expected<'a> = (&'a str, &'a str, &'a [&'a str], Option<&'a str>);

#[test]
fn claims_become_an_identity() {
    let names = ClaimNames {
        id: "uid".to_owned(),
        username: "name".to_owned(),
        roles: "realm_access.roles".to_owned(),
        organization: "https://acme.example/org".to_owned(),
    };
    let jwt = self::jwt(Keys::secret("secret", SECRET).unwrap(), JwtRules { names, ..rules() });
    let check = |claims: Value, expect: Result<Expected<'_>, &str>| {
        let mut claims = claims;
        claims["exp"] = (NOW + 60).into();
        let who = jwt.verifier.authenticate(&Issuer::hs().token(&claims), at(NOW));
        let who = who.map_err(|error| error.to_string());
        let (id, username, roles, organization) = match expect {
            Ok(expect) => expect,
            Err(expect) => {
                let error = who.unwrap_err();
                assert!(error.contains(expect), "{error}");
                return;
            }
        };
        let who = who.unwrap();
        assert_eq!(who.id.as_deref(), Some(id));
        assert_eq!(who.username, username);
        assert_eq!(who.roles, roles);
        assert_eq!(who.organization.as_deref(), organization);
    };
    let full = json!({
        "uid": 7, "name": "ann", "realm_access": { "roles": ["a", "b"] },
        "https://acme.example/org": 3,
    });
    check(full, Ok(("7", "ann", &["a", "b"], Some("3"))));
    check(json!({ "uid": "7" }), Ok(("7", "7", &[], None)));
    check(
        json!({ "uid": -7, "realm_access": { "roles": "a, b c" } }),
        Ok(("-7", "-7", &["a", "b", "c"], None)),
    );
    check(json!({ "uid": "7", "realm_access.roles": ["x"] }), Ok(("7", "7", &["x"], None)));
    check(json!({ "sub": "7" }), Err("`uid` is missing"));
    check(json!({ "uid": "" }), Err("`uid` is neither"));
    check(json!({ "uid": 1.5 }), Err("`uid` is neither"));
    check(json!({ "uid": "7", "name": ["ann"] }), Err("`name` is neither"));
    check(json!({ "uid": "7", "realm_access": { "roles": [7] } }), Err("`realm_access.roles`"));
    check(
        json!({ "uid": "7", "realm_access": { "roles": { "a": 1 } } }),
        Err("`realm_access.roles`"),
    );

    let claims = json!({ "uid": "7", "name": "ann", "locale": "en", "exp": NOW + 60 });
    let who = jwt.verifier.authenticate(&Issuer::hs().token(&claims), at(NOW)).unwrap();
    assert_eq!(Value::Object(who.claims), json!({ "locale": "en", "exp": NOW + 60 }));
}

#[test]
fn nothing_prints_a_key() {
    let printed = format!("{:?}", shared());
    assert!(!printed.contains("97, 32, 115") && !printed.contains("a secret"), "{printed}");
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(header in any::<String>(), token in any::<String>()) {
        let encoded = BASE64_URL_SAFE_NO_PAD.encode(&header);
        let _ = shared().verifier.authenticate(&token, at(NOW));
        let odd = [encoded.as_str(); 3].join(".");
        prop_assert!(shared().verifier.authenticate(&odd, at(NOW)).is_err());
    }

    /// A changed character always invalidates a token.
    #[test]
    fn rejects_a_token_with_a_replaced_character(index in 0usize..200, to in "[A-Za-z0-9_.-]") {
        let token = Issuer::hs().token(&json!({ "sub": "7", "exp": NOW + 60 }));
        let index = index % token.len();
        let mut changed = token.clone();
        changed.replace_range(index..=index, &to);
        // The last character has unused bits; the decoder rejects other values of them.
        prop_assume!(changed != token);
        prop_assert!(shared().verifier.authenticate(&changed, at(NOW)).is_err());
    }
}

const P384: &str = "\
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE8LHJwgolzAhgJ+/8bT7KuTb1sG9nJMre
jhgjQgezVKWdoa6dk8ba0o6RbMf3HBtDya0mG+JXC5owxAbQ0Zbu9GLP5D6qlZT+
UEAcEdd1I4keM7vmqDuj5NUZ2JurNy5S
-----END PUBLIC KEY-----
";
const RSA_1024: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCzKSfxi3vnv+n3XFHN5pMbCayx
Ba3/0XWKRiwttsOjTDzH0Fn1pjlnwqNLgp8YM2uywpz4+8F2xnXyVqL77oprqwQe
UKK9yI+pzqky/3G+9pgkoNUwGcxpESs3s8ORTQbDcCnoaZ+JQRkEqL77L4J5XB7w
Xb2NiVy+egCvuGE05wIDAQAB
-----END PUBLIC KEY-----
";
