//! Tests of the parser: scripts with one line of interest, and arbitrary texts.

use proptest::prelude::*;

use super::*;

/// Clients for the line of interest, and an expectation so that the script may have no other.
const BEFORE: &str = "client ann\nclient old v1\nann < nothing\n";

/// Parses one line, and returns it as it is understood, or the error with its place.
fn understood(line: &str) -> String {
    let text = format!("{BEFORE}{line}\n");
    match parse(&text) {
        Ok(script) => match &script.lines.last().unwrap().action {
            Action::Join(client) => format!("{client:?}"),
            Action::Send(name, Sent::Symbol(symbol)) => format!("{name} > {symbol}"),
            Action::Send(name, Sent::Raw(value)) => format!("{name} > {value}"),
            Action::Send(name, Sent::Frame(text)) => format!("{name} > {text:?}"),
            Action::Expect(name, Expected::Symbol(symbol)) => format!("{name} < {symbol}"),
            Action::Expect(name, Expected::Raw(value)) => format!("{name} < {value}"),
            Action::Expect(name, other) => format!("{name} < {other:?}"),
            other => format!("{other:?}"),
        },
        Err(errors) => {
            let error = &errors[0];
            let at = error.range.start - BEFORE.len();
            let help = error.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{}: {}{help}", at + 1, error.message)
        }
    }
}

/// Checks that the line is understood as written.
#[track_caller]
fn same(line: &str) {
    assert_eq!(understood(line), line);
}

#[track_caller]
fn check(line: &str, expect: &str) {
    assert_eq!(understood(line), expect, "{line}");
}

#[track_caller]
fn fails(line: &str, begins: &str) {
    let found = understood(line);
    assert!(found.starts_with(begins), "{line}\n{found}\n{begins}");
}

#[test]
fn reads_messages() {
    same("ann > SUBSCRIBE acme/shout/kitchen");
    same("ann > SUBSCRIBE acme. {\"match\": \"prefix\"}");
    same("ann > PUBLISH a [\"x\", 1] {\"k\": null}");
    same("ann > PUBLISH a {\"acknowledge\": false} []");
    same("ann > YIELD [1]");
    same("ann > ERROR a.b \"text\"");
    same("ann > CANCEL {\"mode\": \"kill\"}");
    same("ann < SUBSCRIBED");
    same("ann < SUBSCRIBED acme/shout/kitchen");
    same("ann < EVENT _ {\"publisher\": $who, ...} [_, ...] {\"k\": 1}");
    same("ann < EVENT a");
    same("ann < RESULT [...]");
    same("ann < ERROR wamp.error.not_authorized \"No.\"");
    same("ann < ERROR a {\"d\": 1} [2]");
    same("ann < GOODBYE a.b \"bye\"");
    same("ann < INTERRUPT");
    same("old > CALL a [1, 2]");
    check("ann < nothing", "ann < Nothing");
    check("ann < closed", "ann < Closed");
    check("ann > PUBLISH \"a b\" [1]", "ann > PUBLISH \"a b\" [1]");
    check("ann   >  PUBLISH  a#b   [1] # note", "ann > PUBLISH a#b [1]");
    check("ann leaves # soon", "Leave(\"ann\")");
    check("ann disconnects", "Disconnect(\"ann\")");
    check("wait 1.5s", "Wait(1.5s)");
}

#[test]
fn reads_raw_messages_and_frames() {
    same("ann > [32, 1, {}, \"a\"]");
    same("ann < [33, 1, $subscription]");
    same("ann < [36, _, _, {...}, [1]]");
    check("ann > \"no message\"", "ann > \"no message\"");
    check("ann > [1, # a comment\n  {\"a\":\n 2}]", "ann > [1, {\"a\": 2}]");
}

#[test]
fn reads_clients() {
    let Ok(script) =
        parse("client ann v2 user 7 roles a,b claims {\"id\": 7} realm r raw\nann < nothing")
    else {
        panic!("no error")
    };
    let Action::Join(client) = &script.lines[0].action else { panic!("a client") };
    assert_eq!((client.name.as_str(), client.user.as_deref()), ("ann", Some("7")));
    assert_eq!(
        (&client.roles[..], client.realm.as_deref()),
        (&["a".into(), "b".into()][..], Some("r"))
    );
    assert_eq!(client.claims.as_ref().unwrap().to_string(), "{\"id\": 7}");
    assert!(client.is_raw);
    fails("client bob user \"Bob B\" roles [\"a b\"]", "Declaration");
    fails("client", "7: the name is missing (names begin");
    fails("client 7", "8: invalid name");
    fails("client wait", "8: invalid name");
    fails("client bob rolse a", "12: unknown word `rolse` (did you mean `roles`?");
    fails("client bob roles a", "8: roles and claims belong to a user");
    fails("client bob user b claims [1]", "26: claims are a dictionary");
    fails("client bob v1 realm x", "8: WAMP v1 has no realms");
}

