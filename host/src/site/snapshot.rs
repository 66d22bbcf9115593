//! Snapshot of a site: the content of all its files at one moment.
//!
//! It is immutable and complete: a generation is built from it without further access to the file
//! system. Made by [`super::Site`]; read by `generation`.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use jackfield_signing::{MAX_SIGNATURE_BYTES, SIGNATURE_EXTENSION};
use sha2::{Digest, Sha256};

use super::Interruption;
use super::content_hash::ContentHash;
use super::directories::Directories;
use super::listing::{Found, Listing, Unusable};
use super::names::Kind;
use super::problem::SiteProblem;
use super::signature_file::SignatureFile;

/// The maximum size of a YAML file or a schema.
const MAX_TEXT: u64 = 4 * 1024 * 1024;
/// The maximum size of a component; those of scripting languages reach 20 MB.
const MAX_WASM: u64 = 256 * 1024 * 1024;
/// The maximum size of all YAML files and schemas, which each reload reads.
const MAX_ALL_TEXT_BYTES: u64 = 64 * 1024 * 1024;
/// The maximum size of all components and signatures, which are in memory while a generation is built.
const MAX_ALL_WASM_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// The files of a site.
#[derive(Debug)]
pub(crate) struct Snapshot {
    site: String,
    routing: Vec<RoutingFile>,
    plugins: Vec<PluginFile>,
    shadows: Vec<PluginFile>,
    /// The texts of all YAML files and schemas by their displayed path, for imports; or the reason why a file has
    /// none, as a sentence about it.
    texts: HashMap<String, Result<Arc<str>, String>>,
    /// The displayed paths of texts outside of the site, to which links lead.
    outside: HashSet<String>,
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
    /// The hash of the file of the site; another one than `hash` if another content serves instead.
    pub(crate) own_hash: ContentHash,
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
        let signature = SignatureFile::default();
        Self { path, bytes, hash, own_hash: hash, signature, is_pinned: false }
    }

    /// A component that the operator has chosen, with its signature.
    pub(crate) fn chosen(path: String, component: &Component) -> Self {
        let Component { hash, bytes, signature } = component.clone();
        Self { path, bytes, hash, own_hash: hash, signature, is_pinned: true }
    }

    /// A component that the site has chosen, with its signature.
    pub(crate) fn of_site(path: String, component: &Component) -> Self {
        Self { is_pinned: false, ..Self::chosen(path, component) }
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
            outside: HashSet::new(),
            problems: listing.problems,
            directories: listing.directories,
            hash: ContentHash::default(),
        };
        let mut signatures = HashMap::new();
        let mut hasher = Sha256::new();
        // The same files have the same hash on each node of a cluster, wherever the site is.
        let within = |path: &Path| {
            path.strip_prefix(given).unwrap_or(path).as_os_str().as_encoded_bytes().to_vec()
        };
        check_totals(&listing.files)?;
        for Unusable { path, kind, reason } in listing.unusable {
            hasher.update(within(&path));
            let path = path.display().to_string();
            hasher.update(reason.as_bytes());
            if kind == Kind::Signature {
                signatures.insert(path, SignatureFile::Unusable(reason.into()));
            } else {
                snapshot.texts.insert(path, Err(reason));
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
            hasher.update(within(&found.path));
            hasher.update([0]);
            hasher.update(hash.unwrap_or_default().bytes());
        }
        for file in snapshot.plugins.iter_mut().chain(&mut snapshot.shadows) {
            file.signature = signatures.remove(&signature_of(&file.path)).unwrap_or_default();
        }
        for problem in &snapshot.problems {
            let text = problem.to_string();
            hasher.update(text.strip_prefix(&snapshot.site).unwrap_or(&text));
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
        let within = path.strip_prefix(&self.site).unwrap_or(path);
        hasher.update(within.trim_start_matches('/'));
        hasher.update([0]);
        hasher.update(file.hash.bytes());
        self.hash = ContentHash::from(hasher);
    }

    /// Returns the text of a YAML file or a schema of the site, by its displayed path; or the reason why it has
    /// none, as a sentence about the file.
    pub(crate) fn text(&self, path: &str) -> Option<Result<&Arc<str>, &str>> {
        self.texts.get(path).map(|text| text.as_ref().map_err(String::as_str))
    }

    /// Returns whether a link leads to the text, out of the site: errors do not show its lines.
    pub(crate) fn is_outside(&self, path: &str) -> bool {
        self.outside.contains(path)
    }

    /// Returns the displayed paths of all YAML files and schemas, in no order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    fn take(&mut self, found: &Found, path: &str) -> Result<Option<ContentHash>, Interruption> {
        let most = max_bytes(found.kind);
        if found.stat.size() > most {
            let size = found.stat.size();
            self.unusable(
                found,
                path,
                None,
                format!("is {size} bytes long; at most {most} are read"),
            );
            return Ok(None);
        }
        let bytes = match found.read()? {
            Ok(bytes) => bytes,
            Err(error) => {
                self.unusable(found, path, None, format!("cannot be read: {error}"));
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
        match decode(bytes) {
            Ok(text) => {
                self.texts.insert(path.to_owned(), Ok(Arc::clone(&text)));
                if found.is_outside {
                    self.outside.insert(path.to_owned());
                }
                if found.kind != Kind::Importable {
                    self.routing.push(RoutingFile { path: path.to_owned(), text });
                }
            }
            Err((line, column)) => {
                let reason = "is not valid UTF-8 from this position; save the file as UTF-8";
                self.unusable(found, path, Some((line, column)), reason.to_owned());
            }
        }
        Ok(Some(hash))
    }

    /// Handles a file without a usable content. One that is only imported is no problem until it is.
    fn unusable(
        &mut self,
        found: &Found,
        path: &str,
        place: Option<(usize, usize)>,
        message: String,
    ) {
        let path = path.to_owned();
        if found.kind == Kind::Importable {
            let place = place.map_or_else(String::new, |(line, column)| {
                format!(" (line {line}, column {column})")
            });
            self.texts.insert(path, Err(message + &place));
        } else {
            self.problems.push(SiteProblem { path, place, message });
        }
    }
}

/// Refuses a site whose files are too large together. One that is too large by itself is not read, so
/// it does not count.
fn check_totals(files: &[Found]) -> Result<(), Interruption> {
    let totals = [
        ("YAML files and schemas", true, MAX_ALL_TEXT_BYTES),
        ("components and signatures", false, MAX_ALL_WASM_BYTES),
    ];
    for (name, are_texts, most) in totals {
        let counts = |found: &&Found| {
            found.kind.is_text() == are_texts && found.stat.size() <= max_bytes(found.kind)
        };
        let sizes = files.iter().filter(counts).map(|found| found.stat.size());
        let size = sizes.fold(0, u64::saturating_add);
        if size > most {
            return Err(Interruption::Fatal(std::io::Error::other(format!(
                "its {name} are {size} bytes together; at most {most} are read"
            ))));
        }
    }
    Ok(())
}

/// Returns the maximum size of a file that is read.
const fn max_bytes(kind: Kind) -> u64 {
    match kind {
        Kind::Routing | Kind::ApplicationRouting | Kind::Importable => MAX_TEXT,
        Kind::Plugin | Kind::Shadow => MAX_WASM,
        Kind::Signature => MAX_SIGNATURE_BYTES as u64,
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
