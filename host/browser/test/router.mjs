// Fake router and page for the tests of sync.js: a WebSocket class that records its sockets, and
// timers, random numbers and visibility that the tests control.

import { mock } from 'node:test';

import { Sync } from '../sync.js';

/** All opened sockets, in order. */
export let sockets = [];

class Socket {
  constructor(url, protocol) {
    Object.assign(this, { url, protocol, readyState: 0, sent: [], closed: false });
    sockets.push(this);
  }

  send(text) { this.sent.push(JSON.parse(text)); }

  close() { this.closed = true; this.readyState = 3; }

  // --- The router's side ---

  /** Accepts the connection, and reads HELLO. */
  opens() {
    this.readyState = 1;
    this.onopen();
    return this;
  }

  /** Sends CHALLENGE, and returns the ticket of the reply. */
  challenges() {
    this.says([4, 'ticket', {}]);
    return this.asked(5).at(-1)?.[1];
  }

  /** Accepts the connection, and opens the session. */
  accept(session = 7, details = {}) {
    if (this.readyState === 0) this.opens();
    this.says([2, session, { roles: { broker: {}, dealer: {} }, ...details }]);
    return this;
  }

  says(message) { this.onmessage?.({ data: JSON.stringify(message) }); }

  /** Ends TCP, or refuses the handshake. */
  breaks(code = 1006) {
    this.readyState = 3;
    // Without a listener, Node's `ws` throws this error.
    this.onerror(new Event('error'));
    this.onclose?.({ code, reason: '' });
  }

  /** Returns the received requests of a kind. */
  asked(code) { return this.sent.filter(([kind]) => kind === code); }

  /** Confirms every pending SUBSCRIBE: the n-th gets the id 100 + n. */
  confirms() {
    for (const message of this.asked(32).slice(this.confirmed ?? 0)) {
      this.confirmed = (this.confirmed ?? 0) + 1;
      this.says([33, message[1], 100 + this.confirmed]);
    }
    return this;
  }
}

export class Page extends EventTarget {
  visibilityState = 'visible';

  becomes(state) {
    this.visibilityState = state;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

let made = [];
let chance = 0.5;

/** Creates a connection to the router; its events are in `heard`. */
export function connect(options = {}) {
  const sync = new Sync({ url: 'ws://router/', WebSocket: Socket, ...options });
  made.push(sync);
  const heard = [];
  for (const name of ['connected', 'disconnected', 'retrying', 'refused', 'restored']) {
    sync.addEventListener(name, ({ detail }) => heard.push([name, detail]));
  }
  return { sync, heard };
}

export const socket = () => sockets.at(-1);

/** Runs all promises that are ready. */
export async function settle() {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

export async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await settle();
}

/** As `pass`, one millisecond at a time, so that timers set by timers also fire. */
export async function passSlowly(milliseconds) {
  for (let passed = 0; passed < milliseconds; passed++) mock.timers.tick(1);
  await settle();
}

/** Sets the random number: the share of the maximum delay that an attempt waits. */
export function chanceIs(share) { chance = share; }

export function begin() {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  for (const name of ['setTimeout', 'setInterval']) {
    const still = globalThis[name];
    // As in browsers: a delay that is not a number, or longer than 31 bits, fires at once.
    mock.method(globalThis, name, (does, delay) => still(does, delay >= 1 && delay < 2 ** 31 ? delay : 1));
  }
  mock.method(Math, 'random', () => chance);
  mock.method(performance, 'now', () => Date.now());
  chance = 0.5;
  sockets = [];
  globalThis.document = new Page();
  globalThis.window = new Page();
  globalThis.addEventListener = (...rest) => globalThis.window.addEventListener(...rest);
}

export function end() {
  for (const sync of made) sync.close();
  made = [];
  mock.reset();
  mock.timers.reset();
  delete globalThis.document;
  delete globalThis.addEventListener;
}
