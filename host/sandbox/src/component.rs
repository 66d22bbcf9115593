//! Check of a component's bytes before they are read: an incomplete file, a core module, or another
//! format.

use crate::error::SandboxError;

/// Magic number of WebAssembly.
const MAGIC: &[u8] = b"\0asm";
/// Version field of a core module: version 1 of layer 0.
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];
/// Magic, version and layer.
const PREAMBLE: usize = 8;

/// Checks the outermost structure, which tells an incomplete file from a broken one.
pub(crate) fn check_bytes(file: &str, bytes: &[u8]) -> Result<(), SandboxError> {
    let file = || file.to_owned();
    let need = PREAMBLE;
    let have = bytes.len();
    let Some((magic, rest)) = bytes.split_at_checked(MAGIC.len()) else {
        return Err(if MAGIC.starts_with(bytes) {
            SandboxError::Truncated { file: file(), have, need }
        } else {
            SandboxError::NotWasm { file: file() }
        });
    };
    if magic != MAGIC {
        return Err(SandboxError::NotWasm { file: file() });
    }
    let Some((version, sections)) = rest.split_at_checked(PREAMBLE - MAGIC.len()) else {
        return Err(SandboxError::Truncated { file: file(), have, need });
    };
    if version == CORE_MODULE {
        return Err(SandboxError::CoreModule { file: file() });
    }
    match missing(sections) {
        0 => Ok(()),
        missing => {
            Err(SandboxError::Truncated { file: file(), have, need: have.saturating_add(missing) })
        }
    }
}

/// Missing bytes of the last section. A section is an id, a length as LEB128, and its bytes.
fn missing(mut sections: &[u8]) -> usize {
    while let Some((_id, rest)) = sections.split_first() {
        let mut length: u64 = 0;
        let mut rest = rest.iter();
        for shift in (0..35).step_by(7) {
            let Some(byte) = rest.next() else { return 1 };
            length |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let rest = rest.as_slice();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match rest.get(length..) {
            Some(next) => sections = next,
            None => return length - rest.len(),
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn check(bytes: &[&[u8]], expected: &str) {
        let found = match check_bytes("a.wasm", &bytes.concat()) {
            Ok(()) => "sound".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{bytes:?} gave {found}, expected {expected}");
    }

    #[test]
    fn classifies_files_by_their_bytes() {
        check(&[COMPONENT], "sound");
        check(&[COMPONENT, &[0, 2, 7, 7], &[1, 0]], "sound");
        check(&[b""], "incomplete, 0 bytes of at least 8");
        check(&[b"\0as"], "incomplete, 3 bytes of at least 8");
        check(&[b"\0asm\x0d"], "incomplete, 5 bytes of at least 8");
        check(&[b"<html>"], "not WebAssembly");
        check(&[b"ab"], "not WebAssembly");
        check(&[b"\0asm\x01\0\0\0", b"whatever"], "core module");
        check(&[COMPONENT, &[0, 5, 1, 2]], "incomplete, 12 bytes of at least 15");
        check(&[COMPONENT, &[0]], "incomplete, 9 bytes of at least 10");
        check(&[COMPONENT, &[0, 0x80]], "incomplete, 10 bytes of at least 11");
        check(&[COMPONENT, &[0, 0x80, 0x01, 9]], "incomplete, 12 bytes of at least 139");
    }
}
