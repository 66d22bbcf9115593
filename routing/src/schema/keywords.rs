//! Keywords of JSON Schema 2020-12: the place of subschemas, and the keywords that are not supported.

/// The values to which a subschema applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applies {
    /// The value itself.
    Here,
    /// A member by its name.
    Property,
    /// Members by a pattern.
    Pattern,
    /// Members that neither a name nor a pattern lists.
    Additional,
    /// The name of each member.
    Name,
    /// An item by its position.
    Prefix,
    /// The items after those.
    Items,
    /// Each member or item, beside the subschemas above.
    Each,
    /// None: it is there for references.
    Nothing,
}

/// The form of a keyword's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    Map,
}

/// Returns the form of a keyword with subschemas, and their values.
pub(super) fn subschemas(keyword: &str) -> Option<(Shape, Applies)> {
    Some(match keyword {
        "allOf" | "anyOf" | "oneOf" => (Shape::List, Applies::Here),
        "not" | "if" | "then" | "else" => (Shape::One, Applies::Here),
        "dependentSchemas" => (Shape::Map, Applies::Here),
        "properties" => (Shape::Map, Applies::Property),
        "patternProperties" => (Shape::Map, Applies::Pattern),
        "additionalProperties" => (Shape::One, Applies::Additional),
        "propertyNames" => (Shape::One, Applies::Name),
        "prefixItems" => (Shape::List, Applies::Prefix),
        "items" => (Shape::One, Applies::Items),
        "contains" | "unevaluatedItems" | "unevaluatedProperties" => (Shape::One, Applies::Each),
        "$defs" | "definitions" => (Shape::Map, Applies::Nothing),
        _ => return None,
    })
}

/// Keywords without subschemas.
pub(super) const PLAIN: [&str; 36] = [
    "$anchor",
    "$comment",
    "$ref",
    "$schema",
    "const",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "example",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// Keywords with subschemas, for suggestions.
pub(super) const WITH_SUBSCHEMAS: [&str; 19] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "prefixItems",
    "items",
    "contains",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$defs",
    "definitions",
];

/// Returns why a keyword is not supported, and the help.
pub(super) fn unsupported(keyword: &str) -> Option<(&'static str, &'static str)> {
    Some(match keyword {
        "$dynamicRef" | "$dynamicAnchor" | "$recursiveRef" | "$recursiveAnchor" => {
            ("its target depends on the way to it", "write `$ref` and `$anchor`")
        }
        "$id" => {
            ("references are relative to the file", "remove it; only that at the top is ignored")
        }
        "$vocabulary" => ("it belongs to the schema of schemas", "remove it"),
        "dependencies" => {
            ("draft 2020-12 has no such keyword", "write `dependentRequired` or `dependentSchemas`")
        }
        "additionalItems" => (
            "draft 2020-12 has no such keyword",
            "write the list as `prefixItems`, and this one as `items`",
        ),
        _ => return None,
    })
}

/// Formats that are checked: those that take linear time.
pub(super) const FORMATS: [&str; 13] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uuid",
    "relative-json-pointer",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_each_keyword_once() {
        for keyword in WITH_SUBSCHEMAS {
            assert!(subschemas(keyword).is_some() && !PLAIN.contains(&keyword), "{keyword}");
        }
        for keyword in PLAIN {
            assert!(subschemas(keyword).is_none() && unsupported(keyword).is_none(), "{keyword}");
        }
    }
}
