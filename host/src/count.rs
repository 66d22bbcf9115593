//! Counts with their nouns: `1 route`, `2 routes`.

/// A count with its noun, whose plural ends with an `s`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        assert_eq!([0, 1, 2].map(|it| count(it, "key")), ["0 keys", "1 key", "2 keys"]);
    }
}
