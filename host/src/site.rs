//! Site: the served directory, and consistent readings of it.
//!
//! This module finds the files of a site (routing files and components, at any depth), their order
//! and their displayed paths. It does not parse them; `generation` does. Called by `reload` on each
//! complete change, and by the commands that inspect a site without serving it.

mod content_hash;
mod directories;
mod listing;
mod names;
mod problem;
mod signature_file;
mod snapshot;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use content_hash::ContentHash;
pub(crate) use directories::{Directories, Watched};
pub(crate) use names::{is_content, is_ignored, is_routing, plugin_of_shadow};
pub(crate) use problem::SiteProblem;
pub(crate) use signature_file::SignatureFile;
pub(crate) use snapshot::{Component, PluginFile, Snapshot, signature_of};

use listing::Listing;

/// The maximum number of attempts to read a site whose files change meanwhile. After that, the
/// problem is reported, and the next change starts another reading.
const MAX_ATTEMPTS: usize = 8;

/// A directory of bundles, by the path that the operator gave.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    given: PathBuf,
}

/// An error of reading a site.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SiteError {
    /// The directory is missing, is not a directory, or may not be read.
    #[error(
        "failed to read the site {site}: {source}; specify an existing directory that the server can read"
    )]
    Unreadable {
        /// The directory as it was given.
        site: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Files were added or removed during every attempt.
    #[error(
        "failed to read the site {site}: its files kept changing during {MAX_ATTEMPTS} attempts; the next change starts another reading"
    )]
    Restless {
        /// The directory as it was given.
        site: String,
    },
}

/// A failed attempt: permanent, or because files changed meanwhile.
#[derive(Debug)]
enum Interruption {
    Fatal(io::Error),
    Moved,
}

