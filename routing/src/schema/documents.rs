//! Documents of a schema: the map in the routing file or a file of the site, and the files to which
//! it refers.
//!
//! Each subschema that can be reached is visited once: its references are resolved to documents, its
//! expressions are measured, and its keywords are checked. References are then written as
//! `schema:///NUMBER#…`, so that the library that evaluates schemas loads nothing.

use std::collections::HashMap;
use std::sync::Arc;

use jackfield_yaml::document::parse;
use jackfield_yaml::{Diagnosis, Node, NodeKind, Place, Source, suggest};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::bounds::Subschema;
use super::document::{Document, escape};
use super::keywords::{self, Applies, FORMATS, PLAIN, Shape, WITH_SUBSCHEMAS};
use super::strict_json;
use crate::files::{Files, relative_to};
use crate::requirement::{Budget, check_search};

/// Maximum size of a file.
const MAX_FILE_BYTES: usize = 256 << 10;
/// Maximum number of documents of one schema.
const MAX_DOCUMENTS: usize = 32;
/// Maximum number of subschemas.
const MAX_SUBSCHEMAS: usize = 1_000;
/// Maximum nested lists and maps of a document: checking a schema recurses.
const MAX_NESTING: usize = 40;
/// Elements of a list that cost as much as an evaluation.
const ELEMENTS_PER_EVALUATION: usize = 8;

/// The endings of files that are read as schemas.
const ENDINGS: [&str; 3] = [".schema.json", ".yml", ".yaml"];
const NAMES: &str = "the names of schema files end in `.schema.json`, `.yml` or `.yaml`; a path is \
                     relative to the folder of the file that names it, and within the site";

/// Reader of the documents of one schema.
pub(super) struct Documents<'a> {
    pub(super) all: Vec<Document>,
    pub(super) subschemas: Vec<Subschema>,
    places: Vec<(usize, String)>,
    by_path: HashMap<String, usize>,
    by_place: HashMap<(usize, String), usize>,
    edits: Vec<(usize, String, Edit)>,
    /// "route `x`", for messages.
    subject: &'a str,
    files: &'a dyn Files,
    budget: &'a mut Budget,
    warnings: &'a mut Vec<Diagnosis>,
}

/// A change of a subschema for the library.
enum Edit {
    Reference(String),
    /// It would be checked, and could take too long.
    DropFormat,
}

impl<'a> Documents<'a> {
    /// Reads the schema of a map in a routing file, or of the file that a text names.
    pub(super) fn read(
        source: &Arc<Source>,
        node: &Node,
        subject: &'a str,
        files: &'a dyn Files,
        budget: &'a mut Budget,
        warnings: &'a mut Vec<Diagnosis>,
    ) -> Result<Self, Diagnosis> {
        let mut documents = Self {
            all: Vec::new(),
            subschemas: Vec::new(),
            places: Vec::new(),
            by_path: HashMap::new(),
            by_place: HashMap::new(),
            edits: Vec::new(),
            subject,
            files,
            budget,
            warnings,
        };
        match &node.kind {
            NodeKind::Text(path) => {
                let path = relative_to(&source.path, path);
                documents.file(&path, &node.place(source))?;
            }
            _ => {
                documents.add(Document::inline(source, node))?;
            }
        }
        documents.number(0, String::new())?;
        let mut next = 0;
        while let Some((document, pointer)) = documents.places.get(next).cloned() {
            documents.visit(next, document, &pointer)?;
            next += 1;
        }
        documents.edit();
        Ok(documents)
    }

    /// Creates a problem at a JSON pointer of a document.
    pub(super) fn problem(
        &self,
        document: usize,
        pointer: &str,
        message: &str,
        help: &str,
    ) -> Diagnosis {
        let text = self.message(pointer, message);
        let place = self.all.get(document).map(|it| it.place(pointer));
        let problem = match place {
            Some(place) => place.problem(text),
            None => Diagnosis::without_place(String::new(), text),
        };
        problem.with_help(help)
    }

    /// Creates a problem at a subschema.
    pub(super) fn problem_at(&self, subschema: usize, message: &str, help: &str) -> Diagnosis {
        let (document, pointer) = self.places.get(subschema).cloned().unwrap_or_default();
        self.problem(document, &pointer, message, help)
    }

    fn message(&self, pointer: &str, message: &str) -> String {
        let at = if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") };
        format!("in the schema of {},{at} {message}", self.subject)
    }

    fn add(&mut self, mut document: Document) -> Result<usize, Diagnosis> {
        let number = self.all.len();
        let is_deep = document.nesting() > MAX_NESTING;
        let draft = document.json.get("$schema").and_then(Value::as_str).unwrap_or(DRAFT);
        let is_other = draft.trim_end_matches('#') != DRAFT;
        if let Value::Object(object) = &mut document.json {
            object.shift_remove("$id");
        }
        self.all.push(document);
        if is_deep {
            let message = format!("maps and lists nest deeper than {MAX_NESTING}");
            return Err(self.problem(number, "", &message, "move parts to `$defs`"));
        }
        if is_other {
            let message = "is not for draft 2020-12";
            let help = format!("write `{DRAFT}`, or remove the line");
            return Err(self.problem(number, "/$schema", message, &help));
        }
        if number >= MAX_DOCUMENTS {
            let message = format!("there are more than {MAX_DOCUMENTS} documents");
            return Err(self.problem(number, "", &message, "put them into one file"));
        }
        Ok(number)
    }

