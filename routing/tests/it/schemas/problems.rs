//! Schemas that are refused, and their places.

use super::*;

/// The schema has one problem, shown as `PATH:LINE:COLUMN message | help`.
#[track_caller]
fn check_problem(schema: &str, expected: &str) {
    let shown = match loaded(schema) {
        Ok(_) => "fine".to_owned(),
        Err(problems) => {
            assert_eq!(problems.len(), 1, "{problems:#?}");
            let Diagnosis { path, line, column, message, help, .. } = &problems[0];
            format!("{path}:{line}:{column} {message} | {}", help.as_deref().unwrap_or("NO HELP"))
        }
    };
    assert!(shown.starts_with(expected), "{schema}\n{shown}");
}

#[test]
fn reports_problems_at_their_place() {
    let route = "in the schema of route `r`,";
    check_problem(
        "~",
        "site/r.yml:4:11 the schema of route `r` is a map or the path of a file, but this is nothing | write",
    );
    check_problem("[]", "site/r.yml:4:11 the schema of route `r` is a map");
    check_problem("{ publish: 5 }", "site/r.yml:4:22 the schema of route `r` is a map");
    check_problem(
        "{ type: decimal }",
        &format!(
            "site/r.yml:4:19 {route} at `/type` the value is not permitted: `enum` has no such value, expected one of [\"array\""
        ),
    );
    check_problem(
        "\n    properties:\n      a:\n        maxLength: -1\n",
        &format!(
            "site/r.yml:7:20 {route} at `/properties/a/maxLength` the value is not permitted: `minimum` is 0, found -1"
        ),
    );
    check_problem(
        "{ $ref: '#/$defs/x' }",
        &format!("site/r.yml:4:19 {route} at `/$ref` refers to `/$defs/x`, which is not there"),
    );
    check_problem(
        "{ $ref: 'https://example.com/x.schema.json' }",
        &format!("site/r.yml:4:19 {route} at `/$ref` refers to another place than the site"),
    );
    check_problem(
        "{ $ref: '/etc/x.schema.json' }",
        &format!("site/r.yml:4:19 {route} at `/$ref` refers to another place"),
    );
    check_problem("{ pattern: '(?=a)' }", &format!("site/r.yml:4:22 {route} at `/pattern` look-"));
    check_problem(
        "{ patternProperties: { '(': true } }",
        &format!("site/r.yml:4:39 {route} at `/patternProperties/(`"),
    );
    check_problem(
        "{ pattern: '\\w{1,1000}{1,1000}' }",
        &format!(
            "site/r.yml:4:22 {route} at `/pattern` the pattern `\\w{{1,1000}}{{1,1000}}` is too large"
        ),
    );
    check_problem(
        "{ properties: { a: { $id: x } } }",
        &format!("site/r.yml:4:37 {route} at `/properties/a/$id` `$id` is not supported"),
    );
    check_problem(
        "{ $dynamicRef: '#a' }",
        &format!("site/r.yml:4:26 {route} at `/$dynamicRef` `$dynamicRef` is not supported"),
    );
    check_problem(
        "{ additionalItems: true }",
        &format!(
            "site/r.yml:4:30 {route} at `/additionalItems` `additionalItems` is not supported: draft 2020-12"
        ),
    );
    check_problem(
        "{ multipleOf: 0.01 }",
        &format!("site/r.yml:4:25 {route} at `/multipleOf` `multipleOf` is a fraction"),
    );
    check_problem("{ $ref: '#' }", &format!("site/r.yml:4:11 {route} it applies itself"));
    check_problem(
        "text.json",
        "site/r.yml:4:11 cannot read the schema `site/text.json`: this is no name of a schema file | the names",
    );
    check_problem(
        "none.schema.json",
        "site/r.yml:4:11 cannot read the schema `site/none.schema.json`: there is no such file",
    );
    check_problem(
        "large.schema.json",
        "site/r.yml:4:11 cannot read the schema `site/large.schema.json`: it is 300013 bytes long",
    );
    check_problem(
        "broken.schema.json",
        "site/broken.schema.json:3:1 not valid JSON: trailing comma | look at the commas",
    );
    check_problem(
        "twice.schema.json",
        "site/twice.schema.json:3:13 the key \"maxLength\" appears twice | keep one",
    );
    check_problem(
        "wrong.schema.json",
        &format!(
            "site/wrong.schema.json:3:20 {route} at `/properties/a/type` the value is not permitted"
        ),
    );
    check_problem(
        "old.schema.json",
        &format!("site/old.schema.json:1:13 {route} at `/$schema` is not for draft 2020-12"),
    );
    check_problem(
        "remote.schema.json",
        &format!("site/remote.schema.json:1:10 {route} at `/$ref` refers to another place"),
    );
    check_problem(
        "gone.schema.json",
        "site/gone.schema.json:1:10 cannot read the schema `site/nowhere.schema.json`",
    );
}

