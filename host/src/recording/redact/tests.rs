//! Tests of redaction.

use jackfield_sandbox::{Effect, HookRefusal, PluginEvent, StoreWrite};

use super::*;

#[test]
fn keeps_the_shape_and_nothing_else() {
    let text = r#"{"text":"Grüße","n":-407,"f":2.75,"big":18446744073709551615,"on":true,
        "ann@example.com":null,"list":[[],{},0,"\u0000AQID"]}"#;
    let shown = json_text(text);
    let expected = r#"{"text":"xxxxx","n":-111,"f":1.5,"big":11111111111111111111,"on":true,"xxxxxxxxxxxxxxx":null,"list":[[],{},1,"xxxxx"]}"#;
    assert_eq!(shown, expected);
    assert_eq!(json_text(&shown), shown, "it is redacted once");
    assert_eq!(json_text("a secret"), "xxxxxxxx");
    assert_eq!(json_text("42"), "11");
    assert_eq!(json_text("-9223372036854775808"), "-1111111111111111111");
}

#[test]
fn redacts_answers_of_servers() {
    let response = FetchedResponse {
        status: 200,
        headers: vec![("x-a".into(), StoreValue(b"token".to_vec()))],
        body: StoreValue(br#"{"name":"ann"}"#.to_vec()),
    };
    let fetched = vec![("GET https://a.example".into(), FetchRecord::Response(response))];
    let answers = HostAnswers { fetched, ..HostAnswers::default() };
    let redacted = Redaction { payload: true, claims: false, headers: true }.answers(answers);
    let shown = serde_json::to_value(&redacted.fetched).unwrap();
    let expected = serde_json::json!([["GET https://a.example", { "response": {
        "status": 200, "headers": [["x-a", "xxxxx"]], "body": r#"{"name":"xxx"}"#
    }}]]);
    assert_eq!(shown, expected);
}

#[test]
fn redacts_claims_and_events_each_for_itself() {
    let input = CallInput {
        hook: jackfield_sandbox::Hook::Publish,
        realm: String::new(),
        handler: String::new(),
        route: String::new(),
        topic: "t/7".into(),
        attributes: vec![("id".into(), "7".into())],
        session: Some(jackfield_sandbox::CallerRecord {
            id: 1,
            authid: "ann".into(),
            authrole: "member".into(),
            roles: vec![],
            authmethod: "ticket".into(),
            claims: r#"{"email":"ann@example.com"}"#.into(),
        }),
        subscribers: 0,
        depth: 0,
        args: r#"["text"]"#.into(),
        kwargs: "{}".into(),
        answer: None,
    };
    let of = |payload, claims| Redaction { payload, claims, headers: true }.input(input.clone());
    let claims = |input: &CallInput| input.session.as_ref().unwrap().claims.clone();
    assert_eq!(of(false, false), input);
    let redacted = of(true, false);
    assert_eq!((redacted.args.as_str(), claims(&redacted)), (r#"["xxxx"]"#, claims(&input)));
    let redacted = of(false, true);
    assert_eq!(redacted.args, input.args);
    assert_eq!(claims(&redacted), r#"{"email":"xxxxxxxxxxxxxxx"}"#);
}

#[test]
fn redacts_payload_wherever_an_outcome_has_it() {
    let event = PluginEvent::from_texts("[\"secret\"]".into(), "{\"a\":7}".into()).unwrap();
    let refusal = HookRefusal { uri: "a.b".into(), message: "secret".into() };
    let value = |bytes: &[u8]| Some(StoreValue(bytes.to_vec()));
    let outcome = CallOutcome {
        answer: HookAnswer::Deny(refusal),
        effects: vec![
            Effect::Send { session: 7, topic: "t".into(), event },
            Effect::Close { session: 7, reason: "a.b".into(), message: "secret".into() },
        ],
        writes: vec![
            StoreWrite { key: "k".into(), value: value(b"\"secret\""), ttl_ms: Some(7) },
            StoreWrite { key: "b".into(), value: value(b"\xff\xfe secret"), ttl_ms: None },
        ],
    };
    let all = Redaction { payload: true, claims: true, headers: true };
    let text = serde_json::to_string(&all.outcome(outcome.clone())).unwrap();
    assert!(!text.contains("secret") && !text.contains("c2Vjc"), "{text}");
    for kept in [r#""uri":"a.b""#, r#""session":7"#, r#""topic":"t""#, r#""ttl_ms":7"#] {
        assert!(text.contains(kept), "{text}");
    }
    let none = Redaction { payload: false, claims: true, headers: true };
    assert_eq!(none.outcome(outcome.clone()), outcome);
}

/// The answer to a request, with a secret in each of its parts.
fn response() -> EffectAnswer {
    let value = |text: &str| StoreValue(text.as_bytes().to_vec());
    EffectAnswer {
        number: 7,
        context: value(r#"{"user":"s3cret-context"}"#),
        received: AnswerContent::Response {
            status: 200,
            headers: vec![("set-cookie".to_owned(), value("s3cret-cookie"))],
            body: value(r#"{"token":"s3cret-body"}"#),
        },
    }
}

#[test]
fn redacts_answers_of_http_and_of_calls() {
    let all = Redaction { payload: true, claims: true, headers: true };
    let answer = all.effect_answer(response());
    let text = serde_json::to_string(&answer).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    for kept in [r#""number":7"#, r#""status":200"#, "set-cookie", "token", "user"] {
        assert!(text.contains(kept), "{text}");
    }
    assert_eq!(all.effect_answer(answer.clone()), answer, "it is redacted once");
    let but_headers = Redaction { headers: false, ..all };
    let text = serde_json::to_string(&but_headers.effect_answer(response())).unwrap();
    assert!(text.contains("s3cret-cookie") && !text.contains("s3cret-body"), "{text}");
    let headers = Redaction { payload: false, ..all };
    let text = serde_json::to_string(&headers.effect_answer(response())).unwrap();
    assert!(!text.contains("s3cret-cookie") && text.contains("s3cret-body"), "{text}");
    for received in [
        AnswerContent::NoResponse { error: HttpError::Broken("s3cret".to_owned()) },
        AnswerContent::Result(PluginEvent::of_host("[\"s3cret\"]".into(), "{}".into())),
        AnswerContent::Error(HookRefusal { uri: "a.b".into(), message: "s3cret".into() }),
    ] {
        let answer = all.effect_answer(EffectAnswer { received, ..response() });
        let text = serde_json::to_string(&answer).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn redacts_requests_of_http() {
    let request = r#"{"kind":"request","number":7,
        "reply_to":{"plugin":"p","handler":"h","topic":"t"},"method":"POST",
        "origin":"https://a.example","path":"/v1?key=s3cret-path",
        "headers":[["authorization","Bearer s3cret-header"],["x-b",{"base64":"czNjcmV0"}]],
        "body":"{\"a\":\"s3cret-body\"}","timeout_ms":5,"context":"s3cret-context"}"#;
    let effect: Effect = serde_json::from_str(request).unwrap();
    let answer = HookAnswer::Done;
    let outcome = CallOutcome { answer, effects: vec![effect], writes: Vec::new() };
    let all = Redaction { payload: true, claims: true, headers: true };
    let redacted = all.outcome(outcome.clone());
    assert_eq!(all.outcome(redacted.clone()), redacted, "it is redacted once");
    let text = serde_json::to_string(&redacted).unwrap();
    assert!(!text.contains("s3cret") && !text.contains("czNjcmV0"), "{text}");
    for kept in ["https://a.example", "POST", "authorization", r#""number":7"#] {
        assert!(text.contains(kept), "{text}");
    }
    let headers = Redaction { payload: false, ..all };
    let text = serde_json::to_string(&headers.outcome(outcome)).unwrap();
    assert!(!text.contains("s3cret-header") && text.contains("s3cret-path"), "{text}");
}

#[test]
fn redacts_names_that_could_be_tokens() {
    let check = |name: &str, expect: &str| assert_eq!(member_name(name.to_owned()), expect);
    for name in
        ["text", "user_id", "sha256", "line-2", "iso8601", "_x", "camelCase", "x-b3-traceid"]
    {
        check(name, name);
    }
    for name in [
        "d41d8cd98f00b204e9800998ecf8427e",
        "c0ffee254c8a49e1b6f0d1234567890a",
        "u-4f9d1c1e8a",
        "user_10425",
        "t0k3n5ecr3t9",
        "ann@example.com",
        "7",
        "a_name_that_is_longer_than_any_of_a_program",
    ] {
        check(name, &"x".repeat(name.len()));
    }
    let shown = json_text(r#"{"d41d8cd98f00b204e9800998ecf8427e":{"f00dcafe12345":1}}"#);
    assert_eq!(shown, format!("{{\"{}\":{{\"{}\":1}}}}", "x".repeat(32), "x".repeat(13)));
}
