//! Violation of a schema: the first error of a payload, as a sentence. It quotes names of the
//! payload; the host escapes and cuts it. The place comes last, so that a long one hides nothing.

use std::fmt;

use boon::{ErrorKind, ValidationError};
use serde_json::Value;

use super::MAX_LEVELS;

/// Maximum length of a quoted part of a schema, in bytes.
const MAX_QUOTED_BYTES: usize = 200;

/// A payload does not satisfy its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaViolation(String);

impl SchemaViolation {
    /// The first error, and its JSON pointer within the payload.
    pub(super) fn of(part: &str, error: &ValidationError<'_, '_>) -> Self {
        let first = first(error);
        let text = describe(first);
        let within = first.instance_location.to_string();
        Self(match (part, within.as_str()) {
            ("", "") => text,
            ("", within) => format!("{text} (at `{within}`)"),
            (part, within) => format!("{text} (at `/{part}{within}`)"),
        })
    }

    pub(super) fn shape(args: usize, kwargs: usize) -> Self {
        let kwargs = if kwargs == 0 { "" } else { ", and keyword arguments" };
        Self(format!("it describes one positional argument alone, found {args}{kwargs}"))
    }

    pub(super) fn unlisted(part: &str) -> Self {
        Self(format!("it has no `{part}`, so they must be absent"))
    }

    pub(super) fn too_deep() -> Self {
        Self(format!("a payload with a schema has at most {MAX_LEVELS} levels"))
    }

    pub(super) fn too_much(values: usize, bytes: usize) -> Self {
        Self(format!("{values} values in {bytes} bytes are too many to be checked"))
    }

    pub(super) fn bytes() -> Self {
        Self(
            "a payload with a schema has no bytes, and no text or key that begins with U+0000"
                .into(),
        )
    }

    pub(super) fn repeated(key: &str) -> Self {
        Self(format!("a key appears twice (`{key}`)"))
    }

    pub(super) fn unreadable() -> Self {
        Self("the payload is not JSON".to_owned())
    }
}

/// Returns the first error that has a cause of its own. Of alternatives, none is the cause.
fn first<'e, 's, 'v>(mut error: &'e ValidationError<'s, 'v>) -> &'e ValidationError<'s, 'v> {
    while let Some(cause) = error.causes.first() {
        let is_wrapper = matches!(
            error.kind,
            ErrorKind::Group
                | ErrorKind::Schema { .. }
                | ErrorKind::Reference { .. }
                | ErrorKind::AllOf
        );
        if !is_wrapper {
            break;
        }
        error = cause;
    }
    error
}

/// Names the keyword and its value, and says what is found. Quotes no value of the payload.
pub(super) fn describe(error: &ValidationError<'_, '_>) -> String {
    let compared = |keyword, want: &dyn fmt::Display, got: &dyn fmt::Display| {
        format!("`{keyword}` is {want}, found {got}")
    };
    match &error.kind {
        ErrorKind::Type { got, want } => {
            let types: Vec<String> = want.iter().map(|it| it.to_string()).collect();
            format!("`type` is {}, found {got}", types.join(" or "))
        }
        ErrorKind::Enum { want } => {
            format!(
                "`enum` has no such value, expected one of {}",
                quoted(&Value::from((*want).clone()))
            )
        }
        ErrorKind::Const { want } => format!("`const` is {}, found another value", quoted(want)),
        ErrorKind::Format { want, .. } => format!("`format` is {want}, found another text"),
        ErrorKind::Required { want } => {
            format!("`required` names {}, which is missing", names(want))
        }
        ErrorKind::Dependency { prop, missing }
        | ErrorKind::DependentRequired { prop, missing } => {
            format!(
                "`dependentRequired` of `{}` names {}, which is missing",
                cut(prop),
                names(missing)
            )
        }
        ErrorKind::AdditionalProperties { got } => {
            let name = got.first().map_or("", AsRef::as_ref);
            format!("`additionalProperties` is false, found `{}`", cut(name))
        }
        ErrorKind::PropertyName { prop } => {
            format!("`propertyNames` does not permit the name `{}`", cut(prop))
        }
        ErrorKind::FalseSchema => "no value is permitted".to_owned(),
        ErrorKind::Pattern { want, .. } => {
            format!("`pattern` is `{}`, found another text", cut(want))
        }
        ErrorKind::MinProperties { got, want } => compared("minProperties", want, got),
        ErrorKind::MaxProperties { got, want } => compared("maxProperties", want, got),
        ErrorKind::MinItems { got, want } => compared("minItems", want, got),
        ErrorKind::MaxItems { got, want } => compared("maxItems", want, got),
        ErrorKind::MinLength { got, want } => compared("minLength", want, got),
        ErrorKind::MaxLength { got, want } => compared("maxLength", want, got),
        ErrorKind::Minimum { got, want } => compared("minimum", want, got),
        ErrorKind::Maximum { got, want } => compared("maximum", want, got),
        ErrorKind::ExclusiveMinimum { got, want } => compared("exclusiveMinimum", want, got),
        ErrorKind::ExclusiveMaximum { got, want } => compared("exclusiveMaximum", want, got),
        ErrorKind::MultipleOf { got, want } => compared("multipleOf", want, got),
        ErrorKind::MinContains { got, want } => compared("minContains", want, &got.len()),
        ErrorKind::MaxContains { got, want } => compared("maxContains", want, &got.len()),
        ErrorKind::Contains => "`contains` matches no item".to_owned(),
        ErrorKind::UniqueItems { got: [one, other] } => {
            format!("`uniqueItems` is true, but the items {one} and {other} are equal")
        }
        ErrorKind::Not => "`not` matches".to_owned(),
        ErrorKind::AnyOf => "`anyOf` has no alternative that matches".to_owned(),
        ErrorKind::OneOf(None) => "`oneOf` has no alternative that matches".to_owned(),
        ErrorKind::OneOf(Some((one, other))) => {
            format!("`oneOf` has two alternatives that match, {one} and {other}")
        }
        // Wrappers of other errors, drafts before 2020-12, and assertions that are off.
        ErrorKind::Group
        | ErrorKind::Schema { .. }
        | ErrorKind::Reference { .. }
        | ErrorKind::AllOf
        | ErrorKind::RefCycle { .. }
        | ErrorKind::AdditionalItems { .. }
        | ErrorKind::ContentSchema
        | ErrorKind::ContentEncoding { .. }
        | ErrorKind::ContentMediaType { .. } => "it is not satisfied".to_owned(),
    }
}

fn names(names: &[&str]) -> String {
    let first = names.first().copied().unwrap_or_default();
    format!("`{}`", cut(first))
}

fn quoted(value: &Value) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_QUOTED_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_QUOTED_BYTES);
    format!("{}…", text.get(..end).unwrap_or_default())
}
