//! A place of the server's files: a path, or one of two words.

use std::path::PathBuf;

use jackfield_text::Untrusted;

/// The value that leaves the place to the server.
const AUTO: &str = "auto";
/// The value for none.
pub(super) const OFF: &str = "off";

/// A place as a setting names it.
pub(super) enum Place {
    Auto,
    Off,
    At(PathBuf),
}

impl Place {
    /// Reads the text of a setting; `noun` is the kind of file.
    pub(super) fn read(text: &str, noun: &str) -> Result<Self, String> {
        match text {
            AUTO => Ok(Self::Auto),
            OFF => Ok(Self::Off),
            // `Off`, `true` and the like are misspelt words, and no names of files.
            word if !word.contains('/') => {
                let help = "write a path with a `/`, `auto` or `off`";
                let word = Untrusted::new(word);
                Err(format!("`{word}` is no place for a {noun}\n{help}"))
            }
            path => Ok(Self::At(path.into())),
        }
    }
}
