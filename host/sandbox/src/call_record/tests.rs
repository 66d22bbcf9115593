//! Sizes of records: queues of recordings and shadows are bounded by them.

use super::*;
use crate::fetch_record::FetchedResponse;
use crate::outgoing::request::HttpError;

/// The size of each text of the record, in bytes.
const TEXT_BYTES: usize = 10_000;

fn text() -> String {
    "x".repeat(TEXT_BYTES)
}

fn value() -> StoreValue {
    StoreValue(text().into_bytes())
}

fn event() -> PluginEvent {
    PluginEvent::of_host(text(), text())
}

#[test]
fn the_size_of_a_record_has_all_of_its_texts() {
    let session = CallerRecord {
        id: 1,
        authid: text(),
        authrole: text(),
        roles: vec![text(), text()],
        authmethod: text(),
        claims: text(),
    };
    let headers = || vec![(text(), value())];
    let received = AnswerContent::Response { status: 200, headers: headers(), body: value() };
    let input = CallInput {
        hook: Hook::Response,
        realm: text(),
        handler: text(),
        route: text(),
        topic: text(),
        attributes: vec![(text(), text())],
        session: Some(session),
        subscribers: 0,
        depth: 0,
        args: text(),
        kwargs: text(),
        answer: Some(EffectAnswer { number: 1, context: value(), received }),
    };
    let response = FetchedResponse { status: 200, headers: headers(), body: value() };
    let range = ListedRange { prefix: text(), last: Some(text()) };
    let numbers = || vec![0; TEXT_BYTES / size_of::<u64>()];
    let answers = HostAnswers {
        seed: [0; 32],
        wall_clock: numbers(),
        monotonic_clock: numbers(),
        subscribers: vec![(text(), numbers())],
        counts: vec![(text(), 1)],
        fetched: vec![
            (text(), FetchRecord::Response(response)),
            (text(), FetchRecord::Failed(HttpError::Broken(text()))),
        ],
        store: StoreSeen {
            values: [(text(), Some(value()))].into(),
            ranges: vec![range],
            room: None,
        },
        accepted: EffectsAccepted {
            requests: vec![Acceptance::Denied(text())],
            calls: vec![Acceptance::Denied(text())],
            deferred: vec![None; TEXT_BYTES / size_of::<Option<u64>>()],
            completed: vec![(0, true); TEXT_BYTES / size_of::<(u64, bool)>()],
        },
    };
    let publish = Effect::Publish {
        topic: text(),
        event: event(),
        exclude: numbers(),
        eligible: Some(numbers()),
    };
    let write = StoreWrite { key: text(), value: Some(value()), ttl_ms: None };
    let outcome = CallOutcome {
        answer: HookAnswer::Error(HookRefusal { uri: text(), message: text() }),
        effects: vec![publish],
        writes: vec![write],
    };
    let (plugin, digest, version) = (String::new(), String::new(), String::new());
    let version = PluginVersion { plugin, digest, version, lanes: 1, routes: Vec::new() };
    let record = CallRecord {
        version: Arc::new(version),
        began: SystemTime::UNIX_EPOCH,
        input,
        answers,
        outcome,
        cost: CallCost::default(),
        is_whole: true,
    };
    // Each list of numbers takes as much as a text.
    let [input, answers, outcome] = [18, 19, 9].map(|texts| texts * TEXT_BYTES);
    let near = |bytes: usize, expect: usize| bytes >= expect && bytes < expect + TEXT_BYTES / 2;
    assert!(near(record.input.len(), input), "{}", record.input.len());
    assert!(near(record.answers.len(), answers), "{}", record.answers.len());
    assert!(near(record.outcome.len(), outcome), "{}", record.outcome.len());
    assert!(near(record.size(), input + answers + outcome), "{}", record.size());
}
