//! Loader: reads files in order, follows imports, and replaces routes of the same name.
//!
//! All routes of a site are one list. A route whose name exists replaces the earlier one and moves
//! to the end. The host calls [`load`] with the files in loading order.

mod import;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jackfield_yaml::diagnosis::{MAX_PROBLEMS, in_order};
use jackfield_yaml::document::parse;
use jackfield_yaml::{Diagnosis, Source};

use crate::compile::Compiler;
use crate::entry::{self, Draft, Entry};
use crate::files::{Files, normal};
use crate::table::RouteTable;

/// Routing file: its path, which is shown and which imports are relative to, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path, with `/` as separator.
    pub path: String,
    /// The whole file.
    pub text: String,
}

/// Parses files in order, follows imports, merges and compiles. On any problem there is no table;
/// the problems of all files are returned, in the order of the files.
pub fn load(files: &[SourceFile], imports: &dyn Files) -> Result<RouteTable, Vec<Diagnosis>> {
    let mut loader = Loader {
        imports,
        files: Vec::new(),
        open: Vec::new(),
        imported: 0,
        too_many: false,
        globs: 0,
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let mut merged = Drafts::default();
    for file in files {
        if loader.is_full(&merged) {
            break;
        }
        loader.file(&file.path, &file.text, &mut merged);
    }
    let Loader { files, mut problems, mut warnings, .. } = loader;
    if merged.in_order.len() > MAX_ROUTES {
        let message = format!("there are more than {MAX_ROUTES} routes up to here");
        let help = "routes with variables take many topics each: write fewer of them";
        let place = merged.in_order.values().next_back().map(|draft| &draft.places.name);
        problems.extend(place.map(|place| place.problem(message).with_help(help)));
        return Err(problems);
    }
    let mut compiler = Compiler::new(imports);
    let routes: Vec<_> = merged
        .into_drafts()
        .filter_map(|draft| {
            let told_enough = problems.len() > MAX_PROBLEMS;
            if told_enough { None } else { compiler.route(draft, &mut problems, &mut warnings) }
        })
        .collect();
    if problems.is_empty() {
        return Ok(RouteTable::new(routes, files, warnings));
    }
    // Files are parsed before anything is compiled, so problems are not in order.
    in_order(&mut problems, &files);
    if problems.len() > MAX_PROBLEMS {
        problems.truncate(MAX_PROBLEMS);
        let path = problems.last().map(|last| last.path.clone()).unwrap_or_default();
        let message = format!("there are more problems than these {MAX_PROBLEMS}");
        problems.push(Diagnosis::without_place(path, message));
    }
    Err(problems)
}

/// Maximum number of routes of a site. Comparing more with one another takes seconds.
const MAX_ROUTES: usize = 10_000;

/// Routes by name, in matching order.
#[derive(Default)]
struct Drafts {
    in_order: BTreeMap<usize, Draft>,
    by_name: HashMap<String, usize>,
    next: usize,
}

impl Drafts {
    /// Adds a route at the end; removes an earlier one of the same name.
    fn put(&mut self, draft: Draft) {
        if let Some(earlier) = self.by_name.insert(draft.name.clone(), self.next) {
            self.in_order.remove(&earlier);
        }
        self.in_order.insert(self.next, draft);
        self.next += 1;
    }

    fn into_drafts(self) -> impl Iterator<Item = Draft> {
        self.in_order.into_values()
    }
}

struct Loader<'a> {
    imports: &'a dyn Files,
    /// Every file read, in order.
    files: Vec<String>,
    /// The files being read, each imported by the one before.
    open: Vec<String>,
    /// Number of files requested by imports.
    imported: usize,
    /// Number of expanded file name patterns.
    globs: usize,
    /// Whether too many imports have been reported.
    too_many: bool,
    problems: Vec<Diagnosis>,
    /// Warnings about files and imports. Those about routes are in their drafts, as a route may be
    /// replaced.
    warnings: Vec<Diagnosis>,
}

impl Loader<'_> {
    /// Returns whether the limits of routes or problems are exceeded, so that reading can stop.
    fn is_full(&self, read: &Drafts) -> bool {
        read.in_order.len() > MAX_ROUTES || self.problems.len() > MAX_PROBLEMS
    }

    fn file(&mut self, path: &str, text: &str, into: &mut Drafts) {
        // A byte order mark is not part of the text, and would shift every column of line 1.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let source = Arc::new(Source::new(path.to_owned(), text));
        if !self.files.iter().any(|file| file == path) {
            self.files.push(path.to_owned());
        }
        self.open.push(normal(path));
        if let Some(document) = parse(&source, &mut self.problems) {
            let (problems, warnings) = (&mut self.problems, &mut self.warnings);
            for entry in entry::entries(&source, &document, problems, warnings) {
                match entry {
                    Entry::Route(draft) => into.put(*draft),
                    Entry::Import(import) => self.import(&import, path, into),
                }
            }
        }
        self.open.pop();
    }
}
