//! Parameters of Symfony, `%kernel.environment%`: routing files do not resolve them, so one in a
//! value is a warning.

use std::ops::Range;

use jackfield_yaml::{Diagnosis, Place};

/// Returns the range of the first parameter of Symfony: `%kernel.environment%`,
/// `%env(APP_PREFIX)%`.
pub(crate) fn parameter(text: &str) -> Option<Range<usize>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.-:()".contains(c);
    let mut open: Option<usize> = None;
    for (at, _) in text.match_indices('%') {
        if let Some(start) = open {
            let inner = text.get(start + 1..at).unwrap_or_default();
            let named = inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if named && inner.chars().all(is_part) {
                return Some(start..at + 1);
            }
        }
        open = Some(at);
    }
    None
}

/// Warns about a parameter in `text`. `subject` names the text; `within` returns the place of a part
/// of it.
pub(crate) fn unresolved(
    subject: &str,
    text: &str,
    within: impl Fn(Range<usize>) -> Place,
) -> Option<Diagnosis> {
    let range = parameter(text)?;
    let written = text.get(range.clone()).unwrap_or_default();
    let message = format!("{subject} has `{written}` in it, which stands for itself");
    let help = "routing files know no parameters and no environment: write the value";
    Some(within(range).problem(message).with_help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_parameters() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(parameter(text).map(|range| &text[range]), expect, "{text:?}");
        };
        check("%env(APP_PREFIX)%/x", Some("%env(APP_PREFIX)%"));
        check("a/%env(string:APP)%", Some("%env(string:APP)%"));
        check("a/%kernel.environment%/{x}", Some("%kernel.environment%"));
        check("50% of 60%", None);
        check("100%%env%", Some("%env%"));
        check("a%20b%20c", None);
        check("%", None);
        check("%%", None);
    }
}
