//! Streaming writer of a message's values, in each serializer.

use crate::plan::Serializer;

/// Appends values to a message.
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    serializer: Serializer,
    /// Whether JSON needs a comma before the next value.
    comma: bool,
}

impl<'o> Writer<'o> {
    pub(crate) const fn new(serializer: Serializer, out: &'o mut Vec<u8>) -> Self {
        Self { out, serializer, comma: false }
    }

    /// Begins a list of `count` elements.
    pub(crate) fn list(&mut self, count: u8) {
        self.begin(b'[', 0x90, 0x80, count);
    }

    pub(crate) fn end_list(&mut self) {
        self.end(b']');
    }

    /// Begins a dictionary of `count` entries; each is a [`Self::key`] and a value.
    pub(crate) fn map(&mut self, count: u8) {
        self.begin(b'{', 0x80, 0xa0, count);
    }

    pub(crate) fn end_map(&mut self) {
        self.end(b'}');
    }

    /// Begins a container of fewer than 16 elements.
    fn begin(&mut self, json: u8, message_pack: u8, cbor: u8, count: u8) {
        self.separate();
        self.comma = false;
        self.out.push(match self.serializer {
            Serializer::Json => json,
            Serializer::MessagePack => message_pack | count,
            Serializer::Cbor => cbor | count,
        });
    }

    fn end(&mut self, json: u8) {
        if self.serializer == Serializer::Json {
            self.out.push(json);
        }
        self.comma = true;
    }

    pub(crate) fn key(&mut self, key: &str) {
        self.text(key);
        if self.serializer == Serializer::Json {
            self.out.push(b':');
            self.comma = false;
        }
    }

    pub(crate) fn true_value(&mut self) {
        self.separate();
        match self.serializer {
            Serializer::Json => self.out.extend_from_slice(b"true"),
            Serializer::MessagePack => self.out.push(0xc3),
            Serializer::Cbor => self.out.push(0xf5),
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.separate();
        match self.serializer {
            Serializer::Json => decimal(self.out, number),
            Serializer::MessagePack if number < 0x80 => {
                self.out.extend(number.to_be_bytes().last());
            }
            Serializer::MessagePack => {
                self.out.push(0xcf);
                self.out.extend_from_slice(&number.to_be_bytes());
            }
            Serializer::Cbor => self.cbor_head(0, number),
        }
    }

    /// Writes a text.
    pub(crate) fn text(&mut self, text: &str) {
        if self.serializer == Serializer::Json {
            self.separate();
            // Writing to a vector cannot fail.
            let _infallible = serde_json::to_writer(&mut *self.out, text);
        } else {
            self.plain(text.as_bytes());
        }
    }

    /// Writes a text that needs no escapes in JSON.
    pub(crate) fn plain(&mut self, text: &[u8]) {
        self.separate();
        match self.serializer {
            Serializer::Json => {
                self.out.push(b'"');
                self.out.extend_from_slice(text);
                self.out.push(b'"');
            }
            Serializer::MessagePack => {
                self.message_pack_head(text.len());
                self.out.extend_from_slice(text);
            }
            Serializer::Cbor => {
                self.cbor_head(3, text.len() as u64);
                self.out.extend_from_slice(text);
            }
        }
    }

    fn separate(&mut self) {
        if self.serializer == Serializer::Json && self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    fn message_pack_head(&mut self, length: usize) {
        if let Ok(length) = u8::try_from(length) {
            if length < 32 {
                self.out.push(0xa0 | length);
            } else {
                self.out.extend_from_slice(&[0xd9, length]);
            }
        } else if let Ok(length) = u16::try_from(length) {
            self.out.push(0xda);
            self.out.extend_from_slice(&length.to_be_bytes());
        } else {
            self.out.push(0xdb);
            // Messages are shorter than that.
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            self.out.extend_from_slice(&length.to_be_bytes());
        }
    }

    fn cbor_head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        if let Ok(small) = u8::try_from(argument) {
            if small < 24 {
                self.out.push(major | small);
            } else {
                self.out.extend_from_slice(&[major + 24, small]);
            }
        } else if let Ok(argument) = u16::try_from(argument) {
            self.out.push(major + 25);
            self.out.extend_from_slice(&argument.to_be_bytes());
        } else if let Ok(argument) = u32::try_from(argument) {
            self.out.push(major + 26);
            self.out.extend_from_slice(&argument.to_be_bytes());
        } else {
            self.out.push(major + 27);
            self.out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

/// Appends a number in decimal.
pub(crate) fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut rest = number;
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        // The remainder is a digit.
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        start -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}
