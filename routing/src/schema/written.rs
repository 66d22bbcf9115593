//! The key `schema` of a route: one schema, or one for each action; for the only argument, or for
//! positional and keyword arguments.

use std::collections::HashMap;
use std::sync::Arc;

use boon::{CompileError, Compiler, Draft, Schemas, ValidationError};
use jackfield_yaml::{Diagnosis, Node, NodeKind, Source};

use super::bounds::{MAX_PER_VALUE, Unbounded, per_value};
use super::documents::{Documents, url};
use super::violation::describe;
use super::{Checker, Form, MAX_LEVELS, PayloadSchema, RouteSchemas};
use crate::files::{Files, relative_to};
use crate::requirement::Budget;

/// Maximum size of all schemas of a site, in bytes of JSON: a second or two to compile. A file that
/// several routes name counts once.
const MAX_TOTAL_BYTES: usize = 16 << 20;

const ACTIONS: [&str; 2] = ["publish", "call"];
const PARTS: [&str; 2] = ["args", "kwargs"];

/// The value of `schema`, not yet read.
pub(crate) struct WrittenSchema {
    pub(crate) source: Arc<Source>,
    pub(crate) node: Node,
}

/// Compiler of the schemas of a site. A file is compiled once.
pub(crate) struct SchemaCompiler<'a> {
    files: &'a dyn Files,
    of_files: HashMap<String, Arc<Checker>>,
    left: usize,
}

/// The route whose schema is compiled.
struct Subject<'a> {
    text: String,
    source: &'a Arc<Source>,
    budget: &'a mut Budget,
    warnings: &'a mut Vec<Diagnosis>,
}

impl<'a> SchemaCompiler<'a> {
    pub(crate) fn new(files: &'a dyn Files) -> Self {
        Self { files, of_files: HashMap::new(), left: MAX_TOTAL_BYTES }
    }

    /// Compiles the schemas of a route.
    ///
    /// # Errors
    /// The first problem.
    pub(crate) fn route(
        &mut self,
        route: &str,
        written: &WrittenSchema,
        budget: &mut Budget,
        warnings: &mut Vec<Diagnosis>,
    ) -> Result<RouteSchemas, Diagnosis> {
        let WrittenSchema { source, node } = written;
        let text = format!("route `{route}`");
        let mut subject = Subject { text, source, budget, warnings };
        let Some([publish, call]) = split(node, ACTIONS) else {
            let all = Some(Arc::new(self.payload(node, &mut subject)?));
            return Ok(RouteSchemas { publish: all.clone(), call: all });
        };
        let mut of = |node: Option<&Node>| {
            node.map(|node| self.payload(node, &mut subject).map(Arc::new)).transpose()
        };
        Ok(RouteSchemas { publish: of(publish)?, call: of(call)? })
    }

    fn payload(
        &mut self,
        node: &Node,
        subject: &mut Subject<'_>,
    ) -> Result<PayloadSchema, Diagnosis> {
        let form = match split(node, PARTS) {
            None => Form::Only(self.checker(node, subject)?),
            Some([args, kwargs]) => {
                let mut of =
                    |node: Option<&Node>| node.map(|node| self.checker(node, subject)).transpose();
                Form::Parts { args: of(args)?, kwargs: of(kwargs)? }
            }
        };
        Ok(PayloadSchema { form })
    }

    fn checker(
        &mut self,
        node: &Node,
        subject: &mut Subject<'_>,
    ) -> Result<Arc<Checker>, Diagnosis> {
        let path = match &node.kind {
            NodeKind::Text(path) => Some(relative_to(&subject.source.path, path)),
            NodeKind::Map(_) | NodeKind::Bool(_) => None,
            NodeKind::Null | NodeKind::Number(..) | NodeKind::List(_) => {
                let message = format!(
                    "the schema of {} is a map or the path of a file, but this is {}",
                    subject.text,
                    node.describe()
                );
                let help = "write `schema: { type: object }`, or `schema: event.schema.json`";
                return Err(node.place(subject.source).problem(message).with_help(help));
            }
        };
        if let Some(known) = path.as_ref().and_then(|path| self.of_files.get(path)) {
            return Ok(Arc::clone(known));
        }
        let Subject { text, source, budget, warnings } = subject;
        let documents = Documents::read(source, node, text, self.files, budget, warnings)?;
        let bytes: usize = documents.all.iter().map(|it| it.json.to_string().len()).sum();
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            let message = format!(
                "the schema of {text} is not compiled: all schemas of the site together have more \
                 than {} MiB",
                MAX_TOTAL_BYTES >> 20
            );
            let help = "put schemas into files: one that several routes name counts once";
            node.place(source).problem(message).with_help(help)
        })?;
        let checker = Arc::new(compile(documents)?);
        if let Some(path) = path {
            self.of_files.insert(path, Arc::clone(&checker));
        }
        Ok(checker)
    }
}

