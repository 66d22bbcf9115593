//! Snapshot of a site: the content of all its files at one moment.
//!
//! It is immutable and complete: a generation is built from it without further access to the file
//! system. Made by [`super::Site`]; read by `generation`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Interruption;
use super::content_hash::ContentHash;
use super::directories::Directories;
use super::listing::{Found, Listing, Stat};
use super::names::Kind;
use super::problem::SiteProblem;

/// The maximum size of a YAML file.
const MAX_YAML: u64 = 4 * 1024 * 1024;
/// The maximum size of a component; those of scripting languages reach 20 MB.
const MAX_WASM: u64 = 256 * 1024 * 1024;
/// The maximum size of all YAML files, which each reload reads.
const MAX_ALL_YAML_BYTES: u64 = 64 * 1024 * 1024;
/// The maximum size of all components, which are in memory while a generation is built.
const MAX_ALL_WASM_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// The files of a site.
#[derive(Debug)]
pub(crate) struct Snapshot {
    site: String,
    routing: Vec<RoutingFile>,
    plugins: Vec<PluginFile>,
    /// The texts of all YAML files by their displayed path, for imports.
    texts: HashMap<String, Arc<str>>,
    problems: Vec<SiteProblem>,
    directories: Directories,
    hash: ContentHash,
}

/// A routing file.
#[derive(Clone, Debug)]
pub(crate) struct RoutingFile {
    /// The displayed path: below the site's directory as that was given.
    pub(crate) path: String,
    /// The text, without a byte order mark.
    pub(crate) text: Arc<str>,
}

/// A component.
#[derive(Clone, Debug)]
pub(crate) struct PluginFile {
    /// The displayed path.
    pub(crate) path: String,
    /// The whole content.
    pub(crate) bytes: Arc<[u8]>,
    /// The hash of the content only: a renamed file has the same.
    pub(crate) hash: ContentHash,
}

/// The content of a component, with its hash.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    /// The hash of the content.
    pub(crate) hash: ContentHash,
    /// The whole content.
    pub(crate) bytes: Arc<[u8]>,
}

impl Snapshot {
    pub(super) fn read(given: &Path, listing: Listing) -> Result<Self, Interruption> {
        let mut snapshot = Self {
            site: given.display().to_string(),
            routing: Vec::new(),
            plugins: Vec::new(),
            texts: HashMap::new(),
            problems: listing.problems,
            directories: listing.directories,
            hash: ContentHash::default(),
        };
        let mut hasher = Sha256::new();
        for (kind, most) in [("YAML files", MAX_ALL_YAML_BYTES), ("components", MAX_ALL_WASM_BYTES)]
        {
            let counts = |found: &&Found| (found.kind == Kind::Plugin) == (kind == "components");
            let sizes = listing.files.iter().filter(counts).map(|found| found.stat.size());
            let size = sizes.fold(0, u64::saturating_add);
            if size > most {
                return Err(Interruption::Fatal(std::io::Error::other(format!(
                    "its {kind} are {size} bytes together; at most {most} are read"
                ))));
            }
        }
        for found in &listing.files {
            let path = found.path.display().to_string();
            let hash = snapshot.take(found, &path)?;
            hasher.update(path.as_bytes());
            hasher.update([0]);
            hasher.update(hash.unwrap_or_default().bytes());
        }
        for problem in &snapshot.problems {
            hasher.update(problem.to_string());
        }
        snapshot.hash = ContentHash::from(hasher);
        Ok(snapshot)
    }

    /// Returns the site's directory as it was given.
    pub(crate) fn site(&self) -> &str {
        &self.site
    }

    /// Returns the routing files, in the order in which later ones replace earlier ones.
    pub(crate) fn routing(&self) -> &[RoutingFile] {
        &self.routing
    }

    /// Returns the components, by path.
    pub(crate) fn plugins(&self) -> &[PluginFile] {
        &self.plugins
    }

    /// Returns the files that cannot be read or used.
    pub(crate) fn problems(&self) -> &[SiteProblem] {
        &self.problems
    }

    /// Returns the directories that have to be watched to detect the next change.
    pub(crate) fn directories(&self) -> &Directories {
        &self.directories
    }

    /// Returns the hash of all content: two snapshots with the same hash are served in the same
    /// way.
    pub(crate) fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Replaces the content of a component, by its displayed path.
    pub(crate) fn replace(&mut self, path: &str, component: &Component) {
        let Some(file) = self.plugins.iter_mut().find(|file| file.path == path) else { return };
        file.hash = component.hash;
        file.bytes = Arc::clone(&component.bytes);
        let mut hasher = Sha256::new();
        hasher.update(self.hash.bytes());
        hasher.update(path.as_bytes());
        hasher.update([0]);
        hasher.update(file.hash.bytes());
        self.hash = ContentHash::from(hasher);
    }

    /// Returns the text of a YAML file of the site, by its displayed path.
    pub(crate) fn text(&self, path: &str) -> Option<&Arc<str>> {
        self.texts.get(path)
    }

    /// Returns the displayed paths of all YAML files, in no order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    fn take(&mut self, found: &Found, path: &str) -> Result<Option<ContentHash>, Interruption> {
        let most = if found.kind == Kind::Plugin { MAX_WASM } else { MAX_YAML };
        if found.stat.size() > most {
            let size = found.stat.size();
            let message = format!("is {size} bytes long; at most {most} are read");
            self.problem(path, None, message);
            return Ok(None);
        }
        let bytes = match read_still(found)? {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problem(path, None, format!("cannot be read: {error}"));
                return Ok(None);
            }
        };
        let hash = ContentHash::of(&bytes);
        if found.kind == Kind::Plugin {
            self.plugins.push(PluginFile { path: path.to_owned(), bytes: bytes.into(), hash });
            return Ok(Some(hash));
        }
        let declares = matches!(found.kind, Kind::Routing | Kind::ApplicationRouting);
        match decode(bytes) {
            Ok(text) => {
                self.texts.insert(path.to_owned(), Arc::clone(&text));
                if declares {
                    self.routing.push(RoutingFile { path: path.to_owned(), text });
                }
            }
            // A file that may never be imported is no problem yet.
            Err((line, column)) if declares => self.problem(
                path,
                Some((line, column)),
                "is not valid UTF-8 from this position; save the file as UTF-8".to_owned(),
            ),
            Err(_) => {}
        }
        Ok(Some(hash))
    }

    fn problem(&mut self, path: &str, place: Option<(usize, usize)>, message: String) {
        self.problems.push(SiteProblem { path: path.to_owned(), place, message });
    }
}

/// Reads a file, unless it was replaced or changed after it was listed: then the listing is out of
/// date, and the content may be incomplete.
fn read_still(found: &Found) -> Result<Result<Vec<u8>, std::io::Error>, Interruption> {
    let mut file = match File::open(&found.path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Interruption::Moved);
        }
        Err(error) => return Ok(Err(error)),
    };
    let capacity = usize::try_from(found.stat.size()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(capacity);
    // One byte more than the listed size is enough to detect growth.
    if let Err(error) = file.by_ref().take(found.stat.size() + 1).read_to_end(&mut bytes) {
        return Ok(Err(error));
    }
    match file.metadata() {
        Ok(metadata) if Stat::of(&metadata) == found.stat => Ok(Ok(bytes)),
        _ => Err(Interruption::Moved),
    }
}

/// Returns the text, or line and column of the first invalid byte.
fn decode(bytes: Vec<u8>) -> Result<Arc<str>, (usize, usize)> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let line = good.matches('\n').count() + 1;
        let column = good.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).into())
}
