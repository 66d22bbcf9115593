//! Pattern matching: an expected value, a received one, and the variables that they bind.

use std::collections::BTreeMap;

use super::value::{Value, quoted};

/// The values of a script's variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings(BTreeMap<String, Value>);

/// The first difference between an expected and a received value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// The place within the value, such as `[0].text`; empty for the value itself.
    pub(super) path: String,
    /// The expected value; `None` if none was expected there.
    pub(super) expected: Option<Value>,
    /// The received value; `None` if there is none.
    pub(super) actual: Option<Value>,
}

impl Bindings {
    /// Sets a variable.
    pub(super) fn bind(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Returns the value without variables; the name of the first one that has no value is the
    /// error.
    pub(super) fn resolve(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::Variable(name) => self.0.get(name).cloned().ok_or_else(|| name.clone())?,
            Value::List { items, open } => {
                let items =
                    items.iter().map(|item| self.resolve(item)).collect::<Result<_, _>>()?;
                Value::List { items, open: *open }
            }
            Value::Map { entries, open } => {
                let resolve = |(key, value): &(String, Value)| {
                    self.resolve(value).map(|value| (key.clone(), value))
                };
                let entries = entries.iter().map(resolve).collect::<Result<_, _>>()?;
                Value::Map { entries, open: *open }
            }
            plain => plain.clone(),
        })
    }

    /// Compares a received value with an expected one, and binds the variables that it meets for
    /// the first time. After a difference, some of them may be bound: compare with a copy.
    pub(super) fn compare(&mut self, expected: &Value, actual: &Value) -> Result<(), Difference> {
        let differs = || Difference {
            path: String::new(),
            expected: Some(expected.clone()),
            actual: Some(actual.clone()),
        };
        match (expected, actual) {
            (Value::Any, _) => Ok(()),
            (Value::Variable(name), _) => {
                if let Some(bound) = self.0.get(name).cloned() {
                    return self.compare(&bound, actual);
                }
                self.bind(name, actual.clone());
                Ok(())
            }
            (Value::Number(a), Value::Number(b)) if is_same_number(a, b) => Ok(()),
            (Value::List { items, open }, Value::List { items: found, .. }) => {
                self.compare_lists(items, found, *open)
            }
            (Value::Map { entries, open }, Value::Map { .. }) => {
                self.compare_maps(entries, actual, *open)
            }
            (expected, actual) if expected == actual => Ok(()),
            _ => Err(differs()),
        }
    }

    fn compare_lists(
        &mut self,
        expected: &[Value],
        actual: &[Value],
        open: bool,
    ) -> Result<(), Difference> {
        let (mut left, mut right) = (expected.iter(), actual.iter());
        for at in 0.. {
            let step = || format!("[{at}]");
            match (left.next(), right.next()) {
                (Some(expected), Some(actual)) => {
                    self.compare(expected, actual).map_err(|it| it.within(&step()))?;
                }
                (None, None) => break,
                (None, Some(_)) if open => break,
                (expected, actual) => return Err(missing(step(), expected, actual)),
            }
        }
        Ok(())
    }

    fn compare_maps(
        &mut self,
        expected: &[(String, Value)],
        actual: &Value,
        open: bool,
    ) -> Result<(), Difference> {
        for (key, expected) in expected {
            match actual.get(key) {
                Some(actual) => {
                    self.compare(expected, actual).map_err(|it| it.within(&step(key)))?;
                }
                None => return Err(missing(step(key), Some(expected), None)),
            }
        }
        let known = |key: &str| expected.iter().any(|(name, _)| name == key);
        match actual.entries().iter().find(|(key, _)| !open && !known(key)) {
            Some((key, value)) => Err(missing(step(key), None, Some(value))),
            None => Ok(()),
        }
    }
}

impl Difference {
    /// Adds an outer step to the path.
    #[must_use]
    pub(super) fn within(self, step: &str) -> Self {
        Self { path: format!("{step}{}", self.path), ..self }
    }
}

fn missing(path: String, expected: Option<&Value>, actual: Option<&Value>) -> Difference {
    Difference { path, expected: expected.cloned(), actual: actual.cloned() }
}

/// Returns the step to the value of a key: `.key`, or `["a key"]`.
fn step(key: &str) -> String {
    let is_word = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_word { format!(".{key}") } else { format!("[{}]", quoted(key)) }
}

/// Returns whether two numbers are the same, such as `1`, `1.0` and `1e0`.
fn is_same_number(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    if let (Ok(a), Ok(b)) = (a.parse::<i128>(), b.parse::<i128>()) {
        return a == b;
    }
    let (a, b) = (a.parse::<f64>(), b.parse::<f64>());
    a.is_ok_and(|a| b.is_ok_and(|b| a.total_cmp(&b).is_eq()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::cursor::{Cursor, Use};

    fn value(text: &str, allowed: Use) -> Value {
        Cursor::new(text).value(allowed).unwrap()
    }

    /// Compares, and returns the place of the difference.
    #[track_caller]
    fn check(expected: &str, actual: &str, difference: Option<&str>) {
        let (expected, actual) = (value(expected, Use::Expect), value(actual, Use::Message));
        let found = Bindings::default().compare(&expected, &actual).err();
        assert_eq!(found.map(|it| it.path).as_deref(), difference, "{expected} {actual}");
    }

    #[test]
    fn compares_values() {
        check("[1, \"a\", null, true]", "[1,\"a\",null,true]", None);
        check("[1]", "[1.0]", None);
        check("[100]", "[1e2]", None);
        check("[12345678901234567890]", "[12345678901234567891]", Some("[0]"));
        check("[1e400]", "[1e400]", None);
        check("{\"a\": 1, \"b\": [2]}", "{\"b\":[2],\"a\":1}", None);
        check("[{\"text\": \"x\"}]", "[{\"text\":\"y\"}]", Some("[0].text"));
        check("[{\"a b\": 1}]", "[{\"a b\":2}]", Some("[0][\"a b\"]"));
        check("[1]", "[1,2]", Some("[1]"));
        check("[1, 2]", "[1]", Some("[1]"));
        check("{}", "{\"a\":null}", Some(".a"));
        check("{\"a\": null}", "{}", Some(".a"));
        check("[]", "{}", Some(""));
        check("\"1\"", "1", Some(""));
    }

    #[test]
    fn wildcards_and_rests_match_anything() {
        check("_", "[1,{\"a\":2}]", None);
        check("[_, 2]", "[{},2]", None);
        check("[_]", "[]", Some("[0]"));
        check("[1, ...]", "[1]", None);
        check("[1, ...]", "[1,2,3]", None);
        check("[...]", "[]", None);
        check("[1, ...]", "[2,2]", Some("[0]"));
        check("{\"a\": 1, ...}", "{\"b\":2,\"a\":1}", None);
        check("{\"a\": 1, ...}", "{\"b\":2}", Some(".a"));
        check("{...}", "{}", None);
    }

    #[test]
    fn a_variable_keeps_its_first_value() {
        check("[$x, $x]", "[1,1]", None);
        check("[$x, {\"a\": $x}]", "[[1],{\"a\":[1]}]", None);
        check("[$x, $x]", "[1,2]", Some("[1]"));
        let mut bindings = Bindings::default();
        bindings.compare(&value("[$x]", Use::Expect), &value("[7]", Use::Message)).unwrap();
        let sent = bindings.resolve(&value("[1, {\"a\": $x}]", Use::Send)).unwrap();
        assert_eq!(sent.to_string(), "[1, {\"a\": 7}]");
        assert_eq!(bindings.resolve(&value("[$y]", Use::Send)), Err("y".to_owned()));
    }
}