/// Returns the values under two keys, if a map has no other. JSON Schema has none of them.
fn split<'n>(node: &'n Node, keys: [&str; 2]) -> Option<[Option<&'n Node>; 2]> {
    let NodeKind::Map(entries) = &node.kind else { return None };
    let is_other = |(key, _): &(Node, Node)| !keys.iter().any(|it| key.text() == Some(*it));
    if entries.is_empty() || entries.iter().any(is_other) {
        return None;
    }
    Some(keys.map(|name| {
        let found = entries.iter().find(|(key, _)| key.text() == Some(name));
        found.map(|(_, value)| value)
    }))
}

fn compile(documents: Documents<'_>) -> Result<Checker, Diagnosis> {
    let per_value = per_value(&documents.subschemas, 0).map_err(|unbounded| match unbounded {
        Unbounded::Circle(subschema) => documents.problem_at(
            subschema,
            "it applies itself to the same value without an end",
            "let a reference lead to a member or an item",
        ),
        Unbounded::Often(count) => documents.problem_at(
            0,
            &format!(
                "one value would be evaluated {count} times, at most {MAX_PER_VALUE} are permitted"
            ),
            "let at most one alternative of a recursive schema lead further, and tell them apart \
             by a schema of the level itself",
        ),
        Unbounded::Deep(count) => documents.problem_at(
            0,
            &format!("{count} subschemas would be within one another, over {MAX_LEVELS} levels"),
            "use fewer references to references",
        ),
    })?;
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.set_default_draft(Draft::V2020_12);
    compiler.enable_format_assertions();
    compiler.use_loader(Box::new(Nothing));
    for (number, document) in documents.all.iter().enumerate() {
        let added = compiler.add_resource(&url(number), document.json.clone());
        added.map_err(|error| problem(&documents, &error))?;
    }
    let index = compiler.compile(&url(0), &mut schemas);
    let index = index.map_err(|error| problem(&documents, &error))?;
    let per_value = usize::try_from(per_value).unwrap_or(usize::MAX);
    let documents = documents.all.into_iter().map(|it| it.json).collect();
    Ok(Checker { schemas, index, per_value, documents })
}

/// All documents are known before, so that there is nothing to load.
struct Nothing;

impl boon::UrlLoader for Nothing {
    fn load(&self, _: &str) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
        Err("nothing is fetched".into())
    }
}

/// Shows an error of the library at its place.
fn problem(documents: &Documents<'_>, error: &CompileError) -> Diagnosis {
    let help = "see https://json-schema.org/draft/2020-12 for the keywords";
    let CompileError::ValidationError { url: of, src } = error else {
        return documents.problem(0, "", &format!("there is an error: {error}"), help);
    };
    let last = last(src);
    let (of, above) = of.split_once('#').unwrap_or((of, ""));
    let number = (0..documents.all.len()).find(|number| url(*number) == of).unwrap_or_default();
    let pointer = format!("{above}{}", last.instance_location);
    documents.problem(
        number,
        &pointer,
        &format!("the value is not permitted: {}", describe(last)),
        help,
    )
}

/// Returns the innermost error, of the first alternative: the schema of schemas has alternatives
/// for few keywords, and the simple one first.
fn last<'e, 's, 'v>(mut error: &'e ValidationError<'s, 'v>) -> &'e ValidationError<'s, 'v> {
    while let Some(cause) = error.causes.first() {
        error = cause;
    }
    error
}
