//! Tests of principals, with test vectors of the specifications.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Map, json};
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use super::*;

mod channel_binding;

impl Extra for Map<String, Value> {
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
}

const SECRET_KEY: [u8; 32] = [7; 32];

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&SECRET_KEY).unwrap()
}

fn file() -> String {
    let key = cryptosign::to_hex(pair().public_key().as_ref());
    // RFC 7677, section 3: the password is `pencil`.
    format!(
        "principals:
    billing: {{ roles: [backend, staff], wampcra: {{ secret: 'shared' }}, claims: {{ team: a }} }}
    salted: {{ roles: [page], wampcra: {{ secret: 'pass', salt: 'abc', iterations: 10, keylen: 32 }} }}
    user:
        id: 17
        realms: [realm1]
        scram:
            kdf: pbkdf2
            salt: 'W22ZaJ0SNY7soEsUEjb6gQ=='
            iterations: 4096
            stored_key: '{STORED}'
            server_key: '{SERVER}'
    sensor: {{ cryptosign: ['{key}'], ticket: 'letmein' }}
"
    )
}

/// Keys of the password `pencil` with the salt and iterations of RFC 7677.
const STORED: &str = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=";
const SERVER: &str = "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fn principals() -> Principals {
    Principals::parse("principals.yml", &file()).unwrap()
}

fn extra(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("{value} is no object") };
    map
}

fn challenge(
    principals: &Principals,
    method: &str,
    authid: Option<&str>,
    given: &Map<String, Value>,
) -> Result<Option<Challenge>, ChallengeError> {
    channel_binding::challenge_on(principals, method, authid, given, Err(NoChannelId::NoTls))
}

fn sign_cra(challenge: &Challenge, password: &str) -> String {
    let text = challenge.extra["challenge"].as_str().unwrap();
    let key = match challenge.extra.get("salt") {
        None => password.to_owned(),
        Some(salt) => {
            let number = |key: &str| challenge.extra[key].as_u64().unwrap();
            let mut derived = vec![0; usize::try_from(number("keylen")).unwrap()];
            let iterations = u32::try_from(number("iterations")).unwrap();
            let salt = salt.as_str().unwrap().as_bytes();
            ring::pbkdf2::derive(
                ring::pbkdf2::PBKDF2_HMAC_SHA256,
                NonZeroU32::new(iterations).unwrap(),
                salt,
                password.as_bytes(),
                &mut derived,
            );
            STANDARD.encode(derived)
        }
    };
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes()))
}

#[test]
fn wampcra_proves_a_shared_secret() {
    let (principals, none) = (principals(), Map::new());
    for (name, secret, wrong) in [("billing", "shared", "Shared"), ("salted", "pass", "passs")] {
        let asked = challenge(&principals, "wampcra", Some(name), &none).unwrap().unwrap();
        let proof = asked.judge(&sign_cra(&asked, secret), &none).unwrap();
        assert_eq!((proof.client.username.as_str(), proof.client.method), (name, Method::Cra));
        assert!(proof.verifier.is_none());
        let refusal = asked.judge(&sign_cra(&asked, wrong), &none).unwrap_err();
        assert_eq!(refusal, ProofRefusal::Wrong(name.to_owned(), "wampcra"));
        for nonsense in ["", "%", "AAAA"] {
            asked.judge(nonsense, &none).unwrap_err();
        }
    }
    let asked = challenge(&principals, "wampcra", Some("billing"), &none).unwrap().unwrap();
    let text: Value = serde_json::from_str(asked.extra["challenge"].as_str().unwrap()).unwrap();
    assert_eq!(text["authid"], "billing");
    assert_eq!(text["authrole"], "backend");
    assert_eq!(text["session"], 3);
    assert_eq!(text["timestamp"], "2014-05-13T16:53:20.123Z");
    let again = challenge(&principals, "wampcra", Some("billing"), &none).unwrap().unwrap();
    assert_ne!(asked.extra["challenge"], again.extra["challenge"], "the nonce is another");
    // A proof answers its own challenge alone.
    again.judge(&sign_cra(&asked, "shared"), &none).unwrap_err();
}

