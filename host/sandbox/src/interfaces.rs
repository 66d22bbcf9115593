//! Imports and exports of a component, read before it is compiled: the version of the contract that
//! it was built for, and whether it may import what it imports.

use std::ops::Range;

use wasmparser::{Chunk, Parser, Payload};

use crate::contract::PACKAGE;
use crate::contract::version::{OtherVersion, Version, interface};
use crate::error::SandboxError;
use crate::policy::Grant;
use crate::{denied, wasi};

/// The interface that every plugin exports; its version is that of the plugin.
const HANDLER: &str = "handler";
/// The optional interface that receives the answers of effects.
const ANSWERS: &str = "answers";
/// The optional interface that decides about actions of sessions.
const AUTHORIZER: &str = "authorizer";
/// The optional interface that knows who clients are.
const AUTHENTICATOR: &str = "authenticator";
/// Imports and exports of a component.
const MAX_NAMES: usize = 10_000;

/// Names of the imports and exports of a component.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names<'a> {
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
}

/// The imports of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imports {
    /// Their names, in the order of the component.
    pub names: Vec<String>,
    /// The least grant with which the component loads.
    pub grant: Grant,
}

impl Imports {
    /// Reads the imports of a component; `file` is its name in messages.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, SandboxError> {
        let names = Names::read(bytes)
            .map_err(|text| SandboxError::Invalid { file: file.to_owned(), text })?;
        let has = |wanted: &str| {
            let mut interfaces = names.imports.iter().filter_map(|name| interface(name));
            interfaces.any(|(interface, _)| interface == wanted)
        };
        let grant = Grant {
            topics: has("topics"),
            sessions: has("sessions"),
            store: has("store"),
            log: has("log"),
            http: has("http"),
            fetch: has("fetch"),
            calls: has("calls"),
        };
        Ok(Self { names: names.imports.iter().map(|&name| name.to_owned()).collect(), grant })
    }
}

/// Checks the interfaces of a component. Returns its version of the contract.
pub(crate) fn check_interfaces(
    file: &str,
    bytes: &[u8],
    grant: Grant,
) -> Result<Version, SandboxError> {
    let names =
        Names::read(bytes).map_err(|text| SandboxError::Invalid { file: file.to_owned(), text })?;
    let mut exports = names.exports.iter().filter_map(|name| interface(name));
    let Some((_, found)) = exports.find(|(interface, _)| *interface == HANDLER) else {
        let expected = format!("{PACKAGE}/{HANDLER}");
        return Err(SandboxError::NotAPlugin { file: file.to_owned(), expected });
    };
    let version = Version::parse(found).map_err(|other| SandboxError::OtherVersion {
        file: file.to_owned(),
        found: if found.is_empty() { "(none)" } else { found }.to_owned(),
        loaded: Version::ALL.map(|version| version.to_string()).join(" and "),
        advice: match other {
            OtherVersion::Newer => {
                format!(
                    "update the server, or build the plugin with the SDK of {}",
                    Version::NEWEST
                )
            }
            OtherVersion::Older => {
                format!("build the plugin again, with the SDK of version {}", Version::NEWEST)
            }
        },
    })?;
    names.imports.iter().try_for_each(|import| check_import(file, version, import, grant))?;
    names.exports.iter().try_for_each(|export| check_export(file, version, export))?;
    Ok(version)
}

fn check_import(
    file: &str,
    version: Version,
    import: &str,
    grant: Grant,
) -> Result<(), SandboxError> {
    let file = || file.to_owned();
    let unknown = || SandboxError::UnknownImport { file: file(), import: import.to_owned() };
    let Some((interface, found)) = interface(import) else {
        // Versions of WASI 0.2 are compatible; the linker checks them.
        let name = import.split_once('@').map_or(import, |(name, _)| name);
        let is_linked = wasi::OFFERED.contains(&name) || denied::is_denied(name);
        return if is_linked { Ok(()) } else { Err(unknown()) };
    };
    check_same_version(&file(), version, import, found)?;
    let (granted, interface) = match (interface, version) {
        ("types", _) => (true, "types"),
        ("request", Version::V0_2) => (true, "request"),
        ("topics", _) => (grant.topics, "topics"),
        ("sessions", _) => (grant.sessions, "sessions"),
        ("store", _) => (grant.store, "store"),
        ("log", _) => (grant.log, "log"),
        ("http", Version::V0_2) => (grant.http, "http"),
        ("fetch", Version::V0_2) => (grant.fetch, "fetch"),
        ("calls", Version::V0_2) => (grant.calls, "calls"),
        // Types, and the results of the plugin's own calls.
        ("http-types", Version::V0_2) => (true, "http-types"),
        ("later", Version::V0_2) => (true, "later"),
        _ => {
            let (file, name) = (file(), import.to_owned());
            return Err(SandboxError::UnknownInterface { file, name });
        }
    };
    if granted {
        Ok(())
    } else {
        let (file, import) = (file(), import.to_owned());
        Err(SandboxError::NotGranted { file, import, interface, line: None })
    }
}

