//! The globals that QuickJS lacks, or that the build would freeze. The entry module imports this
//! before the plugin's own modules.

import { has, part } from './host.js';
import { format } from './log.js';
import { TextDecoder, TextEncoder } from './utf8.js';

/** Bytes that are asked from the host at once. */
const POOL = 256;

let pool = new Uint8Array(0);
let used = 0;

/** Random bytes of the host. Those that the engine makes were fixed when the component was built. */
function randomBytes(count) {
  if (count > POOL) return part('random')(count);
  if (used + count > pool.length) {
    pool = part('random')(POOL);
    used = 0;
  }
  used += count;
  return pool.subarray(used - count, used);
}

function random() {
  const bytes = randomBytes(8);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  // 53 bits: the precision of a Number.
  return ((view.getUint32(0) >>> 5) * 0x4000000 + (view.getUint32(4) >>> 6)) / 0x20000000000000;
}

const crypto = {
  getRandomValues(array) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    bytes.set(randomBytes(bytes.length));
    return array;
  },

  randomUUID() {
    const bytes = Uint8Array.from(randomBytes(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  },
};

/** `console`. It is silent while the component is built, and without the import `log`. */
const line = (level) => (...values) => {
  if (has('log')) part('log').log(level, format(values));
};

const console = {
  log: line('info'),
  info: line('info'),
  debug: line('debug'),
  trace: line('trace'),
  warn: line('warn'),
  error: line('warn'),
};

Object.assign(globalThis, { console, crypto, TextDecoder, TextEncoder });
Math.random = random;
