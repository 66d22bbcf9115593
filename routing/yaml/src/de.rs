//! Serde deserializer over a [tree of values](crate::value). Its errors have a place, and name the
//! expected value in an operator's words.

use serde_core::de::value::StrDeserializer;
use serde_core::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};

use crate::diagnosis::Diagnosis;
use crate::document::document;
use crate::error::{Message, ValueError, belongs};
use crate::value::{Entry, Kind, Origin, Step, Value};

/// Deserializes a whole document that may hold secrets: errors quote no value.
///
/// # Errors
/// The first error, with its place.
pub fn read<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, Diagnosis> {
    let (root, problems) = document(path, text);
    if let Some(problem) = problems.into_iter().next() {
        return Err(Diagnosis { snippet: None, ..problem });
    }
    let root = root.map_or(Value::empty_map(Origin::File(0..0)), Value::of_file);
    T::deserialize(Reader(&root)).map_err(|mut error: ValueError| {
        error.origin.get_or_insert_with(|| root.origin.clone());
        error.redacted(path, text)
    })
}

/// Deserializer of one value.
#[derive(Clone, Copy)]
pub struct Reader<'a>(pub &'a Value);

impl Reader<'_> {
    /// Parses a variable or flag as YAML; `None` for values of a file, which are parsed already.
    fn reread(self) -> Option<Value> {
        match (&self.0.kind, &self.0.origin) {
            (Kind::Typed(text), Origin::Set(name)) => Value::of_typed(name, text),
            _ => None,
        }
    }
}

/// Deserializes scalars; the text of a variable or flag is parsed as YAML first.
macro_rules! as_yaml {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self.reread() {
                Some(node) => Reader(&node).scalar(visitor),
                None => self.scalar(visitor),
            }
        }
    )*};
}

impl Reader<'_> {
    /// Visits the value as its own kind.
    fn scalar<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match &self.0.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Number(number, _) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Kind::Text(text) | Kind::Typed(text) => visitor.visit_str(text),
            Kind::List(items) => visitor.visit_seq(Elements { items, next: 0 }),
            Kind::Map(entries) => visitor.visit_map(Entries { entries, value: None }),
        }
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match &self.0.kind {
            Kind::Bool(value) => visitor.visit_str(if *value { "true" } else { "false" }),
            Kind::Number(_, spelling) => visitor.visit_str(spelling),
            Kind::Text(text) | Kind::Typed(text) => visitor.visit_str(text),
            Kind::Null | Kind::List(_) | Kind::Map(_) => {
                let expected = belongs(&(&visitor as &dyn Expected).to_string());
                Err(ValueError::kind(&expected, self.0, None))
            }
        }
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let typed = self.reread();
        let node = typed.as_ref().unwrap_or(self.0);
        match (&node.kind, &self.0.kind) {
            (Kind::List(items), _) => visitor.visit_seq(Elements { items, next: 0 }),
            (_, Kind::Text(text) | Kind::Typed(text)) if is_word(text) => {
                Err(ValueError::kind("a list", self.0, Some(format!("write `[{text}]`"))))
            }
            _ => {
                Err(ValueError::kind("a list", self.0, Some("write `[first, second]`".to_owned())))
            }
        }
    }

    /// `keys` are the allowed keys, if known.
    fn map<'de, V: Visitor<'de>>(self, keys: &[&str], visitor: V) -> Result<V::Value, ValueError> {
        let typed = self.reread();
        let node = typed.as_ref().unwrap_or(self.0);
        match (&node.kind, &self.0.kind) {
            (Kind::Map(entries), _) => visitor.visit_map(Entries { entries, value: None }),
            // Everything below the key is commented out.
            (Kind::Null, Kind::Null) => visitor.visit_map(Entries { entries: &[], value: None }),
            _ => {
                let help = match keys {
                    [] => "write `{ KEY: VALUE }`".to_owned(),
                    [first, ..] => {
                        let keys = keys.join(", ");
                        format!("write a map with some of its keys, `{{ {first}: VALUE }}`: {keys}")
                    }
                };
                Err(ValueError::kind("a map", self.0, Some(help)))
            }
        }
    }
}

