//! Which key a misspelt one was meant to be, and how the choice is listed.

/// The candidate that `word` most likely means, if one is near enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowance = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Advice for a key that is none of `allowed`.
pub(crate) fn advice(key: &str, allowed: &[&str]) -> String {
    let list = list(allowed);
    match nearest(key, allowed.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`? Expected one of: {list}"),
        None => format!("Expected one of: {list}"),
    }
}

/// Names in backticks, separated by commas.
pub(crate) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Edits (insert, delete, replace, swap neighbours) from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (i, a) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let at =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut best = at(&row, j) + usize::from(a != *b);
            best = best.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = j > 0 && previous == Some(*b) && to.get(j - 1) == Some(&a);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        previous = Some(a);
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
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
