//! Rules of language that a machine can check: names of modules, constants and tests, and the words
//! of head comments and messages. CONTRIBUTING has the rules with their reasons.

use std::path::Path;

use super::sources;
use jackfield_tests::build;

/// Module names without a subject, or with a metaphor in its place.
const BANNED_MODULES: &[&str] = &[
    "boundary",
    "common",
    "comeback",
    "crew",
    "crowd",
    "desk",
    "entrance",
    "farewell",
    "forging",
    "gate",
    "heard",
    "helper",
    "helpers",
    "hold",
    "joining",
    "judge",
    "leaving",
    "misc",
    "mistake",
    "mistakes",
    "news",
    "opening",
    "own",
    "paying",
    "permission",
    "proof",
    "ready",
    "recurring",
    "repeats",
    "rewound",
    "slot",
    "standin",
    "surroundings",
    "ticks",
    "together",
    "util",
    "utils",
    "visitor",
    "ways",
    "wire",
    "workshop",
    "wrong",
];

/// The first words of head comments that begin with a clause instead of a noun.
const BANNED_OPENINGS: &[&str] = &[
    "anybody",
    "everybody",
    "how",
    "nobody",
    "somebody",
    "what",
    "whatever",
    "when",
    "where",
    "whether",
    "which",
    "who",
    "whoever",
    "whom",
    "whose",
    "why",
];

/// Words for people other than user, client, operator and plugin author, and old words.
const BANNED_WORDS: &[&str] =
    &["anybody", "everybody", "heeded", "manieth", "mended", "nobody", "somebody", "whoever"];
const BANNED_PHRASES: &[&str] = &["is not to be had", "are not to be had", "in vain"];

/// Names of bounds without `MAX_…`, `MIN_…` or `DEFAULT_…`.
const BANNED_PREFIXES: &[&str] =
    &["FEWEST_", "GREATEST_", "LARGEST_", "LEAST_", "LONGEST_", "MOST_", "SHORTEST_", "SMALLEST_"];
const BANNED_CONSTANTS: &[&str] = &["ALIKE", "BOUND", "GAP", "LIMIT", "LONGEST", "SHOWN"];

/// Test names that are a question instead of a statement about the code.
const BANNED_TESTS: &[&str] =
    &["everybody_", "how_", "nobody", "somebody_", "what_", "where_", "which_", "who", "why_"];

#[test]
fn modules_are_named_after_their_subject() {
    check(|path, _| {
        let name = path.file_stem()?.to_str()?;
        BANNED_MODULES.contains(&name).then(|| "names no subject".to_owned())
    });
}

#[test]
fn head_comments_begin_with_a_noun() {
    check(|_, text| {
        let head = head_comment(text);
        let first = head.split_whitespace().next()?.to_lowercase();
        BANNED_OPENINGS
            .contains(&&*first)
            .then(|| format!("its head comment begins with `{first}`"))
    });
}

#[test]
fn head_comments_use_plain_words() {
    check(|_, text| {
        banned_word(&head_comment(text)).map(|word| format!("its head comment says `{word}`"))
    });
}

#[test]
fn messages_use_plain_words() {
    check(|path, text| {
        if path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs") {
            return None;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next()?;
        literals(code).iter().find_map(|literal| {
            banned_word(literal).map(|word| format!("`{word}` is said in {literal:?}"))
        })
    });
}

#[test]
fn bounds_begin_with_max_min_or_default() {
    check(|_, text| {
        let names = text.lines().filter_map(|line| {
            let line = line.trim_start();
            let line =
                line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
            line.strip_prefix("const ")?.split(':').next()
        });
        let mut names = names.filter(|name| {
            BANNED_CONSTANTS.contains(name) || BANNED_PREFIXES.iter().any(|it| name.starts_with(it))
        });
        names.next().map(|name| format!("the constant {name} is a bound without MAX_ or MIN_"))
    });
}

#[test]
fn test_names_state_what_the_code_does() {
    check(|_, text| {
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        lines.windows(2).find_map(|pair| {
            let [attribute, function] = pair else { return None };
            let is_test =
                attribute.starts_with("#[test]") || attribute.starts_with("#[tokio::test");
            let function = function.strip_prefix("async ").unwrap_or(function);
            let name = function.strip_prefix("fn ")?.split('(').next()?;
            let banned = BANNED_TESTS.iter().any(|it| name.starts_with(it));
            (is_test && banned).then(|| format!("the test {name} states nothing"))
        })
    });
}

/// Fails with a list of the files in which the rule finds a problem.
#[track_caller]
fn check(rule: impl Fn(&Path, &str) -> Option<String>) {
    let root = build::root();
    let files = sources(root).into_iter().filter_map(|file| {
        let path = file.strip_prefix(root).unwrap();
        let problem = rule(path, &std::fs::read_to_string(&file).unwrap())?;
        Some(format!("{}: {problem}", path.display()))
    });
    let mut problems: Vec<String> = files.collect();
    problems.sort_unstable();
    assert!(problems.is_empty(), "see \"How we write\" in CONTRIBUTING:\n{}", problems.join("\n"));
}

fn head_comment(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.collect::<Vec<_>>().join(" ")
}

fn banned_word(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let has = |word: &str| text.split(|it: char| !it.is_alphanumeric()).any(|it| it == word);
    let word = BANNED_WORDS.iter().find(|word| has(word));
    word.or_else(|| BANNED_PHRASES.iter().find(|phrase| text.contains(**phrase))).copied()
}

/// Returns the string literals of Rust code, without their quotes. Literals of one word are values
/// and not messages.
fn literals(code: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let raw = rest[..at].trim_end_matches('#');
        let hashes = at - raw.len();
        let is_raw =
            raw.ends_with('r') && !raw.ends_with(|it: char| it.is_alphanumeric() && it != 'r');
        let (token, behind) = rest[at..].split_at(1);
        rest = match token {
            "/" if behind.starts_with('/') => behind.split_once('\n').map_or("", |it| it.1),
            "'" if behind.starts_with("\"'") => &behind[2..],
            "\"" => {
                let end = if is_raw {
                    behind.find(&format!("\"{}", "#".repeat(hashes)))
                } else {
                    closing_quote(behind)
                };
                let end = end.expect("a literal ends");
                found.push(&behind[..end]);
                &behind[end + 1..]
            }
            _ => behind,
        };
    }
    found.retain(|literal| literal.contains(' '));
    found
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, it)| {
        let closes = it == '"' && !escaped;
        escaped = it == '\\' && !escaped;
        closes.then_some(at)
    })
}

#[test]
fn finds_literals_in_code() {
    let code =
        "f(\"a \\\" b\"); // \"no one\"\nlet c = '\"'; g(r#\"c \" d\"#, \"one\"); h(r\"e \\\")";
    assert_eq!(literals(code), ["a \\\" b", "c \" d", "e \\"]);
}
