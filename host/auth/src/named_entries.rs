//! Files with named entries below one key, in YAML or JSON: users, and principals. Messages quote keys, but
//! never values, which are secret here.

use std::fmt;
use std::marker::PhantomData;

use jackfield_yaml::{
    Diagnosis, Entry, Kind, Message, Origin, Reader, Value as Located, ValueError, document,
    suggest,
};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// A file: a map with one key, below which the entries are.
pub(crate) struct NamedEntries<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    pub(crate) key: &'static str,
}

impl NamedEntries<'_> {
    /// Parses the file. `empty` is the help for an empty one.
    pub(crate) fn root(&self, empty: &str) -> Result<Located, Diagnosis> {
        let mut lines = self.text.lines().map(str::trim_start);
        if lines.all(|line| line.is_empty() || line.starts_with('#')) {
            let problem = Diagnosis::without_place(self.path, "the file is empty");
            return Err(problem.with_help(empty));
        }
        let (root, problems) = document(self.path, self.text);
        if let Some(problem) = problems.into_iter().next() {
            return Err(broken(problem));
        }
        Ok(root.map_or(Located::empty_map(Origin::File(0..0)), Located::of_file))
    }

    /// Returns the entries and their places.
    pub(crate) fn entries<'r>(&self, root: &'r Located) -> Result<&'r [Entry], Diagnosis> {
        self.find(root).map_err(|error| self.at(&error))
    }

    fn find<'r>(&self, root: &'r Located) -> Result<&'r [Entry], ValueError> {
        let write = || Some(format!("write `{}: {{}}`", self.key));
        let Kind::Map(keys) = &root.kind else {
            let error = ValueError::kind("a map", root, write());
            return Err(ValueError { origin: Some(root.origin.clone()), ..error });
        };
        if let Some(Entry { key, origin, .. }) = keys.iter().find(|entry| entry.key != self.key) {
            let message = Message::Plain(format!("unknown key `{key}`"));
            let error = ValueError::new(message, Some(suggest::advice(key, &[self.key])));
            return Err(ValueError { origin: Some(origin.clone()), ..error });
        }
        match root.get(self.key) {
            Some(Located { kind: Kind::Map(entries), .. }) => Ok(entries),
            Some(other) => {
                let error = ValueError::kind("a map", other, write());
                Err(ValueError { origin: Some(other.origin.clone()), ..error })
            }
            None => {
                let error = ValueError::at("", format!("the key `{}` is missing", self.key), "");
                Err(ValueError { origin: Some(root.origin.clone()), ..error })
            }
        }
    }

    /// Parses one entry.
    pub(crate) fn parse<T: DeserializeOwned>(&self, value: &Located) -> Result<T, Diagnosis> {
        T::deserialize(Reader(value)).map_err(|mut error: ValueError| {
            error.origin.get_or_insert_with(|| value.origin.clone());
            self.at(&error)
        })
    }

    /// An error at this place.
    pub(crate) fn problem(&self, origin: &Origin, message: String) -> Diagnosis {
        let error = ValueError::at("", message, "");
        self.at(&ValueError { origin: Some(origin.clone()), ..error })
    }

    fn at(&self, error: &ValueError) -> Diagnosis {
        error.redacted(self.path, self.text)
    }
}

/// Reports invalid YAML without the values that the parser may quote.
fn broken(problem: Diagnosis) -> Diagnosis {
    let is_open = problem.message.starts_with("the key `") || !problem.message.contains('`');
    let message = if is_open { problem.message } else { "this is not valid YAML here".to_owned() };
    Diagnosis { message, help: None, snippet: None, ..problem }
}

/// List of roles.
#[derive(Default)]
pub(crate) struct WrittenRoles(pub(crate) Vec<String>);

/// List of realms.
pub(crate) struct WrittenRealms(pub(crate) Vec<String>);

/// List of public keys.
#[derive(Default)]
pub(crate) struct WrittenKeys(pub(crate) Vec<WrittenText>);

impl<'de> Deserialize<'de> for WrittenRoles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WRONG: &str = "roles are a list: write [ROLE_X], also for a single one";
        ListVisitor::read(deserializer, "a list of roles: [ROLE_X]", WRONG).map(Self)
    }
}

impl<'de> Deserialize<'de> for WrittenRealms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WRONG: &str = "realms are a list: write [realm1], also for a single one";
        ListVisitor::read(deserializer, "a list of realms: [realm1]", WRONG).map(Self)
    }
}

impl<'de> Deserialize<'de> for WrittenKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WRONG: &str = "keys are a list: write ['KEY'], also for a single one";
        ListVisitor::read(deserializer, "a list of keys: ['KEY']", WRONG).map(Self)
    }
}

/// Reads a list. serde's own message about a text would quote it, and it may be a secret.
struct ListVisitor<T> {
    expected: &'static str,
    wrong: &'static str,
    items: PhantomData<T>,
}

impl<T> ListVisitor<T> {
    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        expected: &'static str,
        wrong: &'static str,
    ) -> Result<Vec<T>, D::Error>
    where
        T: Deserialize<'de>,
    {
        deserializer.deserialize_any(Self { expected, wrong, items: PhantomData })
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom(self.wrong))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

/// Secret text of an entry.
pub(crate) struct WrittenText(pub(crate) Zeroizing<String>);

impl<'de> Deserialize<'de> for WrittenText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WRONG: &str = "a secret or key has to be text: write it in quotes";
        let text = SecretText::read(deserializer, WRONG)?;
        text.map(Self).ok_or_else(|| Error::custom(WRONG))
    }
}

/// Reads secret text. Rejects each kind of value that is not text, because serde's own message would quote
/// the value.
pub(crate) struct SecretText(&'static str);

impl SecretText {
    /// Reads text, or nothing; `wrong` is the error of all other values.
    pub(crate) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        wrong: &'static str,
    ) -> Result<Option<Zeroizing<String>>, D::Error> {
        deserializer.deserialize_any(Self(wrong))
    }
}

impl Visitor<'_> for SecretText {
    type Value = Option<Zeroizing<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text in quotes")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Zeroizing::new(value.to_owned())))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Self::Value, E> {
        Ok(Some(Zeroizing::new(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(E::custom(self.0))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(E::custom(self.0))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(E::custom(self.0))
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Self::Value, E> {
        Err(E::custom(self.0))
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Self::Value, E> {
        Err(E::custom(self.0))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(E::custom(self.0))
    }
}
