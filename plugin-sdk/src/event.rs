//! Events: the payload of a publication, a call or a result, as JSON text that is parsed on access.
//!
//! WAMP v2 events have positional `args` and named `kwargs`; a WAMP v1 event is one value, which
//! arrives as the only element of `args`. Binary values follow WAMP's rule for JSON: a string that
//! begins with U+0000, followed by base64.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Error, error::reason, lazy::Lazy};

/// A payload. The event of a hook is asked from the host when the hook reads it.
///
/// ```
/// use jackfield_plugin::{Event, json};
///
/// let event = Event::new(json!({"text": "hello"}));
/// assert_eq!(event.args_json(), r#"[{"text":"hello"}]"#);
///
/// let (word, count) = Event::from_args(&("hello", 2))?.args::<(String, u32)>()?;
/// assert_eq!((word.as_str(), count), ("hello", 2));
/// # Ok::<(), jackfield_plugin::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub(crate) args: Lazy<String>,
    pub(crate) kwargs: Lazy<String>,
}

impl Event {
    /// Creates an event of one JSON value, the form of WAMP v1: `"text"`, a number, or
    /// `json!({…})`.
    pub fn new(value: impl Into<Value>) -> Self {
        let args = Value::Array(vec![value.into()]).to_string();
        Self::from_json(args, "{}")
    }

    /// Creates an event without values.
    pub fn empty() -> Self {
        Self::from_json("[]", "{}")
    }

    /// Creates an event of one serializable value.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], if the value cannot be serialized as JSON.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let args = encode(&[value])?;
        Ok(Self::from_json(args, "{}"))
    }

    /// Creates an event of several positional values, from a tuple or a list.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], if they cannot be serialized as a JSON array.
    pub fn from_args<T: Serialize + ?Sized>(args: &T) -> Result<Self, Error> {
        let args = encode(args)?;
        if !args.starts_with('[') {
            return Err(Error::Encode(format!("args have to be a list, not {args}")));
        }
        Ok(Self::from_json(args, "{}"))
    }

    /// Creates an event from the text of a JSON array and of a JSON object. The host checks them
    /// and counts invalid text as a fault of the plugin.
    pub fn from_json(args: impl Into<String>, kwargs: impl Into<String>) -> Self {
        Self { args: args.into().into(), kwargs: kwargs.into().into() }
    }

    /// Sets the named values, from a struct or a map. WAMP v1 clients receive them as the event, or
    /// as an object of `args` and `kwargs` if there are both.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], if they cannot be serialized as a JSON object.
    pub fn with_kwargs<T: Serialize + ?Sized>(self, kwargs: &T) -> Result<Self, Error> {
        let kwargs = encode(kwargs)?;
        if !kwargs.starts_with('{') {
            return Err(Error::Encode(format!("kwargs have to be an object, not {kwargs}")));
        }
        Ok(Self { kwargs: kwargs.into(), ..self })
    }

    /// Reads the only positional value, the form of WAMP v1 clients.
    ///
    /// # Errors
    ///
    /// [`Error::Event`], if there is not exactly one value, or if it has another shape.
    pub fn single<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.args::<(T,)>().map(|(value,)| value)
    }

    /// Reads the positional values, as a tuple of exactly their number or as a `Vec`.
    ///
    /// # Errors
    ///
    /// [`Error::Event`], if they have another shape.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode("args", self.args.get())
    }

    /// Reads the named values, as a struct or a map.
    ///
    /// # Errors
    ///
    /// [`Error::Event`], if they have another shape.
    pub fn kwargs<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode("kwargs", self.kwargs.get())
    }

    /// The positional values as the text of a JSON array, unparsed.
    pub fn args_json(&self) -> &str {
        self.args.get()
    }

    /// The named values as the text of a JSON object, unparsed.
    pub fn kwargs_json(&self) -> &str {
        self.kwargs.get()
    }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Encode(reason(&error)))
}

fn decode<T: DeserializeOwned>(part: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Event { part, reason: reason(&error) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(event: &Event, args: &str, kwargs: &str) {
        assert_eq!((event.args_json(), event.kwargs_json()), (args, kwargs));
    }

    #[test]
    fn writes_events() {
        check(&Event::empty(), "[]", "{}");
        check(&Event::new("x"), r#"["x"]"#, "{}");
        check(&Event::new(json!({"b": 1, "a": [null]})), r#"[{"b":1,"a":[null]}]"#, "{}");
        check(&Event::of(&Some(1)).unwrap(), "[1]", "{}");
        check(&Event::from_args(&(1, "x")).unwrap(), r#"[1,"x"]"#, "{}");
        let named = Event::empty().with_kwargs(&BTreeMap::from([("a", 1)])).unwrap();
        check(&named, "[]", r#"{"a":1}"#);
        check(&Event::from_json("[ 1 ]", "{ }"), "[ 1 ]", "{ }");
    }

    #[test]
    fn rejects_args_that_are_no_list_and_kwargs_that_are_no_object() {
        assert!(matches!(Event::from_args(&1), Err(Error::Encode(_))));
        assert!(matches!(Event::empty().with_kwargs(&[1]), Err(Error::Encode(_))));
    }

    #[test]
    fn reads_events() {
        let event = Event::from_json(r#"["x",2]"#, r#"{"a":true}"#);
        assert_eq!(event.args::<(String, u8)>().unwrap(), ("x".to_owned(), 2));
        assert!(event.args::<(String,)>().is_err());
        assert!(event.single::<String>().is_err());
        assert!(event.kwargs::<BTreeMap<String, bool>>().unwrap()["a"]);
        let reason = "invalid type: string \"x\", expected u8".to_owned();
        assert_eq!(Event::new("x").single::<u8>(), Err(Error::Event { part: "args", reason }));
        assert_eq!(Event::new(7).single::<u8>(), Ok(7));
    }
}
