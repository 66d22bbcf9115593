//! Generator of the configuration reference for `make docs`: the list of all settings with their
//! types, and whether a running server follows a change. A probe acts as a document, follows one path into the schema, and records the type that
//! is requested there.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize as _;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::Written;
use effect::effect;

mod effect;

const LIST: &str = "docs/site/settings.tsv";

/// Placeholder key for the elements of a list.
const ELEMENT: &str = "[]";

/// Placeholder key for any key of a map.
const NAME: &str = "NAME";

/// Marker that records the type of a map's keys instead of that of a value.
const KEY: &str = "{key}";

enum Shape {
    Keys(&'static [&'static str]),
    Map,
    List,
    /// The values of an enumeration, or the keys of one with contents.
    Choice(&'static [&'static str]),
    Value(String),
}

#[test]
fn reference_lists_every_setting() {
    let mut list = String::new();
    describe(&mut Vec::new(), &mut list);
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = folders.filter(|folder| folder.join("docs/site").is_dir()).last().unwrap();
    if std::env::var_os("ACCEPT").is_some() {
        std::fs::write(root.join(LIST), &list).unwrap();
    }
    let written = std::fs::read_to_string(root.join(LIST)).unwrap_or_default();
    assert_eq!(written, list, "the settings have changed: run this test with ACCEPT=1");
}

/// Lists the setting at a path, and those below it: `PATH<tab>TYPE<tab>EFFECT`.
fn describe(path: &mut Vec<String>, list: &mut String) {
    let children: Vec<&str> = match shape(path) {
        Some(Shape::Keys(keys)) => keys.to_vec(),
        Some(Shape::Map) => match shape_below(path, KEY) {
            Some(Shape::Choice(keys)) => keys.to_vec(),
            _ => vec![NAME],
        },
        Some(Shape::List) => match shape_below(path, ELEMENT) {
            Some(Shape::Keys(_)) => vec![ELEMENT],
            Some(Shape::Choice(values)) => {
                return add(list, path, &format!("list of {}", choice(values)));
            }
            _ => return add(list, path, "list"),
        },
        Some(Shape::Choice(variants)) => {
            // A variant with contents is a key with a shape of its own.
            if variants.iter().all(|variant| shape_below(path, variant).is_none()) {
                return add(list, path, &choice(variants));
            }
            variants.to_vec()
        }
        Some(Shape::Value(expected)) => return add(list, path, &expected),
        None => panic!("{path:?} has no type"),
    };
    for child in children {
        path.push(child.to_owned());
        describe(path, list);
        path.pop();
    }
}

fn add(list: &mut String, path: &[String], kind: &str) {
    let setting = path.join(".").replace(".[]", "[]");
    writeln!(list, "{setting}\t{kind}\t{}", effect(&setting, kind)).unwrap();
}

fn choice(values: &[&str]) -> String {
    values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
}

fn shape_below(path: &[String], key: &str) -> Option<Shape> {
    shape(&[path, &[key.to_owned()]].concat())
}

fn shape(path: &[String]) -> Option<Shape> {
    let found = RefCell::new(None);
    // The probe returns an error after it has recorded.
    let _ = Written::deserialize(Probe { path, found: &found });
    found.into_inner()
}

#[derive(Clone, Copy)]
struct Probe<'p> {
    path: &'p [String],
    found: &'p RefCell<Option<Shape>>,
}

impl<'p> Probe<'p> {
    fn record<T>(self, shape: Shape) -> Result<T, Error> {
        *self.found.borrow_mut() = Some(shape);
        Err(Error::custom("recorded"))
    }

    /// Returns the next key of the path, and a probe for its value.
    fn step(self) -> Option<(&'p str, Self)> {
        let (key, path) = self.path.split_first()?;
        Some((key, Self { path, ..self }))
    }

    /// Records the requested type of a value, or else the type that the visitor expects.
    fn value<'de, V: Visitor<'de>>(self, visitor: &V, asked: &str) -> Result<V::Value, Error> {
        let expected = (visitor as &dyn Expected).to_string();
        let kind = match asked {
            "" if expected.contains("bytes") => "size",
            "" | "text" if expected.contains("duration") => "duration",
            "" => expected.as_str(),
            asked => asked,
        };
        let is_positive = expected.contains("nonzero") || expected.contains("not zero");
        self.value_of(&format!("{kind}{}", if is_positive { ", not zero" } else { "" }))
    }

    fn value_of<T>(self, kind: &str) -> Result<T, Error> {
        if self.path.is_empty() {
            self.record(Shape::Value(kind.to_owned()))
        } else {
            Err(Error::custom("a value has no keys"))
        }
    }
}

macro_rules! values {
    ($($method:ident $kind:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.value(&visitor, $kind)
        }
    )*};
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    values! {
        deserialize_any ""
        deserialize_bool "`true` or `false`"
        deserialize_i8 "number" deserialize_i16 "number" deserialize_i32 "number" deserialize_i64 "number"
        deserialize_u8 "number" deserialize_u16 "number" deserialize_u32 "number" deserialize_u64 "number"
        deserialize_f32 "number" deserialize_f64 "number"
        deserialize_char "text" deserialize_str "text" deserialize_string "text"
        deserialize_bytes "text" deserialize_byte_buf "text"
        deserialize_unit "nothing" deserialize_identifier "text" deserialize_ignored_any ""
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.value(&visitor, "nothing")
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.path.is_empty() { self.record(Shape::List) } else { visitor.visit_seq(self) }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.path.is_empty() { self.record(Shape::Map) } else { visitor.visit_map(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.path.is_empty() { self.record(Shape::Keys(keys)) } else { visitor.visit_map(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.path {
            [] => self.record(Shape::Choice(variants)),
            _ => visitor.visit_enum(self),
        }
    }
}

impl<'de> MapAccess<'de> for Probe<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, below)) = self.step() else { return Ok(None) };
        if key == KEY {
            return seed.deserialize(below).map(Some);
        }
        let key: StrDeserializer<'_, Error> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (_, below) = self.step().ok_or_else(|| Error::custom("no value"))?;
        seed.deserialize(below)
    }
}

impl<'de> SeqAccess<'de> for Probe<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let (_, below) = self.step().ok_or_else(|| Error::custom("no element"))?;
        seed.deserialize(below).map(Some)
    }
}

impl<'de> EnumAccess<'de> for Probe<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let (key, below) = self.step().ok_or_else(|| Error::custom("no variant"))?;
        let key: StrDeserializer<'_, Error> = key.into_deserializer();
        Ok((seed.deserialize(key)?, below))
    }
}

impl<'de> VariantAccess<'de> for Probe<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_struct("", keys, visitor)
    }
}