    /// Reads a file, once. `named` is the place that names it.
    fn file(&mut self, path: &str, named: &Place) -> Result<usize, Diagnosis> {
        if let Some(number) = self.by_path.get(path) {
            return Ok(*number);
        }
        let refused = |message: &str, help: &str| {
            Err(named
                .problem(format!("cannot read the schema `{path}`: {message}"))
                .with_help(help))
        };
        if !ENDINGS.iter().any(|ending| path.ends_with(ending)) {
            return refused("this is no name of a schema file", NAMES);
        }
        let text = match self.files.read(path) {
            Ok(text) if text.len() <= MAX_FILE_BYTES => text,
            Ok(text) => {
                let message =
                    format!("it is {} bytes long; at most {MAX_FILE_BYTES} are read", text.len());
                return refused(&message, "split it, and refer to its parts by `$ref`");
            }
            Err(error) => return refused(&error, NAMES),
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        let source = Arc::new(Source::new(path.to_owned(), text));
        let mut problems = Vec::new();
        let node = parse(&source, &mut problems);
        let is_json = std::path::Path::new(path).extension().is_some_and(|it| it == "json");
        let json = if is_json {
            strict_json::parse(&source.text).map_err(|error| {
                let lines = source.text.split_inclusive('\n').take(error.line().saturating_sub(1));
                let start: usize = lines.map(str::len).sum();
                let at = start + error.column().saturating_sub(1);
                let place = Place::new(&source, at..at + 1);
                let text = error.to_string();
                // The diagnosis names the place already.
                let message = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message);
                if error.is_data() {
                    return place.problem(message).with_help("keep one");
                }
                let problem = place.problem(format!("not valid JSON: {message}"));
                problem.with_help("look at the commas, quotes and brackets of this line")
            })?
        } else if let Some(problem) = problems.into_iter().next() {
            return Err(problem);
        } else {
            node.as_ref().map(Node::to_json).unwrap_or_default()
        };
        let number = self.add(Document { source, node, json })?;
        self.by_path.insert(path.to_owned(), number);
        Ok(number)
    }

    /// Returns the number of the subschema at a place, which is visited later.
    fn number(&mut self, document: usize, pointer: String) -> Result<usize, Diagnosis> {
        let place = (document, pointer);
        if let Some(number) = self.by_place.get(&place) {
            return Ok(*number);
        }
        let number = self.subschemas.len();
        if number >= MAX_SUBSCHEMAS {
            let message = format!("there are more than {MAX_SUBSCHEMAS} subschemas");
            return Err(self.problem(place.0, &place.1, &message, "write a simpler schema"));
        }
        self.subschemas.push(Subschema { weight: 1, inner: Vec::new() });
        self.places.push(place.clone());
        self.by_place.insert(place, number);
        Ok(number)
    }

    fn visit(&mut self, number: usize, document: usize, pointer: &str) -> Result<(), Diagnosis> {
        let value = self.all.get(document).and_then(|it| it.json.pointer(pointer));
        let object = match value {
            Some(Value::Object(object)) => object.clone(),
            // The library refuses all else.
            _ => return Ok(()),
        };
        let mut inner = Vec::new();
        for (keyword, value) in &object {
            let at = format!("{pointer}/{}", escape(keyword));
            if let Some((shape, applies)) = keywords::subschemas(keyword) {
                for place in places(shape, value, &at) {
                    inner.push((applies, self.number(document, place)?));
                }
            } else {
                self.plain(document, keyword, value, &at)?;
            }
        }
        if let Some(Value::String(reference)) = object.get("$ref") {
            let at = format!("{pointer}/$ref");
            let (to, target) = self.target(document, reference, &at)?;
            inner.push((Applies::Here, self.number(to, target)?));
            let fragment = reference.split_once('#').map_or("", |(_, fragment)| fragment);
            let written = format!("{}#{fragment}", url(to));
            self.edits.push((document, pointer.to_owned(), Edit::Reference(written)));
        }
        for pattern in patterns(&object) {
            if let Err(fault) = check_search(pattern, self.budget) {
                let at = match object.get("pattern") {
                    Some(Value::String(own)) if own == pattern => format!("{pointer}/pattern"),
                    _ => format!("{pointer}/patternProperties/{}", escape(pattern)),
                };
                return Err(self.problem(document, &at, &fault.message, &fault.help));
            }
        }
        let weight = 1 + patterns(&object).count() + elements(&object) / ELEMENTS_PER_EVALUATION;
        if let Some(subschema) = self.subschemas.get_mut(number) {
            *subschema = Subschema { weight: weight as u64, inner };
        }
        Ok(())
    }

