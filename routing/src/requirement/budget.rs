//! Budget of the regular expressions of all routes together.
//!
//! A pattern of ten characters can compile to a program of megabytes, and a file has room for
//! thousands of them. Each expression counts with its bytes of memory, including those that turn
//! out too large; compile time grows with memory.

/// Maximum memory of one compiled expression, in bytes: enough for `\w{1,100}` over all of Unicode,
/// too little for a pattern that would delay a site's loading by seconds.
pub(super) const MAX_PROGRAM_BYTES: usize = 8 << 20;
/// Maximum memory of all expressions, in bytes: thousands of ordinary ones, and a second or two to
/// compile.
const MAX_TOTAL_BYTES: usize = 128 << 20;
/// Maximum length of a requirement's text, in bytes.
pub(super) const MAX_PATTERN_BYTES: usize = 10_000;
/// Cost of a Unicode class (`\w`, `\p{L}`) while it is parsed, in bytes.
const CLASS_BYTES: usize = 8 << 10;

/// Remaining budget for the expressions of a site.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

/// Reason why an expression is not compiled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// The expression alone is too large; the text says how.
    Alone(String),
    /// The expressions compiled so far have used up the budget.
    Together,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: MAX_TOTAL_BYTES }
    }
}

impl Budget {
    /// Returns the maximum memory of the next expression, in bytes.
    pub(super) fn program_bytes(&self) -> Result<usize, TooLarge> {
        if self.left == 0 { Err(TooLarge::Together) } else { Ok(self.left.min(MAX_PROGRAM_BYTES)) }
    }

    /// Returns whether the budget is used up.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Counts an expression that was compiled, or rejected as too large.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Counts the parsing of a pattern: classes are expanded in full.
    pub(super) fn read(&mut self, pattern: &str, utf8: bool) -> Result<(), TooLarge> {
        if self.left == 0 {
            return Err(TooLarge::Together);
        }
        // `(?` may enable Unicode or case-insensitivity.
        let unicode = utf8 || ["\\p", "\\P", "(?"].iter().any(|it| pattern.contains(it));
        let classes = if unicode { pattern.matches(['\\', '(']).count() } else { 0 };
        self.spend(pattern.len() + classes.saturating_mul(CLASS_BYTES));
        Ok(())
    }
}

impl TooLarge {
    pub(crate) fn message(&self, subject: &str) -> String {
        match self {
            Self::Alone(text) => format!("{subject} is too large: {text}"),
            Self::Together => format!(
                "{subject} is not compiled: the expressions of all routes together take more than {} \
                 MiB",
                MAX_TOTAL_BYTES >> 20
            ),
        }
    }

    /// Returns the help for the error.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::Alone(_) => "use smaller repetition counts",
            Self::Together => {
                "use smaller repetition counts, leave the option `utf8` out where ASCII will do, \
                 and write requirements that mean the same in the same way: they count once"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{NoFiles, SourceFile, load};

    fn problems(text: String) -> Vec<String> {
        let file = SourceFile { path: "a.yml".to_owned(), text };
        let problems = load(&[file], &NoFiles).err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect()
    }

    /// Each is within the limit of one expression, and takes megabytes.
    fn routes(count: usize) -> String {
        let route = |number| {
            format!(
                "r{number}:\n  channel: 'c{number}/{{a}}'\n  handler: b\n  options: {{ utf8: true \
                 }}\n  requirements: {{ a: '\\w{{60}}x{number}' }}\n"
            )
        };
        (0..count).map(route).collect()
    }

    #[test]
    fn bounds_all_expressions_together() {
        assert_eq!(problems(routes(5)), [""; 0]);
        let problems = problems(routes(500));
        assert_eq!(problems.len(), 1, "it is told once: {problems:?}");
        for part in ["a.yml:", "of all routes together take more than 128 MiB", "= help: "] {
            assert!(problems[0].contains(part), "{}", problems[0]);
        }
    }

    #[test]
    fn counts_rejected_expressions() {
        let problems = problems(routes(500).replace("{60}", "{400}"));
        assert!(problems[0].contains("is too large: it needs more than 8388608 bytes"));
        let last = problems.last().unwrap();
        assert!(problems.len() < 20 && last.contains("of all routes together"), "{last}");
    }

    #[test]
    fn rejects_long_patterns_unread() {
        let route = |pattern: &str| {
            format!(
                "r:\n  channel: 'c/{{a}}'\n  handler: b\n  options: {{ utf8: true }}\n  \
                 requirements: {{ a: '{pattern}' }}\n"
            )
        };
        let classes = problems(route(&"\\w".repeat(1_000_000)));
        let text = "the pattern is 2000000 bytes long; at most 10000 are read";
        assert!(classes[0].contains(text) && classes[0].len() < 2_000, "{}", classes[0]);
        // Many expressions within that limit share the total.
        let folded = |number| format!("(?i){number}{}", "\\w".repeat(300));
        let folded: String =
            (0..4_000).map(|it| route(&folded(it)).replacen("r:", &format!("r{it}:"), 1)).collect();
        let problems = problems(folded);
        let last = problems.last().unwrap();
        assert!(last.contains("of all routes together"), "{last}");
    }
}
