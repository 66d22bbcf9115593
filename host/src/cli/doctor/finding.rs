//! Findings of the command `doctor`, and the page of them.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// A short name, which stays the same between versions.
    check: &'static str,
    level: Level,
    message: String,
    help: Option<String>,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Good,
    /// It could not be checked.
    Unchecked,
    Warning,
    Problem,
}

impl Finding {
    pub(super) fn good(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Good, message: message.into(), help: None }
    }

    /// A check that was not made; the help says how to make it.
    pub(super) fn unchecked(
        check: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { check, level: Level::Unchecked, message: message.into(), help: Some(help.into()) }
    }

    pub(super) fn warning(
        check: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { check, level: Level::Warning, message: message.into(), help: Some(help.into()) }
    }

    pub(super) fn problem(
        check: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { check, level: Level::Problem, message: message.into(), help: Some(help.into()) }
    }

    fn json(&self) -> Value {
        json!({
            "check": self.check,
            "level": self.level.label(),
            "message": self.message,
            "help": self.help,
        })
    }
}

impl Level {
    const fn label(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Unchecked => "unchecked",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// All findings.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        Self(findings)
    }

    /// Whether nothing has to be fixed. A warning is no failure.
    pub(super) fn is_good(&self) -> bool {
        self.count(Level::Problem) == 0
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// The page for people: a line for each finding, its help below, and the sum.
    pub(super) fn page(&self) -> String {
        let mut page = String::new();
        for Finding { check, level, message, help } in &self.0 {
            // Writing to a string cannot fail.
            let _written = writeln!(page, "{:<10} {check:<12} {message}", level.label());
            if let Some(help) = help {
                let _written = writeln!(page, "{:<23} = help: {help}", "");
            }
        }
        let _written = match (self.count(Level::Problem), self.count(Level::Warning)) {
            (0, 0) => writeln!(page, "\nno problems"),
            (problems, warnings) => {
                writeln!(page, "\n{}, {}", plural(problems, "problem"), plural(warnings, "warning"))
            }
        };
        page
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "ok": self.is_good(),
            "problems": self.count(Level::Problem),
            "warnings": self.count(Level::Warning),
            "findings": self.0.iter().map(Finding::json).collect::<Vec<_>>(),
        })
    }
}

/// Formats a number with its noun.
pub(super) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_line_for_each_finding_and_the_sum() {
        let report = Report::new(vec![
            Finding::good("site", "2 bundles"),
            Finding::problem("port", "in use", "stop it"),
        ]);
        let expect = "ok         site         2 bundles\nproblem    port         in use\n                        \
                      = help: stop it\n\n1 problem, 0 warnings\n";
        assert_eq!(report.page(), expect);
        assert!(!report.is_good());
        assert_eq!(report.json()["findings"][1]["help"], "stop it");
        let report = Report::new(vec![Finding::warning("clock", "late", "set it")]);
        assert!(report.is_good() && report.page().ends_with("\n0 problems, 1 warning\n"));
        assert!(Report::default().page().ends_with("no problems\n"));
    }
}