#[test]
fn reports_errors_with_place_and_help() {
    fails("anm > PUBLISH a", "1: there is no client `anm` (did you mean `ann`?)");
    fails("bob > PUBLISH a", "1: there is no client `bob` (each client is declared");
    fails("wiat 1s", "1: there is no client `wiat` (did you mean `wait`?)");
    fails("wait long", "6: `wait` needs a duration");
    fails("ann", "4: expected `>` or `<` after `ann`");
    fails("ann leave", "5: expected `>` or `<` after `ann` (did you mean `leaves`?)");
    fails("ann > PUBLIHS a", "7: unknown message `PUBLIHS` (did you mean `PUBLISH`?");
    fails("ann > publish a", "7: unknown message `publish` (did you mean `PUBLISH`?");
    fails("ann > EVENT a", "7: this client cannot have `EVENT` here");
    fails("old < SUBSCRIBED", "7: this client cannot have `SUBSCRIBED` here");
    fails("ann >", "6: a message is missing");
    fails("ann > PUBLISH", "14: `PUBLISH` needs a URI");
    fails("ann > PUBLISH [1]", "15: `PUBLISH` needs a URI");
    fails("ann > PUBLISH a[1]", "15: `PUBLISH` needs a space");
    fails("ann > PUBLISH a {\"k\": 1}", "17: a dictionary needs a list beside it");
    fails("ann > PUBLISH a [1] 2", "21: unexpected text at the end");
    fails("ann > PUBLISH a [_]", "18: `_` cannot be sent");
    fails("ann > PUBLISH a [$x]", "17: `$x` has no value here");
    fails("ann > PUBLISH a [$an]", "17: `$an` has no value here (did you mean `$ann`?)");
    fails("ann < EVENT a [1", "15: `[` has no closing `]`");
    fails("ann < nothing else", "15: unexpected text");
    fails("old > PUBLISH a [1, 2]", "7: an event of WAMP v1 is one value");
    fails("old > PUBLISH a {} [1]", "7: `PUBLISH` of WAMP v1 has no options");
}

#[test]
fn a_variable_can_be_sent_after_its_expectation() {
    parse("client ann\nann < [33, 1, $s]\nann > [34, 2, $s]\nann < [35, 2]").unwrap();
    parse("client ann\nann > PUBLISH a {\"exclude\": [$ann]} []\nann < nothing").unwrap();
}

#[test]
fn refuses_scripts_that_cannot_fail() {
    for text in ["", "# nothing\n", "client ann\nann > PUBLISH a\n"] {
        let errors = parse(text).unwrap_err();
        assert!(errors[0].message.contains("expects nothing"), "{text}");
    }
}

#[test]
fn reports_all_errors_up_to_a_bound() {
    let errors = parse("client ann\nann > X\nann < Y\nann < nothing").unwrap_err();
    assert_eq!(errors.len(), 2);
    assert_eq!(parse(&"x\n".repeat(1_000)).unwrap_err().len(), MAX_ERRORS);
}

#[test]
fn scripts_are_bounded() {
    let long = parse(&"#".repeat(MAX_SCRIPT_BYTES + 1)).unwrap_err();
    assert!(long[0].message.contains("1048576 bytes"));
    let lines = format!("client ann\n{}", "ann < nothing\n".repeat(MAX_LINES + 1));
    assert!(parse(&lines).unwrap_err()[0].message.contains("10000 lines"));
    let clients: Vec<_> = (0..=MAX_CLIENTS).map(|it| format!("client c{it}\n")).collect();
    assert!(parse(&clients.concat()).unwrap_err()[0].message.contains("100 clients"));
}

#[test]
fn counts_lines_across_brackets() {
    let script = parse("\n\nclient ann\nann > [1,\n2\n]\n\nann < nothing").unwrap();
    let numbers: Vec<usize> = script.lines.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [3, 4, 8]);
}

proptest! {
    /// Arbitrary text is parsed or refused, with places in the text.
    #[test]
    fn never_panics(text in ".{0,200}") {
        check_places(&text);
    }

    #[test]
    fn never_panics_on_almost_scripts(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("client ann"), Just("ann"), Just(" > "), Just(" < "), Just("PUBLISH "),
                Just("EVENT a "), Just("ERROR "), Just("["), Just("]"), Just("{"), Just("}"),
                Just("\""), Just("$x"), Just("_"), Just("..."), Just(","), Just(":"), Just("\n"),
                Just("1e"), Just("#"), Just("wait "), Just("\u{e9}"), Just("\\"), Just("raw "),
            ],
            0..40,
        )
    ) {
        check_places(&parts.concat());
    }
}

fn check_places(text: &str) {
    if let Err(errors) = parse(text) {
        assert!(!errors.is_empty());
        for error in errors {
            assert!(text.is_char_boundary(error.range.start) && error.range.start <= text.len());
        }
    }
}
