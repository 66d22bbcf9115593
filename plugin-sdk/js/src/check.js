//! Checks of arguments. A value of the wrong type that reached the contract would end the instance
//! without a stack.

/** A text without halves of surrogate pairs, which UTF-8 does not have. */
export function text(value, name) {
  if (typeof value !== 'string') {
    throw new TypeError(`${name} has to be a string, not ${describe(value)}`);
  }
  if (!value.isWellFormed()) {
    throw new TypeError(`${name} has half of a surrogate pair`);
  }
  return value;
}

/** A whole number that JavaScript represents exactly. */
export function integer(value, name) {
  if (!Number.isSafeInteger(value)) {
    throw new TypeError(`${name} has to be a whole number below 2^53, not ${describe(value)}`);
  }
  return value;
}

/** The id of a session. */
export function session(value) {
  return integer(value, 'a session id');
}

/** A list of session ids. */
export function sessions(values) {
  return Array.from(values, session);
}

/** Milliseconds, at least one; `undefined` is no time to live. */
export function milliseconds(value, name) {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !(value >= 0) || value > Number.MAX_SAFE_INTEGER) {
    throw new TypeError(`${name} has to be a number of milliseconds, not ${describe(value)}`);
  }
  return Math.max(1, Math.round(value));
}

/** The time for an answer in milliseconds; `undefined` is the operator's limit. */
export function timeout(value) {
  const time = milliseconds(value, 'timeout');
  return time === undefined ? undefined : Math.min(time, 0xffffffff);
}

/** Short text of a value, for messages. */
export function describe(value) {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  if (value === null || typeof value !== 'object') return String(value);
  return value.constructor?.name ?? 'an object';
}
