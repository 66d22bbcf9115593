//! The components under test, built from `tests/guests` by cargo itself, once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The bytes of one guest, such as `hostile`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(build);
    std::fs::read(directory.join(format!("guest_{name}.wasm"))).unwrap()
}

/// The bytes with the only occurrence of a text replaced by another one of the same length.
pub(crate) fn patched(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut places = bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from.as_bytes());
    let (place, _) = places.next().expect("the text occurs in the component");
    assert!(places.next().is_none(), "the text occurs once in the component");
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--target", "wasm32-wasip2", "--manifest-path"])
        .arg(root.join("tests/guests/Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        // Flags for the host do not suit the guests.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "the guests do not build; is the target wasm32-wasip2 installed?");
    target.join("wasm32-wasip2/release")
}

/// The bytes with every occurrence of a name replaced by another one of the same length.
pub(crate) fn renamed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut renamed = bytes.to_vec();
    let mut found = false;
    for place in 0..=bytes.len() - from.len() {
        if bytes[place..].starts_with(from.as_bytes()) {
            renamed[place..place + to.len()].copy_from_slice(to.as_bytes());
            found = true;
        }
    }
    assert!(found, "the component says {from}");
    renamed
}
