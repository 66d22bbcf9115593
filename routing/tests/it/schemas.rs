//! Schemas of payloads: where they are written, what they permit, what is refused, and their bounds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jackfield_routing::{Action, Diagnosis, Files, RouteTable, load};

use crate::file;

mod problems;

/// Files of the site by path.
struct Map(BTreeMap<&'static str, String>);

impl Files for Map {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| "there is no such file".to_owned())
    }

    fn glob(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

fn files() -> Map {
    let files = [
        (
            "site/text.schema.json",
            r#"{"$id": "https://example.com/text", "type": "string", "maxLength": 3}"#,
        ),
        (
            "site/order.schema.json",
            "{\n\t\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n\t\"properties\": {\n\
             \t\t\"to\": {\"$ref\": \"parts/address.schema.json#/$defs/address\"},\n\
             \t\t\"lines\": {\"type\": \"array\", \"items\": {\"$ref\": \"#line\"}}\n\t},\n\
             \t\"$defs\": {\"line\": {\"$anchor\": \"line\", \"required\": [\"sku\"]}}\n}",
        ),
        (
            "site/parts/address.schema.json",
            r##"{"$defs": {"address": {"required": ["city"], "properties": {"next": {"$ref": "#/$defs/address"}}}}}"##,
        ),
        ("site/event.yml", "type: object\nproperties: { kind: { enum: [a, b] } }\n"),
        ("site/twice.schema.json", "{\n  \"maxLength\": 5,\n  \"maxLength\": 500\n}"),
        ("site/broken.schema.json", "{\n  \"type\": \"string\",\n}"),
        (
            "site/wrong.schema.json",
            "{\n  \"properties\": {\n    \"a\": { \"type\": \"decimal\" }\n  }\n}",
        ),
        ("site/old.schema.json", r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#),
        ("site/remote.schema.json", r#"{"$ref": "https://example.com/x.schema.json"}"#),
        ("site/gone.schema.json", r#"{"$ref": "nowhere.schema.json"}"#),
    ];
    let mut all: BTreeMap<&str, String> =
        files.into_iter().map(|(path, text)| (path, text.to_owned())).collect();
    all.insert("site/large.schema.json", format!("{{\"title\": \"{}\"}}", "x".repeat(300_000)));
    Map(all)
}

fn loaded(schema: &str) -> Result<RouteTable, Vec<Diagnosis>> {
    let text = format!("r:\n  channel: c\n  handler: h\n  schema: {schema}\n");
    load(&[file("site/r.yml", &text)], &files())
}

#[track_caller]
fn table(schema: &str) -> RouteTable {
    loaded(schema).unwrap_or_else(|problems| panic!("{schema}\n{}", problems[0]))
}

/// The result for arguments: `ok`, or the violation.
#[track_caller]
fn result(table: &RouteTable, action: Action, args: &str, kwargs: &str) -> String {
    let schema = table.routes()[0].schemas.of(action);
    let checked = schema.map(|schema| schema.check(args, kwargs));
    match checked {
        None => "unchecked".to_owned(),
        Some(Ok(())) => "ok".to_owned(),
        Some(Err(violation)) => violation.to_string(),
    }
}

/// Checks an event by a schema.
#[track_caller]
fn check(schema: &str, event: &str, expected: &str) {
    let found = result(&table(schema), Action::Publish, &format!("[{event}]"), "{}");
    assert_eq!(found, expected, "{schema}\n{event}");
}

#[test]
fn reports_the_first_violation_with_its_place_and_keyword() {
    let chat = "{ type: object, required: [text], additionalProperties: false, properties: { text: \
                { type: string, maxLength: 5, pattern: '^[a-z ]*$' }, to: { type: array, items: { \
                type: integer } }, when: { format: date-time } } }";
    check(chat, r#"{"text": "hello"}"#, "ok");
    check(chat, r#"{"text": "hello", "to": [1, 2.0], "when": "2026-01-02T03:04:05Z"}"#, "ok");
    check(chat, "7", "`type` is object, found number");
    check(chat, "{}", "`required` names `text`, which is missing");
    check(chat, r#"{"text": 7}"#, "`type` is string, found number (at `/text`)");
    check(chat, r#"{"text": "too long"}"#, "`maxLength` is 5, found 8 (at `/text`)");
    check(chat, r#"{"text": "A"}"#, "`pattern` is `^[a-z ]*$`, found another text (at `/text`)");
    check(chat, r#"{"text": "a", "to": [1, "x"]}"#, "`type` is integer, found string (at `/to/1`)");
    check(chat, r#"{"text": "a", "x/y": 1}"#, "`additionalProperties` is false, found `x/y`");
    check(
        chat,
        r#"{"text": "a", "when": "now"}"#,
        "`format` is date-time, found another text (at `/when`)",
    );
    check("{ enum: [a, 1] }", "\"b\"", "`enum` has no such value, expected one of [\"a\",1]");
    check("{ const: { a: 1 } }", "{}", "`const` is {\"a\":1}, found another value");
    check("{ minimum: 3, multipleOf: 2 }", "4", "ok");
    check("{ minimum: 3 }", "2", "`minimum` is 3, found 2");
    check("{ multipleOf: 2 }", "5", "`multipleOf` is 2, found 5");
    check(
        "{ oneOf: [{ type: string }, { maxLength: 3 }] }",
        "\"ab\"",
        "`oneOf` has two alternatives that match, 0 and 1",
    );
    check(
        "{ anyOf: [{ type: string }, { type: 'null' }] }",
        "1",
        "`anyOf` has no alternative that matches",
    );
    check("{ not: { type: string } }", "\"a\"", "`not` matches");
    check(
        "{ uniqueItems: true }",
        "[1, 2, 1.0]",
        "`uniqueItems` is true, but the items 0 and 2 are equal",
    );
    check(
        "{ dependentRequired: { a: [b] } }",
        r#"{"a": 1}"#,
        "`dependentRequired` of `a` names `b`, which is missing",
    );
    check(
        "{ propertyNames: { maxLength: 2 } }",
        r#"{"abc": 1}"#,
        "`propertyNames` does not permit the name `abc`",
    );
    check("{ contains: { const: 1 }, maxContains: 1 }", "[1, 1]", "`maxContains` is 1, found 2");
    check(
        "{ properties: { a: true }, unevaluatedProperties: false }",
        r#"{"b": 1}"#,
        "no value is permitted (at `/b`)",
    );
    check("true", "[]", "ok");
    check("false", "[]", "no value is permitted");
    check(
        "{ if: { type: string }, then: { minLength: 2 }, else: { minimum: 2 } }",
        "1",
        "`minimum` is 2, found 1",
    );
}

#[test]
fn describes_the_only_argument_or_the_parts() {
    let only = "it describes one positional argument alone, found ";
    let check = |schema: &str, args: &str, kwargs: &str, expected: &str| {
        assert_eq!(
            result(&table(schema), Action::Publish, args, kwargs),
            expected,
            "{schema} {args} {kwargs}"
        );
    };
    check("{ type: string }", "[\"a\"]", "{}", "ok");
    check("{ type: string }", "[]", "{}", &format!("{only}0"));
    check("{ type: string }", "[\"a\", 1]", "{}", &format!("{only}2"));
    check("true", "[1]", "{\"a\": 1}", &format!("{only}1, and keyword arguments"));
    check(
        "{ args: { prefixItems: [{ type: integer }], minItems: 1, items: false } }",
        "[1]",
        "{}",
        "ok",
    );
    check(
        "{ args: { prefixItems: [{ type: integer }] } }",
        "[\"a\"]",
        "{}",
        "`type` is integer, found string (at `/args/0`)",
    );
    check("{ args: true }", "[1]", "{\"a\": 1}", "it has no `kwargs`, so they must be absent");
    check("{ kwargs: { required: [a] } }", "[]", "{\"a\": 1}", "ok");
    check(
        "{ kwargs: { required: [a] } }",
        "[1]",
        "{\"a\": 1}",
        "it has no `args`, so they must be absent",
    );
    check(
        "{ kwargs: { required: [a] } }",
        "[]",
        "{}",
        "`required` names `a`, which is missing (at `/kwargs`)",
    );
    check("{ args: true, kwargs: true }", "[1, 2]", "{\"a\": 1}", "ok");
}

#[test]
fn checks_publications_and_calls_or_one_of_them() {
    let check = |schema: &str, expected: [&str; 2]| {
        let table = table(schema);
        let found = [Action::Publish, Action::Call].map(|it| result(&table, it, "[1]", "{}"));
        assert_eq!(found, expected, "{schema}");
        assert!(table.routes()[0].schemas.of(Action::Subscribe).is_none());
    };
    check("{ type: integer }", ["ok", "ok"]);
    check("{ publish: { type: integer } }", ["ok", "unchecked"]);
    check(
        "{ call: { args: { maxItems: 0 } } }",
        ["unchecked", "`maxItems` is 0, found 1 (at `/args`)"],
    );
    check("{ publish: text.schema.json, call: true }", ["`type` is string, found number", "ok"]);
    // JSON Schema has no such keywords, but these are not alone.
    check("{ publish: false, type: integer }", ["ok", "ok"]);
}

#[test]
fn reads_files_of_the_site_and_their_references() {
    check("text.schema.json", "\"abc\"", "ok");
    check("./text.schema.json", "\"abcd\"", "`maxLength` is 3, found 4");
    check(
        "event.yml",
        r#"{"kind": "c"}"#,
        "`enum` has no such value, expected one of [\"a\",\"b\"] (at `/kind`)",
    );
    check(
        "{ items: { $ref: text.schema.json } }",
        "[\"abcd\"]",
        "`maxLength` is 3, found 4 (at `/0`)",
    );
    check(
        "order.schema.json",
        r#"{"to": {"city": "B", "next": {"city": "C"}}, "lines": [{"sku": 1}]}"#,
        "ok",
    );
    check(
        "order.schema.json",
        r#"{"to": {"city": "B", "next": {}}}"#,
        "`required` names `city`, which is missing (at `/to/next`)",
    );
    check(
        "order.schema.json",
        r#"{"lines": [{}]}"#,
        "`required` names `sku`, which is missing (at `/lines/0`)",
    );
}

#[test]
fn refuses_values_that_receivers_could_read_differently() {
    check("true", r#"{"a": 1, "a": 2}"#, "a key appears twice (`a`)");
    let bytes = "a payload with a schema has no bytes, and no text or key that begins with U+0000";
    check("true", r#"["\u0000aGk="]"#, bytes);
    check("true", r#"{"\u0000aGk=": 1}"#, bytes);
    check("true", &("[".repeat(32) + &"]".repeat(32)), "ok");
    let deep = "a payload with a schema has at most 32 levels";
    check("true", &("[".repeat(33) + &"]".repeat(33)), deep);
    check("true", &("[".repeat(100) + &"]".repeat(100)), deep);
}

#[test]
fn bounds_the_work_of_a_check() {
    let numbers = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    check("{ items: { type: integer } }", &numbers(90_000), "ok");
    let expected = "200001 values in 400001 bytes are too many to be checked";
    check("true", &numbers(199_999), expected);
    // Each alternative looks at each value.
    check(
        "{ items: { anyOf: [{ type: string }, { type: 'null' }, { type: integer }] } }",
        &numbers(90_000),
        "90002 values in 180003 bytes are too many to be checked",
    );
    let long = format!("\"{}\"", "x".repeat(6 << 20));
    check(
        "{ pattern: y, allOf: [{ pattern: x }] }",
        &long,
        "2 values in 6291460 bytes are too many to be checked",
    );
}

/// The deepest payload and the most nested schema that are permitted fit on the stack of a worker.
#[test]
fn the_deepest_check_needs_little_stack() {
    let refs: String = (0..9).fold(String::new(), |mut refs, it| {
        write!(refs, "d{it}: {{ $ref: '#/$defs/d{}' }}, ", it + 1).unwrap();
        refs
    });
    let last = "d9: { type: array, items: { anyOf: [{ type: string }, { $ref: '#/$defs/d0' }] } }";
    let schema = format!("{{ $defs: {{ {refs}{last} }}, $ref: '#/$defs/d0' }}");
    let event = "[".repeat(32) + "1" + &"]".repeat(32);
    let worker = std::thread::Builder::new().stack_size(1 << 20);
    let checked = worker.spawn(move || match loaded(&schema) {
        Ok(table) => result(&table, Action::Publish, &format!("[{event}]"), "{}"),
        Err(problems) => problems[0].to_string(),
    });
    let found = checked.unwrap().join().unwrap();
    assert!(found.starts_with("`anyOf` has no alternative"), "{found}");
}
