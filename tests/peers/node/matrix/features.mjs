// Runs features of a client library against a server, for the table of libraries in the documentation. It
// is the same as `tests/peers/python/matrix/features.py`, in JavaScript.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isDeepStrictEqual, parseArgs } from 'node:util';

const MODULES = process.env.JACKFIELD_NODE_PEERS;

// Milliseconds for one feature.
const DEADLINE = 10_000;

export const SECRETS = {
  ticket: ['billing', 'letmein'],
  wampcra: ['billing', 'shared'],
  wampcra_salted: ['page', 'a password'],
  scram: ['tablet', 'pencil'],
  cryptosign: ['sensor', '07'.repeat(32)],
};
const ROLES = { billing: 'backend', page: 'member', tablet: 'member', sensor: 'sensor' };

export const ARGS = ['text', 1, [2, null]];
export const KWARGS = { key: { deep: true } };
export const BINARY = Buffer.from([0, 1, 0x7f, 0x80, 0xff]);

/** Loads modules of the folder with the libraries. */
export const require = createRequire(`${MODULES}/`);

/** Returns a file of a package as a text. */
export const source = (path) => readFileSync(`${MODULES}/node_modules/${path}`, 'utf8');

// Libraries log to the console, which is for reports.
const print = console.log;
console.log = console.error;
console.warn = console.error;

class Missing extends Error {}
class Fault extends Error {}

/** Ends a feature that the library does not have. `proof` shows that it is still so. */
export function missing(proof, reason) {
  if (!proof) throw new Error(`the library has it now, extend the driver: ${reason}`);
  throw new Missing(reason);
}

/** Explains an error whose text contains `expected`: the library causes it. */
export async function fault(expected, reason, body) {
  try {
    return await body();
  } catch (error) {
    throw describe(error).includes(expected) ? new Fault(reason) : error;
  }
}

function describe(error) {
  if (error instanceof Error) return `${error.name}: ${error.message}`;
  return typeof error === 'object' ? JSON.stringify(error) : String(error);
}

export function equal(found, expected, what) {
  const plain = JSON.parse(JSON.stringify(found ?? null));
  if (!isDeepStrictEqual(plain, expected)) {
    throw new Error(`${what}: ${JSON.stringify(found)} in place of ${JSON.stringify(expected)}`);
  }
}

/** Checks that a received value is `BINARY`. Under JSON, a library may have no form for it. */
export function checkBinary(found, serializer) {
  // msgpack5 leaves binary in a list of buffers.
  const value = typeof found?.append === 'function' ? found.slice() : found;
  if (serializer === 'json') missing(found?.type === 'Buffer', 'its JSON has no form for binary values');
  equal([value instanceof Uint8Array, ...Buffer.from(value)], [true, ...BINARY], 'the event');
}

let current;

/** Returns a URI that no other driver uses, and no other feature. */
export const uri = (name) => `matrix.p${process.pid}.${current}.${name}`;

/** Checks the details of a session that was opened by a method. */
export function authenticated(method, { authid, authrole, authmethod }) {
  const expected = SECRETS[method][0];
  equal([authid, authrole], [expected, ROLES[expected]], 'authid and authrole');
  equal(authmethod, method.replace(/_salted$/, ''), 'authmethod');
}

/** Values that are added one after another, and awaited. */
export class Queue {
  #values = [];
  #waiting = [];

  push(value) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(value);
    else this.#values.push(value);
  }

  async next() {
    return this.#values.length > 0 ? this.#values.shift() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  get isEmpty() {
    return this.#values.length === 0;
  }
}

// Takes errors that a library throws where nobody can catch them.
let unheard;
process.on('uncaughtException', (error) => unheard(error));
process.on('unhandledRejection', (error) => unheard(error));

/** Returns the error that `body` causes where nobody can catch it. */
export async function uncaught(body) {
  const before = unheard;
  try {
    return await new Promise((resolve, reject) => {
      unheard = resolve;
      body().then(() => reject(new Error('there is no error')), reject);
    });
  } finally {
    unheard = before;
  }
}

async function run(feature) {
  let late;
  const failed = new Promise((_resolve, reject) => {
    unheard = reject;
    late = setTimeout(() => reject(new Error(`no end within ${DEADLINE / 1000} s`)), DEADLINE);
  });
  try {
    return ['ok', (await Promise.race([feature(), failed])) ?? ''];
  } catch (error) {
    if (error instanceof Missing) return ['missing', error.message];
    return error instanceof Fault ? ['fault', error.message] : ['error', describe(error)];
  } finally {
    clearTimeout(late);
  }
}

/** `features` returns the functions of all features by name, for a URL and a serializer. */
export async function main(library, features, remark = () => '') {
  const { values: options } = parseArgs({
    options: {
      // The name of the package, if a driver serves several.
      library: { type: 'string', default: library },
      url: { type: 'string' },
      serializer: { type: 'string' },
      features: { type: 'string' },
    },
  });
  const { version } = JSON.parse(source(`${options.library}/package.json`));
  print(JSON.stringify({ library: options.library, version, remark: remark(options) }));
  let offered;
  try {
    offered = features(options);
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    print(JSON.stringify({ missing: error.message }));
    process.exit(0);
  }
  for (const feature of options.features.split(',')) {
    current = feature;
    const [result, reason] = await run(offered[feature]);
    print(JSON.stringify({ feature, result, reason }));
  }
  process.exit(0);
}
