//! Sites in temporary directories, and the ways to change their files: in place, by renaming, by
//! removing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build;

/// A site that is removed with the test.
pub struct Site {
    directory: tempfile::TempDir,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Returns a site with a bundle that broadcasts `open/{name}` without any hook.
    pub fn open() -> Self {
        let site = Self::new();
        site.bundle("open", OPEN_ROUTES, &[build::plugin("broadcast")]);
        site
    }

    /// Returns a site with so many bundles, each with a plugin of its own that no other has: `b0` with
    /// the topics `b0/{room}`, and so on.
    pub fn of_bundles(count: usize) -> Self {
        let site = Self::new();
        let whole = fs::read(build::guest("counter")).unwrap();
        for number in 0..count {
            // Names of the same length.
            let component = renamed(&whole, "acme-counter", &format!("acme-cnt{number:04}"));
            let handler = format!("acme.cnt{number:04}");
            site.write(
                &format!("b{number}/counter.wasm"),
                renamed(&component, "acme.counter", &handler),
            );
            let route = format!(
                "b{number}:\n    channel: 'b{number}/{{room}}'\n    handler: {{ callback: '{handler}' }}\n"
            );
            site.write(&format!("b{number}/websocket_routing.yml"), route);
        }
        site
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the path of a file in the site.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Adds a bundle: a folder with a routing file and components.
    pub fn bundle(&self, name: &str, routes: &str, components: &[PathBuf]) {
        let folder = self.file(name);
        fs::create_dir_all(&folder).unwrap();
        for component in components {
            fs::copy(component, folder.join(component.file_name().unwrap())).unwrap();
        }
        // The routing file comes last, so that a running server never finds routes without their
        // handlers.
        self.rename_over(&format!("{name}/websocket_routing.yml"), routes);
    }

    /// Writes a file at once, so that a server never reads a part of it.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        self.rename_over(name, contents);
    }

    /// Writes a file under a name that is not served, and renames it over the other.
    pub fn rename_over(&self, name: &str, contents: impl AsRef<[u8]>) {
        let beside = self.file(&format!("{name}.tmp"));
        fs::write(&beside, contents).unwrap();
        fs::rename(beside, self.file(name)).unwrap();
    }

    pub fn remove(&self, name: &str) {
        let path = self.file(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
}

/// Topics that every client may use.
pub const OPEN_ROUTES: &str = "\
test.open:
    channel: 'open/{name}'
    handler: { callback: 'broadcast' }
test.dotted:
    channel: 'open.{name}'
    handler: { callback: 'broadcast' }
    requirements: { name: { pattern: '.*' } }
";

/// Returns a component with every occurrence of a text replaced by another one of the same length.
pub fn renamed(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut renamed = component.to_vec();
    let places = component.windows(from.len()).enumerate().filter(|(_, it)| *it == from.as_bytes());
    for (place, _) in places {
        renamed[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    assert!(renamed != component || from == to, "the component has no {from}");
    renamed
}
