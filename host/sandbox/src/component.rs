//! Whether a file is a component that this host can run: first by its bytes, before anything is
//! compiled, then by what it imports and exports, before anything is instantiated.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::contract::{PACKAGE, VERSION};
use crate::error::Error;
use crate::policy::Grant;
use crate::{denied, wasi};

/// What every WebAssembly file begins with.
const MAGIC: &[u8] = b"\0asm";
/// What follows in a core module: version 1 of layer 0.
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];
/// Magic, version and layer.
const PREAMBLE: usize = 8;

/// Looks at the outermost structure alone: that is enough to tell a file that is still being
/// copied from a broken one.
pub(crate) fn check_bytes(file: &str, bytes: &[u8]) -> Result<(), Error> {
    let file = || file.to_owned();
    let need = PREAMBLE;
    let have = bytes.len();
    let Some((magic, rest)) = bytes.split_at_checked(MAGIC.len()) else {
        return Err(if MAGIC.starts_with(bytes) {
            Error::Truncated { file: file(), have, need }
        } else {
            Error::NotWasm { file: file() }
        });
    };
    if magic != MAGIC {
        return Err(Error::NotWasm { file: file() });
    }
    let Some((version, sections)) = rest.split_at_checked(PREAMBLE - MAGIC.len()) else {
        return Err(Error::Truncated { file: file(), have, need });
    };
    if version == CORE_MODULE {
        return Err(Error::CoreModule { file: file() });
    }
    match missing(sections) {
        0 => Ok(()),
        missing => Err(Error::Truncated { file: file(), have, need: have.saturating_add(missing) }),
    }
}

/// Checks what the component imports against the grant, and that it is a plugin at all.
pub(crate) fn check_interfaces(
    file: &str,
    engine: &Engine,
    component: &Component,
    grant: Grant,
) -> Result<(), Error> {
    let ty = component.component_type();
    for (import, _) in ty.imports(engine) {
        check_import(file, import, grant)?;
    }
    let expected = format!("{PACKAGE}/handler@{VERSION}");
    let mut found = None;
    for (export, _) in ty.exports(engine) {
        let Some(("handler", version)) = ours(export) else { continue };
        if compatible(version) {
            return Ok(());
        }
        found = Some(version.to_owned());
    }
    Err(match found {
        Some(found) => Error::OtherVersion { file: file.to_owned(), found, spoken: VERSION },
        None => Error::NotAPlugin { file: file.to_owned(), expected },
    })
}

fn check_import(file: &str, import: &str, grant: Grant) -> Result<(), Error> {
    let file = || file.to_owned();
    let unknown = || Error::UnknownImport { file: file(), import: import.to_owned() };
    let Some((interface, version)) = ours(import) else {
        // Versions of WASI 0.2 are compatible with one another; the linker holds them to it.
        let name = import.split_once('@').map_or(import, |(name, _)| name);
        let is_linked = wasi::OFFERED.contains(&name) || denied::is_denied(name);
        return if is_linked { Ok(()) } else { Err(unknown()) };
    };
    if !compatible(version) {
        return Err(Error::OtherVersion {
            file: file(),
            found: version.to_owned(),
            spoken: VERSION,
        });
    }
    let (granted, interface) = match interface {
        "types" => (true, "types"),
        "topics" => (grant.topics, "topics"),
        "sessions" => (grant.sessions, "sessions"),
        "store" => (grant.store, "store"),
        "log" => (grant.log, "log"),
        _ => return Err(unknown()),
    };
    if granted {
        Ok(())
    } else {
        Err(Error::NotGranted { file: file(), import: import.to_owned(), interface })
    }
}

/// The interface and the version, if the name is one of the contract's.
fn ours(name: &str) -> Option<(&str, &str)> {
    let interface = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    Some(interface.split_once('@').unwrap_or((interface, "no version")))
}

/// Whether a plugin of that version of the contract runs here: by the rules of semantic versions,
/// where before 1.0 the second number is the one that breaks.
fn compatible(version: &str) -> bool {
    let breaking = |v: &str| v.rsplit_once('.').map(|(breaking, _)| breaking.to_owned());
    breaking(version).is_some() && breaking(version) == breaking(VERSION)
}

/// How many bytes the last section lacks; each is an id, a length as LEB128, and that many bytes.
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

    #[test]
    fn accepts_compatible_contract_versions_only() {
        let check = |version, expected| assert_eq!(compatible(version), expected, "{version}");
        check("0.1.0", true);
        check("0.1.7", true);
        check("0.2.0", false);
        check("1.0.0", false);
        check("", false);
        check("no version", false);
    }
}