/// An interface of the contract that this server does not know is one that a later release calls: a
/// plugin that counts on those calls, to refuse requests for example, must not be served without.
fn check_export(file: &str, version: Version, export: &str) -> Result<(), SandboxError> {
    match interface(export) {
        None => Ok(()),
        Some((HANDLER, found)) => check_same_version(file, version, export, found),
        Some((ANSWERS | AUTHORIZER | AUTHENTICATOR, found)) if version == Version::V0_2 => {
            check_same_version(file, version, export, found)
        }
        Some(_) => {
            let (file, name) = (file.to_owned(), export.to_owned());
            Err(SandboxError::UnknownInterface { file, name })
        }
    }
}

fn check_same_version(
    file: &str,
    version: Version,
    name: &str,
    found: &str,
) -> Result<(), SandboxError> {
    if Version::parse(found) == Ok(version) {
        return Ok(());
    }
    Err(SandboxError::MixedVersions {
        file: file.to_owned(),
        name: name.to_owned(),
        version: version.to_string(),
    })
}

impl<'a> Names<'a> {
    /// Reads the names of the outermost component; nested ones and modules are skipped.
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut names = Self::default();
        let mut parser = Parser::new(0);
        let mut rest = bytes;
        loop {
            let chunk = parser.parse(rest, true).map_err(|error| error.to_string())?;
            let Chunk::Parsed { consumed, payload } = chunk else {
                return Err("it ends within a section".to_owned());
            };
            let skipped = match &payload {
                Payload::ModuleSection { unchecked_range, .. }
                | Payload::ComponentSection { unchecked_range, .. } => length(unchecked_range),
                _ => 0,
            };
            rest = rest.get(consumed.saturating_add(skipped)..).unwrap_or_default();
            match payload {
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        names.imports.push(import.map_err(|error| error.to_string())?.name.name);
                        names.check_length()?;
                    }
                }
                Payload::ComponentExportSection(section) => {
                    for export in section {
                        names.exports.push(export.map_err(|error| error.to_string())?.name.name);
                        names.check_length()?;
                    }
                }
                Payload::End(_) => return Ok(names),
                _ => {}
            }
        }
    }

    fn check_length(&self) -> Result<(), String> {
        if self.imports.len() + self.exports.len() <= MAX_NAMES {
            return Ok(());
        }
        Err(format!("it has more than {MAX_NAMES} imports and exports"))
    }
}

