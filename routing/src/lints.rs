//! Warnings (lints): values that load, as in the predecessors, and probably mean something else.
//!
//! `compile` checks single values here; `reach` finds routes without topics, which needs
//! the whole table.

use jackfield_yaml::Diagnosis;

use crate::entry::{Draft, Pattern};
use crate::requirement::Requirement;

/// Delimiters of PHP patterns. Brackets are not included, as they have a meaning in a pattern.
const DELIMITERS: [char; 5] = ['/', '#', '~', '@', '!'];
/// Flags after the second delimiter.
const FLAGS: &str = "imsxADSUXJun";
/// Flags that can be written inside an expression.
const INLINE_FLAGS: &str = "imsx";

/// Warns about defaults without a value, which do not make the variable optional.
pub(crate) fn defaults(draft: &Draft) -> Vec<Diagnosis> {
    let Draft { name: route, channel, settings, places, .. } = draft;
    let without = settings.defaults.iter().filter(|(_, value)| value.is_none());
    let named = without.filter(|(name, _)| channel.variables().any(|variable| variable == name));
    let messages = named.map(|(name, _)| {
        let message = format!(
            "the default of `{name}` in route `{route}` has no value, so that `{name}` stays \
             required"
        );
        let help = format!(
            "write the value that a topic without it has, `{{{name}?value}}`, or remove the default"
        );
        places.channel.problem(message).with_help(help)
    });
    messages.collect()
}

/// Warns about a requirement with delimiters or inner anchors, which probably matches something
/// else than meant.
pub(crate) fn requirement(
    variable: &str,
    written: &Pattern,
    compiled: &Requirement,
) -> Option<Diagnosis> {
    let (message, help) = if let Some((delimiter, inner)) = delimited(&written.text) {
        let message = format!(
            "the requirement of `{variable}` is written between delimiters, and `{delimiter}` \
             stands for itself here: no value without it matches"
        );
        (message, format!("write the expression alone: '{inner}'"))
    } else if compiled.has_anchor() {
        let message = format!(
            "the requirement of `{variable}` has an anchor in its middle, which stands for an end \
             of the whole topic"
        );
        let help = "remove `^` and `$`: a requirement covers the whole value anyway; write a \
                    dollar as `\\$`";
        (message, help.to_owned())
    } else {
        return None;
    };
    Some(written.place.problem(message).with_help(help))
}

/// Returns the delimiter of a pattern such as `/\d+/i`, and the pattern without it.
fn delimited(text: &str) -> Option<(char, String)> {
    let delimiter = text.chars().next().filter(|first| DELIMITERS.contains(first))?;
    let body = text.trim_end_matches(|c| FLAGS.contains(c));
    let flags = text.get(body.len()..).unwrap_or_default();
    let inner = body.get(1..)?.strip_suffix(delimiter)?;
    let inner = inner.strip_prefix('^').unwrap_or(inner);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    if inner.is_empty() {
        return None;
    }
    let kept: String = flags.chars().filter(|flag| INLINE_FLAGS.contains(*flag)).collect();
    let group = if kept.is_empty() { String::new() } else { format!("(?{kept})") };
    Some((delimiter, format!("{group}{inner}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_delimiters() {
        let check = |text: &str, expect: Option<(char, &str)>| {
            let found = delimited(text);
            let found = found.as_ref().map(|(delimiter, inner)| (*delimiter, inner.as_str()));
            assert_eq!(found, expect, "{text:?}");
        };
        check("/\\d+/", Some(('/', "\\d+")));
        check("/^\\d+$/i", Some(('/', "(?i)\\d+")));
        check("#[a-z]+#siu", Some(('#', "(?si)[a-z]+")));
        check("~a~", Some(('~', "a")));
        check("//", None);
        check("/", None);
        check("\\d+", None);
        check("[/]", None);
        check("/a", None);
        check("(a)", None);
    }
}
