//! Packed payloads of calls and results.

use jackfield_wamp::message::Message;

use super::*;
use crate::dealer::Continued;

const PACKED: &str = "{\"ppt_scheme\":\"x_own\",\"ppt_cipher\":\"aes256gcm\"}";

/// Returns a payload as it arrives in PUBLISH with these options.
fn payload(options: &str) -> Payload {
    let frame = Bytes::from(format!("[16,1,{options},\"t\",[\"packed\"]]"));
    match Message::decode(Codec::Json, &frame).unwrap() {
        Message::Publish(publish) => publish.payload,
        message => panic!("{message:?}"),
    }
}

fn call(request: u64, options: CallOptions) -> Call {
    let request = CallId::V2(RequestId::new(request).unwrap());
    Call { request, options, procedure: "a".to_owned(), payload: payload(PACKED) }
}

impl Fixture {
    fn pass(&self, session: usize, call: &Call) -> Result<bool, CallError> {
        let batch = &mut PendingFlushes::default();
        self.dealer.call(self.session(session), call, |_| true, 5, None, batch)
    }

    fn yield_packed(&self, session: usize, invocation: u64, progress: bool) {
        let request = RequestId::new(invocation).unwrap();
        let answer = Yield { request, progress, payload: payload(PACKED) };
        let batch = &mut PendingFlushes::default();
        self.dealer.answer(self.session(session), &answer, || self.now, batch);
    }
}

#[test]
fn attributes_go_with_calls_results_and_errors() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    fixture.pass(2, &call(7, CallOptions::default())).unwrap();
    fixture.check(1, &[&format!("[68,1,1,{PACKED},[\"packed\"]]")]);
    fixture.yield_packed(1, 1, false);
    fixture.check(2, &[&format!("[50,7,{PACKED},[\"packed\"]]")]);
    fixture.pass(2, &call(8, CallOptions::default())).unwrap();
    fixture.told(1);
    let frame = Bytes::from(format!("[8,68,2,{PACKED},\"com.sorry\",[\"packed\"]]"));
    let Message::Error(error) = Message::decode(Codec::Json, &frame).unwrap() else {
        panic!("it is an ERROR")
    };
    let batch = &mut PendingFlushes::default();
    fixture.dealer.fail(fixture.session(1), &error, |_, _| true, 5, batch);
    fixture.check(2, &[&format!("[8,48,8,{PACKED},\"com.sorry\",[\"packed\"]]")]);
    fixture.check_empty();
}

#[test]
fn receivers_must_announce_that_they_unpack() {
    let mut fixture = Fixture::new();
    fixture.offer(3, "a");
    assert_eq!(fixture.pass(2, &call(7, CallOptions::default())), Err(CallError::NoPassthru));
    fixture.check(3, &[]);
    fixture.offer(1, "b");
    for caller in [3, 4] {
        fixture.call(caller, "b").unwrap();
        let invocation = fixture.told(1).len() as u64;
        assert_eq!(invocation, 1);
    }
    fixture.yield_packed(1, 1, false);
    fixture.yield_packed(1, 2, false);
    let told = fixture.told(3);
    assert!(told[0].contains("wamp.error.feature_not_supported"), "{told:?}");
    let told = fixture.told(4);
    assert!(told.len() == 1 && !told[0].contains("packed\""), "{told:?}");
    fixture.check_empty();
}

#[test]
fn all_parts_are_packed_as_the_first() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    let more = || CallOptions { progress: true, ..CallOptions::default() };
    let batch = &mut PendingFlushes::default();
    fixture.pass(2, &call(7, more())).unwrap();
    assert_eq!(fixture.dealer.go_on(fixture.session(2), &call(7, more()), batch), Continued::Yes);
    assert_eq!(fixture.told(1).len(), 2);
    let other = Call { payload: payload("{\"ppt_scheme\":\"mqtt\"}"), ..call(7, more()) };
    assert_eq!(fixture.dealer.go_on(fixture.session(2), &other, batch), Continued::Yes);
    assert!(fixture.told(1)[0].starts_with("[69,1,"));
    assert!(fixture.told(2)[0].contains("wamp.error.feature_not_supported"));
    fixture.check_empty();
}
