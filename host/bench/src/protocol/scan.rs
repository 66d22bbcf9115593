//! Reading a message's values one by one, without building those that nobody wants.

use serde_json::Value;

/// A message in one of the serializations, read from front to back. None means that it is not
/// what was asked for.
pub(crate) trait Scan<'a> {
    /// Enters a list.
    fn list(&mut self) -> Option<()>;

    /// Goes to the list's next element. None if there is none.
    fn next(&mut self) -> Option<()>;

    /// Takes a number that is an id or a code.
    fn number(&mut self) -> Option<u64>;

    /// Takes a text as it stands: nothing that is read so has escapes.
    fn text(&mut self) -> Option<&'a [u8]>;

    /// Takes anything and builds it.
    fn value(&mut self) -> Option<Value>;

    /// Takes anything and builds nothing.
    fn skip(&mut self) -> Option<()>;

    /// Takes the next element as a text.
    fn next_words(&mut self) -> Option<String> {
        self.next()?;
        match self.value()? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// How deep anything may be that is not looked into.
pub(crate) const MAX_DEPTH: usize = 64;
