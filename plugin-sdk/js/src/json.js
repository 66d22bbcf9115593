//! JSON without loss: integers beyond 2^53, which a Number rounds, are BigInts.

/** Nesting that `stringify` refuses, as the server does. */
const MAX_DEPTH = 256;

/** Parses JSON. An integer that a Number cannot represent exactly becomes a BigInt. */
export function parse(text) {
  const value = JSON.parse(text);
  // Sixteen digits in a row are the shortest integer that can be rounded.
  return /[0-9]{16}/.test(text) ? readExactly(text) : value;
}

/** The JSON text of a value. A BigInt becomes an integer. */
export function stringify(value) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // A BigInt, or a value that contains itself, which ends at the maximum depth.
    text = write(value, 0);
  }
  if (text === undefined) throw new TypeError(`a value of type ${typeof value} has no JSON text`);
  return text;
}

/** Reads a text that `JSON.parse` has accepted. */
function readExactly(text) {
  const token = /\s*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|([^\s{}[\],:"]+))/y;
  const next = () => token.exec(text);
  const read = ([, punctuation, string, scalar]) => {
    if (string !== undefined) return JSON.parse(string);
    if (scalar !== undefined) return number(scalar);
    return punctuation === '[' ? readArray() : readObject();
  };
  const readArray = () => {
    const array = [];
    for (let found = next(); found[1] !== ']'; found = next()) {
      if (found[1] !== ',') array.push(read(found));
    }
    return array;
  };
  const readObject = () => {
    const entries = [];
    for (let found = next(); found[1] !== '}'; found = next()) {
      if (found[1] === ',') continue;
      const key = JSON.parse(found[2]);
      next();
      entries.push([key, read(next())]);
    }
    return Object.fromEntries(entries);
  };
  return read(next());
}

function number(scalar) {
  const value = JSON.parse(scalar);
  const isInteger = typeof value === 'number' && /^-?[0-9]+$/.test(scalar);
  return isInteger && !Number.isSafeInteger(value) ? BigInt(scalar) : value;
}

function write(value, depth) {
  if (depth > MAX_DEPTH) throw new TypeError('the value is nested too deeply, or contains itself');
  if (typeof value === 'bigint') return value.toString();
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (typeof value.toJSON === 'function') return write(value.toJSON(), depth + 1);
  if (Array.isArray(value)) {
    return `[${value.map((item) => write(item, depth + 1) ?? 'null').join(',')}]`;
  }
  const members = [];
  for (const [key, item] of Object.entries(value)) {
    const text = write(item, depth + 1);
    if (text !== undefined) members.push(`${JSON.stringify(key)}:${text}`);
  }
  return `{${members.join(',')}}`;
}
