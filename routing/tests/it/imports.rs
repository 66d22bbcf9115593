//! Imports: where their files are looked for, what they override, what is refused.

use std::collections::BTreeMap;

use jackfield_routing::{Files, load};

use crate::file;

/// Files by path; patterns know only `*`, within one folder.
struct Map(BTreeMap<&'static str, &'static str>);

impl Files for Map {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).map(|text| (*text).to_owned()).ok_or_else(|| "no such file".to_owned())
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        let (before, after) = pattern.split_once('*').ok_or("not a pattern")?;
        let fits = |path: &&&str| {
            path.strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|rest| !rest.contains('/'))
        };
        Ok(self.0.keys().filter(fits).map(|path| (*path).to_owned()).collect())
    }
}

fn files() -> Map {
    Map(BTreeMap::from([
        ("site/chat/one.yml", "one: { channel: 'one/{x}', handler: h1, defaults: { x: a } }"),
        (
            "site/chat/two.yml",
            "two: { channel: 'two/{x}', handler: h2, requirements: { x: '\\d+' } }",
        ),
        ("site/chat/three.yaml", "three: { channel: three, handler: h3 }"),
        ("site/chat/bad.yml", "bad: { channel: c }"),
        (
            "site/nested.yml",
            "before: { channel: b, handler: h }\nn: { resource: 'chat/one.yml', options: { deep: 1 } }",
        ),
        ("site/loop.yml", "l: { resource: './loop.yml' }"),
        ("site/a.yml", "a: { resource: b.yml }"),
        ("site/b.yml", "b: { resource: a.yml }"),
        ("other/x.yml", "x: { channel: x, handler: h }"),
    ]))
}

/// The routes of `site/r.yml` in one line, or its problems.
#[track_caller]
fn check(yaml: &str, expect: &str) {
    let shown = match load(&[file("site/r.yml", yaml)], &files()) {
        Ok(table) => table
            .routes()
            .iter()
            .map(|route| {
                let defaults: String = route
                    .defaults
                    .iter()
                    .map(|(name, value)| format!(" {name}?{}", value.as_deref().unwrap_or("~")))
                    .collect();
                let requirements: String = route
                    .requirements
                    .iter()
                    .map(|(name, pattern)| format!(" {name}={pattern}"))
                    .collect();
                let options = if route.options.is_empty() {
                    String::new()
                } else {
                    format!(" {}", serde_json::to_string(&route.options).unwrap())
                };
                format!("{}{defaults}{requirements}{options}", route.name)
            })
            .collect::<Vec<_>>()
            .join(", "),
        Err(problems) => problems
            .iter()
            .map(|problem| {
                format!("{}:{}:{} {}", problem.path, problem.line, problem.column, problem.message)
            })
            .collect::<Vec<_>>()
            .join("; "),
    };
    assert_eq!(shown, expect, "{yaml}");
}

#[test]
fn resolves_files_relative_to_the_importing_file() {
    check("i: { resource: 'chat/one.yml' }", "one x?a");
    check("i: { resource: './chat/../chat/one.yml', type: yaml }", "one x?a");
    check("i: { resource: '../other/x.yml' }", "x");
    check("i: { resource: 'nested.yml' }", "before, one x?a {\"deep\":1}");
    check("i: { resource: 'chat/one.yml', type: oro_websocket_routing_yaml }", "one x?a");
}

#[test]
fn keeps_the_position_of_imports() {
    check(
        "p: { channel: p, handler: h }\ni: { resource: 'chat/one.yml' }\nq: { channel: q, handler: h }",
        "p, one x?a, q",
    );
    check(
        "one: { channel: p, handler: h }\nq: { channel: q, handler: h }\ni: { resource: 'chat/one.yml' }",
        "q, one x?a",
    );
    check("i: { resource: 'chat/one.yml' }\none: { channel: p, handler: h }", "one");
}

#[test]
fn expands_globs() {
    check("i: { resource: 'chat/*.yaml' }", "three");
    check("i: { resource: 'chat/t*.yml', type: glob }", "two x=\\d+");
    check("i: { resource: 'chat/*.yml', exclude: 'chat/bad.yml' }", "one x?a, two x=\\d+");
    check("i: { resource: 'chat/*.yml', exclude: ['chat/b*.yml', './chat/two.yml'] }", "one x?a");
    check("i: { resource: 'chat/*.yml', exclude: 'chat' }", "");
    check("i: { resource: 'none/*.yml' }", "");
    check("i: { resource: 'chat/*.yml' }", "site/chat/bad.yml:1:1 route `bad` has no `handler`");
}

#[test]
fn later_imports_override() {
    check("i: { resource: 'chat/one.yml', defaults: { x: b, y: c } }", "one x?b y?c");
    check(
        "i: { resource: 'chat/two.yml', requirements: { x: { pattern: '[a-z]', wildcard: true }, z: a } }",
        "two x=[a-z]|\\*",
    );
    check(
        "i: { resource: 'nested.yml', options: { deep: 2, wide: 1 } }",
        "before {\"deep\":2,\"wide\":1}, one x?a {\"deep\":2,\"wide\":1}",
    );
    check(
        "i: { resource: 'chat/two.yml', requirements: { x: '[' } }",
        "site/r.yml:1:52 in the requirement of `x`, the pattern `[` is not a valid regular expression: unclosed character class",
    );
}

