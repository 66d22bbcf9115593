//! File names of a site: classification of routing files and plugins, and names to ignore.
//!
//! It opens no file. The listing and the watcher both use it, so that they ignore the same names.

use jackfield_signing::SIGNATURE_EXTENSION;

/// The kind of a file, by its path and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bundle's `websocket_routing.yml` or `.yaml`.
    Routing,
    /// A file of an application's `config/oro/websocket_routing` folder.
    ApplicationRouting,
    /// Any other YAML file, or a schema in JSON: read only if a routing file names it.
    Importable,
    /// A component.
    Plugin,
    /// The signature of a component.
    Signature,
    /// A component that is compared with the one beside it.
    Shadow,
}

/// The ending of a schema in JSON. Other JSON is none of the site: applications have much of it.
const SCHEMA: &str = ".schema.json";
/// The ending of a shadow's name; that of its plugin has `.wasm` instead.
const SHADOW: &str = ".shadow.wasm";

impl Kind {
    /// Returns whether it is a component, and not a text.
    pub(crate) const fn is_component(self) -> bool {
        matches!(self, Self::Plugin | Self::Shadow)
    }

    /// Returns whether it is a YAML file or a schema.
    pub(crate) const fn is_text(self) -> bool {
        matches!(self, Self::Routing | Self::ApplicationRouting | Self::Importable)
    }
}

/// Returns the path of the plugin whose shadow this path is.
pub(crate) fn plugin_of_shadow(path: &str) -> Option<String> {
    path.strip_suffix(SHADOW).map(|name| format!("{name}.wasm"))
}

/// Returns whether a file or folder is ignored: hidden ones, temporary files of editors, and
/// folders of JavaScript packages.
///
/// `vendor` is not ignored, as PHP applications have their bundles there. Build folders (`target`
/// and others) are recognized by their `CACHEDIR.TAG` instead of by name.
pub(crate) fn is_ignored(name: &str) -> bool {
    name.starts_with('.')
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#'))
        || name == "4913" // Vim creates it to test whether the folder is writable.
        || name == "node_modules"
        || [".swp", ".swx", ".tmp", ".part", ".bak"].iter().any(|suffix| name.ends_with(suffix))
}

/// Returns whether a change inside a file of this name can change what is served.
pub(crate) fn is_content(name: &str) -> bool {
    matches!(extension(name), "yml" | "yaml" | "wasm") || is_signature(name) || is_schema(name)
}

/// Returns the kind of the file `name`; `folders` are the names of its parent folders below the
/// site.
pub(crate) fn kind(folders: &[String], name: &str) -> Option<Kind> {
    match extension(name) {
        "wasm" if name.ends_with(SHADOW) => Some(Kind::Shadow),
        "wasm" => Some(Kind::Plugin),
        SIGNATURE_EXTENSION if is_signature(name) => Some(Kind::Signature),
        "yml" | "yaml" if is_routing(name) => Some(Kind::Routing),
        "yml" | "yaml" if is_application(folders) => Some(Kind::ApplicationRouting),
        // The configuration, which is read once, at the start.
        "yml" if folders.is_empty() && name == jackfield_config::FILE_NAME => None,
        "yml" | "yaml" => Some(Kind::Importable),
        "json" if is_schema(name) => Some(Kind::Importable),
        _ => None,
    }
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_schema(name: &str) -> bool {
    name.strip_suffix(SCHEMA).is_some_and(|name| !name.is_empty())
}

/// Returns whether it is the name of a component's signature.
fn is_signature(name: &str) -> bool {
    let component = name.strip_suffix(SIGNATURE_EXTENSION).and_then(|name| name.strip_suffix('.'));
    component.is_some_and(|name| extension(name) == "wasm")
}

/// Returns whether it is the name of a bundle's routing file.
pub(crate) fn is_routing(name: &str) -> bool {
    matches!(name, "websocket_routing.yml" | "websocket_routing.yaml")
}

/// Returns whether the folder is `config/oro/websocket_routing`, at any depth. Below a folder
/// `Tests` it is a test fixture, and those of the platform are invalid on purpose.
fn is_application(folders: &[String]) -> bool {
    !folders.iter().any(|folder| folder == "Tests")
        && matches!(
            folders,
            [.., config, oro, routing]
                if config == "config" && oro == "oro" && routing == "websocket_routing"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expect: Option<Kind>) {
        let mut folders: Vec<String> = path.split('/').map(str::to_owned).collect();
        let name = folders.pop().unwrap();
        let ignored = folders.iter().chain([&name]).any(|part| is_ignored(part));
        let found = if ignored { None } else { kind(&folders, &name) };
        assert_eq!(found, expect, "{path}");
    }

    #[test]
    fn classifies_files_by_name() {
        check("websocket_routing.yml", Some(Kind::Routing));
        check("acme/websocket_routing.yaml", Some(Kind::Routing));
        check("vendor/x/Resources/config/oro/websocket_routing.yml", Some(Kind::Routing));
        check("config/oro/websocket_routing/a.yml", Some(Kind::ApplicationRouting));
        check("app/config/oro/websocket_routing/a.yml", Some(Kind::ApplicationRouting));
        check("config/oro/websocket_routing/deep/a.yml", Some(Kind::Importable));
        check("x/Tests/config/oro/websocket_routing/a.yml", Some(Kind::Importable));
        check("acme/routes.yml", Some(Kind::Importable));
        check("acme/event.schema.json", Some(Kind::Importable));
        check("acme/composer.json", None);
        check("acme/schema.json", None);
        check("acme/.schema.json", None);
        check("acme/chat.wasm", Some(Kind::Plugin));
        check("acme/chat.wasm.minisig", Some(Kind::Signature));
        check("acme/chat.minisig", None);
        check("acme/.minisig", None);
        check("acme/.chat.wasm.minisig", None);
        check("acme/chat.shadow.wasm", Some(Kind::Shadow));
        check("acme/shadow.wasm", Some(Kind::Plugin));
        check("acme/.shadow.wasm", None);
        check("acme/README.md", None);
        check("acme/wasm", None);
        check("acme/.websocket_routing.yml", None);
        check(".git/websocket_routing.yml", None);
        check("node_modules/x/websocket_routing.yml", None);
        check("acme/websocket_routing.yml~", None);
        check("acme/.#websocket_routing.yml", None);
        check("acme/#websocket_routing.yml#", None);
        check("acme/.websocket_routing.yml.swp", None);
        check("acme/chat.wasm.tmp", None);
        check("acme/4913", None);
    }
}
