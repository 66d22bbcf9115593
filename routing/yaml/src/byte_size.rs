//! Size in bytes with an optional unit: `64 KiB`, `1 MiB`, or a plain number.

use std::fmt;

use serde_core::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

const UNITS: [(&str, usize); 7] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
];

/// Number of bytes, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl ByteSize {
    /// Parses a size; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        parse(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes that is not zero, such as 65536, 64 KiB or 1 MiB")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<ByteSize, E> {
        match usize::try_from(value) {
            Ok(bytes) if bytes > 0 => Ok(ByteSize(bytes)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<ByteSize, E> {
        parse(value).map(ByteSize).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

fn parse(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<usize>().ok()?.checked_mul(*factor).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_units() {
        let check = |text: &str, expect: Option<usize>| assert_eq!(parse(text), expect, "{text}");
        check("1", Some(1));
        check("1 MiB", Some(1 << 20));
        check("1MiB", Some(1 << 20));
        check("64 KiB", Some(65_536));
        check("2 MB", Some(2_000_000));
        check("10 B", Some(10));
        check("0", None);
        check("", None);
        check("MiB", None);
        check("1 mib", None);
        check("1.5 MiB", None);
        check("-1", None);
        check("99999999999 GiB", None);
    }
}
