//! Translation between codecs, streaming, without a tree in between.
//!
//! WAMP's rule for bytes in JSON (WAMP v2 specification, section "Serializers"): a JSON text of
//! `\0` and Base64 is binary in the other codecs, and vice versa. Keys that are not texts become
//! texts in JSON.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{CodecWriter, Item, ReadError, Reader};
use crate::dialect::Codec;

/// Base64 with optional padding: some encoders omit it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Copies one value from the reader to the writer.
pub(crate) fn transcode(
    reader: &mut Reader<'_>,
    writer: &mut CodecWriter<'_>,
    depth: usize,
) -> Result<(), ReadError> {
    let item = reader.item()?;
    transcode_rest(item, reader, writer, depth)
}

/// Returns the bytes that a JSON text encodes, if it follows WAMP's rule.
pub(crate) fn binary_of(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.strip_prefix('\0')?).ok()
}

fn transcode_rest(
    item: Item<'_>,
    reader: &mut Reader<'_>,
    writer: &mut CodecWriter<'_>,
    depth: usize,
) -> Result<(), ReadError> {
    match item {
        Item::Null => writer.null(),
        Item::Bool(value) => writer.bool(value),
        Item::UInt(number) => writer.uint(number),
        Item::Int(number) => writer.int(number),
        Item::Float(number) => writer.float(number),
        Item::Text(text) => match binary_between(reader, writer, &text) {
            Some(bytes) => writer.binary(&bytes),
            None => writer.text(&text),
        },
        Item::Binary(bytes) => writer.binary(&bytes),
        Item::List(mut container) => {
            let depth = reader.descend(depth)?;
            let open = writer.open(false);
            let mut len = 0;
            while reader.more(&mut container)? {
                transcode(reader, writer, depth)?;
                len += 1;
            }
            writer.close(&open, len);
        }
        Item::Map(mut container) => {
            let depth = reader.descend(depth)?;
            let open = writer.open(true);
            let mut len = 0;
            while reader.more(&mut container)? {
                transcode_entry(reader, writer, depth)?;
                len += 1;
            }
            writer.close(&open, len);
        }
    }
    Ok(())
}

/// Copies one key and its value.
pub(crate) fn transcode_entry(
    reader: &mut Reader<'_>,
    writer: &mut CodecWriter<'_>,
    depth: usize,
) -> Result<(), ReadError> {
    let key = reader.key()?;
    match (key, writer.codec()) {
        (Item::Text(text), _) => writer.text(&text),
        (key, Codec::Json) => writer.text(&key_text(key, reader)?),
        (key, Codec::MessagePack | Codec::Cbor) => transcode_rest(key, reader, writer, depth)?,
    }
    writer.end_key();
    transcode(reader, writer, depth)
}

/// Returns a key as a text: bytes follow the binary rule, other keys are their JSON.
fn key_text(key: Item<'_>, reader: &mut Reader<'_>) -> Result<String, ReadError> {
    if let Item::Binary(bytes) = key {
        return Ok(format!("\0{}", BASE64.encode(bytes)));
    }
    let mut json = Vec::new();
    // A key is not a container, so no more is read.
    transcode_rest(key, reader, &mut CodecWriter::new(Codec::Json, &mut json), 0)?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

fn binary_between(reader: &Reader<'_>, writer: &CodecWriter<'_>, text: &str) -> Option<Vec<u8>> {
    match (reader.codec(), writer.codec()) {
        (Codec::Json, Codec::MessagePack | Codec::Cbor) => binary_of(text),
        (Codec::Json, Codec::Json) | (Codec::MessagePack | Codec::Cbor, _) => None,
    }
}
