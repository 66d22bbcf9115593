//! Tests of the ledger as dialogues: sent symbols with their messages, received messages with their
//! symbols.

use super::*;
use crate::dialogue::cursor::{Cursor, Use};
use crate::dialogue::parse;
use crate::dialogue::script::{Action, Sent};

struct Fixture {
    ledger: Ledger,
    declaration: &'static str,
}

fn fixture(version: Version) -> Fixture {
    let declaration = match version {
        Version::V1 => "client ann v1\nann < nothing\n",
        Version::V2 => "client ann\nann < nothing\n",
    };
    Fixture { ledger: Ledger::new(version), declaration }
}

impl Fixture {
    /// Sends a symbolic message; `expect` is the message, or the error.
    #[track_caller]
    fn sends(&mut self, symbol: &str, expect: &str) {
        let script = parse::parse(&format!("{}ann > {symbol}", self.declaration)).unwrap();
        let Action::Send(_, Sent::Symbol(symbol)) = &script.lines[2].action else {
            panic!("a symbol")
        };
        match self.ledger.encode(symbol) {
            Ok(message) => {
                self.ledger.sent(&message, true);
                assert_eq!(message.to_string(), expect);
            }
            Err(error) => assert_eq!(error, expect),
        }
    }

    /// Receives a message; `expect` is the symbol, with `(ok)` behind an acknowledgement.
    #[track_caller]
    fn receives(&mut self, message: &str, expect: &str) {
        let message = Cursor::new(message).value(Use::Message).unwrap();
        let received = self.ledger.received(message);
        let symbol = received.symbol.map_or_else(|| "none".to_owned(), |it| it.to_string());
        let mark = if received.is_acknowledgement { " (ok)" } else { "" };
        assert_eq!(format!("{symbol}{mark}"), expect);
    }
}

#[test]
fn knows_the_ids_of_subscriptions() {
    let mut it = fixture(Version::V2);
    it.sends("SUBSCRIBE a", "[32, 1, {}, \"a\"]");
    it.sends("SUBSCRIBE a {\"match\": \"prefix\"}", "[32, 2, {\"match\": \"prefix\"}, \"a\"]");
    it.receives("[33,1,7]", "SUBSCRIBED a (ok)");
    it.receives("[33,2,8]", "SUBSCRIBED a (ok)");
    it.receives("[36,7,1,{},[1]]", "EVENT a [1]");
    it.receives(
        "[36,8,1,{\"topic\":\"ab\"},[1],{\"k\":2}]",
        "EVENT ab {\"topic\": \"ab\"} [1] {\"k\": 2}",
    );
    it.receives("[36,9,1,{}]", "EVENT {}");
    it.sends("UNSUBSCRIBE a", "[34, 3, 8]");
    it.receives("[35,3]", "UNSUBSCRIBED a (ok)");
    it.receives(
        "[35,0,{\"subscription\":7,\"reason\":\"r\"}]",
        "UNSUBSCRIBED a {\"subscription\": 7, \"reason\": \"r\"}",
    );
    it.sends("UNSUBSCRIBE a", "it is not subscribed to `a`");
}

#[test]
fn raw_requests_are_noted_but_not_acknowledged_silently() {
    let mut it = fixture(Version::V2);
    let raw = Cursor::new("[32, 5, {}, \"a\"]").value(Use::Send).unwrap();
    it.ledger.sent(&raw, false);
    it.receives("[33,5,7]", "SUBSCRIBED a");
    it.sends("PUBLISH b [1]", "[16, 6, {\"acknowledge\": true}, \"b\", [1]]");
    it.receives("[17,6,1]", "PUBLISHED b (ok)");
    it.receives("[17,6,1]", "PUBLISHED");
    it.sends(
        "PUBLISH b {\"acknowledge\": false} []",
        "[16, 7, {\"acknowledge\": false}, \"b\", []]",
    );
}

#[test]
fn knows_calls_and_invocations() {
    let mut it = fixture(Version::V2);
    it.sends("YIELD [1]", "it has no open invocation");
    it.sends("CANCEL", "it has no open call");
    it.sends("REGISTER p", "[64, 1, {}, \"p\"]");
    it.receives("[65,1,4]", "REGISTERED p (ok)");
    it.receives("[68,1,4,{},[1]]", "INVOCATION p [1]");
    it.receives("[68,2,4,{\"procedure\":\"q\"}]", "INVOCATION q {\"procedure\": \"q\"}");
    it.sends("YIELD {\"progress\": true} [1]", "[70, 1, {\"progress\": true}, [1]]");
    it.sends("YIELD [2] {\"k\": 3}", "[70, 1, {}, [2], {\"k\": 3}]");
    it.sends("ERROR e \"No.\"", "[8, 68, 2, {}, \"e\", [\"No.\"]]");
    it.sends("YIELD [3]", "it has no open invocation");
    it.sends("CALL p [1]", "[48, 2, {}, \"p\", [1]]");
    it.receives("[50,2,{\"progress\":true},[1]]", "RESULT {\"progress\": true} [1]");
    it.sends("CANCEL {\"mode\": \"kill\"}", "[49, 2, {\"mode\": \"kill\"}]");
    it.receives("[8,48,2,{},\"e\",[\"No.\"]]", "ERROR e \"No.\" [\"No.\"]");
    it.sends("CANCEL", "it has no open call");
    it.sends("UNREGISTER p", "[66, 3, 4]");
    it.receives("[67,3]", "UNREGISTERED p (ok)");
}

#[test]
fn reads_ends_of_sessions() {
    let mut it = fixture(Version::V2);
    it.receives("[3,{\"message\":\"m\"},\"r\"]", "ABORT r {\"message\": \"m\"} \"m\"");
    it.receives("[6,{},\"r\"]", "GOODBYE r {}");
    for other in ["[2,1,{}]", "[99]", "[]", "{}", "7", "[36]", "[8]"] {
        let message = Cursor::new(other).value(Use::Message).unwrap();
        let _symbol = it.ledger.received(message);
    }
}

#[test]
fn version_1_has_values_in_place_of_arguments() {
    let mut it = fixture(Version::V1);
    it.sends("SUBSCRIBE a", "[5, \"a\"]");
    it.sends("UNSUBSCRIBE a", "[6, \"a\"]");
    it.sends("PUBLISH a [[1, 2]]", "[7, \"a\", [1, 2]]");
    it.sends("PUBLISH a", "[7, \"a\", null]");
    it.sends("CALL p [1, 2]", "[2, \"1\", \"p\", 1, 2]");
    it.sends("CALL p", "[2, \"2\", \"p\"]");
    it.receives("[0,\"7\",1,\"x\"]", "none");
    it.receives("[8,\"a\",{\"k\":1}]", "EVENT a [{\"k\": 1}]");
    it.receives("[3,\"1\",[1]]", "RESULT [[1]]");
    it.receives("[4,\"1\",\"e\",\"No.\"]", "ERROR e \"No.\"");
}