/// The key that Autobahn derives from `secret1`, as configurations of Crossbar have it.
#[test]
fn wampcra_takes_a_derived_key_in_place_of_the_password() {
    let file = "principals: { peter: { wampcra: { derived_key: 'prq7+YkJ1/KlW1X0YczMHw==', salt: salt123, \
                iterations: 100, keylen: 16 } } }";
    let (principals, none) = (Principals::parse("p.yml", file).unwrap(), Map::new());
    let asked = challenge(&principals, "wampcra", Some("peter"), &none).unwrap().unwrap();
    asked.judge(&sign_cra(&asked, "secret1"), &none).unwrap();
    asked.judge(&sign_cra(&asked, "prq7+YkJ1/KlW1X0YczMHw=="), &none).unwrap_err();
}

/// RFC 7677, section 3.
#[test]
fn scram_follows_the_test_vector_of_its_rfc() {
    let keys = scram::Keys {
        function: scram::Function::Pbkdf2,
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==".to_owned(),
        iterations: 4096,
        stored_key: STANDARD.decode(STORED).unwrap().try_into().unwrap(),
        server_key: STANDARD.decode(SERVER).unwrap().try_into().unwrap(),
    };
    let exchange = scram::Exchange {
        spelling: Spelling::Specification,
        authid: "user".to_owned(),
        client_nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
        nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned(),
    };
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let signature = keys.verify(&exchange, proof).unwrap();
    assert_eq!(
        exchange.verifier(&signature),
        ("verifier", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned())
    );
    assert_eq!(keys.verify(&exchange, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVA="), None);
}

/// The client's side, for the password `pencil`.
fn sign_scram(challenge: &Challenge, nonce: &str, binding: &str) -> String {
    let mut salted = [0; 32];
    ring::pbkdf2::derive(
        ring::pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(4096).unwrap(),
        &STANDARD.decode(challenge.extra["salt"].as_str().unwrap()).unwrap(),
        b"pencil",
        &mut salted,
    );
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let client_key = sign(&salted, b"Client Key");
    let stored = Sha256::digest(client_key);
    let (server, salt) = (&challenge.extra["nonce"], &challenge.extra["salt"]);
    let (server, salt) = (server.as_str().unwrap(), salt.as_str().unwrap());
    let text = format!("n=user,r={nonce},r={server},s={salt},i=4096,c={binding},r={server}");
    let signature = sign(&stored, text.as_bytes());
    let proof: Vec<u8> = client_key
        .as_ref()
        .iter()
        .zip(signature.as_ref())
        .map(|(one, other)| one ^ other)
        .collect();
    STANDARD.encode(proof)
}

#[test]
fn scram_proves_a_password_in_both_spellings() {
    let principals = principals();
    let nonce = STANDARD.encode([1; 16]);
    let given = extra(json!({ "nonce": nonce, "channel_binding": null }));
    for (method, binding, entry) in
        [("wamp-scram", "biws", "verifier"), ("scram", "", "scram_server_signature")]
    {
        let asked = challenge(&principals, method, Some("user"), &given).unwrap().unwrap();
        assert_eq!((&asked.extra["kdf"], asked.extra.get("memory")), (&json!("pbkdf2"), None));
        let answer = extra(json!({ "nonce": asked.extra["nonce"] }));
        let proof = asked.judge(&sign_scram(&asked, &nonce, binding), &answer).unwrap();
        assert_eq!(proof.verifier.unwrap().0, entry);
        assert_eq!((proof.client.id.as_deref(), proof.client.method), (Some("17"), Method::Scram));
        asked.judge(&sign_scram(&asked, &nonce, "other"), &answer).unwrap_err();
        let answer = extra(json!({ "nonce": nonce }));
        asked.judge(&sign_scram(&asked, &nonce, binding), &answer).unwrap_err();
        // The draft of Autobahn has no nonce there.
        let without = asked.judge(&sign_scram(&asked, &nonce, binding), &extra(json!({})));
        assert_eq!(without.is_ok(), method == "scram", "{without:?}");
    }
    let check = |given: Value, expect: ChallengeError| {
        let error = challenge(&principals, "scram", Some("user"), &extra(given)).unwrap_err();
        assert_eq!(error, expect);
    };
    check(json!({}), ChallengeError::Nonce("scram"));
    check(json!({ "nonce": "" }), ChallengeError::Nonce("scram"));
    check(json!({ "nonce": "%%%" }), ChallengeError::Nonce("scram"));
    check(json!({ "nonce": "AAAA".repeat(65) }), ChallengeError::Nonce("scram"));
    for binding in ["tls-unique", "tls-exporter"] {
        let error = ChallengeError::NoBinding("scram", binding.to_owned());
        check(json!({ "nonce": nonce, "channel_binding": binding }), error);
    }
}

/// WAMP v2 specification, section "Cryptosign-based Authentication", "Test Vectors".
#[test]
fn cryptosign_follows_the_test_vectors_of_the_specification() {
    let vectors = [
        (
            "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510",
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "b32675b221f08593213737bef8240e7c15228b07028e19595294678c90d11c0cae80a357331bfc5cc9fb71081464e6e75013517c2cf067ad566a6b7b728e5d03ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ),
        (
            "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd",
            "b26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
            "d4209ad10d5aff6bfbc009d7e924795de138a63515efc7afc6b01b7fe5201372190374886a70207b042294af5bd64ce725cd8dceb344e6d11c09d1aaaf4d660fb26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
        ),
        (
            "6e1fde9cf9e2359a87420b65a87dc0c66136e66945196ba2475990d8a0c3a25b",
            "b05e6b8ad4d69abf74aa3be3c0ee40ae07d66e1895b9ab09285a2f1192d562d2",
            "7beb282184baadd08f166f16dd683b39cab53816ed81e6955def951cb2ddad1ec184e206746fd82bda075af03711d3d5658fc84a76196b0fa8d1ebc92ef9f30bb05e6b8ad4d69abf74aa3be3c0ee40ae07d66e1895b9ab09285a2f1192d562d2",
        ),
    ];
    for (private, challenge, signature) in vectors {
        let private = cryptosign::from_hex(private).unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(&private).unwrap();
        let key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let challenge = cryptosign::from_hex(challenge).unwrap();
        assert!(cryptosign::verify(&key, &challenge, signature));
        assert!(cryptosign::verify(&key, &challenge, &signature.to_uppercase()));
        assert!(!cryptosign::verify(&key, &[1; 32], signature));
        assert!(!cryptosign::verify(&SECRET_KEY, &challenge, signature));
        let other = signature.replace('b', "c");
        for wrong in ["", "ab", &signature[2..], &other, &signature[..128], "ü", "+1"] {
            assert!(!cryptosign::verify(&key, &challenge, wrong), "{wrong}");
        }
    }
}

#[test]
fn cryptosign_names_a_principal_by_its_key() {
    let principals = principals();
    let key = cryptosign::to_hex(pair().public_key().as_ref());
    let given = extra(json!({ "pubkey": key }));
    let sign = |asked: &Challenge| {
        let text = asked.extra["challenge"].as_str().unwrap().to_owned();
        let message = cryptosign::from_hex(&text).unwrap();
        format!("{}{text}", cryptosign::to_hex(pair().sign(&message).as_ref()))
    };
    for name in [None, Some(""), Some("sensor")] {
        let asked = challenge(&principals, "cryptosign", name, &given).unwrap().unwrap();
        let proof = asked.judge(&sign(&asked), &Map::new()).unwrap();
        assert_eq!(proof.client.username, "sensor");
    }
    let asked = challenge(&principals, "cryptosign", Some("billing"), &given).unwrap().unwrap();
    asked.judge(&sign(&asked), &Map::new()).unwrap_err();
    for wrong in [json!({}), json!({ "pubkey": 4 }), json!({ "pubkey": "00" })] {
        let error = challenge(&principals, "cryptosign", None, &extra(wrong)).unwrap_err();
        assert_eq!(error, ChallengeError::PublicKey);
    }
}

#[test]
fn a_ticket_is_compared() {
    let (principals, none) = (principals(), Map::new());
    let asked = challenge(&principals, "ticket", Some("sensor"), &none).unwrap().unwrap();
    asked.judge("letmein", &none).unwrap();
    for wrong in ["", "letmei", "letmein ", "LETMEIN"] {
        asked.judge(wrong, &none).unwrap_err();
    }
    assert!(principals.have_ticket_of("sensor") && !principals.have_ticket_of("billing"));
    let error = challenge(&principals, "ticket", None, &none).unwrap_err();
    assert_eq!(error, ChallengeError::NoAuthid("ticket"));
}

#[test]
fn an_unknown_name_gets_a_challenge_like_the_others() {
    let principals = principals();
    let given = extra(json!({ "nonce": STANDARD.encode([1; 16]), "pubkey": "00".repeat(32) }));
    let (mut salted, mut plain) = (0, 0);
    for number in 0..64 {
        let name = format!("nobody-{number}");
        let asked = || challenge(&principals, "wampcra", Some(&name), &given).unwrap().unwrap();
        let (first, second) = (asked(), asked());
        assert_eq!(first.extra.get("salt"), second.extra.get("salt"), "always the same");
        match first.extra.get("salt") {
            Some(salt) => {
                salted += 1;
                assert_eq!(salt.as_str().unwrap().len(), 3);
                assert_eq!(first.extra["iterations"], 10);
            }
            None => plain += 1,
        }
        let refusal = first.judge(&sign_cra(&first, "shared"), &Map::new()).unwrap_err();
        assert_eq!(refusal, ProofRefusal::Unknown(name.clone(), "wampcra"));

        let asked = || challenge(&principals, "scram", Some(&name), &given).unwrap().unwrap();
        let (first, second) = (asked(), asked());
        assert_eq!(first.extra["salt"], second.extra["salt"]);
        assert_eq!(first.extra["iterations"], 4096);
        assert_eq!(STANDARD.decode(first.extra["salt"].as_str().unwrap()).unwrap().len(), 16);
        first.judge("", &Map::new()).unwrap_err();
    }
    assert!(salted > 0 && plain > 0, "{salted} {plain}");
    for (model, is_alike) in [
        (
            "salt123",
            (|it: &str| it.len() == 7 && it.ends_with(|last: char| last.is_ascii_digit()))
                as fn(&str) -> bool,
        ),
        ("5f4dcc3b5aa765d61d8327deb882cf99", |it| {
            it.len() == 32 && it.bytes().all(|byte| byte.is_ascii_hexdigit())
        }),
        ("MDEyMzQ1Njc4OWFiY2RlZg==", |it| STANDARD.decode(it).is_ok_and(|it| it.len() == 16)),
    ] {
        let file = format!("principals: {{ a: {{ wampcra: {{ secret: s, salt: '{model}' }} }} }}");
        let principals = Principals::parse("p.yml", &file).unwrap();
        let asked = challenge(&principals, "wampcra", Some("nobody"), &given).unwrap().unwrap();
        let salt = asked.extra["salt"].as_str().unwrap();
        assert!(is_alike(salt) && salt != model, "{model} {salt}");
    }
    let asked = challenge(&principals, "cryptosign", None, &given).unwrap().unwrap();
    asked.judge(&"00".repeat(96), &Map::new()).unwrap_err();
}

#[test]
fn a_principal_joins_its_realms_alone() {
    let principals = principals();
    let user = principals.find("user").unwrap();
    assert!(user.may_join("realm1") && !user.may_join("realm2"));
    assert!(principals.find("sensor").unwrap().may_join("realm2"));
}

#[test]
fn methods_without_credentials_are_not_offered() {
    let principals = Principals::parse("p.yml", "principals: { a: { ticket: 'x' } }").unwrap();
    let none = Map::new();
    for method in ["wampcra", "scram", "wamp-scram", "cryptosign"] {
        assert!(challenge(&principals, method, Some("a"), &none).unwrap().is_none(), "{method}");
    }
    assert_eq!(ProofMethod::named("anonymous"), None);
}

#[test]
fn a_changed_principal_is_another() {
    let principals = principals();
    let before = principals.find("billing").unwrap().fingerprint;
    assert!(principals.still_has("billing", before));
    principals.replace("p.yml", &file().replace("team: a", "team: b")).unwrap();
    assert!(principals.still_has("billing", before), "claims do not decide");
    for (from, to) in [
        ("'shared'", "'other'"),
        ("backend, staff", "backend"),
        ("[backend, staff]", "[backend, staff], realms: [realm1]"),
        ("[backend, staff]", "[backend, staff], realms: []"),
        ("[backend, staff]", "[backend, staff], id: 9"),
    ] {
        principals.replace("p.yml", &file().replace(from, to)).unwrap();
        assert!(!principals.still_has("billing", before), "{to}");
    }
    principals.replace("p.yml", "principals: {}").unwrap();
    assert!(!principals.still_has("billing", before));
    principals.replace("p.yml", "principals: {").unwrap_err();
}

#[test]
fn errors_have_their_place_and_no_secret() {
    let check = |text: &str, expect: &str| {
        let problem = Principals::parse("p.yml", text).unwrap_err().to_string();
        assert!(problem.contains(expect), "{text}: {problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    };
    check("", "p.yml: error: the file is empty");
    check("principals: []", "the file takes a map, not a list");
    check("principles: {}", "unknown key `principles`");
    check("principals: { a: {} }", "p.yml:1:15: error: `a`: there is no credential");
    check("principals: { a: { ticket: 4711 } }", "has to be text");
    check("principals: { a: { ticket: '' } }", "`ticket` is empty");
    check(
        "principals: { a: { wampcra: { secret: hunter2, keylen: 8, salt: x } } }",
        "between 16 and 64",
    );
    check("principals: { a: { wampcra: { secret: hunter2, keylen: 32 } } }", "without `salt`");
    check("principals: { a: { wampcra: { secret: '' } } }", "`wampcra.secret` is empty");
    check("principals: { a: { wampcra: {} } }", "`wampcra` lacks `secret`");
    check(
        "principals: { a: { wampcra: { derived_key: hunter2 } } }",
        "`derived_key` has no effect without `salt`",
    );
    check(
        "principals: { a: { wampcra: { secret: hunter2, derived_key: hunter2, salt: x } } }",
        "`wampcra` has `secret` and `derived_key`",
    );
    check(
        "principals: { a: { wampcra: { secret: hunter2, salt: x, iterations: 2000000 } } }",
        "over 1000000",
    );
    check("principals: { a: { wampcra: { sekret: hunter2 } } }", "sekret");
    check("principals: { a: { cryptosign: [hunter2] } }", "a key of `cryptosign` is not one");
    check("principals: { a: { cryptosign: hunter2 } }", "keys are a list: write ['KEY']");
    check("principals: { a: { ticket: x, realms: hunter2 } }", "realms are a list: write [realm1]");
    check("principals: { a: { ticket: [hunter2] } }", "ticket");
    check("principals: { a: { scram: hunter2 } }", "scram");
    check("principals: { a: { wampcra: hunter2 } }", "wampcra");
    check("principals: { a: hunter2 }", "a");
    let scram = |more: &str| {
        format!(
            "principals: {{ a: {{ scram: {{ iterations: 1, server_key: hunter2, stored_key: hunter2, {more} }} }} }}"
        )
    };
    check(&scram("kdf: pbkdf2, salt: AAAA"), "`scram.stored_key` is not 32 bytes");
    check(&scram("kdf: pbkdf2, salt: '%'"), "`scram.salt` is not Base64");
    check(&scram("kdf: argon2id13, salt: AAAA"), "`scram.memory` is missing");
    check(&scram("kdf: pbkdf2, memory: 5, salt: AAAA"), "has no effect with pbkdf2");
    check(&scram("kdf: bcrypt, salt: AAAA"), "`scram.kdf`: unknown value");
    let key = cryptosign::to_hex(pair().public_key().as_ref());
    check(
        &format!(
            "principals: {{ a: {{ cryptosign: ['{key}'] }}, b: {{ cryptosign: ['{key}'] }} }}"
        ),
        "`a` and `b` have the same key",
    );
}

#[test]
fn nothing_prints_a_secret() {
    let principals = principals();
    let printed = format!("{principals:?} {:#?}", principals.known.load());
    for secret in ["shared", "letmein", STORED] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
