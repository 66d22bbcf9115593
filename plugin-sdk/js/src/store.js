//! The plugin's store: values by key, as JSON. It outlives instances, versions and faults.

import * as check from './check.js';
import { part } from './host.js';
import { parse, stringify } from './json.js';
import { Refusal } from './refusal.js';
import { decode, encode } from './utf8.js';

export function get(key) {
  const bytes = getBytes(key);
  return bytes === undefined ? undefined : value(key, bytes);
}

export function set(key, value, { ttl } = {}) {
  setBytes(key, encode(stringify(value)), { ttl });
}

export { remove as delete };

function remove(key) {
  return part('store').delete(check.text(key, 'the key'));
}

export function increment(key, by = 1) {
  const sum = part('store').increment(check.text(key, 'the key'), check.integer(by, '`by`'));
  // The contract's numbers have 64 bits; what a Number cannot hold arrives rounded.
  return check.integer(sum, `the sum under \`${key}\``);
}

export function countWithin(key, window) {
  const count = increment(key);
  if (count === 1) {
    // Another lane may increment meanwhile, so the expiry is set by compareAndSet.
    for (let now = getBytes(key); !compareAndSet(key, now, now, { ttl: window }); now = getBytes(key));
  }
  return count;
}

export function update(key, change, { ttl } = {}) {
  for (;;) {
    const before = getBytes(key);
    const next = change(before === undefined ? undefined : value(key, before));
    const bytes = next === undefined ? undefined : encode(stringify(next));
    if (compareAndSet(key, before, bytes, { ttl })) return next;
  }
}

export function entries(prefix, limit) {
  const found = part('store').entries(check.text(prefix, 'the prefix'), count(limit));
  return found.map(([key, bytes]) => [key, value(key, bytes)]);
}

export function getBytes(key) {
  return part('store').get(check.text(key, 'the key')) ?? undefined;
}

export function setBytes(key, bytes, { ttl } = {}) {
  part('store').set(check.text(key, 'the key'), array(bytes), check.milliseconds(ttl, 'ttl'));
}

export function compareAndSet(key, expected, bytes, { ttl } = {}) {
  const [before, after] = [expected, bytes].map((one) => (one === undefined ? undefined : array(one)));
  return part('store').compareAndSet(check.text(key, 'the key'), before, after, check.milliseconds(ttl, 'ttl'));
}

function array(bytes) {
  if (bytes instanceof Uint8Array) return bytes;
  throw new TypeError(`the value has to be a Uint8Array, not ${check.describe(bytes)}`);
}

function count(limit) {
  const number = check.integer(limit, 'the limit');
  if (number < 0) throw new TypeError('the limit has to be zero or more');
  return Math.min(number, 0xffffffff);
}

function value(key, bytes) {
  try {
    return parse(decode(bytes));
  } catch (error) {
    throw Refusal.runtimeError(`Failed to read \`${key}\` from the store: ${error.message}.`);
  }
}
