//! Types of unquoted scalars: YAML 1.2, core schema.

use serde_json::Number;

use crate::node::NodeKind;

/// Parses an unquoted scalar.
pub(super) fn plain(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "true" | "True" | "TRUE" => return NodeKind::Bool(true),
        "false" | "False" | "FALSE" => return NodeKind::Bool(false),
        _ => {}
    }
    match number(text) {
        Some(number) => NodeKind::Number(number, text.to_owned()),
        None => NodeKind::Text(text.to_owned()),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if !numeric {
        return None;
    }
    let spelled = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = spelled.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = spelled.parse::<u64>() {
        return Some(whole.into());
    }
    spelled.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown = match plain(text) {
            NodeKind::Null => "null".to_owned(),
            NodeKind::Bool(value) => format!("bool {value}"),
            NodeKind::Number(number, spelling) => format!("number {number} {spelling}"),
            NodeKind::Text(text) => format!("text {text}"),
            NodeKind::List(_) | NodeKind::Map(_) => "?".to_owned(),
        };
        assert_eq!(shown, expect, "{text:?}");
    }

    #[test]
    fn detects_kinds_of_scalars() {
        check("", "null");
        check("~", "null");
        check("Null", "null");
        check("True", "bool true");
        check("FALSE", "bool false");
        check("yes", "text yes");
        check("off", "text off");
        check("12", "number 12 12");
        check("-12", "number -12 -12");
        check("+12", "number 12 +12");
        check("0x1F", "number 31 0x1F");
        check("0o17", "number 15 0o17");
        check("1.5", "number 1.5 1.5");
        check(".5", "number 0.5 .5");
        check("1e3", "number 1000.0 1e3");
        check("18446744073709551615", "number 18446744073709551615 18446744073709551615");
        check("1-2", "text 1-2");
        check("1.2.3", "text 1.2.3");
        check("2024-01-02", "text 2024-01-02");
        check("-", "text -");
        check(".", "text .");
        check("e", "text e");
        check(".inf", "text .inf");
        check("0x", "text 0x");
        check("12a", "text 12a");
    }
}
