//! Checks of a component: its bytes before it is compiled, and its imports and exports before it is
//! instantiated.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::contract::{PACKAGE, VERSION};
use crate::error::SandboxError;
use crate::policy::Grant;
use crate::{denied, wasi};

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

/// Checks the component's imports against the grant, and that it exports the plugin contract.
pub(crate) fn check_interfaces(
    file: &str,
    engine: &Engine,
    component: &Component,
    grant: Grant,
) -> Result<(), SandboxError> {
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
        Some(found) => SandboxError::OtherVersion { file: file.to_owned(), found, spoken: VERSION },
        None => SandboxError::NotAPlugin { file: file.to_owned(), expected },
    })
}

fn check_import(file: &str, import: &str, grant: Grant) -> Result<(), SandboxError> {
    let file = || file.to_owned();
    let unknown = || SandboxError::UnknownImport { file: file(), import: import.to_owned() };
    let Some((interface, version)) = ours(import) else {
        // Versions of WASI 0.2 are compatible; the linker checks them.
        let name = import.split_once('@').map_or(import, |(name, _)| name);
        let is_linked = wasi::OFFERED.contains(&name) || denied::is_denied(name);
        return if is_linked { Ok(()) } else { Err(unknown()) };
    };
    if !compatible(version) {
        return Err(SandboxError::OtherVersion {
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
        Err(SandboxError::NotGranted { file: file(), import: import.to_owned(), interface })
    }
}

/// Interface and version, if the name belongs to the contract.
fn ours(name: &str) -> Option<(&str, &str)> {
    let interface = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    Some(interface.split_once('@').unwrap_or((interface, "no version")))
}

/// Whether a version of the contract is compatible, by semantic versioning.
fn compatible(version: &str) -> bool {
    let breaking = |v: &str| v.rsplit_once('.').map(|(breaking, _)| breaking.to_owned());
    breaking(version).is_some() && breaking(version) == breaking(VERSION)
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
