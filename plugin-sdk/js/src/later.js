//! Results of `onCall` that a later hook gives.

import * as check from './check.js';
import { part } from './host.js';
import { Refusal } from './refusal.js';
import { payload } from './topics.js';

/** The call that the current hook has deferred. */
let deferred;

/** A call whose result comes later. */
export class Later {
  constructor(id) {
    this.id = check.integer(id, 'the id of a deferred call');
    Object.freeze(this);
  }

  static begin() {
    const later = new Later(part('later').defer());
    deferred = later.id;
    return later;
  }

  complete(answer) {
    const result =
      answer instanceof Refusal
        ? { tag: 'err', val: { uri: answer.uri.toWellFormed(), message: answer.message.toWellFormed() } }
        : { tag: 'ok', val: payload(answer) };
    return part('later').complete(this.id, result);
  }

  /** Takes the number of the call that the current hook has deferred. */
  static takeDeferred() {
    const taken = deferred;
    deferred = undefined;
    return taken;
  }

  /** In a context or in the store, a deferred call is its number. */
  toJSON() {
    return this.id;
  }
}
