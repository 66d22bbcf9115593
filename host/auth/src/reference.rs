//! Unresolved references to variables: `${NAME}` of shells and Compose, `%env(NAME)%` of Symfony.
//! They are not resolved here; early detection gives a clear error.

/// Returns the reference that is the whole text, or that is part of an address. In other texts,
/// such as passwords, these characters may be literal.
pub fn reference(text: &str) -> Option<&str> {
    let found = shell(text).or_else(|| symfony(text))?;
    let is_whole = found.len() == text.trim().len();
    (is_whole || text.contains("//")).then_some(found)
}

/// Returns the name of the variable: `NAME` of `${NAME:-x}` and of `%env(resolve:NAME)%`.
pub fn variable(reference: &str) -> &str {
    let inner = match reference.strip_prefix("%env(") {
        Some(rest) => rest.trim_end_matches([')', '%']).rsplit(':').next().unwrap_or_default(),
        None => reference.trim_start_matches(['$', '{']),
    };
    inner.split(|c: char| !is_name(c)).next().unwrap_or_default()
}

/// Finds `${NAME}` anywhere, or `$NAME` as the whole text.
fn shell(text: &str) -> Option<&str> {
    let begins = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    for (at, _) in text.match_indices("${") {
        let rest = text.get(at..).unwrap_or_default();
        let end = rest.find('}');
        if let Some(reference) = end.and_then(|end| rest.get(..=end))
            && reference.get(2..).is_some_and(begins)
        {
            return Some(reference);
        }
    }
    let trimmed = text.trim();
    let name = trimmed.strip_prefix('$').filter(|name| begins(name) && name.len() > 1)?;
    let shouts = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.chars().all(shouts).then_some(trimmed)
}

/// Finds `%env(NAME)%` anywhere.
fn symfony(text: &str) -> Option<&str> {
    let rest = text.get(text.find("%env(")?..)?;
    let end = rest.find(")%")?;
    rest.get(..end + ")%".len())
}

const fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_references() {
        let check = |text: &str, expect: Option<(&str, &str)>| {
            let found = reference(text).map(|it| (it, variable(it)));
            assert_eq!(found, expect, "{text:?}");
        };
        check("${ORO_SECRET}", Some(("${ORO_SECRET}", "ORO_SECRET")));
        check("${ORO_SECRET:-x}", Some(("${ORO_SECRET:-x}", "ORO_SECRET")));
        check(" ${x} ", Some(("${x}", "x")));
        check("$ORO_SECRET", Some(("$ORO_SECRET", "ORO_SECRET")));
        check("%env(ORO_SECRET)%", Some(("%env(ORO_SECRET)%", "ORO_SECRET")));
        check("%env(resolve:DB)%", Some(("%env(resolve:DB)%", "DB")));
        check("postgres://u:${DB_PASSWORD}@h/d", Some(("${DB_PASSWORD}", "DB_PASSWORD")));
        check("pgsql://%env(DB_HOST)%/d", Some(("%env(DB_HOST)%", "DB_HOST")));
        check("//${HOST}:8080", Some(("${HOST}", "HOST")));
        check("pa${x}ss", None);
        check("$2y$13$abcdefghijklmnopqrstuv", None);
        check("$", None);
        check("$a", None);
        check("$5", None);
        check("${}", None);
        check("${", None);
        check("postgres://u:p%24%7B@h/d", None);
        check("", None);
    }
}