#[test]
fn refuses_schemas_without_bounds() {
    let route = "in the schema of route `r`,";
    let twice = "{ $defs: { n: { anyOf: [{ type: array, items: { $ref: '#/$defs/n' }, minItems: 1 }, { \
                 type: array, items: { $ref: '#/$defs/n' } }] } }, $ref: '#/$defs/n' }";
    check_problem(twice, &format!("site/r.yml:4:11 {route} one value would be evaluated "));
    let tree = "{ $defs: { n: { anyOf: [{ type: string }, { type: array, items: { $ref: '#/$defs/n' } }] } }, $ref: '#/$defs/n' }";
    check(tree, r#"["a", ["b", []]]"#, "ok");
    let wide = format!(
        "{{ properties: {{ {} }} }}",
        (0..1_001).map(|it| format!("p{it}: true, ")).collect::<String>()
    );
    check_problem(
        &wide,
        &format!(
            "site/r.yml:4:11911 {route} at `/properties/p999` there are more than 1000 subschemas"
        ),
    );
    let deep = format!("{}true{}", "{ items: ".repeat(41), " }".repeat(41));
    check_problem(&deep, &format!("site/r.yml:4:11 {route} maps and lists nest deeper than 40"));
}

#[test]
fn warns_of_keywords_and_formats_without_effect() {
    let check = |schema: &str, expected: &[&str]| {
        let table = table(schema);
        let found: Vec<String> =
            table.warnings().iter().map(|it| it.warning().to_string()).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}\n{expected}");
        }
    };
    check(
        "{ requird: [a], x-note: 1, nullable: true }",
        &[
            "site/r.yml:4:13: warning: in the schema of route `r`, at `/requird` the unknown keyword `requird` is ignored\n  = help: did you mean `required`?",
        ],
    );
    check(
        "{ format: emial }",
        &["the format `emial` is not checked\n  = help: did you mean `email`?"],
    );
    check("{ format: regex }", &["the format `regex` is not checked"]);
    check("{ properties: { a: { format: email } }, title: t, examples: [1] }", &[]);
}

#[test]
fn routes_differ_by_their_schemas() {
    let same = |one: &str, other: &str| table(one).routes() == table(other).routes();
    assert!(same("{ type: string }", "{ type: string }"));
    assert!(!same("{ type: string }", "{ type: integer }"));
    assert!(!same("{ type: string }", "{ args: { type: string } }"));
    assert!(same("text.schema.json", "./text.schema.json"));
}

#[test]
fn the_key_belongs_to_a_route() {
    let problem = |text: &str| {
        let problems = load(&[file("site/r.yml", text)], &files()).unwrap_err();
        problems[0].message.clone()
    };
    assert!(
        problem("i: { resource: event.yml, schema: true }")
            .contains("has both `resource` and `schema`")
    );
    assert!(
        problem("r: { channel: c, handler: { callback: h, schema: true } }")
            .contains("`schema` of route `r` stands within `handler`")
    );
}

#[test]
fn a_file_of_many_routes_is_compiled_once() {
    let inline = format!("{{ title: '{}' }}", "x".repeat(200_000));
    let routes = |schema: &str| {
        let route =
            |it: usize| format!("r{it}: {{ channel: c{it}, handler: h, schema: {schema} }}\n");
        (0..100).map(route).collect::<String>()
    };
    let problems = load(&[file("site/r.yml", &routes(&inline))], &files()).unwrap_err();
    assert!(
        problems[0].message.contains("all schemas of the site together have more than 16 MiB"),
        "{}",
        problems[0]
    );
    assert!(load(&[file("site/r.yml", &routes("order.schema.json"))], &files()).is_ok());
}