impl Site {
    /// Creates the site in `directory`; a relative path stays relative in all output.
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self { given: directory.into() }
    }

    /// The directory, as it was named.
    pub(crate) fn path(&self) -> &Path {
        &self.given
    }

    /// Reads all files of the site. It blocks; call it off the async workers.
    ///
    /// # Errors
    /// When the directory itself cannot be read, or changes during every attempt. A single file
    /// that cannot be read is among [`Snapshot::problems`] instead, so that it does not hide the
    /// others.
    pub(crate) fn read(&self) -> Result<Snapshot, SiteError> {
        self.settle(|| {
            let listing = Listing::of(&self.given)?;
            Snapshot::read(&self.given, listing)
        })
    }

    /// Returns the directories that have to be watched to detect every change. It blocks.
    ///
    /// # Errors
    /// As [`Site::read`].
    pub(crate) fn directories(&self) -> Result<Directories, SiteError> {
        self.settle(|| Ok(Listing::of(&self.given)?.directories))
    }

    /// Returns a cheap fingerprint of names, sizes and times, for polling. It blocks.
    ///
    /// # Errors
    /// As [`Site::read`].
    pub(crate) fn fingerprint(&self) -> Result<ContentHash, SiteError> {
        self.settle(|| Ok(Listing::of(&self.given)?.fingerprint()))
    }

    fn settle<T>(&self, attempt: impl Fn() -> Result<T, Interruption>) -> Result<T, SiteError> {
        for _ in 0..MAX_ATTEMPTS {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(Interruption::Moved) => {}
                Err(Interruption::Fatal(source)) => {
                    return Err(SiteError::Unreadable {
                        site: self.given.display().to_string(),
                        source,
                    });
                }
            }
        }
        Err(SiteError::Restless { site: self.given.display().to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Creates a temporary site: `a/b` is an empty file, `a -> b` a link.
    fn site(entries: &[&str]) -> (tempfile::TempDir, Site) {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("site");
        fs::create_dir(&directory).unwrap();
        for entry in entries {
            let (path, target) =
                entry.split_once(" -> ").map_or((*entry, None), |(a, b)| (a, Some(b)));
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match target {
                Some(target) => symlink(target, path).unwrap(),
                None => fs::write(path, "").unwrap(),
            }
        }
        (root, Site::new(directory))
    }

    fn check(entries: &[&str], expect: &str) {
        let (_root, site) = site(entries);
        let snapshot = site.read().unwrap();
        let routing = snapshot.routing().iter().map(|file| file.path.clone());
        let plugins = snapshot.plugins().iter().map(|file| file.path.clone());
        let problems = snapshot.problems().iter().map(|problem| format!("!{}", problem.path));
        let found: Vec<String> = routing.chain(plugins).chain(problems).collect();
        let prefix = format!("{}/", site.given.display());
        assert_eq!(found.join(" ").replace(&prefix, ""), expect, "{entries:?}");
    }

    #[test]
    fn finds_files_at_any_depth_in_path_order() {
        check(&[], "");
        check(&["websocket_routing.yml"], "websocket_routing.yml");
        check(
            &["b/websocket_routing.yml", "a/x/websocket_routing.yaml", "a/x/p.wasm", "p.wasm"],
            "a/x/websocket_routing.yaml b/websocket_routing.yml a/x/p.wasm p.wasm",
        );
        check(
            &["a-b/websocket_routing.yml", "a/websocket_routing.yml"],
            "a/websocket_routing.yml a-b/websocket_routing.yml",
        );
        check(
            &["config/oro/websocket_routing/x.yml", "src/websocket_routing.yml"],
            "src/websocket_routing.yml config/oro/websocket_routing/x.yml",
        );
    }

    #[test]
    fn ignores_hidden_and_temporary_files() {
        check(&["a/.git/websocket_routing.yml", "a/p.wasm~", "node_modules/p.wasm"], "");
        check(&["target/CACHEDIR.TAG", "target/release/p.wasm"], "");
        check(&["target/p.wasm"], "target/p.wasm");
        check(&["vendor/p.wasm"], "vendor/p.wasm");
    }

    #[test]
    fn follows_links_and_stops_at_loops() {
        check(&["a/loop -> ..", "a/p.wasm"], "a/p.wasm");
        check(&["a/p.wasm -> p.wasm"], "!a/p.wasm");
        check(&["a/notes -> nowhere"], "");
        check(&["a/p.wasm -> nowhere"], "!a/p.wasm");
        check(&["..v1/p.wasm", "..data -> ..v1", "p.wasm -> ..data/p.wasm"], "p.wasm");
        check(&["..v1/b/p.wasm", "..data -> ..v1", "b -> ..data/b"], "b/p.wasm");
        check(&["a/p.wasm", "b -> a"], "a/p.wasm");
    }

    #[test]
    fn watches_every_link_that_may_be_swapped() {
        let (_root, site) = site(&["..v1/b/p.wasm", "..data -> ..v1", "b -> ..data/b"]);
        let real = site.given.canonicalize().unwrap();
        let directories = site.directories().unwrap();
        let matters = |path: &str| directories.matters(&real.join(path));
        assert!(matters("..data") && matters("b") && matters("..v1/b/p.wasm") && matters("new"));
        assert!(!matters(".hidden") && !matters("..v1/other") && !matters("x.swp"));
        assert!(directories.matters(&real), "the site itself may be replaced");
    }

    #[test]
    fn the_hash_depends_on_served_files_alone() {
        let (_root, site) = site(&["a/p.wasm", "a/x.yml"]);
        let hash = || site.read().unwrap().hash();
        let first = hash();
        fs::write(site.given.join("a/notes.txt"), "x").unwrap();
        fs::write(site.given.join("a/p.wasm"), "").unwrap();
        assert_eq!(hash(), first);
        fs::write(site.given.join("a/x.yml"), "x").unwrap();
        assert_ne!(hash(), first);
        fs::write(site.given.join("a/x.yml"), "").unwrap();
        fs::rename(site.given.join("a/p.wasm"), site.given.join("a/q.wasm")).unwrap();
        assert_ne!(hash(), first);
    }

    #[test]
    fn reads_the_signature_beside_a_component() {
        let (_root, site) = site(&["a/p.wasm", "a/q.wasm", "b/p.wasm.minisig"]);
        let signatures = || {
            let snapshot = site.read().unwrap();
            assert!(snapshot.problems().is_empty(), "a signature is no problem of the site");
            let files = snapshot.plugins().iter().map(|file| file.signature.clone());
            (snapshot.hash(), files.collect::<Vec<_>>())
        };
        let (before, absent) = signatures();
        assert!(absent.iter().all(|it| matches!(it, SignatureFile::Absent)));
        fs::write(site.given.join("a/p.wasm.minisig"), "x").unwrap();
        // A link to one signature is that of each component beside it.
        symlink("p.wasm.minisig", site.given.join("a/q.wasm.minisig")).unwrap();
        let (hash, found) = signatures();
        assert_ne!(hash, before);
        assert!(
            found.iter().all(|it| matches!(it, SignatureFile::Content(it) if **it == *b"x")),
            "{found:?}"
        );
        fs::write(site.given.join("a/p.wasm.minisig"), vec![b'x'; 1 << 20]).unwrap();
        let (_, found) = signatures();
        assert!(matches!(&found[0], SignatureFile::Unusable(it) if it.contains("1048576 bytes")));
    }

    fn pipe(path: &Path) {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    /// Makes a file of this size that takes no space.
    fn sparse(path: &Path, bytes: u64) {
        fs::File::create(path).unwrap().set_len(bytes).unwrap();
    }

    #[test]
    fn says_why_a_signature_is_unusable() {
        let check = |place: &dyn Fn(&Path), expect: &str| {
            let (_root, site) = site(&["a/p.wasm"]);
            let before = site.fingerprint().unwrap();
            place(&site.given.join("a/p.wasm.minisig"));
            let snapshot = site.read().unwrap();
            assert!(snapshot.problems().is_empty(), "a signature is no problem of the site");
            let signature = &snapshot.plugins()[0].signature;
            let SignatureFile::Unusable(reason) = signature else { panic!("{signature:?}") };
            assert!(reason.contains(expect), "{reason}");
            assert_ne!(site.fingerprint().unwrap(), before);
        };
        check(&pipe, "is neither a file nor a directory");
        check(&|path| fs::create_dir(path).unwrap(), "is a directory");
        check(&|path| symlink("nowhere", path).unwrap(), "is a broken symbolic link");
        check(&|path| symlink(".", path).unwrap(), "is a directory");
        // More than all YAML files may have together.
        check(&|path| sparse(path, 300 << 20), "314572800 bytes");
    }

    #[test]
    fn directories_named_like_signatures_end_in_no_loop() {
        let links: Vec<String> = (0..8).map(|it| format!("a/{it}.wasm.minisig -> .")).collect();
        let links: Vec<&str> = links.iter().map(String::as_str).collect();
        check(&[&["a/p.wasm"], &*links].concat(), "a/p.wasm");
    }

    #[test]
    fn names_the_file_that_is_too_large() {
        let (_root, site) = site(&["a/p.wasm"]);
        sparse(&site.given.join("a/websocket_routing.yml"), 65 << 20);
        sparse(&site.given.join("b.wasm"), 5 << 30);
        // It is imported by no file.
        sparse(&site.given.join("dump.yml"), 65 << 20);
        let snapshot = site.read().unwrap();
        let problems: Vec<String> = snapshot.problems().iter().map(ToString::to_string).collect();
        let [routing, component] = &problems[..] else { panic!("{problems:?}") };
        assert!(routing.contains("a/websocket_routing.yml: error: is 68157440 bytes"), "{routing}");
        assert!(component.contains("b.wasm: error: is 5368709120 bytes long"), "{component}");
        let dump = format!("{}/dump.yml", site.given.display());
        assert!(snapshot.text(&dump).unwrap().unwrap_err().starts_with("is 68157440 bytes long"));
    }

    #[test]
    fn reports_what_has_the_name_of_a_served_file_and_is_none() {
        let (_root, site) = site(&["a/p.wasm"]);
        for name in ["websocket_routing.yml", "q.wasm", "p.shadow.wasm", "folder.yml"] {
            fs::create_dir(site.given.join(name)).unwrap();
        }
        pipe(&site.given.join("a/websocket_routing.yaml"));
        pipe(&site.given.join("a/imported.yml"));
        pipe(&site.given.join("a/README.md"));
        let snapshot = site.read().unwrap();
        let problems = snapshot.problems().iter().map(ToString::to_string);
        let problems = problems.collect::<Vec<_>>().join("\n");
        for expect in [
            "a/websocket_routing.yaml: error: is neither a file nor a directory",
            "p.shadow.wasm: error: is a directory, and not a file",
            "q.wasm: error: is a directory, and not a file",
            "websocket_routing.yml: error: is a directory, and not a file",
        ] {
            assert!(problems.contains(expect), "{problems}");
        }
        assert_eq!(problems.lines().count(), 4, "{problems}");
        let imported = format!("{}/a/imported.yml", site.given.display());
        assert!(snapshot.text(&imported).unwrap().unwrap_err().starts_with("is neither a file"));
    }

    #[test]
    fn reports_unreadable_files_with_their_place() {
        let (_root, site) = site(&["a/p.wasm"]);
        let path = site.given.join("a/websocket_routing.yml");
        fs::write(&path, b"a:\n  b: \xff\n").unwrap();
        let problem = site.read().unwrap().problems().first().unwrap().to_string();
        assert!(
            problem.contains("a/websocket_routing.yml:2:6: error: is not valid UTF-8"),
            "{problem}"
        );
        assert_eq!(site.read().unwrap().plugins().len(), 1);
        let error = Site::new(site.given.join("none")).read().unwrap_err().to_string();
        assert!(error.contains("failed to read the site"), "{error}");
    }
}
