//! Which names in a site count and which are ordinary nuisances.
//!
//! Names only: nothing here looks at a file. Called by the listing, and by the watcher, so that
//! both ignore the same things.

/// What a file is to the site, by its place and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bundle's `websocket_routing.yml` or `.yaml`.
    Routing,
    /// A file of an application's `config/oro/websocket_routing` folder.
    ApplicationRouting,
    /// Any other YAML file: read only where a routing file imports it.
    Importable,
    /// A component.
    Plugin,
}

/// Files and folders that nobody means to serve: hidden ones, what editors leave beside a file
/// while it is edited, and folders of JavaScript packages.
///
/// `vendor` is not among them, because that is where PHP applications keep their bundles. Build
/// folders (`target` and others) are recognised by their `CACHEDIR.TAG` instead of by name.
pub(crate) fn is_nuisance(name: &str) -> bool {
    name.starts_with('.')
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#'))
        || name == "4913" // Vim's probe whether it can write into the folder.
        || name == "node_modules"
        || [".swp", ".swx", ".tmp", ".part", ".bak"].iter().any(|suffix| name.ends_with(suffix))
}

/// Whether a change inside a file of this name can change what is served.
pub(crate) fn is_content(name: &str) -> bool {
    matches!(extension(name), "yml" | "yaml" | "wasm")
}

/// What the file `name` is, in a folder whose names below the site are `folders`.
pub(crate) fn kind(folders: &[String], name: &str) -> Option<Kind> {
    match extension(name) {
        "wasm" => Some(Kind::Plugin),
        "yml" | "yaml" if is_routing(name) => Some(Kind::Routing),
        "yml" | "yaml" if is_application(folders) => Some(Kind::ApplicationRouting),
        // The settings are read once, at the start.
        "yml" if folders.is_empty() && name == jackfield_config::FILE_NAME => None,
        "yml" | "yaml" => Some(Kind::Importable),
        _ => None,
    }
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_routing(name: &str) -> bool {
    matches!(name, "websocket_routing.yml" | "websocket_routing.yaml")
}

/// `config/oro/websocket_routing`, at any depth. Below a `Tests` folder it is a fixture: those of
/// the platform's own test suites are deliberately not valid.
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
        let ignored = folders.iter().chain([&name]).any(|part| is_nuisance(part));
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
        check("acme/chat.wasm", Some(Kind::Plugin));
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
