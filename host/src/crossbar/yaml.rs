//! Text in YAML files: plain where that is safe, else quoted as in JSON.

/// Returns a value of text.
pub(super) fn text(value: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/');
    let begins = value.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let word = value.to_ascii_lowercase();
    let has_meaning = matches!(
        word.as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    let is_plain =
        begins && value.bytes().all(|byte| is_word(byte) || byte == b'-') && !has_meaning;
    if is_plain { value.to_owned() } else { quoted(value) }
}

/// Returns text in double quotes; readers of YAML differ in what they do with unusual characters.
fn quoted(value: &str) -> String {
    let escaped = |letter: char| match letter {
        '"' | '\\' => format!("\\{letter}"),
        ' ' => " ".to_owned(),
        _ if letter.is_ascii_graphic() || letter.is_alphanumeric() => letter.to_string(),
        _ => format!("\\U{:08x}", u32::from(letter)),
    };
    format!("\"{}\"", value.chars().map(escaped).collect::<String>())
}

/// Returns a list of texts in one line.
pub(super) fn list<T: AsRef<str>>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(|value| text(value.as_ref())).collect();
    format!("[{}]", values.join(", "))
}

/// Returns a map in one line; its keys are plain.
pub(super) fn map<'k>(entries: impl IntoIterator<Item = (&'k str, String)>) -> String {
    let entries = entries.into_iter().map(|(key, value)| format!("{key}: {value}"));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_has_another_meaning() {
        let check = |value: &str, expect: &str| assert_eq!(text(value), expect, "{value}");
        check("com.example.ping", "com.example.ping");
        check("sensor-7", "sensor-7");
        check("yes", "\"yes\"");
        check("7", "\"7\"");
        check("", "\"\"");
        check("a: b", "\"a: b\"");
        check("a#b", "\"a#b\"");
        check("com.", "com.");
        check("a\n", "\"a\\U0000000a\"");
        check("a\u{7f}\u{85}\u{2028}", "\"a\\U0000007f\\U00000085\\U00002028\"");
        check("q\"\\", "\"q\\\"\\\\\"");
        check("it's", "\"it's\"");
        assert_eq!(list(&["a", "1"]), "[a, \"1\"]");
    }
}
