//! Templates of bundles: the files below `templates`, with `{{…}}` in the place of values.

use serde_json::Value;

use super::Language;
use super::name::Name;
use super::sdk::Sdk;

/// The values of a new bundle.
pub(super) struct Values<'a> {
    pub(super) name: &'a Name,
    pub(super) sdk: &'a Sdk,
}

/// The lock file of the stock plugins: the versions that this release was tested with.
const CARGO_LOCK: &str = include_str!("../../../../plugins/Cargo.lock");

const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("templates/rust/Cargo.toml.template")),
    ("src/lib.rs", include_str!("templates/rust/src/lib.rs")),
    ("websocket_routing.yml", include_str!("templates/websocket_routing.yml.template")),
    ("tests/{{name}}.dialogue", include_str!("templates/tests/shout.dialogue")),
    (".gitignore", include_str!("templates/rust/gitignore")),
    ("README.md", include_str!("templates/rust/README.md")),
];

const JAVASCRIPT: &[(&str, &str)] = &[
    ("package.json", include_str!("templates/javascript/package.json")),
    (".npmrc", include_str!("templates/javascript/npmrc")),
    ("plugin.js", include_str!("templates/javascript/plugin.js")),
    ("tests/plugin.test.js", include_str!("templates/javascript/tests/plugin.test.js")),
    ("websocket_routing.yml", include_str!("templates/websocket_routing.yml.template")),
    ("tests/{{name}}.dialogue", include_str!("templates/tests/shout.dialogue")),
    (".gitignore", include_str!("templates/javascript/gitignore")),
    ("README.md", include_str!("templates/javascript/README.md")),
];

const PYTHON: &[(&str, &str)] = &[
    ("pyproject.toml", include_str!("templates/python/pyproject.toml.template")),
    ("requirements.txt", include_str!("templates/python/requirements.txt")),
    ("plugin.py", include_str!("templates/python/plugin.py")),
    ("tests/test_plugin.py", include_str!("templates/python/tests/test_plugin.py")),
    ("websocket_routing.yml", include_str!("templates/websocket_routing.yml.template")),
    ("tests/{{name}}.dialogue", include_str!("templates/tests/shout.dialogue")),
    (".gitignore", include_str!("templates/python/gitignore")),
    ("README.md", include_str!("templates/python/README.md")),
];

/// The files of a new bundle: path and text.
pub(super) fn files(language: Language, values: &Values<'_>) -> Vec<(String, String)> {
    let (templates, lock) = match language {
        Language::Rust => (RUST, Some(("Cargo.lock".to_owned(), cargo_lock(CARGO_LOCK)))),
        Language::JavaScript => (JAVASCRIPT, None),
        Language::Python => (PYTHON, None),
    };
    let replacements = [
        ("{{name}}", values.name.to_string()),
        ("{{handler}}", values.name.joined(".")),
        ("{{channel}}", values.name.joined("/")),
        ("{{sdk}}", dependency(language, values.sdk)),
    ];
    // One pass over the template, so that a value is never taken for a place.
    let fill = |text: &str| {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, place)) = rest.split_once("{{") {
            filled.push_str(before);
            let known = replacements.iter().find_map(|(key, value)| {
                let name = key.strip_prefix("{{")?;
                Some((value, place.strip_prefix(name)?))
            });
            if let Some((value, after)) = known {
                filled.push_str(value);
                rest = after;
            } else {
                filled.push_str("{{");
                rest = place;
            }
        }
        filled + rest
    };
    let files = templates.iter().map(|(path, text)| (fill(path), fill(text)));
    files.chain(lock).collect()
}

/// The dependency on the SDK, as the tools of the language write it. A string of JSON is one of
/// TOML, too.
fn dependency(language: Language, sdk: &Sdk) -> String {
    match (language, sdk) {
        (Language::Rust, Sdk::Folder(path)) => format!("path = {}", Value::from(path.as_str())),
        (Language::Rust, Sdk::Git(url)) => format!("git = {}", Value::from(url.as_str())),
        (Language::JavaScript, Sdk::Folder(path)) => {
            Value::from(format!("file:{path}")).to_string()
        }
        (Language::JavaScript, Sdk::Git(url)) => Value::from(format!("git+{url}")).to_string(),
        (Language::Python, Sdk::Folder(path)) => path.clone(),
        (Language::Python, Sdk::Git(url)) => {
            format!("jackfield-plugin @ git+{url}#subdirectory=plugin-sdk/python")
        }
    }
}

/// A lock file with the packages of registries alone: Cargo adds those of folders, and removes the
/// unused ones.
fn cargo_lock(lock: &str) -> String {
    const HEAD: &str = "[[package]]";
    let mut parts = lock.split(HEAD);
    let head = parts.next().unwrap_or_default().to_owned();
    let kept = parts.filter(|part| part.contains("\nsource = "));
    kept.fold(head, |text, part| text + HEAD + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(name: &str, sdk: &Sdk) -> Vec<(String, String)> {
        let name = name.parse().unwrap();
        files(Language::Rust, &Values { name: &name, sdk })
    }

    #[test]
    fn fills_every_place() {
        let files = rust("acme-shout", &Sdk::Folder("../a {{name}} \"b\"".to_owned()));
        let text = |path: &str| &files.iter().find(|(name, _)| name == path).unwrap().1;
        assert!(text("Cargo.toml").contains(r#"{ path = "../a {{name}} \"b\"" }"#));
        assert!(text("src/lib.rs").contains("Handler::new(\"acme.shout\")"));
        assert!(text("websocket_routing.yml").contains("channel: 'acme/shout/{room}'"));
        assert!(text("tests/acme-shout.dialogue").contains("acme/shout/kitchen"));
        for (path, text) in &files {
            let text = text.replace("../a {{name}}", "");
            assert!(!text.contains("{{") && text.ends_with('\n'), "{path}: {text}");
        }
    }

    #[test]
    fn locks_packages_of_registries() {
        let files = rust("a", &Sdk::Git("https://x".to_owned()));
        let lock = &files.iter().find(|(name, _)| name == "Cargo.lock").unwrap().1;
        assert!(lock.contains("name = \"serde\"") && lock.contains("name = \"wit-bindgen\""));
        assert!(!lock.contains("jackfield"), "{lock}");
    }
}
