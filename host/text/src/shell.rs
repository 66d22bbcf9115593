//! Words of commands that messages suggest, quoted for POSIX shells.

use std::borrow::Cow;

use crate::is_printable;

/// Returns the text as one word of a POSIX shell: unchanged if no character has a meaning there, else
/// between single quotes. Names of plugins, files and topics are texts of strangers, and a suggested
/// command is copied into a shell.
///
/// Shells have no common form for control characters and characters that reorder others: `placeholder`
/// replaces a text with one of them.
pub fn shell_word<'a>(text: &'a str, placeholder: &'a str) -> Cow<'a, str> {
    if !text.chars().all(is_printable) {
        return Cow::Borrowed(placeholder);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c);
    // A word that begins with `-` would be an option; quotes do not change that.
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_one_word_with_the_same_text() {
        for text in [
            "acme-chat",
            "a/b?c#d",
            "x;touch owned;echo ",
            "a'b; x",
            "$(x) `y` \\ \"z\"",
            "ä b",
            "",
            "*",
            "~",
        ] {
            let command = format!("printf %s {}", shell_word(text, "NAME"));
            let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{command}");
            assert!(output.stderr.is_empty(), "{output:?}");
        }
    }

    #[test]
    fn ordinary_names_have_no_quotes() {
        assert_eq!(shell_word("acme-chat", "NAME"), "acme-chat");
        assert_eq!(shell_word("/srv/site/a.wasm", "FILE"), "/srv/site/a.wasm");
    }

    #[test]
    fn a_text_that_is_not_printable_is_replaced() {
        for text in ["a\nb", "a\u{202e}b", "\u{1b}[31m"] {
            assert_eq!(shell_word(text, "NAME"), "NAME");
        }
    }
}
