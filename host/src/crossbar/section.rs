//! Section: an object of the configuration, from which its keys are taken.

use serde_json::{Map, Value};

use super::Note;

/// An object or a value, and its place.
#[derive(Debug)]
pub(super) struct Section {
    place: String,
    value: Value,
}

impl Section {
    /// The whole configuration; `None` unless it is a map.
    pub(super) fn root(value: Value) -> Option<Self> {
        value.is_object().then(|| Self { place: String::new(), value })
    }

    /// An object of sections that were taken out.
    pub(super) fn of_entries(entries: Vec<(String, Self)>) -> Self {
        let place = entries.first().map_or("", |(key, section)| {
            section.place.strip_suffix(key.as_str()).unwrap_or("").trim_end_matches('.')
        });
        let place = place.to_owned();
        let map = entries.into_iter().map(|(key, section)| (key, section.value)).collect();
        Self { place, value: Value::Object(map) }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    fn at(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn map(&mut self) -> Option<&mut Map<String, Value>> {
        self.value.as_object_mut()
    }

    /// Takes a key out; `None` if it is not there.
    pub(super) fn take(&mut self, key: &str) -> Option<Self> {
        let place = self.at(key);
        let value = self.map()?.shift_remove(key)?;
        Some(Self { place, value })
    }

    /// Takes all keys out, in their order.
    pub(super) fn entries(mut self) -> Vec<(String, Self)> {
        let keys: Vec<String> =
            self.map().map(|map| map.keys().cloned().collect()).unwrap_or_default();
        keys.into_iter().filter_map(|key| Some((key.clone(), self.take(&key)?))).collect()
    }

    /// Takes a list out; empty if it is not there.
    pub(super) fn list(&mut self, key: &str, notes: &mut Vec<Note>) -> Vec<Self> {
        let Some(section) = self.take(key) else { return Vec::new() };
        let Value::Array(values) = section.value else {
            section.wrong("a list", notes);
            return Vec::new();
        };
        let part = |(at, value)| Self { place: format!("{}[{at}]", section.place), value };
        values.into_iter().enumerate().map(part).collect()
    }

    /// Takes text out; `None` if it is not there, or is no text.
    pub(super) fn text(&mut self, key: &str, notes: &mut Vec<Note>) -> Option<String> {
        self.text_or(key, notes).ok().flatten()
    }

    /// Takes text out.
    ///
    /// # Errors
    /// For another value, which is reported.
    pub(super) fn text_or(
        &mut self,
        key: &str,
        notes: &mut Vec<Note>,
    ) -> Result<Option<String>, ()> {
        let Some(section) = self.take(key) else { return Ok(None) };
        if let Value::String(text) = section.value {
            return Ok(Some(text));
        }
        section.wrong("text", notes);
        Err(())
    }

    /// Takes a secret text out. Crossbar reads one that begins with a dollar sign from its environment.
    pub(super) fn secret(&mut self, key: &str, notes: &mut Vec<Note>) -> Option<String> {
        let place = self.at(key);
        let text = self.text(key, notes)?;
        if text.starts_with('$') {
            let message = "Crossbar reads the value from its environment: write it here".to_owned();
            notes.push(Note { place, message });
            return None;
        }
        Some(text)
    }

    /// Takes a number out.
    pub(super) fn number(&mut self, key: &str, notes: &mut Vec<Note>) -> Option<u64> {
        let section = self.take(key)?;
        let number = section.value.as_u64();
        match section.value {
            Value::String(text) if text.starts_with('$') => {
                let message =
                    "Crossbar reads the value from its environment: write it here".to_owned();
                notes.push(Note { place: section.place, message });
            }
            _ if number.is_none() => section.wrong("a number", notes),
            _ => {}
        }
        number
    }

    /// Takes a flag out; false if it is not there.
    pub(super) fn flag(&mut self, key: &str, notes: &mut Vec<Note>) -> bool {
        let Some(section) = self.take(key) else { return false };
        let flag = section.value.as_bool();
        if flag.is_none() {
            section.wrong("true or false", notes);
        }
        flag.unwrap_or_default()
    }

    /// Takes a list of texts out.
    pub(super) fn texts(&mut self, key: &str, notes: &mut Vec<Note>) -> Vec<String> {
        let mut texts = Vec::new();
        for part in self.list(key, notes) {
            match part.value {
                Value::String(text) => texts.push(text),
                _ => part.wrong("text", notes),
            }
        }
        texts
    }

    /// Returns the texts of a list; other values are left out.
    pub(super) fn all_texts(self) -> Vec<String> {
        let Value::Array(values) = self.value else { return Vec::new() };
        let text = |value| if let Value::String(text) = value { Some(text) } else { None };
        values.into_iter().filter_map(text).collect()
    }

    /// Removes keys that have no meaning here.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            let _unused = self.take(key);
        }
    }

    /// Reports the whole section.
    pub(super) fn note(&self, message: &str, notes: &mut Vec<Note>) {
        notes.push(Note { place: self.place.clone(), message: message.to_owned() });
    }

    /// Reports each key that is left.
    pub(super) fn finish(mut self, notes: &mut Vec<Note>) {
        let keys: Vec<String> =
            self.map().map(|map| map.keys().cloned().collect()).unwrap_or_default();
        for key in keys {
            // Keys of templates without content.
            let is_empty = |value: &Value| match value {
                Value::Object(map) => map.is_empty(),
                Value::Array(list) => list.is_empty(),
                value => value.is_null(),
            };
            if self.value.get(&key).is_some_and(is_empty) {
                continue;
            }
            let message = "there is no setting for this key".to_owned();
            notes.push(Note { place: self.at(&key), message });
        }
    }

    fn wrong(&self, expected: &str, notes: &mut Vec<Note>) {
        self.note(&format!("the value is not {expected}"), notes);
    }
}
