//! Tree decoding of whole values, for dictionaries of details.

use bytes::Bytes;

use super::transcode::binary_of;
use super::{Container, Item, ReadError, Reader};
use crate::dialect::Codec;
use crate::value::{Dict, Value};

/// Decodes the value that begins with `item`.
pub(crate) fn value(
    item: Item<'_>,
    reader: &mut Reader<'_>,
    depth: usize,
) -> Result<Value, ReadError> {
    Ok(match item {
        Item::Null => Value::Null,
        Item::Bool(value) => Value::Bool(value),
        Item::UInt(number) => Value::UInt(number),
        Item::Int(number) => Value::Int(number),
        Item::Float(number) => Value::Float(number),
        Item::Text(text) => match binary_in(reader, &text) {
            Some(bytes) => Value::Binary(bytes.into()),
            None => Value::Text(text.into_owned()),
        },
        Item::Binary(bytes) => Value::Binary(Bytes::copy_from_slice(&bytes)),
        Item::List(mut container) => {
            let depth = reader.descend(depth)?;
            let mut list = Vec::new();
            while reader.more(&mut container)? {
                let item = reader.item()?;
                list.push(value(item, reader, depth)?);
            }
            Value::List(list)
        }
        Item::Map(container) => Value::Map(dict(container, reader, depth)?),
    })
}

/// Decodes the dictionary whose beginning was read. Entries without a text key are omitted: the
/// specification has none.
pub(crate) fn dict(
    mut container: Container,
    reader: &mut Reader<'_>,
    depth: usize,
) -> Result<Dict, ReadError> {
    let depth = reader.descend(depth)?;
    let mut dict = Dict::new();
    while reader.more(&mut container)? {
        match reader.key()? {
            Item::Text(key) => {
                let item = reader.item()?;
                dict.push(key.into_owned(), value(item, reader, depth)?);
            }
            _ => reader.skip(depth)?,
        }
    }
    Ok(dict)
}

fn binary_in(reader: &Reader<'_>, text: &str) -> Option<Vec<u8>> {
    match reader.codec() {
        Codec::Json => binary_of(text),
        Codec::MessagePack | Codec::Cbor => None,
    }
}