    /// Checks a keyword without subschemas.
    fn plain(
        &mut self,
        document: usize,
        keyword: &str,
        value: &Value,
        at: &str,
    ) -> Result<(), Diagnosis> {
        if let Some((reason, help)) = keywords::unsupported(keyword) {
            let message = format!("`{keyword}` is not supported: {reason}");
            return Err(self.problem(document, at, &message, help));
        }
        match (keyword, value) {
            ("$schema", _) if at != "/$schema" => {
                let message = "`$schema` belongs to the top of a file";
                return Err(self.problem(document, at, message, "remove it"));
            }
            ("multipleOf", Value::Number(number)) if number.is_f64() => {
                let message =
                    "`multipleOf` is a fraction, of which computers have no exact multiples";
                let help = "count in a smaller unit, as cents, or write a `pattern` of a text";
                return Err(self.problem(document, at, message, help));
            }
            ("format", Value::String(format)) if !FORMATS.contains(&format.as_str()) => {
                let message = format!("the format `{format}` is not checked");
                let problem =
                    self.problem(document, at, &message, &suggest::advice(format, &FORMATS));
                self.warnings.push(problem);
                let pointer = at.strip_suffix("/format").unwrap_or_default().to_owned();
                self.edits.push((document, pointer, Edit::DropFormat));
            }
            _ if PLAIN.contains(&keyword) => {}
            _ => {
                let known = PLAIN.into_iter().chain(WITH_SUBSCHEMAS);
                if let Some(meant) = suggest::nearest(keyword, known) {
                    let message = format!("the unknown keyword `{keyword}` is ignored");
                    let help = format!("did you mean `{meant}`?");
                    let problem = self.problem(document, at, &message, &help);
                    self.warnings.push(problem);
                }
            }
        }
        Ok(())
    }

    /// Returns the document and the JSON pointer that a reference names.
    fn target(
        &mut self,
        document: usize,
        reference: &str,
        at: &str,
    ) -> Result<(usize, String), Diagnosis> {
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let mut to = document;
        if !file.is_empty() {
            if file.contains(':') || file.starts_with('/') {
                let message = "refers to another place than the site, and nothing is fetched";
                let help = "put the schema beside this file, and write its name";
                return Err(self.problem(document, at, message, help));
            }
            let Some(own) = self.all.get(document) else { return Ok((document, String::new())) };
            let path = relative_to(&own.source.path, file);
            let named = own.place(at);
            to = self.file(&path, &named)?;
        }
        let fragment = percent_decode_str(fragment).decode_utf8_lossy();
        let json = self.all.get(to).map(|it| &it.json);
        let pointer = if fragment.is_empty() || fragment.starts_with('/') {
            json.and_then(|json| json.pointer(&fragment)).map(|_| fragment.to_string())
        } else {
            self.all.get(to).and_then(|it| it.anchor(&fragment))
        };
        pointer.map(|pointer| (to, pointer)).ok_or_else(|| {
            let message = format!("refers to `{fragment}`, which is not there");
            self.problem(
                document,
                at,
                &message,
                "write `#/$defs/NAME`, or the name of an `$anchor`",
            )
        })
    }

    fn edit(&mut self) {
        for (document, pointer, edit) in std::mem::take(&mut self.edits) {
            let value = self.all.get_mut(document).and_then(|it| it.json.pointer_mut(&pointer));
            let Some(Value::Object(object)) = value else { continue };
            match edit {
                Edit::Reference(reference) => {
                    object.insert("$ref".to_owned(), reference.into());
                }
                Edit::DropFormat => {
                    object.shift_remove("format");
                }
            }
        }
    }
}

/// The draft of schemas.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the URL of a document, for the library alone.
pub(super) fn url(document: usize) -> String {
    format!("schema:///{document}")
}

/// Returns the JSON pointers of the subschemas of a keyword.
fn places(shape: Shape, value: &Value, at: &str) -> Vec<String> {
    match (shape, value) {
        (Shape::One, Value::Object(_) | Value::Bool(_)) => vec![at.to_owned()],
        (Shape::List, Value::Array(items)) => {
            (0..items.len()).map(|number| format!("{at}/{number}")).collect()
        }
        (Shape::Map, Value::Object(entries)) => {
            entries.keys().map(|key| format!("{at}/{}", escape(key))).collect()
        }
        // The library refuses all else.
        _ => Vec::new(),
    }
}

fn patterns(object: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let own = object.get("pattern").and_then(Value::as_str);
    let of_names = object.get("patternProperties").and_then(Value::as_object);
    own.into_iter().chain(of_names.into_iter().flat_map(|it| it.keys().map(String::as_str)))
}

/// Counts the values and names that one evaluation compares.
fn elements(object: &Map<String, Value>) -> usize {
    let lists = ["enum", "required"].map(|key| object.get(key).and_then(Value::as_array));
    let in_lists: usize = lists.into_iter().flatten().map(Vec::len).sum();
    let names = object.get("dependentRequired").and_then(Value::as_object);
    in_lists + names.map_or(0, Map::len)
}