#[test]
fn warns_of_imports_without_routes() {
    let check = |yaml: &str, routes: usize, expect: &str| {
        let table = load(&[file("site/r.yml", yaml)], &files()).unwrap();
        let messages: Vec<String> =
            table.warnings().iter().map(|it| it.warning().to_string()).collect();
        assert_eq!(table.routes().len(), routes, "{yaml}");
        assert!(messages.len() == 1 && messages[0].starts_with(expect), "{yaml}\n{messages:#?}");
    };
    check(
        "i: { resource: 'none/*.yml' }",
        0,
        "site/r.yml:1:16: warning: this imports nothing: no file matches `site/none/*.yml`\n  = \
         help: a path is relative to the folder",
    );
    check(
        "i: { resource: 'chat/*.yml', exclude: 'chat' }",
        0,
        "site/r.yml:1:16: warning: this imports nothing: `exclude` takes out every file",
    );
    check(
        "i: { resource: 'chat/one.yml', exclude: 'chat/two.yml' }",
        1,
        "site/r.yml:1:16: warning: `exclude` is ignored",
    );
    check(
        "i: { resource: 'chat/one.yml', handler: x }",
        1,
        "site/r.yml:1:32: warning: `handler` of import `i` is ignored",
    );
}

#[test]
fn points_only_at_names_of_the_application() {
    let check = |resource: &str, expect: &str| {
        let yaml = format!("i: {{ resource: '{resource}' }}");
        let problems = load(&[file("site/r.yml", &yaml)], &files()).unwrap_err();
        assert!(problems[0].help.as_ref().unwrap().starts_with(expect), "{problems:?}");
    };
    check("@AcmeBundle/Resources/x.yml", "names such as `@AcmeBundle`");
    check("%kernel.project_dir%/x.yml", "parameters mean something");
    check("gone.yml", "a path is relative");
}

#[test]
fn reports_invalid_imports() {
    check(
        "i: { resource: 'gone.yml' }",
        "site/r.yml:1:16 cannot import `site/gone.yml`: cannot read it: no such file",
    );
    check(
        "i: { resource: 'r.xml', type: xml }",
        "site/r.yml:1:31 imports of type `xml` are not supported",
    );
    check(
        "i: { resource: 'R', type: php }",
        "site/r.yml:1:27 imports of type `php` are not supported",
    );
    check(
        "i: { resource: 'R::x', type: closure }",
        "site/r.yml:1:30 imports of type `closure` are not supported",
    );
    check("i: { resource: 'r.php' }", "site/r.yml:1:16 `site/r.php` is not a YAML file");
    check("i: { resource: 5 }", "site/r.yml:1:16 `resource` is text, but this is the number `5`");
    check(
        "i: { resource: 'chat/one.yml', channel: c }",
        "site/r.yml:1:32 import `i` has both `resource` and `channel`",
    );
    check(
        "i: { resource: 'chat/one.yml', lanes: 2 }",
        "site/r.yml:1:32 import `i` has both `resource` and `lanes`",
    );
    check(
        "i: { resource: 'chat/one.yml', prefix: 2 }",
        "site/r.yml:1:32 unknown key `prefix` in import `i`",
    );
    check(
        "i: { resource: 'loop.yml' }",
        "site/loop.yml:1:16 `site/loop.yml` imports itself, here or through another file",
    );
    check(
        "i: { resource: 'a.yml' }",
        "site/b.yml:1:16 `site/a.yml` imports itself, here or through another file",
    );
    check(
        "i: { resource: r.yml }",
        "site/r.yml:1:16 `site/r.yml` imports itself, here or through another file",
    );
    check(
        "i: { resource: 'gone.yml' }\nj: { resource: 'chat/bad.yml' }\nk: ~",
        "site/r.yml:1:16 cannot import `site/gone.yml`: cannot read it: no such file; site/r.yml:3:1 route `k` has no body; site/chat/bad.yml:1:1 route `bad` has no `handler`",
    );
}

/// Each file imports the next twice.
struct Doubling;

impl Files for Doubling {
    fn read(&self, path: &str) -> Result<String, String> {
        let number: u32 = path.trim_end_matches(".yml").parse().map_err(|_| "not a number")?;
        let next = number + 1;
        Ok(format!("a: {{ resource: {next}.yml }}\nb: {{ resource: {next}.yml }}\n"))
    }

    fn glob(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

#[test]
fn reports_an_import_cycle_once() {
    let problems = load(&[file("r.yml", "r: { resource: 0.yml }")], &Doubling).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.starts_with("imports nest deeper than 32"), "{}", problems[0]);
}

#[test]
fn lists_imported_files() {
    let table = load(&[file("site/r.yml", "i: { resource: 'nested.yml' }")], &files()).unwrap();
    assert_eq!(table.files(), ["site/r.yml", "site/nested.yml", "site/chat/one.yml"]);
    assert_eq!(table.get("one").unwrap().origin.path, "site/chat/one.yml");
}
