//! Scanner interface: reads a message's values one by one, and builds only those needed.

use serde_json::Value;

/// A message of one serializer, read from front to back. `None` means that the value has another
/// type or is malformed.
pub(crate) trait Scan<'a> {
    /// Enters a list.
    fn list(&mut self) -> Option<()>;

    /// Moves to the list's next element. `None` at the end.
    fn next(&mut self) -> Option<()>;

    /// Reads an id or a code.
    fn number(&mut self) -> Option<u64>;

    /// Reads a text without unescaping: texts read this way have no escapes.
    fn text(&mut self) -> Option<&'a [u8]>;

    /// Reads and builds any value.
    fn value(&mut self) -> Option<Value>;

    /// Skips any value.
    fn skip(&mut self) -> Option<()>;

    /// Reads the next element as a text.
    fn next_text(&mut self) -> Option<String> {
        self.next()?;
        match self.value()? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Maximum nesting of values.
pub(crate) const MAX_DEPTH: usize = 64;