/// Returns whether the text can be suggested as the only element of a list.
fn is_word(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    !text.is_empty() && text.len() < 100 && text.chars().all(fits)
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ValueError;

    as_yaml! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_unit
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.scalar(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.text(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.text(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.text(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.text(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.text(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.map(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.map(fields, visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let typed = self.reread().filter(|node| matches!(node.kind, Kind::Map(_)));
        let node = typed.as_ref().unwrap_or(self.0);
        let one_of = || Some(format!("write one of: {}", variants.join(", ")));
        match &node.kind {
            Kind::Text(text) | Kind::Typed(text) => {
                visitor.visit_enum(Variant { name: text, entry: None })
            }
            Kind::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant { name: &entry.key, entry: Some(entry) }),
                [] => Err(ValueError::kind("one key", node, one_of())),
                [first, second, ..] => {
                    let (first, second) = (&first.key, &second.key);
                    let message = format!("there are both `{first}` and `{second}`");
                    Err(ValueError::new(
                        Message::Plain(message),
                        Some("keep one of them".to_owned()),
                    ))
                }
            },
            Kind::Bool(value) => {
                let name = if *value { "true" } else { "false" };
                visitor.visit_enum(Variant { name, entry: None })
            }
            Kind::Number(_, name) => visitor.visit_enum(Variant { name, entry: None }),
            Kind::Null | Kind::List(_) => Err(ValueError::kind("one value", node, one_of())),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }
}

struct Elements<'a> {
    items: &'a [Value],
    next: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let at = self.next;
        let Some(item) = self.items.get(at) else { return Ok(None) };
        self.next += 1;
        let read = seed.deserialize(Reader(item));
        read.map(Some).map_err(|wrong| wrong.inside(Step::Element(at), &item.origin))
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    value: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ValueError> {
        let Some((entry, rest)) = self.entries.split_first() else { return Ok(None) };
        (self.entries, self.value) = (rest, Some(entry));
        let read = seed.deserialize(name(&entry.key));
        read.map(Some).map_err(|wrong: ValueError| {
            // An unknown variant of a key's enum, which serde reports as an invalid value.
            let message = match wrong.message {
                Message::Value(..) => Message::Plain(format!("unknown key `{}`", entry.key)),
                message @ (Message::Plain(_) | Message::Kind(..)) => message,
            };
            ValueError { message, ..wrong }.inside(Step::Key(entry.key.clone()), &entry.origin)
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ValueError> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a key without its value"));
        };
        entry.read(seed)
    }
}

impl Entry {
    fn read<'de, T: DeserializeSeed<'de>>(&self, seed: T) -> Result<T::Value, ValueError> {
        // An empty value has no place of its own in the file.
        let nothing = matches!(self.value.kind, Kind::Null);
        let origin = if nothing { &self.origin } else { &self.value.origin };
        let read = seed.deserialize(Reader(&self.value));
        read.map_err(|wrong| wrong.inside(Step::Key(self.key.clone()), origin))
    }
}

/// Variant of an enum: a name alone, or the only key of a map.
struct Variant<'a> {
    name: &'a str,
    entry: Option<&'a Entry>,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = ValueError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), ValueError> {
        let read = seed.deserialize(name(self.name));
        let value = read.map_err(|wrong: ValueError| match self.entry {
            Some(entry) => {
                let message = format!("unknown key `{}`", entry.key);
                let message = Message::Value(message, "there is an unknown key");
                ValueError { message, origin: Some(entry.origin.clone()), ..wrong }
            }
            None => wrong,
        })?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        match self.entry {
            None => Ok(()),
            Some(entry) => Err(ValueError::kind("no value", &entry.value, None)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, ValueError> {
        let Some(entry) = self.entry else {
            let message = format!("`{}` needs a value", self.name);
            let help = format!("write `{{ {}: … }}`", self.name);
            return Err(ValueError::new(Message::Plain(message), Some(help)));
        };
        entry.read(seed)
    }

    // No setting has one of these two forms.
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ValueError> {
        Err(de::Error::invalid_type(Unexpected::TupleVariant, &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        Err(de::Error::invalid_type(Unexpected::StructVariant, &visitor))
    }
}

fn name(text: &str) -> StrDeserializer<'_, ValueError> {
    text.into_deserializer()
}
