//! Sample of a requirement: a short, non-empty value that matches, in letters and digits where the
//! expression leaves the choice.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::{CharacterSet, Check, Requirement};

/// Maximum length of a sample, in bytes. Nested repetition counts multiply.
const MAX_BYTES: usize = 4096;
/// Preferred characters of samples, where the expression leaves the choice.
const PREFERRED: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-";

impl Requirement {
    /// Returns a sample, if a short one is found.
    pub(crate) fn sample(&self) -> Option<String> {
        let sample = match &self.check {
            Check::Characters { set, .. } => set.sample()?.to_string(),
            Check::Regex(_) => {
                let mut bytes = Vec::new();
                append_sample(&self.hir, &mut bytes)?;
                String::from_utf8(bytes).ok()?
            }
        };
        self.check.holds(&sample).then_some(sample)
    }
}

impl CharacterSet {
    fn sample(self) -> Option<char> {
        let preferred = PREFERRED.bytes().chain(b'!'..=b'~').chain(0..128u8);
        let ascii = preferred.into_iter().find(|byte| self.contains(*byte)).map(char::from);
        ascii.or_else(|| self.others.then_some('é'))
    }
}

/// Appends the minimum of each repetition, at least one, and the first branch of alternations.
fn append_sample(hir: &Hir, into: &mut Vec<u8>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => into.extend_from_slice(&literal.0),
        HirKind::Class(class) => {
            let c = character(class)?;
            into.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(u32::MAX);
            for _ in 0..repetition.min.max(1).min(most) {
                let before = into.len();
                append_sample(&repetition.sub, into)?;
                if into.len() == before {
                    break;
                }
            }
        }
        HirKind::Capture(capture) => append_sample(&capture.sub, into)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| append_sample(part, into))?,
        HirKind::Alternation(branches) => append_sample(branches.first()?, into)?,
    }
    (into.len() <= MAX_BYTES).then_some(())
}

fn character(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    let contains =
        |c: char| class.ranges().iter().any(|range| range.start() <= c && c <= range.end());
    let first = || class.ranges().first().map(regex_syntax::hir::ClassUnicodeRange::start);
    PREFERRED.chars().find(|c| contains(*c)).or_else(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_match_their_requirements() {
        let check = |pattern: &str, expect: &str| {
            let requirement =
                Requirement::new(pattern, false, &mut crate::requirement::Budget::default())
                    .unwrap();
            assert_eq!(requirement.sample().unwrap_or_default(), expect, "{pattern}");
        };
        check("\\d+", "0");
        check("\\d+|\\*", "0");
        check("[^/]+", "a");
        check("[A-Z]{3}-(?:x|y)\\d?", "AAA-x0");
        check("send|edit", "send");
        check(".*", "a");
        check("(?:a{0}b)?", "b");
        check("[é-ü]", "é");
        check("(?:a{100}){100}", "");
        check("(?:|a){1000}", "");
    }
}
