//! Events: the payload of a publication, a call or a result, as JSON text that is parsed on access.

import * as check from './check.js';
import { parse, stringify } from './json.js';
import { Refusal } from './refusal.js';

/** A payload with positional `args` and named `kwargs`. */
export class Event {
  /** JSON texts, or the source that has them. */
  #argsJson;
  #kwargsJson;
  #args;
  #kwargs;
  #source;

  constructor(value) {
    if (arguments.length === 0) throw new TypeError('an event without a value is Event.empty()');
    this.#argsJson = stringify([value]);
    this.#kwargsJson = '{}';
  }

  static empty() {
    return Event.fromJson('[]', '{}');
  }

  static of(args, kwargs = {}) {
    if (!Array.isArray(args)) throw new TypeError(`args have to be a list, not ${check.describe(args)}`);
    if (kwargs === null || typeof kwargs !== 'object' || Array.isArray(kwargs)) {
      throw new TypeError(`kwargs have to be an object, not ${check.describe(kwargs)}`);
    }
    return Event.fromJson(stringify(args), stringify(kwargs));
  }

  static fromJson(args, kwargs = '{}') {
    const event = new Event(null);
    event.#argsJson = check.text(args, 'args');
    event.#kwargsJson = check.text(kwargs, 'kwargs');
    return event;
  }

  /** The event of the current call. */
  static ofCall(source) {
    const event = new Event(null);
    event.#argsJson = event.#kwargsJson = undefined;
    event.#source = source;
    return event;
  }

  get argsJson() {
    return (this.#argsJson ??= this.#source.read('args'));
  }

  get kwargsJson() {
    return (this.#kwargsJson ??= this.#source.read('kwargs'));
  }

  get args() {
    return (this.#args ??= parse(this.argsJson));
  }

  get kwargs() {
    return (this.#kwargs ??= parse(this.kwargsJson));
  }

  /** Asks the host for the texts, before the call ends. */
  read() {
    return { args: this.argsJson, kwargs: this.kwargsJson };
  }

  single(type) {
    const { args } = this;
    if (args.length !== 1) {
      throw Refusal.invalidArgument(`Failed to read the event: it has ${args.length} values, not one.`);
    }
    const [value] = args;
    if (type !== undefined && typeOf(value) !== type) {
      throw Refusal.invalidArgument(`Failed to read the event: expected ${type}, not ${typeOf(value)}.`);
    }
    return value;
  }
}

function typeOf(value) {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
