//! UTF-8 in parts: a text is checked while its fragments arrive.

use crate::error::ReadError;

/// The check of one text, of which the bytes arrive in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utf8Check {
    /// The number of bytes that are checked: complete characters.
    checked: usize,
}

impl Utf8Check {
    pub(crate) const NEW: Self = Self { checked: 0 };

    /// Checks the text so far; its last character may be incomplete unless `is_complete`. All bytes
    /// of earlier calls must be a prefix of these.
    pub(crate) fn check(&mut self, text: &[u8], is_complete: bool) -> Result<(), ReadError> {
        match std::str::from_utf8(text.get(self.checked..).unwrap_or_default()) {
            Ok(valid) => self.checked += valid.len(),
            Err(error) if is_complete || error.error_len().is_some() => {
                return Err(ReadError::Utf8);
            }
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_characters_in_parts() {
        let text = "a é € 🦀".as_bytes();
        let mut check = Utf8Check::NEW;
        for end in 0..text.len() {
            check.check(&text[..end], false).unwrap();
        }
        check.check(text, true).unwrap();
    }

    #[test]
    fn refuses_what_cannot_become_a_character() {
        for (text, is_complete) in [
            (&b"ab\xff"[..], false),
            (b"\xc0\x80", false),
            (b"\xed\xa0\x80", false),
            (b"\xf4\x90", false),
            ("é".as_bytes().get(..1).unwrap(), true),
        ] {
            let mut check = Utf8Check::NEW;
            let checked = check.check(text, is_complete);
            assert_eq!(checked, Err(ReadError::Utf8), "{text:x?}");
        }
    }
}
