//! UTF-8: `TextEncoder` and `TextDecoder`, which QuickJS lacks.

/** Code units that one call of `String.fromCharCode` takes. */
const CHUNK = 4096;

/** The UTF-8 bytes of a text. Half of a surrogate pair becomes U+FFFD. */
export function encode(text) {
  // The engine's own functions do the work: they are much faster than a loop over characters.
  const binary = unescape(encodeURIComponent(text.toWellFormed()));
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The text of UTF-8 bytes; throws a TypeError if they are not valid. */
export function decode(bytes) {
  let binary = '';
  for (let i = 0; i < bytes.length; i += CHUNK) {
    binary += String.fromCharCode.apply(null, bytes.subarray(i, i + CHUNK));
  }
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    throw new TypeError('the bytes are not valid UTF-8');
  }
}

/** As `decode`, with U+FFFD for each invalid part. */
function decodeLossily(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; ) {
    const length = sequence(bytes, i);
    text += length === 0 ? '\ufffd' : decode(bytes.subarray(i, i + length));
    i += length || broken(bytes, i);
  }
  return text;
}

/** The number of bytes of the valid sequence at this place; 0 if it is invalid. */
function sequence(bytes, at) {
  const length = expected(bytes[at]);
  return length > 0 && prefix(bytes, at, length) === length ? length : 0;
}

/** The number of bytes that one U+FFFD replaces. */
function broken(bytes, at) {
  return Math.max(1, prefix(bytes, at, expected(bytes[at])));
}

function expected(first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/** How many of the `length` bytes are valid. */
function prefix(bytes, at, length) {
  const bounds = { 0xe0: [0xa0, 0xbf], 0xed: [0x80, 0x9f], 0xf0: [0x90, 0xbf], 0xf4: [0x80, 0x8f] };
  let valid = Math.min(1, length);
  while (valid < length) {
    const [low, high] = (valid === 1 && bounds[bytes[at]]) || [0x80, 0xbf];
    const byte = bytes[at + valid];
    if (!(byte >= low && byte <= high)) break;
    valid += 1;
  }
  return valid;
}

/** The part of the Web's `TextEncoder` that plugins need. */
export class TextEncoder {
  get encoding() {
    return 'utf-8';
  }

  encode(text = '') {
    return encode(String(text));
  }
}

/** The part of the Web's `TextDecoder` that plugins need: whole texts in UTF-8. */
export class TextDecoder {
  constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
    if (!/^utf-?8$/i.test(String(label).trim())) {
      throw new RangeError(`the encoding ${label} is not supported, only utf-8`);
    }
    this.fatal = fatal;
    this.ignoreBOM = ignoreBOM;
  }

  get encoding() {
    return 'utf-8';
  }

  decode(source = new Uint8Array(0), { stream = false } = {}) {
    if (stream) throw new RangeError('texts in parts (`stream`) are not supported');
    const bytes = ArrayBuffer.isView(source)
      ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
      : new Uint8Array(source);
    let text;
    try {
      text = decode(bytes);
    } catch (error) {
      if (this.fatal) throw error;
      text = decodeLossily(bytes);
    }
    return !this.ignoreBOM && text.startsWith('\ufeff') ? text.slice(1) : text;
  }
}
