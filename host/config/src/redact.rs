//! Redaction: renders errors of settings as a [`Diagnosis`] without secrets.
//!
//! Below `auth`, `api` and `admin`, and below unknown keys, any text may be a secret. Only the keys of such
//! lines are shown.

use std::ops::Range;

use jackfield_yaml::{Diagnosis, Message, Origin, Path, Snippet, Step, ValueError};

/// Top-level keys without secrets below them.
const PLAIN: [&str; 17] = [
    "listen",
    "realms",
    "unrouted",
    "rules",
    "access",
    "allow",
    "trust_levels",
    "limits",
    "history",
    "slow_subscriber",
    "keepalive",
    "handshake_timeout",
    "shutdown",
    "plugins",
    "watch",
    "log",
    "control",
];

/// File of the settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Redactor {
    /// The configured path; empty if there is no file.
    pub(super) path: String,
    pub(super) text: String,
}

impl Redactor {
    pub(super) fn show(&self, wrong: &ValueError) -> Diagnosis {
        let ValueError { path, origin, message, help } = wrong;
        let open = is_plain(path);
        let key = path.to_string();
        let message = match message {
            // If the line is not shown, the message has to name the key.
            Message::Plain(text) if open || text.contains('`') => text.clone(),
            Message::Plain(text) => format!("`{key}`: {text}"),
            Message::Value(text, _) if open => text.clone(),
            Message::Value(_, text) => format!("`{key}`: {text}"),
            Message::Kind(belongs, found) if key.is_empty() => {
                format!("the settings are {belongs}, not {found}")
            }
            Message::Kind(belongs, found) => format!("`{key}` takes {belongs}, not {found}"),
        };
        // The text suggested as an element of a list may be a secret.
        let help = help.as_ref().filter(|help| open || !help.starts_with("write `["));
        let diagnosis = self.at(origin.as_ref(), message);
        match help {
            Some(help) => diagnosis.with_help(help),
            None => diagnosis,
        }
    }

    /// Redacts a YAML syntax error, which may quote values.
    pub(super) fn syntax(&self, diagnosis: Diagnosis) -> Diagnosis {
        let Diagnosis { path, line, column, message, help, snippet } = diagnosis;
        if self.is_open(line) {
            return Diagnosis { path, line, column, message, help, snippet };
        }
        let (message, help) = if message.starts_with("the key `") || !message.contains('`') {
            (message, help)
        } else {
            let message = "this is not YAML that settings can be written in".to_owned();
            (message, Some("put texts in single quotes: '…'".to_owned()))
        };
        Diagnosis { path, line, column, message, help, snippet: None }
    }

    pub(super) fn at(&self, origin: Option<&Origin>, message: String) -> Diagnosis {
        match origin {
            None => Diagnosis::without_place(self.path.as_str(), message),
            Some(Origin::Set(name)) => Diagnosis::without_place(&**name, message),
            Some(Origin::File(range)) => self.in_file(range, message),
        }
    }

    fn in_file(&self, range: &Range<usize>, message: String) -> Diagnosis {
        let mut diagnosis = Diagnosis::at(&self.path, &self.text, range.clone(), message);
        if self.is_open(diagnosis.line) {
            return diagnosis;
        }
        let column = diagnosis.column.saturating_sub(1);
        diagnosis.snippet = diagnosis.snippet.and_then(|snippet| {
            let Snippet { text, skipped, width } = *snippet;
            let before: String = text.chars().take(column).collect();
            let shown: String = text.chars().take(column + width).collect();
            let is_key = text.chars().nth(column + width) == Some(':');
            let is_first = before.chars().all(|c| c == ' ' || c == '-');
            // If the beginning of the line is cut, it may hold more than a key.
            let is_known = skipped == 0 && is_first && is_key;
            is_known.then(|| Box::new(Snippet { text: shown, skipped, width }))
        });
        diagnosis
    }

    /// Returns whether a line, counted from 1, certainly contains no secret.
    fn is_open(&self, line: usize) -> bool {
        let lines: Vec<&str> = self.text.lines().take(line).collect();
        let top = lines.iter().rev().find_map(|line| {
            let starts = line.starts_with(|c: char| !c.is_whitespace() && c != '#');
            starts.then(|| line.split_once(':').map_or(*line, |(key, _)| key))
        });
        self.is_block() && top.is_some_and(|key| PLAIN.contains(&key))
    }

    /// Returns whether the file is in block style, one key per line. In flow style, `{ … }`, a line
    /// may contain anything.
    fn is_block(&self) -> bool {
        let text = self.text.trim_start_matches('\u{feff}');
        let says = |line: &&str| !line.trim().is_empty() && !line.starts_with(['#', '%']);
        let first = text.lines().filter(says).find(|line| line.trim_end() != "---");
        let key = first.and_then(|line| line.split_once(':')).map(|(key, _)| key);
        key.is_some_and(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    }
}

/// Returns whether a value at this path can be quoted.
fn is_plain(path: &Path) -> bool {
    match path.0.first() {
        Some(Step::Key(key)) => PLAIN.contains(&key.as_str()),
        Some(Step::Element(_)) | None => true,
    }
}
