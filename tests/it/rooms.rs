//! Module graph of each crate, read from its `use` lines and paths: imports go one way.
//!
//! An edge leads from a file to each file that it imports from, and from a module to its children.
//! A child may import from its own ancestors, which is no edge: a parent and its children are one
//! room. In any other circle, no file can be read or changed alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jackfield_tests::build;

/// The crates, by the folder of `src`.
const CRATES: &[&str] = &[
    "host",
    "host/auth",
    "host/bench",
    "host/broker",
    "host/client",
    "host/config",
    "host/metrics",
    "host/sandbox",
    "host/store",
    "host/text",
    "host/tls",
    "host/wamp",
    "plugin-sdk",
    "routing",
    "routing/yaml",
];

/// The names from the crate's root to a module; empty for `lib.rs`.
type Module = Vec<String>;

/// For each module, the modules that it imports from.
type Graph = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn imports_form_no_circle() {
    let mut shown = Vec::new();
    for folder in CRATES {
        let graph = graph(&build::root().join(folder).join("src"));
        for circle in circles(&graph) {
            shown.push(format!("{folder}/src:\n{}", show(&graph, &circle)));
        }
    }
    assert!(shown.is_empty(), "imports form a circle:\n{}", shown.join(""));
}

#[test]
fn only_the_command_imports_the_composition_root() {
    let graph = graph(&build::root().join("host/src"));
    let server = vec!["server".to_owned()];
    let importers = graph.iter().filter(|(_, imported)| imported.contains(&server));
    let importers: Vec<String> = importers.map(|(module, _)| module.join("/")).collect();
    assert_eq!(importers, ["", "cli/serve"]);
}

#[test]
fn architecture_names_files_that_exist() {
    let page = std::fs::read_to_string(build::root().join("docs/architecture.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|it| it.contains('/') && it.contains('.') && !it.contains(' '));
    let missing: Vec<&str> = paths
        .filter(|it| {
            ["host/", "routing/", "plugin-sdk/", "tests/", "docs/"]
                .iter()
                .any(|top| it.starts_with(top))
        })
        .filter(|path| !build::root().join(path).exists())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn reads_imports_of_every_form() {
    let known: BTreeSet<Module> =
        ["a", "a/b", "a/b/c", "d", "e"].map(module_of).into_iter().collect();
    let check = |module: &str, text: &str, expect: &[&str]| {
        let imported = imports(&module_of(module), text, &known);
        let imported: Vec<String> = imported.iter().map(|it| it.join("/")).collect();
        assert_eq!(imported, expect, "{module}: {text}");
    };
    check("d", "use crate::a::b::Thing;", &["a/b"]);
    check("d", "use crate::{a::{b::{self, c::X}}, e::Y};", &["a/b", "a/b/c", "e"]);
    check("d", "fn f() { crate::e::g(); }", &["e"]);
    check("d", "// use crate::e;\nlet x = \"crate::e\";", &[]);
    check("d", "#[cfg(test)]\nmod tests { use crate::e; }", &[]);
    check("a", "mod b;\npub use b::Thing;", &["a/b"]);
    check("a/b", "use super::Thing; use crate::d;", &["d"]);
    check("a/b/c", "use super::super::x; use crate::a::y;", &[]);
    check("e", "pub(crate) use crate::d as f;", &["d"]);
}

fn module_of(path: &str) -> Module {
    path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Returns the graph of the files below a `src` folder, without tests.
fn graph(src: &Path) -> Graph {
    let mut texts = BTreeMap::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(module) = module(src, &path) {
                texts.insert(module, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let only_tests: Vec<Module> = texts
        .iter()
        .flat_map(|(module, text)| {
            let of_tests = text.split("#[cfg(test)]").skip(1).filter_map(declared);
            of_tests.map(|name| [module.clone(), vec![name]].concat())
        })
        .collect();
    texts.retain(|module, _| !only_tests.iter().any(|it| module.starts_with(it)));
    let known: BTreeSet<Module> = texts.keys().cloned().collect();
    let edges = texts.iter().map(|(module, text)| (module.clone(), imports(module, text, &known)));
    edges.collect()
}

/// Returns the module of a file: `a/b.rs` is `a::b`, and `lib.rs` the root.
fn module(src: &Path, path: &Path) -> Option<Module> {
    let below = path.strip_prefix(src).ok()?.with_extension("");
    let is_rust = path.extension().is_some_and(|it| it == "rs");
    let names: Module = below.iter().map(|it| it.to_str().unwrap().to_owned()).collect();
    let module = if names == ["lib"] { Vec::new() } else { names };
    (is_rust && !module.iter().any(|name| name == "tests")).then_some(module)
}

/// Returns the name in `mod name;` at the beginning of a text.
fn declared(text: &str) -> Option<String> {
    let line = text.trim_start().lines().next()?;
    let (_, name) = line.rsplit_once("mod ")?;
    name.strip_suffix(';').map(str::to_owned)
}

/// Returns the modules that a file imports from: its children, and all others except its ancestors.
fn imports(module: &Module, text: &str, known: &BTreeSet<Module>) -> BTreeSet<Module> {
    let code = code(text);
    let children: Vec<String> = code.lines().filter_map(|line| declared(line.trim())).collect();
    let (mut paths, mut rest) = (Vec::new(), String::new());
    for statement in code.split_inclusive(';') {
        let begins = statement.rfind("use ").filter(|at| {
            let before = statement[..*at].chars().next_back();
            before.is_none_or(|c| c.is_whitespace() || c == ')')
        });
        match begins {
            Some(at) => {
                rest += &statement[..at];
                expand("", statement[at + 4..].trim_end_matches(';'), &mut paths);
            }
            None => rest += statement,
        }
    }
    let in_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    paths.extend(rest.split(|c| !in_path(c)).filter(|it| it.contains("::")).map(str::to_owned));
    let resolved = paths.iter().filter_map(|path| resolve(module, path, &children, known));
    let own = children.iter().map(|name| [module.clone(), vec![name.clone()]].concat());
    let imported = resolved.chain(own.filter(|child| known.contains(child)));
    imported.filter(|it| !module.starts_with(it)).collect()
}

/// Returns a text without comments, string literals and unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let lines = lines.map(|line| line.split(" // ").next().unwrap_or_default());
    let unquoted = lines.map(|line| {
        let pieces = line.split('"').step_by(2);
        pieces.collect::<Vec<_>>().join("\"\"")
    });
    unquoted.collect::<Vec<_>>().join("\n")
}

/// Expands `a::{b, c::d}` to `a::b` and `a::c::d`.
fn expand(before: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, body)) = tree.split_once('{') else {
        let path = tree.split_whitespace().next().unwrap_or_default();
        paths.push(format!("{before}{path}"));
        return;
    };
    let body = body.rsplit_once('}').map_or(body, |(body, _)| body);
    let (mut depth, mut begins) = (0, 0);
    for (at, c) in body.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&format!("{before}{head}"), &body[begins..at], paths);
                begins = at + 1;
            }
            _ => {}
        }
    }
    if !body[begins..].trim().is_empty() {
        expand(&format!("{before}{head}"), &body[begins..], paths);
    }
}

