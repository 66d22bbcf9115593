//! Snapshot of a site: the content of all its files at one moment.
//!
//! It is immutable and complete: a generation is built from it without further access to the file
//! system. Made by [`super::Site`]; read by `generation`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jackfield_signing::SIGNATURE_EXTENSION;
use sha2::{Digest, Sha256};

use super::Interruption;
use super::content_hash::ContentHash;
use super::directories::Directories;
use super::listing::{Found, Listing};
use super::names::Kind;
use super::problem::SiteProblem;
use super::signature_file::SignatureFile;

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
    shadows: Vec<PluginFile>,
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
    /// The content of the signature beside it.
    pub(crate) signature: SignatureFile,
    /// Whether the operator has chosen the content, and not the file of the site.
    pub(crate) is_pinned: bool,
}

/// The content of a component, with its hash and its signature.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    /// The hash of the content.
    pub(crate) hash: ContentHash,
    /// The whole content.
    pub(crate) bytes: Arc<[u8]>,
    /// The content of its signature.
    pub(crate) signature: SignatureFile,
}

impl PluginFile {
    /// A component without a signature.
    pub(crate) fn new(path: String, bytes: Arc<[u8]>) -> Self {
        let hash = ContentHash::of(&bytes);
        Self { path, bytes, hash, signature: SignatureFile::default(), is_pinned: false }
    }

    /// A component that the operator has chosen, with its signature.
    pub(crate) fn chosen(path: String, component: &Component) -> Self {
        let Component { hash, bytes, signature } = component.clone();
        Self { path, bytes, hash, signature, is_pinned: true }
    }

    /// The content, to be kept.
    pub(crate) fn component(&self) -> Component {
        let Self { hash, bytes, signature, .. } = self.clone();
        Component { hash, bytes, signature }
    }
}

impl Snapshot {
    pub(super) fn read(given: &Path, listing: Listing) -> Result<Self, Interruption> {
        let mut snapshot = Self {
            site: given.display().to_string(),
            routing: Vec::new(),
            plugins: Vec::new(),
            shadows: Vec::new(),
            texts: HashMap::new(),
            problems: listing.problems,
            directories: listing.directories,
            hash: ContentHash::default(),
        };
        let mut signatures = HashMap::new();
        let mut hasher = Sha256::new();
        for (kind, most) in [("YAML files", MAX_ALL_YAML_BYTES), ("components", MAX_ALL_WASM_BYTES)]
        {
            let counts = |found: &&Found| found.kind.is_component() == (kind == "components");
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
            let hash = if found.kind == Kind::Signature {
                let signature = SignatureFile::read(found)?;
                let hash = signature.hash();
                signatures.insert(path.clone(), signature);
                Some(hash)
            } else {
                snapshot.take(found, &path)?
            };
            hasher.update(path.as_bytes());
            hasher.update([0]);
            hasher.update(hash.unwrap_or_default().bytes());
        }
        for file in snapshot.plugins.iter_mut().chain(&mut snapshot.shadows) {
            file.signature = signatures.remove(&signature_of(&file.path)).unwrap_or_default();
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

    /// Returns the shadows of plugins, by path.
    pub(crate) fn shadows(&self) -> &[PluginFile] {
        &self.shadows
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
        file.signature = component.signature.clone();
        file.is_pinned = true;
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
        let most = if found.kind.is_component() { MAX_WASM } else { MAX_YAML };
        if found.stat.size() > most {
            let size = found.stat.size();
            let message = format!("is {size} bytes long; at most {most} are read");
            self.problem(path, None, message);
            return Ok(None);
        }
        let bytes = match found.read()? {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problem(path, None, format!("cannot be read: {error}"));
                return Ok(None);
            }
        };
        if found.kind.is_component() {
            let file = PluginFile::new(path.to_owned(), bytes.into());
            let hash = file.hash;
            let files =
                if found.kind == Kind::Plugin { &mut self.plugins } else { &mut self.shadows };
            files.push(file);
            return Ok(Some(hash));
        }
        let hash = ContentHash::of(&bytes);
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

/// Returns the path of the signature of a component.
pub(crate) fn signature_of(component: &str) -> String {
    format!("{component}.{SIGNATURE_EXTENSION}")
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
