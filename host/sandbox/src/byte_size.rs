//! Byte sizes as text, in the notation of the settings: `64 MiB`.

/// A number of bytes in the largest unit that divides it.
pub(crate) fn byte_size(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_sizes_as_the_settings_do() {
        let check = |bytes, expected| assert_eq!(byte_size(bytes), expected);
        check(2 << 30, "2 GiB");
        check(1536 << 20, "1536 MiB");
        check(64 << 10, "64 KiB");
        check(1000, "1000 bytes");
    }
}