fn length(range: &Range<usize>) -> usize {
    range.end.saturating_sub(range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with imports and exports of instances, after a nested component with the same
    /// names and a module.
    fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
        const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
        let section = |id: u8, contents: &[u8]| {
            let length = u8::try_from(contents.len()).unwrap();
            assert!(length < 128, "one byte of length");
            [&[id, length][..], contents].concat()
        };
        let name = |name: &str| {
            let length = u8::try_from(name.len()).unwrap();
            [&[0, length][..], name.as_bytes()].concat()
        };
        let mut bytes = PREAMBLE.to_vec();
        bytes.extend(section(1, b"\0asm\x01\0\0\0"));
        let nested = [PREAMBLE, &section(10, &[&[1][..], &name("x:y/z"), &[5, 0]].concat())];
        bytes.extend(section(4, &nested.concat()));
        // The type of an empty instance.
        bytes.extend(section(7, &[1, 0x42, 0]));
        for import in imports {
            bytes.extend(section(10, &[&[1][..], &name(import), &[5, 0]].concat()));
        }
        for export in exports {
            bytes.extend(section(11, &[&[1][..], &name(export), &[5, 0, 0]].concat()));
        }
        bytes
    }

    #[test]
    fn reads_the_names_of_the_outermost_component() {
        let (imports, exports) = (["a:b/c@1.0.0", "d:e/f"], ["g:h/i@0.2.0"]);
        let bytes = component(&imports, &exports);
        let expected = Names { imports: imports.to_vec(), exports: exports.to_vec() };
        assert_eq!(Names::read(&bytes).unwrap(), expected);
        for end in 8..bytes.len() {
            // The check of the bytes precedes it; here it only must not panic.
            let _ = Names::read(&bytes[..end]);
        }
    }

    fn check(imports: &[&str], exports: &[&str], expected: Result<Version, &[&str]>) {
        let found = check_interfaces("a.wasm", &component(imports, exports), Grant::default());
        match (found.map_err(|error| error.to_string()), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(text), Err(parts)) => {
                assert!(text.starts_with("load a.wasm: "), "{text}");
                for part in parts {
                    assert!(text.contains(part), "{text} does not say {part}");
                }
            }
            (found, _) => panic!("{imports:?} and {exports:?} gave {found:?}"),
        }
    }

    #[test]
    fn reads_the_grant_that_imports_need() {
        let names = ["jackfield:plugin/store@0.2.0", "wasi:random/random@0.2.0", "a:b/topics"];
        let imports = Imports::read("a.wasm", &component(&names, &[])).unwrap();
        let none = Grant::NONE;
        assert_eq!(imports.names, names);
        assert_eq!(imports.grant, Grant { store: true, ..none });
        assert!(
            check_interfaces(
                "a.wasm",
                &component(&names[..2], &["jackfield:plugin/handler@0.2.0"]),
                imports.grant
            )
            .is_ok()
        );
        assert!(Imports::read("a.wasm", b"\0asm").is_err());
    }

    #[test]
    fn reads_the_version_of_the_contract() {
        fn check(version: &str, expected: Result<Version, &[&str]>) {
            super::tests::check(&[], &[&format!("jackfield:plugin/handler{version}")], expected);
        }
        check("@0.1.0", Ok(Version::V0_1));
        check("@0.1.9", Ok(Version::V0_1));
        check("@0.2.0", Ok(Version::V0_2));
        let loaded = "this server loads 0.1 and 0.2\n  = help: ";
        let update = "help: update the server, or build the plugin with the SDK of 0.2";
        check("@0.3.0", Err(&["version 0.3.0 of the plugin contract", loaded, update]));
        check("@1.0.0", Err(&["version 1.0.0 of the plugin contract", loaded, update]));
        let build = "help: build the plugin again, with the SDK of version 0.2";
        check("@0.0.4", Err(&["version 0.0.4 of the plugin contract", loaded, build]));
        check("", Err(&["version (none) of the plugin contract", loaded, build]));
    }

    #[test]
    fn rejects_interfaces_of_different_versions() {
        let handler = "jackfield:plugin/handler@0.2.0";
        check(&["jackfield:plugin/store@0.2.1"], &[handler], Ok(Version::V0_2));
        let mixed =
            "imports or exports `jackfield:plugin/store@0.1.0`, and its handler is of version 0.2";
        check(&["jackfield:plugin/store@0.1.0"], &[handler], Err(&[mixed, "help: build"]));
        check(&["jackfield:plugin/store"], &[handler], Err(&["and its handler is of version 0.2"]));
    }

    #[test]
    fn rejects_interfaces_that_it_does_not_know() {
        let handler = "jackfield:plugin/handler@0.2.0";
        let import = "needs `jackfield:plugin/files@0.2.1`, which this server does not have";
        check(&["jackfield:plugin/files@0.2.1"], &[handler], Err(&[import, "help: update"]));
        let export = "needs `jackfield:plugin/auditor@0.2.1`, which this server does not have";
        check(&[], &[handler, "jackfield:plugin/auditor@0.2.1"], Err(&[export, "help: update"]));
        check(&[], &[handler, "acme:tools/spanner@1.0.0"], Ok(Version::V0_2));
        check(
            &[],
            &["acme:tools/spanner@1.0.0"],
            Err(&["does not export `jackfield:plugin/handler`"]),
        );
        let request = "jackfield:plugin/request@0.1.0";
        check(
            &[request],
            &["jackfield:plugin/handler@0.1.0"],
            Err(&["which this server does not have"]),
        );
    }

    #[test]
    fn bounds_the_number_of_names() {
        let many = vec!["a:b/c"; MAX_NAMES + 1];
        check(&many, &[], Err(&["more than 10000 imports and exports"]));
    }
}
