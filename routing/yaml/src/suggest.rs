//! "Did you mean" suggestions for misspelt keys, and lists of known keys.

/// Maximum length of a compared word, in bytes: the time grows with the product of both lengths.
const MAX_WORD_BYTES: usize = 128;

/// Returns the candidate nearest to `word` within the allowed edit distance: a third of its
/// characters, at least one and at most three insertions, deletions, replacements or swaps.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let word = word.to_lowercase();
    let allowance = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the help for a key that is not among `allowed`.
pub fn advice(key: &str, allowed: &[&str]) -> String {
    let list = list(allowed);
    match nearest(key, allowed.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`? Expected one of: {list}"),
        None => format!("Expected one of: {list}"),
    }
}

/// Formats names in backticks, separated by commas.
pub fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["channel", "handler", "requirements", "timer"];

    fn check(word: &str, meant: Option<&str>) {
        assert_eq!(nearest(word, KEYS), meant, "{word:?}");
    }

    #[test]
    fn suggests_the_nearest_key() {
        check("chanel", Some("channel"));
        check("chnanel", Some("channel"));
        check("Channel", Some("channel"));
        check("handlers", Some("handler"));
        check("requirement", Some("requirements"));
        check("tmier", Some("timer"));
        check("x", None);
        check("colour", None);
        check("", None);
    }
}
