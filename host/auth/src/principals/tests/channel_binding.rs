//! Channel binding of `cryptosign`, with keys, challenges and channels of these tests.

use super::*;

/// Asks for a challenge on a channel.
pub(super) fn challenge_on(
    principals: &Principals,
    method: &str,
    authid: Option<&str>,
    given: &Map<String, Value>,
    channel_id: Result<[u8; 32], NoChannelId>,
) -> Result<Option<Challenge>, ChallengeError> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_400_000_000_123);
    let realm = "realm1";
    let asked = ProofRequest { authid, extra: given, realm, session: 3, now, channel_id };
    principals.challenge(ProofMethod::named(method).unwrap(), &asked)
}

#[test]
fn cryptosign_signs_the_challenge_combined_with_the_channel_id() {
    // With and without a channel, each signature is one of its own message alone.
    let challenges = [[0xff; 32], [0; 32], std::array::from_fn(|at| u8::try_from(at).unwrap())];
    let channel: [u8; 32] = std::array::from_fn(|at| 0xa5 ^ u8::try_from(at * 7).unwrap());
    for (seed, challenge) in challenges.into_iter().enumerate() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[u8::try_from(seed).unwrap(); 32]).unwrap();
        let key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let combined: [u8; 32] = std::array::from_fn(|at| challenge[at] ^ channel[at]);
        let messages = [None, Some(channel)].map(|channel| cryptosign::message(challenge, channel));
        assert_eq!(messages, [challenge, combined]);
        for (signed, expected) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let message = messages[signed];
            let signature = pair.sign(&message);
            let signature = cryptosign::to_hex(&[signature.as_ref(), &message].concat());
            let is_right = cryptosign::verify(&key, &messages[expected], &signature);
            assert_eq!(is_right, signed == expected, "{seed} {signed} {expected}");
        }
    }
}

#[test]
fn cryptosign_binds_the_channel_of_tls() {
    let principals = principals();
    let key = cryptosign::to_hex(pair().public_key().as_ref());
    let channel = [0x5a; 32];
    let ask = |binding: &str, channel_id| {
        let given = extra(json!({ "pubkey": key, "channel_binding": binding }));
        challenge_on(&principals, "cryptosign", None, &given, channel_id)
    };
    let asked = ask("tls-exporter", Ok(channel)).unwrap().unwrap();
    assert_eq!(asked.extra["channel_binding"], "tls-exporter");
    let text = asked.extra["challenge"].as_str().unwrap();
    let random = cryptosign::from_hex(text).unwrap();
    let sign = |channel_id| {
        let message = cryptosign::message(random, channel_id);
        cryptosign::to_hex(&[pair().sign(&message).as_ref(), &message].concat())
    };
    for wrong in [None, Some([0x5b; 32])] {
        let refusal = asked.judge(&sign(wrong), &Map::new()).unwrap_err();
        assert!(matches!(refusal, ProofRefusal::Wrong(..)), "{refusal}");
    }
    asked.judge(&sign(Some(channel)), &Map::new()).unwrap();
    for reason in [NoChannelId::NoTls, NoChannelId::OldTls, NoChannelId::NoMaterial] {
        let error = ask("tls-exporter", Err(reason)).unwrap_err();
        assert_eq!(error, ChallengeError::NoChannelId(reason));
    }
    for other in ["tls-unique", "tls-server-end-point", ""] {
        let error = ask(other, Ok(channel)).unwrap_err();
        assert_eq!(error, ChallengeError::NoBinding("cryptosign", other.to_owned()));
        assert!(error.to_string().contains("use `tls-exporter`"), "{error}");
    }
}
