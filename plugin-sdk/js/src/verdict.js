//! Verdicts of hooks: whether a session may subscribe, and how a published event is delivered.

import * as check from './check.js';
import { Event } from './event.js';
import { Refusal } from './refusal.js';

/** The answer of `onSubscribe`. */
export class SubscribeVerdict {
  constructor(refusal) {
    this.refusal = refusal;
    Object.freeze(this);
  }
}

/** The answer of `onPublish`. */
export class PublishVerdict {
  constructor(kind, { event, excluded = [], only, refusal } = {}) {
    this.kind = kind;
    this.event = event;
    /** Sessions that do not receive the event. */
    this.excluded = excluded;
    /** The only sessions that may receive it; `undefined` for all. */
    this.only = only;
    this.refusal = refusal;
    Object.freeze(this);
  }

  exclude(sessions) {
    return this.#narrow({ excluded: [...this.excluded, ...check.sessions(sessions)] });
  }

  eligible(sessions) {
    const { only } = this;
    const wanted = check.sessions(sessions);
    return this.#narrow({ only: only === undefined ? wanted : wanted.filter((id) => only.includes(id)) });
  }

  #narrow(change) {
    if (this.kind !== 'broadcast' && this.kind !== 'deliver') return this;
    return new PublishVerdict('deliver', { ...this, ...change });
  }
}

export function allow() {
  return new SubscribeVerdict(undefined);
}

export function deny(message) {
  return new SubscribeVerdict(Refusal.notAuthorized(message));
}

export function broadcast() {
  return new PublishVerdict('broadcast');
}

export function deliver(event) {
  if (!(event instanceof Event)) {
    throw new TypeError(`deliver takes an Event, not ${check.describe(event)}: deliver(new Event(value))`);
  }
  return new PublishVerdict('deliver', { event });
}

export function drop() {
  return new PublishVerdict('drop');
}

export function reject(message) {
  return new PublishVerdict('reject', { refusal: Refusal.notAuthorized(message) });
}
