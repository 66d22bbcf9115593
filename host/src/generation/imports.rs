//! Imports of routing files, read from the snapshot.
//!
//! Only files of the site can be imported: a generation is built from one snapshot only, so that
//! the checked files are the served files.

use globset::GlobBuilder;
use jackfield_routing::Files;

use crate::site::Snapshot;

impl Files for Snapshot {
    fn read(&self, path: &str) -> Result<String, String> {
        let path = normalized(path);
        match self.text(&path) {
            Some(Ok(text)) => Ok(text.to_string()),
            Some(Err(reason)) => Err(format!("the file `{path}` {reason}")),
            None => Err(format!(
                "there is no such file `{path}` in the site {}; only its YAML files and schemas \
                 (`*.schema.json`) can be named",
                self.site()
            )),
        }
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        let pattern = normalized(pattern);
        let glob = GlobBuilder::new(&pattern)
            .literal_separator(true)
            .build()
            .map_err(|error| format!("`{pattern}` is not a pattern: {}", error.kind()))?
            .compile_matcher();
        // Schemas in JSON are no routing files.
        let matches = |path: &&str| {
            std::path::Path::new(path).extension().is_none_or(|it| it != "json")
                && glob.is_match(path)
        };
        let mut found: Vec<String> = self.texts().filter(matches).map(str::to_owned).collect();
        found.sort();
        Ok(found)
    }
}

/// Returns the path without `.` and `..`, as in the snapshot.
fn normalized(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            "" if !parts.is_empty() => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, ".." | "")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::site::Site;

    use super::*;

    #[test]
    fn normalizes_paths() {
        let check = |path: &str, expect: &str| assert_eq!(normalized(path), expect, "{path}");
        check("a/b.yml", "a/b.yml");
        check("a/./b.yml", "a/b.yml");
        check("a/../b.yml", "b.yml");
        check("/a/b/../../c.yml", "/c.yml");
        check("../a/../b.yml", "../b.yml");
        check("../../b.yml", "../../b.yml");
        check("./a//b.yml", "a/b.yml");
        check("/../b.yml", "/../b.yml");
    }

    #[test]
    fn files_of_the_site_can_be_imported() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        for name in ["a/x.yml", "a/y.yml", "b.yml", "a/x.schema.json"] {
            fs::write(root.path().join(name), name).unwrap();
        }
        let snapshot = Site::new(root.path()).read().unwrap();
        let site = root.path().display().to_string();
        assert_eq!(snapshot.read(&format!("{site}/a/../b.yml")).unwrap(), "b.yml");
        assert!(snapshot.read(&format!("{site}/none.yml")).unwrap_err().contains("none.yml"));
        fs::write(root.path().join("bad.yml"), b"a: \xff").unwrap();
        let error = Site::new(root.path()).read().unwrap().read(&format!("{site}/bad.yml"));
        let error = error.unwrap_err();
        assert!(
            error.contains("/bad.yml` is not valid UTF-8") && error.ends_with("(line 1, column 4)"),
            "{error}"
        );
        let glob = |pattern: &str| {
            let found = snapshot.glob(&format!("{site}/{pattern}")).unwrap();
            found.join(" ").replace(&format!("{site}/"), "")
        };
        assert_eq!(glob("a/*.yml"), "a/x.yml a/y.yml");
        assert_eq!(glob("a/*"), "a/x.yml a/y.yml");
        assert_eq!(snapshot.read(&format!("{site}/a/x.schema.json")).unwrap(), "a/x.schema.json");
        assert_eq!(glob("*.yml"), "b.yml");
        assert_eq!(glob("**/*.yml"), "a/x.yml a/y.yml b.yml");
        assert_eq!(glob("a/{y,z}.yml"), "a/y.yml");
        assert!(snapshot.glob("a/{").is_err());
    }
}
