//! Schemas of payloads: the JSON Schemas (draft 2020-12) of a route's publications and calls.
//!
//! Strangers write payloads, so a check is bounded: a payload has few levels, and its size times the
//! subschemas that apply to one value is limited. `written` reads the key `schema`, `documents` the
//! files and references, `keywords` the subschemas, and `bounds` their cost; the library `boon`
//! evaluates them. The host asks [`PayloadSchema::check`] before a handler or a client gets the
//! payload.

mod bounds;
mod document;
mod documents;
mod instance;
mod keywords;
mod strict_json;
mod violation;
mod written;

use std::fmt;
use std::sync::Arc;

use boon::{SchemaIndex, Schemas};
use serde_json::Value;

use crate::allow::Action;
use instance::Instance;
pub use violation::SchemaViolation;
pub(crate) use written::{SchemaCompiler, WrittenSchema};

/// Maximum levels of lists and dictionaries in a checked payload: the evaluation recurses.
pub(crate) const MAX_LEVELS: usize = 32;
/// Maximum evaluations of subschemas in one check. It bounds the time, and the memory of the errors of
/// a payload in which every value is wrong: the library collects all of them.
const MAX_EVALUATIONS: usize = 200_000;
/// Maximum bytes of a payload times the subschemas for one value: each may run an expression over
/// all texts.
const MAX_SCANNED_BYTES: usize = 16 << 20;

/// The schemas of a route, by action.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteSchemas {
    publish: Option<Arc<PayloadSchema>>,
    call: Option<Arc<PayloadSchema>>,
}

/// The schema of the arguments of a message.
#[derive(Debug, PartialEq)]
pub struct PayloadSchema {
    form: Form,
}

/// The part of a payload that a schema describes.
#[derive(Debug, PartialEq)]
enum Form {
    /// The only positional argument; there are no others.
    Only(Arc<Checker>),
    /// All positional and all keyword arguments. A part without a schema is empty.
    Parts { args: Option<Arc<Checker>>, kwargs: Option<Arc<Checker>> },
}

/// A compiled schema.
struct Checker {
    schemas: Schemas,
    index: SchemaIndex,
    /// Maximum number of evaluations for one value.
    per_value: usize,
    /// The documents from which it is compiled.
    documents: Vec<Value>,
}

impl RouteSchemas {
    /// Returns the schema of the payloads of an action.
    pub fn of(&self, action: Action) -> Option<&PayloadSchema> {
        match action {
            Action::Publish => self.publish.as_deref(),
            Action::Call => self.call.as_deref(),
            Action::Subscribe | Action::Register => None,
        }
    }

    /// Returns the actions whose payloads are checked.
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(|action| self.of(*action).is_some())
    }
}

impl PayloadSchema {
    /// Checks arguments: a JSON list and a JSON object, well-formed.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&self, args: &str, kwargs: &str) -> Result<(), SchemaViolation> {
        let [args, kwargs] = [Instance::parse(args)?, Instance::parse(kwargs)?];
        match &self.form {
            Form::Only(checker) => match (args.value, &kwargs.value) {
                (Value::Array(mut all), Value::Object(named))
                    if named.is_empty() && all.len() == 1 =>
                {
                    let value = all.pop().unwrap_or_default();
                    checker.check("", &Instance { value, ..args })
                }
                (Value::Array(all), Value::Object(named)) => {
                    Err(SchemaViolation::shape(all.len(), named.len()))
                }
                _ => Err(SchemaViolation::unreadable()),
            },
            Form::Parts { args: of_args, kwargs: of_kwargs } => {
                check_part("args", of_args.as_deref(), &args)?;
                check_part("kwargs", of_kwargs.as_deref(), &kwargs)
            }
        }
    }
}

fn check_part(
    name: &'static str,
    checker: Option<&Checker>,
    instance: &Instance,
) -> Result<(), SchemaViolation> {
    let count = match &instance.value {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => return Err(SchemaViolation::unreadable()),
    };
    match checker {
        Some(checker) => checker.check(name, instance),
        None if count == 0 => Ok(()),
        None => Err(SchemaViolation::unlisted(name)),
    }
}

impl Checker {
    /// `part` begins the location of a violation.
    fn check(&self, part: &str, instance: &Instance) -> Result<(), SchemaViolation> {
        let Instance { value, values, bytes } = instance;
        if values.saturating_mul(self.per_value) > MAX_EVALUATIONS
            || bytes.saturating_mul(self.per_value) > MAX_SCANNED_BYTES
        {
            return Err(SchemaViolation::too_much(*values, *bytes));
        }
        self.schemas.validate(value, self.index).map_err(|error| SchemaViolation::of(part, &error))
    }
}

/// Schemas are equal if they are written alike.
impl PartialEq for Checker {
    fn eq(&self, other: &Self) -> bool {
        self.documents == other.documents
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").field("documents", &self.documents).finish_non_exhaustive()
    }
}
