//! Names of bundles, which are the names of their packages, too.
//!
//! One rule for all languages: a name that works with Cargo, npm and Python alike.

use std::fmt;
use std::str::FromStr;

/// The maximum length of a name, as on crates.io.
const MAX_NAME_BYTES: usize = 64;

/// Names that a package cannot have, because a tool or a language uses them.
const RESERVED: &[&str] = &[
    // Keywords of Rust.
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    // Keywords of Python and JavaScript.
    "and",
    "assert",
    "case",
    "catch",
    "class",
    "debugger",
    "def",
    "default",
    "del",
    "delete",
    "elif",
    "except",
    "export",
    "finally",
    "from",
    "function",
    "global",
    "import",
    "instanceof",
    "is",
    "lambda",
    "new",
    "none",
    "nonlocal",
    "not",
    "null",
    "or",
    "pass",
    "raise",
    "switch",
    "this",
    "throw",
    "var",
    "void",
    "with",
    // Crates of the compiler, and folders of Cargo.
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "std",
    "target",
    "test",
    // npm.
    "favicon",
    "node-modules",
    // Device names of Windows.
    "aux",
    "com1",
    "com2",
    "com3",
    "com4",
    "com5",
    "com6",
    "com7",
    "com8",
    "com9",
    "con",
    "lpt1",
    "lpt2",
    "lpt3",
    "lpt4",
    "lpt5",
    "lpt6",
    "lpt7",
    "lpt8",
    "lpt9",
    "nul",
    "prn",
    // Packages that the new one depends on.
    "componentize-py",
    "jackfield-plugin",
    "serde",
];

/// The name of a bundle: words of lowercase letters and digits with `-` or `_` between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The words of the name with this separator: `acme.shout` for `acme-shout`.
    pub(super) fn joined(&self, separator: &str) -> String {
        self.0.replace(['-', '_'], separator)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const RULE: &str = "use lowercase letters, digits and single hyphens, such as acme-shout";
        if text.len() > MAX_NAME_BYTES {
            return Err(format!(
                "it has {} bytes; at most {MAX_NAME_BYTES} are allowed",
                text.len()
            ));
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(format!("it does not begin with a lowercase letter; {RULE}"));
        }
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !text.split(['-', '_']).all(is_word) {
            return Err(RULE.to_owned());
        }
        let is_reserved = RESERVED.contains(&text.replace('_', "-").as_str());
        if is_reserved {
            return Err(
                "the name is reserved; put the name of your organization in front, such as \
                        acme-shout"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_that_every_tool_accepts() {
        for name in ["shout", "acme-shout", "acme_shout", "a1-2b", "x"] {
            assert_eq!(name.parse(), Ok(Name(name.to_owned())));
        }
        let name: Name = "acme-big_shout".parse().unwrap();
        assert_eq!(name.joined("."), "acme.big.shout");
    }

    #[test]
    fn rejects_other_names() {
        let check = |name: &str, part: &str| {
            let error = name.parse::<Name>().unwrap_err();
            assert!(error.contains(part), "{name}: {error}");
        };
        for name in ["", "1a", "-a", "_a", "Acme", "été", "../a", "/tmp/a", "@a/b", "."] {
            check(name, "begin with a lowercase letter");
        }
        for name in ["a-", "a--b", "a b", "a/b", "a.b", "a\n", "a\"", "aB", "a{{name}}", "a/../b"] {
            check(name, "use lowercase letters");
        }
        for name in ["test", "core", "fn", "serde", "con", "node_modules", "proc_macro", "import"] {
            check(name, "reserved");
        }
        check(&"a".repeat(65), "65 bytes");
    }
}