/// Returns the longest part of a path that is a module of the crate; `None` for another crate's
/// path.
fn resolve(
    module: &Module,
    path: &str,
    children: &[String],
    known: &BTreeSet<Module>,
) -> Option<Module> {
    let mut names = path.split("::").map(str::trim).peekable();
    let mut found = match *names.peek()? {
        "crate" => {
            names.next();
            Vec::new()
        }
        "self" => {
            names.next();
            module.clone()
        }
        "super" => {
            let mut above = module.clone();
            while names.next_if_eq(&"super").is_some() {
                above.pop();
            }
            above
        }
        name if children.iter().any(|child| child == name) => module.clone(),
        _ => return None,
    };
    for name in names {
        found.push(name.to_owned());
        if !known.contains(&found) {
            found.pop();
            break;
        }
    }
    (found != *module).then_some(found)
}

/// Returns the sets of modules that reach one another, each sorted.
fn circles(graph: &Graph) -> Vec<Vec<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        graph.keys().map(|module| (module, reached_from(graph, module))).collect();
    let mut circles = BTreeSet::new();
    for (module, targets) in &reached {
        let back = targets.iter().filter(|target| reached[**target].contains(*module));
        let circle: Vec<Module> = back.map(|it| (**it).clone()).collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

fn reached_from<'g>(graph: &'g Graph, from: &Module) -> BTreeSet<&'g Module> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        for target in &graph[module] {
            if let Some((target, _)) = graph.get_key_value(target)
                && reached.insert(target)
            {
                next.push(target);
            }
        }
    }
    reached
}

/// Returns the edges within a circle, one for each line.
fn show(graph: &Graph, circle: &[Module]) -> String {
    let lines = circle.iter().map(|module| {
        let inside = graph[module].iter().filter(|target| circle.contains(target));
        let inside: Vec<String> = inside.map(|target| target.join("/")).collect();
        format!("    {} -> {}\n", module.join("/"), inside.join(", "))
    });
    lines.collect()
}
